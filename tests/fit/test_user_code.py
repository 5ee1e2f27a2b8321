"""Metrics, losses and callbacks of users cannot change the data or the record of a fit: arrays are read-only,
and logs are copies."""

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern._data.read_only import read_only
from bpkern.callbacks import Callback

RNG = np.random.default_rng(5)
ROWS = 60
X, LABELS = RNG.standard_normal((ROWS, 6)), RNG.integers(0, 3, ROWS)
VALUES, COLUMN = RNG.standard_normal((ROWS, 3)), RNG.random(ROWS)
SOFT = np.eye(3)[LABELS]

# NumPy's errors for writing into a read-only array, and for making it writeable.
REFUSED = r"assignment destination is read-only|cannot set WRITEABLE flag"

# By loss: each form of y that it takes, and the number of outputs.
TARGETS = {
    "cross_entropy": (LABELS, 3),
    "cross_entropy, rows": (SOFT, 3),
    "binary_cross_entropy": ((COLUMN > 0.5) * 1.0, 1),
    "mse": (VALUES, 3),
    "mse, one column": (COLUMN, 1),
    "poisson": (np.abs(VALUES), 3),
}


def make(loss, outputs):
    return bpkern.MLP([6, 16, outputs], loss=loss.partition(",")[0], dtype="float64", seed=0)


