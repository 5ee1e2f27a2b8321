"""A fit on batches from an iterable equals, to the bit, the fit on their rows; and errors in a stream."""

import itertools

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

RNG = np.random.default_rng(9)
ROWS = 50
X, Y = RNG.standard_normal((ROWS, 4)), RNG.standard_normal((ROWS, 2))
LABELS = RNG.integers(0, 2, ROWS)
WEIGHTS = np.where(np.arange(ROWS) // 8 == 2, 0.0, RNG.integers(1, 5, ROWS) / 4)


class Batches:
    """An iterable that can be iterated again and is not a list."""

    def __init__(self, *columns, sizes=8, change=lambda number, batch: batch):
        rows = len(columns[0])
        sizes = itertools.repeat(sizes) if isinstance(sizes, int) else iter(sizes)
        ends = itertools.accumulate(sizes)
        self.batches, start = [], 0
        while start < rows:
            end = next(ends)
            batch = tuple(column[start:end] for column in columns)
            self.batches.append(change(len(self.batches), batch))
            start = end

    def __iter__(self):
        return iter(self.batches)


def make(layers=(4, 30, 9, 2), loss="mse", dtype="float64", **settings):
    settings = dict(optimizer=bpkern.Adam(0.01), activation="tanh", dropout=0.2) | settings
    return bpkern.MLP(layers, loss=loss, dtype=dtype, seed=1, **settings)


FITS = {
    "plain": {},
    "accumulate": {"accumulate": 3},
    "accumulate all": {"accumulate": 100},
    "clip": {"clip_norm": 0.1, "clip_value": 0.01, "accumulate": 2},
    "ema": {"ema": 0.9},
    "metrics": {"metrics": ["mae", "r2"], "validation_data": (X[:9], Y[:9])},
    "threads": {"n_threads": 3, "accumulate": 2},
}


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("arguments", FITS.values(), ids=FITS)
def test_the_same_bits_as_rows(isa, dtype, arguments, weights):
    stream, rows = make(dtype=dtype), make(dtype=dtype)
    columns = (X, Y) if weights is None else (X, Y, weights)
    got = stream.fit(Batches(*columns), epochs=3, **arguments)
    expected = rows.fit(X, Y, epochs=3, batch_size=8, shuffle=False, sample_weight=weights, **arguments)
    assert parameter_bits(stream) == parameter_bits(rows)
    assert core_of(stream).net.counts == core_of(rows).net.counts
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name] == pytest.approx(values, rel=1e-6 if dtype == "float32" else 1e-13)
    assert (got.iterations, got.lr) == (expected.iterations, expected.lr)


@pytest.mark.parametrize("optimizer", [bpkern.SGD(0.1), bpkern.Adam(0.01)])
def test_one_row_at_a_time(isa, dtype, optimizer):
    """Nets whose layers are no wider than a vector take the online path."""
    x, y = X.astype(dtype), Y.astype(dtype)
    models = [make((4, 3, 2), optimizer=optimizer, dropout=0.0, dtype=dtype) for _ in "ab"]
    models[0].fit(Batches(x, y, sizes=1), epochs=2)
    models[1].fit(x, y, batch_size=1, shuffle=False, epochs=2)
    assert parameter_bits(models[0]) == parameter_bits(models[1])


@pytest.mark.parametrize("sizes", [(1, 2, 47), (47, 2, 1), (3, 20, 5, 22)])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_batches_of_any_size_accumulate(isa, sizes, n_threads):
    """Also if a batch is larger than all before it while gradients are pending."""
    stream, rows = make(dropout=0.0), make(dropout=0.0)
    stream.fit(Batches(X, Y, sizes=sizes), accumulate=len(sizes), n_threads=n_threads)
    rows.fit(X, Y, batch_size=ROWS, shuffle=False)
    for pair, expected in zip(stream.get_weights(), rows.get_weights(), strict=True):
        for got, wanted in zip(pair, expected, strict=True):
            assert np.abs(got - wanted).max() <= 1e-12


def test_class_weights():
    stream, rows = (make(loss="cross_entropy") for _ in "ab")
    stream.fit(Batches(X, LABELS, WEIGHTS), class_weight={0: 0.5})
    weights = WEIGHTS * np.where(LABELS == 0, 0.5, 1.0)
    rows.fit(X, LABELS, batch_size=8, shuffle=False, sample_weight=weights)
    assert parameter_bits(stream) == parameter_bits(rows)


def test_a_schedule_goes_on_from_batch_to_batch():
    asked = []
    models = [make(optimizer=bpkern.SGD(lambda t: asked.append(t) or 0.1 / (t + 1))) for _ in "ab"]
    models[0].fit(Batches(X, Y), epochs=2)
    assert sorted(set(asked)) == list(range(14))
    models[1].fit(X, Y, batch_size=8, shuffle=False, epochs=2)
    assert parameter_bits(models[0]) == parameter_bits(models[1])


def test_one_dimensional_targets():
    model = make((4, 9, 1))
    model.fit(Batches(X, Y[:, 0]))
    assert model.predict(X).shape == (ROWS,)


