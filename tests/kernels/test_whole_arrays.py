"""Functions of whole arrays, finiteness and probabilities, against NumPy on every instruction set."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern import _core

RNG = np.random.default_rng(0)
SIZES = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257, 70_000]


@pytest.mark.parametrize("size", SIZES)
def test_finite(isa, dtype, size):
    x = RNG.standard_normal(size).astype(dtype)
    if size > 2:
        x[:3] = np.finfo(dtype).max, -np.finfo(dtype).max, np.finfo(dtype).tiny / 8
    assert _core.all_finite(x) is True
    for value in (np.nan, np.inf, -np.inf):
        for place in {0, size // 2, size - 1} if size else ():
            changed = x.copy()
            changed[place] = value
            assert _core.all_finite(changed) is False


@given(st.lists(st.integers(0, 4), max_size=4))
def test_finite_in_any_shape(shape):
    assert _core.all_finite(np.ones(shape))
    assert _core.all_finite(np.full(shape, np.inf)) == (0 in shape)


def test_finite_lets_other_threads_run():
    """A large array is read without Python's lock; the result is the same."""
    x, ran = np.zeros(1 << 22), threading.Event()
    threading.Thread(target=ran.set).start()
    while not ran.is_set():
        assert _core.all_finite(x)
    x[-1] = np.nan
    assert not _core.all_finite(x)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ([1.0], TypeError, "array must be a NumPy array, not list"),
        (np.ones(3, int), TypeError, "array must be float32 or float64, not int64"),
        (np.ones(3, ">f8"), TypeError, "array must be float32 or float64"),
        (np.ones((3, 3)).T[:2], ValueError, "array must be C-contiguous"),
        (np.ones(6)[::2], ValueError, "array must be C-contiguous"),
        (np.zeros(9, "u1")[1:].view("f8"), ValueError, "array must be C-contiguous and aligned"),
    ],
)
def test_finite_of_what_it_does_not_read(array, error, message):
    with pytest.raises(error, match=message):
        _core.all_finite(array)


def exact(loss, outputs):
    """The probabilities in extended precision."""
    z = outputs.astype(np.longdouble)
    with np.errstate(all="ignore"):
        if loss == "binary_cross_entropy":
            return 1 / (1 + np.exp(-z))
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("columns", [1, 2, 3, 8, 10, 16, 17, 100])
@pytest.mark.parametrize("rows", [0, 1, 2, 15, 16, 63, 64, 65, 200])
@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_probabilities(isa, dtype, loss, rows, columns):
    outputs = (RNG.standard_normal((rows, columns)) * RNG.choice([1, 10, 60], (rows, 1))).astype(dtype)
    kept = outputs.copy()
    p = _core.probabilities(loss, outputs)
    assert p.dtype == dtype
    assert np.array_equal(outputs, kept)
    eps = np.finfo(dtype).eps
    # An output is rounded once, when the largest one is subtracted from it.
    rounding = np.ptp(outputs) / 2 if outputs.size and loss == "cross_entropy" else 0
    assert np.allclose(p, exact(loss, outputs), (8 + rounding) * eps, 2 * np.finfo(dtype).tiny)
    assert (p >= 0).all()
    assert (p <= 1 + eps).all()
    if loss == "cross_entropy":
        assert np.allclose(p.sum(axis=1), 1, 0, (columns + 8) * eps)


def test_probabilities_of_extreme_outputs(isa, dtype):
    top = np.finfo(dtype).max
    outputs = np.array([[top, -top, 0], [-top, -top, -top], [0, 0, 0], [1e4, -1e4, 0]], dtype)
    third = np.ones(3, dtype) / 3
    assert np.allclose(
        _core.probabilities("cross_entropy", outputs), [[1, 0, 0], third, third, [1, 0, 0]], 1e-6, 0
    )
    assert np.array_equal(_core.probabilities("binary_cross_entropy", outputs)[0], [1, 0, 0.5])


def test_probabilities_need_no_calm_numpy():
    """Where an exponential underflows, NumPy's would raise under this setting."""
    model = bpkern.MLP([1, 2], loss="cross_entropy", init=[(np.array([[1e4], [-1e4]]), np.zeros(2))])
    with np.errstate(all="raise"):
        assert np.array_equal(model.predict_proba([[1.0]]), [[1, 0]])


@pytest.mark.parametrize("shape", [(3,), (2, 2, 2)])
def test_probabilities_of_other_shapes(shape):
    with pytest.raises(ValueError, match="outputs must have 2 dimensions"):
        _core.probabilities("cross_entropy", np.ones(shape))
