"""What several test files need: arrays between guards, exact products, error bounds."""

from contextlib import contextmanager

import numpy as np

from bpkern import _core

EXACT = {"float32": np.float64, "float64": np.longdouble}

# Units in the last place that an activation may add to its exact value; bench/ulp.py measures them.
ULP = {"identity": 0, "relu": 0, "leaky_relu": 1, "sigmoid": 3, "tanh": 3}

ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z < 0, np.asarray(0.01, z.dtype) * z, z),
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
}

DERIVATIVES = {
    "identity": np.ones_like,
    "relu": lambda a: (a > 0).astype(a.dtype),
    "leaky_relu": lambda a: np.where(a > 0, 1, np.asarray(0.01, a.dtype)),
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
}


@contextmanager
def using(isa):
    """With the instruction set of that name in use, for calls and for networks made meanwhile."""
    before = _core.isa()
    _core.select_isa(isa)
    try:
        yield
    finally:
        _core.select_isa(before)


def guarded(rng, shape, dtype, spare=3, fill=np.nan):
    """(array, whole): random values in the middle of a larger array that holds `fill` all around."""
    whole = np.full([size + 2 * spare for size in shape], fill, dtype)
    array = whole[tuple(slice(spare, spare + size) for size in shape)]
    array[...] = rng.standard_normal(shape)
    return array, whole


def unaligned(array):
    """The same numbers, a byte off their alignment."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def untouched(array, whole, fill):
    """Whether everything of `whole` but `array` is still `fill`."""
    expected = np.full_like(whole, fill)
    start = (array.ctypes.data - whole.ctypes.data) // whole.itemsize
    position = np.unravel_index(start, whole.shape)
    expected[tuple(slice(p, p + size) for p, size in zip(position, array.shape, strict=True))] = array
    return np.array_equal(whole, expected, equal_nan=True)


def product_bound(k, magnitude, dtype):
    """The design's bound for a product over k terms of random sign whose absolute sum is `magnitude`."""
    info = np.finfo(dtype)
    return max(16, 2 * np.sqrt(k)) * info.eps * magnitude + (k + 1) * info.tiny