# What goes wrong ----------------------------------------------------------------------------------------


def spoiled(at, value):
    return lambda number, batch: value(batch) if number == at else batch


def with_nan(batch):
    x = batch[0].copy()
    x[1, 2] = np.nan
    return (x, *batch[1:])


BAD = {
    "nan": (with_nan, ValueError, "X holds nan at row 1, column 2"),
    "rows": (lambda b: (b[0], b[1][:-1]), ValueError, "batch 4: y must have as many rows as X, 8"),
    "columns": (lambda b: (b[0][:, 1:], b[1]), ValueError, "batch 4: X must have 4 columns"),
    "none": (lambda b: (b[0][:0], b[1][:0]), ValueError, "batch 4: X has no rows"),
    "kind": (lambda b: b[0], TypeError, r"batch 4: a batch must be \(X, y\)"),
    "items": (lambda b: (b[0],), ValueError, r"batch 4: a batch must be \(X, y\)"),
    "weights": (
        lambda b: (*b, -np.ones(8)),
        ValueError,
        "batch 4: sample_weight must be finite and at least 0",
    ),
    "y": (lambda b: (b[0], None), ValueError, "batch 4: y must be given"),
}


class Unreadable:
    """An array whose values cannot be read. The error's class is not made of a message alone."""

    def __array__(self, dtype=None, copy=None):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def test_errors_of_any_class_say_where():
    with pytest.raises(ValueError, match="batch 0: 'utf-8' codec"):
        bpkern.MLP([4, 2], loss="mse").fit(iter([(Unreadable(), Y)]))
    with pytest.raises(ValueError, match="validation_data: 'utf-8' codec"):
        bpkern.MLP([4, 2], loss="mse").fit(X, Y, validation_data=(Unreadable(), Y))


@pytest.mark.parametrize(("value", "error", "message"), BAD.values(), ids=BAD)
def test_a_bad_batch_in_the_middle(value, error, message):
    """The error names the batch by number, and the model is as of the step before it."""
    model, shorter = make(), make()
    with pytest.raises(error, match=message):
        model.fit(Batches(X, Y, change=spoiled(4, value)), epochs=2)
    shorter.fit(Batches(X[:32], Y[:32]))
    assert parameter_bits(model) == parameter_bits(shorter)
    assert core_of(model).net.counts == (4, 4)
    for m in (model, shorter):
        m.fit(Batches(X, Y))
    assert parameter_bits(model) == parameter_bits(shorter)


@pytest.mark.parametrize("value", [with_nan, lambda b: b[0]])
def test_a_bad_first_batch_changes_nothing(value):
    model, fresh = make(), make()
    history = model.fit(X, Y)
    fresh.fit(X, Y)
    for arguments in ({}, {"ema": 0.5}, {"accumulate": 3}):
        with pytest.raises((ValueError, TypeError)):
            model.fit(Batches(X, Y, change=spoiled(0, value)), **arguments)
        assert parameter_bits(model) == parameter_bits(fresh)
        assert core_of(model).net.counts == core_of(fresh).net.counts
        assert model.history_ is history


def test_the_iterables_own_error_comes_through():
    class Broken:
        def __iter__(self):
            yield from Batches(X[:16], Y[:16])
            raise OSError("the disk is gone")

    model = make()
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit(Broken(), epochs=2)
    assert np.isfinite(model.forward(X)).all()
    model.fit(X, Y)


@pytest.mark.parametrize(
    ("batches", "arguments", "error", "message"),
    [
        (Batches(X[:0], Y[:0]), {}, ValueError, "X gave no batch"),
        (iter([(X, Y)]), {"epochs": 2}, ValueError, "one-shot list_iterator"),
        (((X, Y) for _ in range(3)), {"epochs": 2}, ValueError, "one-shot generator"),
        (Batches(X, Y, 0 * WEIGHTS), {}, ValueError, "sample_weight must not be 0 in every row"),
        (Batches(X, Y), {"sample_weight": WEIGHTS}, ValueError, "sample_weight goes with y"),
        (Batches(X, Y), {"validation_split": 0.1}, ValueError, "validation_split needs rows"),
        (Batches(X, Y), {"class_weight": "balanced"}, ValueError, "'balanced' needs all of y"),
    ],
)
def test_what_cannot_be_a_fit(batches, arguments, error, message):
    model, fresh = make(), make()
    with pytest.raises(error, match=message):
        model.fit(batches, **arguments)
    assert parameter_bits(model) == parameter_bits(fresh)
    assert core_of(model).net.counts == (0, 0)
    assert model.history_ is None


def test_a_one_shot_iterator_does_for_one_epoch():
    stream, rows = make(), make()
    stream.fit(iter(Batches(X, Y).batches))
    rows.fit(X, Y, batch_size=8, shuffle=False)
    assert parameter_bits(stream) == parameter_bits(rows)


