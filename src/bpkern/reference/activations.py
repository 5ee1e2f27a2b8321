"""Activations and their derivatives, in place.

``forward(z, scratch)`` replaces z by a = s(z). ``backward(delta, a, scratch)`` multiplies delta by s'(z),
which it computes from a; for the activations of `FROM_Z` it receives z in place of a. `scratch` is an array
of the same shape to be overwritten.
"""

import numpy as np

from .._model.activation_texts import parts_of
from .normal import density, distribution


def _identity(z, scratch):
    pass


def _identity_backward(delta, a, scratch):
    pass


def _relu(z, scratch):
    np.maximum(z, 0, out=z)


def _relu_backward(delta, a, scratch):
    delta *= a > 0


def _leaky_relu(z, scratch):
    np.maximum(z, np.multiply(z, 0.01, out=scratch), out=z)


def _leaky_relu_backward(delta, a, scratch):
    np.multiply(np.greater(a, 0, out=scratch), 0.99, out=scratch)
    scratch += 0.01
    delta *= scratch


def _sigmoid(z, scratch):
    with np.errstate(over="ignore"):  # exp(-z) is infinite where the result is 0
        np.exp(np.negative(z, out=z), out=z)
    z += 1
    np.reciprocal(z, out=z)


def _sigmoid_backward(delta, a, scratch):
    np.subtract(1, a, out=scratch)
    delta *= np.multiply(scratch, a, out=scratch)


def _tanh(z, scratch):
    np.tanh(z, out=z)


def _tanh_backward(delta, a, scratch):
    np.multiply(a, a, out=scratch)
    delta *= np.subtract(1, scratch, out=scratch)


def _elu(z, scratch):
    """z above 0, exp(z) - 1 below."""
    np.expm1(np.minimum(z, 0, out=scratch), out=scratch)
    np.maximum(z, 0, out=z)
    z += scratch


def _elu_backward(delta, a, scratch):
    """1 above 0; below, exp(z) = a + 1."""
    np.minimum(a, 0, out=scratch)
    scratch += 1
    delta *= scratch


# c and c A of selu: c z above 0, c A (exp(z) - 1) below (Klambauer et al., 2017).
SELU_ABOVE = 1.0507009873554805
SELU_BELOW = 1.7580993408473769


def _selu(z, scratch):
    np.expm1(np.minimum(z, 0, out=scratch), out=scratch)
    scratch *= SELU_BELOW
    np.maximum(z, 0, out=z)
    z *= SELU_ABOVE
    z += scratch


def _selu_backward(delta, a, scratch):
    """c above 0; below, c A exp(z) = a + c A."""
    np.add(a, SELU_BELOW, out=scratch)
    np.copyto(scratch, SELU_ABOVE, where=a > 0)
    delta *= scratch


def _softplus(z, scratch):
    """log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), in which nothing overflows."""
    np.negative(np.abs(z, out=scratch), out=scratch)
    np.log1p(np.exp(scratch, out=scratch), out=scratch)
    np.maximum(z, 0, out=z)
    z += scratch


def _softplus_backward(delta, a, scratch):
    """The sigmoid of z, which is 1 - exp(-a)."""
    np.expm1(np.negative(a, out=scratch), out=scratch)
    delta *= np.negative(scratch, out=scratch)


def _silu(z, scratch):
    """z sigmoid(z)."""
    np.copyto(scratch, z)
    _sigmoid(scratch, None)
    z *= scratch


def _silu_backward(delta, z, scratch):
    """With s the sigmoid of z, s + z s (1 - s)."""
    np.copyto(scratch, z)
    _sigmoid(scratch, None)
    delta *= scratch * (1 + z * (1 - scratch))


def _mish(z, scratch):
    """z tanh(softplus(z))."""
    gate = z.copy()
    _softplus(gate, scratch)
    z *= np.tanh(gate, out=gate)


def _mish_backward(delta, z, scratch):
    """With g the gate and s the sigmoid of z, g + z (1 - g^2) s."""
    gate, s = z.copy(), z.copy()
    _softplus(gate, scratch)
    np.tanh(gate, out=gate)
    _sigmoid(s, None)
    s *= z
    s *= 1 - gate * gate
    delta *= np.add(s, gate, out=scratch)


def _gelu(z, scratch):
    """z times the cumulative normal distribution at z."""
    z *= distribution(z)


def _gelu_backward(delta, z, scratch):
    """The distribution at z plus z times the density."""
    np.multiply(z, density(z), out=scratch)
    scratch += distribution(z)
    delta *= scratch


# gelu_tanh is z (1 + tanh(v / 2)) / 2 = z sigmoid(v), where v = ROOT z (1 + CUBIC z^2). The sigmoid keeps the
# digits that are cancelled in 1 + tanh for negative z.
ROOT = float(np.sqrt(8 / np.pi))
CUBIC = 0.044715


def _gelu_tanh(z, scratch):
    np.square(z, out=scratch)
    scratch *= ROOT * CUBIC
    scratch += ROOT
    scratch *= z
    _sigmoid(scratch, None)
    z *= scratch


def _gelu_tanh_backward(delta, z, scratch):
    """With s the sigmoid of v, s + z s (1 - s) v'."""
    square = np.square(z, out=scratch)
    slope = ROOT + 3 * ROOT * CUBIC * square
    s = (ROOT + ROOT * CUBIC * square) * z
    _sigmoid(s, None)
    delta *= s * (1 + z * (1 - s) * slope)


ACTIVATIONS = {
    "identity": (_identity, _identity_backward),
    "relu": (_relu, _relu_backward),
    "leaky_relu": (_leaky_relu, _leaky_relu_backward),
    "sigmoid": (_sigmoid, _sigmoid_backward),
    "tanh": (_tanh, _tanh_backward),
    "elu": (_elu, _elu_backward),
    "gelu": (_gelu, _gelu_backward),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_backward),
    "mish": (_mish, _mish_backward),
    "selu": (_selu, _selu_backward),
    "silu": (_silu, _silu_backward),
    "softplus": (_softplus, _softplus_backward),
}


def functions_of(activation):
    """(forward, backward) of a text such as "tanh" or "leaky_relu(0.2)"."""
    name, parameter = parts_of(activation)
    if parameter is None:
        return ACTIVATIONS[name]
    return PARAMETRIC[name](parameter)


def _leaky_relu_of(slope):
    def forward(z, scratch):
        np.multiply(z, slope, out=z, where=z < 0)

    def backward(delta, a, scratch):
        delta *= np.where(a > 0, delta.dtype.type(1), delta.dtype.type(slope))

    return forward, backward


def _elu_of(alpha):
    def forward(z, scratch):
        np.expm1(z, out=z, where=z < 0)
        np.multiply(z, alpha, out=z, where=z < 0)

    def backward(delta, a, scratch):
        """Below 0, alpha exp(z) = a + alpha."""
        np.add(a, alpha, out=scratch)
        np.copyto(scratch, 1, where=a > 0)
        delta *= scratch

    return forward, backward


PARAMETRIC = {"leaky_relu": _leaky_relu_of, "elu": _elu_of}

# Activations that are not monotonic: a does not determine z, so that the derivative is computed from z.
FROM_Z = ("gelu", "gelu_tanh", "silu", "mish")
