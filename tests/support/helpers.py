"""Shared by many test files: instruction sets, exact activations, error bounds, guarded arrays."""

from contextlib import contextmanager

import numpy as np

from bpkern import _core
from bpkern._files import state
from bpkern._model.core import core_of

# Every compiled instruction set, also those that this processor lacks.
ISAS = _core.compiled_isas()

EXACT = {"float32": np.float64, "float64": np.longdouble}

# The published error of each activation, in units in the last place; bench/ulp.py measures it.
ULP = {
    "identity": 0,
    "relu": 0,
    "leaky_relu": 1,
    "sigmoid": 3,
    "tanh": 3,
    "elu": 2,
    "selu": 2,
    "softplus": 3,
    "gelu": 5,
    "gelu_tanh": 5,
    "silu": 4,
    "mish": 5,
}


def pi(dtype):
    return 4 * np.arctan(np.ones((), dtype))


def sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z < 0, e, 1) / (1 + e)


def normal_density(t):
    """exp(-t^2 / 2) / sqrt(2 pi), exact to rounding for a float32 or float64 value `t` given in a wider type:
    the square of its first 24 bits is then exact, and the remainder is small."""
    high = t.astype(np.float32).astype(t.dtype)
    with np.errstate(invalid="ignore"):  # infinity - infinity
        rest = np.where(np.isinf(t), 0, (t - high) * (t + high))
    return np.exp(-high * high / 2) * np.exp(-rest / 2) / np.sqrt(2 * pi(t.dtype))


def normal_beyond(t):
    """The upper tail of the normal distribution at t >= 0, computed with neither erfc nor the kernels'
    polynomial. Up to 2 it uses the power series, whose terms are all positive; above 2 the continued
    fraction, evaluated from its last term to the first."""
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
    """The argument of the sigmoid in gelu_tanh(z) = z sigmoid(2 u)."""
    return np.sqrt(8 / pi(z.dtype)) * (z + np.asarray(44715, z.dtype) / 1000000 * z**3)


def twice_u_slope(z):
    return np.sqrt(8 / pi(z.dtype)) * (1 + 3 * np.asarray(44715, z.dtype) / 1000000 * z**2)


def gate_slope(z, g, slope):
    """The derivative of z g(z), where g is the sigmoid of a function whose derivative is `slope`."""
    return g + z * g * (1 - g) * slope


def selu_above(dtype):
    """The published constant c (Klambauer et al., 2017), with more digits than a long double."""
    return np.array("1.0507009873554804934193349852946").astype(dtype)


def selu_below(dtype):
    """c A."""
    return selu_above(dtype) * np.array("1.6732632423543772848170429916717").astype(dtype)


def mish_gate(z):
    """tanh(log(1 + e^z)), whose square is 1 minus a small number for large z."""
    return np.tanh(np.log1p(np.exp(np.minimum(z, 100))))


def mish_gate_slope(z):
    """1 / cosh(log(1 + e^z))^2 times the sigmoid, which is the derivative of log(1 + e^z)."""
    u = np.exp(np.clip(z, None, 100))
    return sigmoid(z) * (2 * (1 + u) / ((1 + u) * (1 + u) + 1)) ** 2


ACTIVATIONS = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z < 0, np.asarray(0.01, z.dtype) * z, z),
    "sigmoid": sigmoid,
    "tanh": np.tanh,
    "elu": lambda z: np.where(z < 0, np.expm1(np.minimum(z, 0)), z),
    "selu": lambda z: np.where(
        z < 0, selu_below(z.dtype) * np.expm1(np.minimum(z, 0)), selu_above(z.dtype) * z
    ),
    "softplus": lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
    "gelu": lambda z: z * normal(z),
    "gelu_tanh": lambda z: z * sigmoid(twice_u(z)),
    "silu": lambda z: z * sigmoid(z),
    "mish": lambda z: z * mish_gate(z),
}

# Activations whose derivative is computed from z; that of the others is computed from the activation.
NEED_Z = ("gelu", "gelu_tanh", "silu", "mish")

DERIVATIVES = {
    "identity": np.ones_like,
    "relu": lambda a: (a > 0).astype(a.dtype),
    "leaky_relu": lambda a: np.where(a > 0, 1, np.asarray(0.01, a.dtype)),
    "sigmoid": lambda a: a * (1 - a),
    "tanh": lambda a: 1 - a * a,
    "elu": lambda a: np.where(a > 0, 1, a + 1),
    "selu": lambda a: np.where(a > 0, selu_above(a.dtype), a + selu_below(a.dtype)),
    "softplus": lambda a: -np.expm1(-a),
    "gelu": lambda z: normal(z) + z * normal_density(z),
    "gelu_tanh": lambda z: gate_slope(z, sigmoid(twice_u(z)), twice_u_slope(z)),
    "silu": lambda z: gate_slope(z, sigmoid(z), 1),
    "mish": lambda z: mish_gate(z) + z * mish_gate_slope(z),
}


def fitting(loss, y):
    """Targets from 0 to 1 as the loss takes them: 1 and -1 for the hinge losses."""
    return np.where(y > 0.5, 1.0, -1.0).astype(y.dtype) if "hinge" in loss else y


def counts_as_zero(name, x, wide):
    """A result of the activation below this may be zero: it is too small to be normal, or a factor of it
    is, z or the gate of gelu and its kind, and z of selu."""
    tiny = np.finfo(x.dtype).tiny
    if name in NEED_Z:
        return tiny * np.maximum(np.abs(x), 1).astype(wide)
    return 2 * tiny if name == "selu" else tiny


@contextmanager
def using(isa):
    """Run the block on the instruction set `isa`: calls, and networks made inside the block."""
    before = _core.isa()
    _core.select_isa(isa)
    try:
        yield
    finally:
        _core.select_isa(before)


def guarded(rng, shape, dtype, spare=3, fill=np.nan):
    """(array, whole): `array` holds random values and is the middle of `whole`, which is `fill` elsewhere."""
    whole = np.full([size + 2 * spare for size in shape], fill, dtype)
    array = whole[tuple(slice(spare, spare + size) for size in shape)]
    array[...] = rng.standard_normal(shape)
    return array, whole


def unaligned(array):
    """A copy of `array` that starts one byte off its alignment."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def untouched(array, whole, fill):
    """Whether `whole` still holds `fill` everywhere outside `array`."""
    expected = np.full_like(whole, fill)
    start = (array.ctypes.data - whole.ctypes.data) // whole.itemsize
    position = np.unravel_index(start, whole.shape)
    expected[tuple(slice(p, p + size) for p, size in zip(position, array.shape, strict=True))] = array
    return np.array_equal(whole, expected, equal_nan=True)


def product_bound(k, magnitude, dtype):
    """The promised error bound for k products of random sign whose absolute values add up to `magnitude`."""
    info = np.finfo(dtype)
    return max(16, 2 * np.sqrt(k)) * info.eps * magnitude + (k + 1) * info.tiny


def parameter_bits(model):
    """The trained parameters and, if there is one, their average: bytes by name."""
    return {name: array.tobytes() for name, array in core_of(model).get_parameters().items()}


def everything(model):
    """The whole state of a model, as a file holds it: its configuration, and the bytes of its arrays."""
    config, arrays = state.model_state(core_of(model))
    return config, {name: array.tobytes() for name, array in arrays.items()}


def distance(layers, others):
    """The largest absolute difference between two lists of layers, each (W, b)."""
    pairs = (pair for layer in zip(layers, others, strict=True) for pair in zip(*layer, strict=True))
    return max(np.abs(a - b).max() for a, b in pairs)