@pytest.mark.parametrize("given", [X, X.tolist(), X.astype(np.float32), X[:, :3]])
def test_rows_without_y(given):
    model, fresh = make(), make()
    with pytest.raises(ValueError, match=r"y is missing: fit takes X and y, or for both an iterable"):
        model.fit(given)
    assert parameter_bits(model) == parameter_bits(fresh)


def test_batch_hooks_and_stopping():
    class Watch(Callback):
        def __init__(self):
            self.seen = []

        def on_batch_begin(self, model, batch):
            self.seen.append(("begin", batch))

        def on_batch_end(self, model, batch, logs):
            self.seen.append(("end", batch))

        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    watch, model = Watch(), make()
    history = model.fit(Batches(X, Y), epochs=5, callbacks=watch)
    assert watch.seen == 2 * [(what, batch) for batch in range(7) for what in ("begin", "end")]
    assert len(history["loss"]) == 2


class Refilled:
    """Batches in the same arrays, overwritten for each, in any form that an item may have."""

    def __init__(self, columns, form, size=10):
        self.columns, self.form, self.size = columns, form, size
        self.buffers = [np.zeros((size, *column.shape[1:]), column.dtype) for column in columns]

    def __iter__(self):
        item = self.form(self.buffers)
        for start in range(0, ROWS, self.size):
            for buffer, column in zip(self.buffers, self.columns, strict=True):
                buffer[...] = column[start : start + self.size]
            yield item
        for buffer in self.buffers:
            buffer[...] = 1  # what the last batch must not become


class Rewritten(Refilled):
    """The same for lists of Python numbers, and for other objects that copy the buffers."""

    def __iter__(self):
        item = None
        for _ in super().__iter__():
            new = self.form(self.buffers)
            if item is None:
                item = new
            for kept, column in zip(item, new, strict=True):
                kept[:] = column
            yield item


def csr(columns):
    """X as a CSR matrix of all its entries, in the memory of its buffer."""
    sparse = pytest.importorskip("scipy.sparse", reason="SciPy makes the matrix")
    X, *others = columns
    matrix = sparse.csr_matrix(np.ones(X.shape))
    matrix.data = X.reshape(-1)
    return (matrix, *others)


REFILLED = {
    "arrays": (Refilled, tuple),
    "a list of arrays": (Refilled, list),
    "transposed": (Refilled, lambda columns: (columns[0][:, ::-1], *columns[1:])),
    "CSR": (Refilled, csr),
    "lists": (Rewritten, lambda columns: tuple(column.tolist() for column in columns)),
}


def square(a, y):
    return ((a - y) ** 2).mean(axis=1), a - y


@pytest.mark.parametrize(("kind", "form"), REFILLED.values(), ids=REFILLED)
@pytest.mark.parametrize(
    ("loss", "y"), [("mse", Y), ("cross_entropy", LABELS), (square, Y)], ids=["values", "labels", "Python"]
)
@pytest.mark.parametrize("weights", [(), (WEIGHTS,)], ids=["", "weights"])
def test_batches_in_memory_that_is_used_again(loss, y, weights, kind, form):
    """They are copied as they are fetched, although the next ones are fetched before they are used."""
    columns = (X, y, *weights)
    models = [make(loss=loss) for _ in "ab"]
    metrics = "mae" if loss != "cross_entropy" else "f1"
    parts = [tuple(column[start : start + 10] for column in columns) for start in range(0, ROWS, 10)]
    plain = [form(part) for part in parts]
    got = models[0].fit(kind(columns, form), epochs=2, metrics=metrics)
    assert dict(got) == dict(models[1].fit(plain, epochs=2, metrics=metrics))
    assert parameter_bits(models[0]) == parameter_bits(models[1])


@pytest.mark.parametrize("order", list(itertools.product([False, True], repeat=3)))
@pytest.mark.parametrize("metrics", ["f1", "accuracy"])
def test_a_batch_without_weights_counts_as_weights_of_1(order, metrics):
    """Also beside batches with weights, in any order."""
    models = [make(loss="cross_entropy") for _ in "ab"]
    weights = RNG.random(30) * 4
    batches, explicit = [], []
    for number, weighted in enumerate(order):
        rows = slice(10 * number, 10 * number + 10)
        batch = X[rows], LABELS[rows], weights[rows] if weighted else np.ones(10)
        explicit.append(batch)
        batches.append(batch if weighted else batch[:2])
    got = models[0].fit(batches, epochs=2, metrics=metrics)
    assert dict(got) == dict(models[1].fit(explicit, epochs=2, metrics=metrics))
    assert parameter_bits(models[0]) == parameter_bits(models[1])


def test_class_weights_are_those_of_the_call():
    """Although each batch is weighted when it comes."""
    weights = {1: 3.0}

    class Change(Callback):
        def on_batch_end(self, model, batch, logs):
            weights[1] = 100.0

    models = [make(loss="cross_entropy") for _ in "ab"]
    models[0].fit(Batches(X, LABELS), epochs=2, class_weight=weights, callbacks=Change())
    models[1].fit(Batches(X, LABELS), epochs=2, class_weight={1: 3.0})
    assert parameter_bits(models[0]) == parameter_bits(models[1])
