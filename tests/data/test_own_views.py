"""The shape, dtype and strides of the caller's arrays may change during a fit: the package reads through
views of its own."""

import contextlib
import warnings

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern.callbacks import Callback

RNG = np.random.default_rng(9)
ROWS = 40
LABELS, VALUES = RNG.integers(0, 3, ROWS), RNG.standard_normal((ROWS, 3))
WEIGHTS = RNG.random(ROWS)


def sparse():
    return pytest.importorskip("scipy.sparse", reason="SciPy makes the matrix")


def reshape(array):
    array.shape = (array.size,)


def flatten_to_rows(array):
    array.shape = (1, array.size)


def narrow(array):
    array.dtype = np.int8


def as_complex(array):
    array.dtype = np.complex64


def byteswap(array):
    array.dtype = array.dtype.newbyteorder()


def spread(array):
    array.strides = (0,) * array.ndim


CHANGES = [reshape, flatten_to_rows, narrow, as_complex, byteswap, spread]


class Changes(Callback):
    """Changes the arrays in one hook, the first time that it is called."""

    def __init__(self, hook, change, arrays):
        self.change, self.arrays, self.done = change, arrays, False
        setattr(self, hook, self.act)

    def act(self, *_):
        if not self.done:
            self.done = True
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # NumPy means to end such changes
                for array in self.arrays:
                    with contextlib.suppress(ValueError):  # a dtype that does not divide the array's size
                        self.change(array)

    # The trainer asks whether batch hooks are overridden.
    def on_batch_begin(self, model, batch):
        pass

    def on_batch_end(self, model, batch, logs):
        pass


HOOKS = ["on_fit_begin", "on_epoch_begin", "on_batch_begin", "on_batch_end", "on_epoch_end"]


def data(loss, is_sparse):
    """X, y, weights and validation data, new at each call, and the arrays that they consist of."""
    rng = np.random.default_rng(1)
    X, V = (rng.standard_normal((ROWS, 6)) for _ in "ab")
    y = {"cross_entropy": LABELS, "mse": VALUES}.get(loss, VALUES).copy()
    arrays = [y, weights := WEIGHTS.copy(), w := y.copy(), u := WEIGHTS.copy()]
    if not is_sparse:
        return X, y, weights, (V, w, u), [X, V, *arrays]
    x, v = sparse().csr_matrix(X), sparse().csr_matrix(V)
    return x, y, weights, (v, w, u), [*arrays, x.data, x.indices, x.indptr, v.data, v.indices, v.indptr]


def custom(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


@pytest.mark.parametrize("is_sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse", custom], ids=["labels", "values", "custom"])
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_a_hook_harms_nothing(change, hook, loss, is_sparse):
    made = []
    for changes in (False, True):
        X, y, weights, validation, arrays = data(loss, is_sparse)
        model = bpkern.MLP([6, 16, 3], loss=loss, dtype="float64", seed=0)
        callback = Changes(hook, change, arrays) if changes else Changes(hook, lambda _: None, arrays)
        arguments = dict(sample_weight=weights, validation_data=validation, callbacks=callback)
        history = model.fit(X, y, epochs=2, batch_size=8, **arguments)
        assert callback.done
        made.append((dict(history), parameter_bits(model)))
    assert made[0] == made[1]


def test_a_change_in_fit_many():
    made = []
    for change in (lambda _: None, reshape):
        X, y, weights, _, arrays = data("mse", False)
        split = np.arange(30), np.arange(30, 40)
        models = [bpkern.MLP([6, 16, 3], loss="mse", seed=seed) for seed in range(2)]
        each = [{"callbacks": Changes("on_epoch_begin", change, [*arrays, *split])}, {}]
        bpkern.fit_many(models, X, y, sample_weight=weights, splits=[split] * 2, each=each, n_threads=1)
        made.append([parameter_bits(model) for model in models])
    assert made[0] == made[1]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("loss", ["mse", custom], ids=["values", "custom"])
def test_a_change_in_a_metric_or_a_loss(loss, change):
    X, y, weights, _, arrays = data(loss, False)
    changes = Changes("on_fit_begin", change, arrays)

    def metric(y_true, y_pred):
        changes.act()
        return float(np.abs(y_true - y_pred).mean())

    def loss_that_changes(a, target):
        changes.act()
        return custom(a, target)

    if loss is custom:
        loss = loss_that_changes
    model = bpkern.MLP([6, 16, 3], loss=loss, dtype="float64", seed=0)
    expected = custom(model.forward(X), y)[0]
    assert model.evaluate(X, y, sample_weight=weights, metrics=[metric, "r2"])["loss"] == pytest.approx(
        np.average(expected, weights=WEIGHTS)
    )
    X, y, weights, _, changes.arrays = data(loss, False)
    changes.done = False
    assert model.gradients(X, y)[0] == pytest.approx(expected.mean())


def test_memory_in_use_is_not_resized():
    """NumPy refuses, because the views refer to it; only `refcheck=False` gets around this."""

    class Resizes(Callback):
        def on_epoch_begin(self, model, epoch):
            for array in (X, y):
                with pytest.raises(ValueError, match="cannot resize"):
                    array.resize((3, 3))

    X, y = RNG.standard_normal((ROWS, 6)), VALUES.copy()
    bpkern.MLP([6, 16, 3], loss="mse", seed=0).fit(X, y, callbacks=Resizes())
    assert X.shape == (ROWS, 6)
