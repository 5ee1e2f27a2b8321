"""What several test files need: arrays between guards, exact products, error bounds."""

from contextlib import contextmanager

import numpy as np

from bpkern import _core

# Every compiled instruction set, those that this processor lacks included.
ISAS = _core.compiled_isas()

EXACT = {"float32": np.float64, "float64": np.longdouble}

# Units in the last place that an activation may add to its exact value; bench/ulp.py measures them.
ULP = {
    "identity": 0,
    "relu": 0,
    "leaky_relu": 1,
    "sigmoid": 3,
    "tanh": 3,
    "elu": 2,
    "softplus": 3,
    "gelu": 5,
    "gelu_tanh": 5,
    "silu": 4,
}


def pi(dtype):
    return 4 * np.arctan(np.ones((), dtype))


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def normal_density(t):
    """Exact to rounding where t is float32 or float64 and comes in a wider type: the square of its first 24
    bits is exact then, and the rest is small."""
    high = t.astype(np.float32).astype(t.dtype)
    with np.errstate(invalid="ignore"):  # of infinity there is no rest
        rest = np.where(np.isinf(t), 0, (t - high) * (t + high))
    return np.exp(-high * high / 2) * np.exp(-rest / 2) / np.sqrt(2 * pi(t.dtype))


def normal_beyond(t):
    """The part of the normal distribution beyond t >= 0, with neither erfc nor the kernels' polynomial: up to
    2 by its series, whose terms are all positive; beyond by its continued fraction, from the far end."""
    near, far = np.minimum(t, 2), np.maximum(t, 2)
    term = total = near
    for k in range(1, 60):
        term = term * near * near / (2 * k + 1)
        total = total + term
    fraction = far
    for k in range(120, 0, -1):
        fraction = far + k / fraction
    return np.where(t < 2, 0.5 - normal_density(near) * total, normal_density(far) / fraction)


def normal(z):
    beyond = normal_beyond(np.abs(z))
    return np.where(z < 0, beyond, 1 - beyond)


def twice_u(z):
    """Of gelu_tanh: z sigmoid(2 u)."""
    return np.sqrt(8 / pi(z.dtype)) * (z + np.asarray(44715, z.dtype) / 1000000 * z**3)


def twice_u_slope(z):
    return np.sqrt(8 / pi(z.dtype)) * (1 + 3 * np.asarray(44715, z.dtype) / 1000000 * z**2)


def gate_slope(z, g, slope):
    """The derivative of z g(z), g = sigmoid of something whose derivative is `slope`."""
    return g + z * g * (1 - g) * slope


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z < 0, np.asarray(0.01, z.dtype) * z, z),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "elu": lambda z: np.where(z < 0, np.expm1(np.minimum(z, 0)), z),
    "softplus": lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
    "gelu": lambda z: z * normal(z),
    "gelu_tanh": lambda z: z * sigmoid(twice_u(z)),
    "silu": lambda z: z * sigmoid(z),
}

# Those whose derivative is a function of z; that of the others is one of the activation.
NEED_Z = ("gelu", "gelu_tanh", "silu")

DERIVATIVES = {
    "identity": np.ones_like,
    "relu": lambda a: (a > 0).astype(a.dtype),
    "leaky_relu": lambda a: np.where(a > 0, 1, np.asarray(0.01, a.dtype)),
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
    "elu": lambda a: np.where(a > 0, 1, a + 1),
    "softplus": lambda a: -np.expm1(-a),
    "gelu": lambda z: normal(z) + z * normal_density(z),
    "gelu_tanh": lambda z: gate_slope(z, sigmoid(twice_u(z)), twice_u_slope(z)),
    "silu": lambda z: gate_slope(z, sigmoid(z), 1),
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