def squares(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def write(array):
    array[...] = 0


def write_by_flags(array):
    array.flags.writeable = True
    array[...] = 0


def write_by_setflags(array):
    array.setflags(write=True)
    array[...] = 0


def write_through_base(array):
    base = array.base
    assert base is not None
    np.asarray(base)[...] = 0


def write_through_a_view(array):
    view = array.view()
    view.flags.writeable = True
    view[...] = 0


WRITES = [write, write_by_flags, write_by_setflags, write_through_base, write_through_a_view]


@pytest.mark.parametrize("attempt", WRITES)
@pytest.mark.parametrize("argument", [0, 1], ids=["y_true", "y_pred"])
@pytest.mark.parametrize(
    ("loss", "y", "outputs"), [(key, *each) for key, each in TARGETS.items()], ids=TARGETS
)
def test_a_metric_that_writes(loss, y, outputs, argument, attempt):
    def hit(*arrays):
        attempt(arrays[argument])
        return 0.0

    model, given = make(loss, outputs), y.copy()
    with pytest.raises(ValueError, match=REFUSED):
        model.evaluate(X, given, metrics=hit)
    for arguments in ({"validation_data": (X, given)}, {"validation_split": 0.25}, {"shuffle": False}):
        with pytest.raises(ValueError, match=REFUSED):
            model.fit(X, given, metrics=hit, **arguments)
    with pytest.raises(ValueError, match=REFUSED):
        model.fit([(X, given)], metrics=hit)
    assert np.array_equal(given, y)
    assert np.isfinite(model.forward(X)).all()


def test_a_metric_that_catches_its_error_changes_nothing():
    """The model and the history are those of a fit whose metric only reads."""

    def reads(y_true, y_pred):
        return float((y_true == y_pred).mean())

    def writes(y_true, y_pred):
        for attempt in WRITES:
            for array in (y_true, y_pred):
                try:
                    attempt(array)
                except ValueError:
                    continue
                raise AssertionError("the array was written")
        return reads(y_true, y_pred)

    made = []
    for metric in (reads, writes):
        model = make("cross_entropy", 3)
        arguments = dict(epochs=3, batch_size=8, shuffle=False, validation_data=(X, LABELS))
        history = model.fit(X, LABELS, metrics=[metric, "f1"], **arguments)
        made.append((list(history.values()), parameter_bits(model)))
    assert made[0] == made[1]


@pytest.mark.parametrize("attempt", WRITES)
def test_a_loss_that_writes_into_y(attempt):
    def loss(a, y):
        attempt(y)
        return squares(a, y)

    model, given = bpkern.MLP([6, 16, 3], loss=loss, dtype="float64", seed=0), VALUES.copy()
    before = parameter_bits(model)
    for call in (
        lambda: model.fit(X, given, batch_size=8, shuffle=False),
        lambda: model.fit([(X, given)]),
        lambda: model.train_on_batch(X, given),
        lambda: model.evaluate(X, given),
        lambda: model.losses(X, given),
        lambda: model.gradients(X, given),
        lambda: bpkern.reference.MLP([6, 16, 3], loss=loss, seed=0).evaluate(X, given),
    ):
        with pytest.raises(ValueError, match=REFUSED):
            call()
    assert np.array_equal(given, VALUES)
    assert parameter_bits(model) == before


@pytest.mark.parametrize("kind", [bpkern.MLP, bpkern.reference.MLP])
def test_a_loss_may_write_into_its_outputs(kind):
    """They are a copy, which saves the function one of its own."""

    def in_place(a, y):
        a -= y
        return (a**2).mean(axis=1), np.multiply(a, 2 / a.shape[1], out=a)

    histories = []
    for loss in (squares, in_place):
        model = kind([6, 16, 3], loss=loss, dtype="float64", seed=0)
        histories.append(model.fit(X, VALUES, epochs=2, validation_data=(X, VALUES)))
    for name in ("loss", "val_loss"):
        assert histories[0][name] == pytest.approx(histories[1][name], rel=1e-12)


def test_a_loss_may_return_the_same_arrays_each_time():
    """What a call returned does not change at the next call."""
    losses, gradient = np.empty(ROWS), np.empty((ROWS, 3))

    def reusing(a, y):
        losses[...], gradient[...] = squares(a, y)
        return losses, gradient

    model = bpkern.MLP([6, 16, 3], loss=reusing, dtype="float64", seed=0)
    first = model.losses(X, VALUES)
    kept = first.copy()
    model.losses(X, VALUES + 1)
    assert np.array_equal(first, kept)


class Spoils(Callback):
    """Changes its logs in every hook, and records what it was given."""

    def __init__(self):
        self.given = []

    def spoil(self, logs):
        self.given.append(dict(logs))
        for name in list(logs):
            logs[name] = -1.0
        logs["more"] = 1.0

    def on_batch_end(self, model, batch, logs):
        self.spoil(logs)

    def on_epoch_end(self, model, epoch, logs):
        self.spoil(logs)


def test_a_callback_that_changes_its_logs_changes_no_others(tmp_path, capsys):
    first, second = Spoils(), Spoils()
    log = bpkern.callbacks.CSVLogger(tmp_path / "log.csv")
    model, plain = make("cross_entropy", 3), make("cross_entropy", 3)
    arguments = dict(epochs=2, batch_size=16, validation_data=(X, LABELS))
    history = model.fit(X, LABELS, callbacks=[first, second, log], verbose=1, **arguments)
    shown = capsys.readouterr().err
    assert dict(history) == dict(plain.fit(X, LABELS, **arguments))
    assert first.given == second.given
    assert all("more" not in logs and -1.0 not in logs.values() for logs in first.given)
    assert (tmp_path / "log.csv").read_text().startswith("epoch,loss,accuracy,val_loss,val_accuracy\n1,")
    assert "more" not in shown


@pytest.mark.parametrize("dtype", ["?", "i1", "u8", "f2", "f4", ">f4", "f8", ">i2", "g"])
@pytest.mark.parametrize("cut", [np.s_[:], np.s_[::2, ::-1], np.s_[:0], np.s_[1, :]])
def test_a_read_only_view(dtype, cut):
    array = np.arange(12).reshape(4, 3).astype(dtype)[cut]
    view = read_only(array)
    assert type(view) is np.ndarray
    assert (view.dtype, view.shape) == (array.dtype, array.shape)
    assert np.array_equal(view, array)
    if array.size:
        assert np.shares_memory(view, array)
        for attempt in WRITES:
            with pytest.raises(ValueError, match=REFUSED):
                attempt(view)
    assert array.flags.writeable
