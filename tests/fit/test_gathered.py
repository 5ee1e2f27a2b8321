"""Fits of rows that are computed a block at a time: the bits of a fit of the same rows in an array."""

import numpy as np
import pytest

import bpkern
from bpkern._data import gathered
from bpkern._data.gathered import GatheredRows
from bpkern._fit import epochs

ROWS, WIDTH = 900, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, WIDTH)).astype(np.float32)
LABELS = RNG.integers(0, 3, ROWS)
WEIGHTS = RNG.integers(0, 3, ROWS) / 4


class Taken(GatheredRows):
    """The rows of an array."""

    def __init__(self, array):
        self.array, self.shape, self.most = array, array.shape, 0

    def write(self, index, out):
        out[...] = self.array[index]
        self.most = max(self.most, len(index))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(gathered, "BLOCK_ROWS", 256)


def model(**settings):
    given = dict(activation="tanh", loss="cross_entropy", optimizer=bpkern.Adam(lr=0.01), seed=1)
    return bpkern.MLP([WIDTH, 7, 3], **given | settings)


def bits(trained):
    found = [np.asarray(values) for values in trained.history_.values()]
    return found + [values for pair in trained.get_weights() for values in pair]


@pytest.mark.parametrize(
    "arguments",
    [
        dict(batch_size=40),
        dict(batch_size=300, shuffle=False),  # a mini-batch is larger than a block
        dict(batch_size=64, accumulate=3, ema=0.9, clip_norm=1.0),
        dict(batch_size=50, drop_last=True, sample_weight=WEIGHTS, validation_split=0.3),
        dict(batch_size=32, metrics=["accuracy", "f1"], class_weight="balanced", n_threads=2),
    ],
)
@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3, "l2": 0.01}])
def test_the_bits_of_an_array(arguments, settings):
    whole, by_blocks, rows = model(**settings), model(**settings), Taken(X)
    validation = {} if "validation_split" in arguments else {"validation_data": (X[:500], LABELS[:500])}
    whole.fit(X, LABELS, epochs=3, **arguments, **validation)
    if validation:
        validation["validation_data"] = (Taken(X[:500]), LABELS[:500])
    by_blocks.fit(rows, LABELS, epochs=3, **arguments, **validation)
    for one, other in zip(bits(whole), bits(by_blocks), strict=True):
        assert np.array_equal(one, other)
    assert rows.most <= max(arguments["batch_size"], 256)


def test_schedules_of_accumulated_gradients():
    """Blocks of 4, 4 and 2 mini-batches: at the end of the second one, two wait for their update."""

    def halving(update):
        return 0.5 ** (1 + update)

    for lr in (bpkern.schedules.FlatCos(0.01, 8), halving):
        found = []
        for rows in (X[:640], Taken(X[:640])):
            optimizer = bpkern.AdamW(lr=lr, weight_decay=halving)
            found.append(model(optimizer=optimizer, dropout=bpkern.schedules.Exponential(0.5, 0.9)))
            found[-1].fit(rows, LABELS[:640], epochs=2, batch_size=64, accumulate=3)
        assert all(map(np.array_equal, *map(bits, found)))


def test_splits_of_several_models():
    splits = [(np.arange(i, 800, 2, np.int32), np.arange(800, ROWS, dtype=np.int32)) for i in range(2)]
    found = []
    for rows in (X, Taken(X)):
        models = [model(seed=seed) for seed in range(2)]
        bpkern.fit_many(models, rows, LABELS, splits=splits, epochs=2, batch_size=30, n_threads=2)
        found.append([values for each in models for values in bits(each)])
    assert all(map(np.array_equal, *found))


def test_orders_of_many_rows_are_renumbered_in_place(monkeypatch):
    found = []
    for most in (epochs.RENUMBERED, 100):
        monkeypatch.setattr(epochs, "RENUMBERED", most)
        found.append(model())
        found[-1].fit(X, LABELS, epochs=2, batch_size=50, validation_split=0.3, metrics=["f1"])
    assert all(map(np.array_equal, *map(bits, found)))


def test_a_divergence_has_the_number_of_its_step():
    y = RNG.normal(size=(ROWS, 1))
    y[700:] *= 1e30
    steps = []
    for rows in (X, Taken(X)):
        diverges = bpkern.MLP([WIDTH, 4, 1], loss="mse", optimizer=bpkern.SGD(lr=0.1), seed=0)
        with pytest.raises(bpkern.DivergedError) as error:
            diverges.fit(rows, y, shuffle=False, batch_size=16)
        steps.append((error.value.epoch, error.value.iteration))
    assert steps[0] == steps[1]
    assert steps[0][1] > 32  # in the third block


def test_a_bad_row_has_its_number():
    wrong = X.copy()
    wrong[612, 3] = np.inf
    for arguments in ({"shuffle": False}, {"shuffle": True}, {"validation_split": 0.5}):
        with pytest.raises(ValueError, match="X holds inf at row 612, column 3"):
            model().fit(Taken(wrong), LABELS, batch_size=16, **arguments)


def own_loss(outputs, targets):
    return outputs.sum(axis=1), np.ones_like(outputs)


@pytest.mark.parametrize("call", ["forward", "predict", "evaluate", "losses", "train_on_batch", "trace"])
def test_only_fits_take_them(call):
    trained = model()
    with pytest.raises(TypeError, match="this call needs X as an array"):
        getattr(trained, call)(*((Taken(X),) if call in ("forward", "predict") else (Taken(X), LABELS)))


def test_what_needs_all_rows_is_refused(tmp_path):
    with pytest.raises(TypeError, match="need X as an array"):
        model().fit(Taken(X), LABELS, checkpoint=tmp_path / "c.npz")
    with pytest.raises(TypeError, match="need X as an array"):
        model(loss=own_loss).fit(Taken(X), LABELS)
