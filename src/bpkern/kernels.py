"""The three kernels of backpropagation as functions of NumPy arrays.

All arrays of a call are float32 or all are float64, contiguous along the last axis with any row stride. Sizes
may be zero. The functions compute on whatever values come, NaN and infinity included; results too small to
be normal numbers are zero. In units in the last place, and in the tails too, sigmoid and tanh are within 2.5
of the exact value of what they are given, elu within 2, softplus within 3, silu within 4, gelu and gelu_tanh
within 5 (bench/ulp.py). The formulas are those of csrc/bpkern.h.
"""

import numpy as np

from . import _core

__all__ = ["delta_backward", "linear_forward", "sgd_update"]


def linear_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    activation: str = "identity",
    out: np.ndarray | None = None,
) -> np.ndarray:
    """One layer forward: ``a = s(x w' + b)``.

    Parameters
    ----------
    x : ndarray, shape (n, in)
        The mini-batch, or the activations of the layer below.
    w : ndarray, shape (out, in)
        Weights.
    b : ndarray, shape (out,)
        Bias.
    activation : str
        The function s: "identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "softplus", "gelu",
        "gelu_tanh" or "silu".
    out : ndarray, shape (n, out), optional
        Where to write the result; it may overlap no input.

    Returns
    -------
    ndarray, shape (n, out)
        The activations a; `out` where that is given.

    Raises
    ------
    TypeError
        For what is no array, is neither float32 nor float64, or differs in dtype from `x`.
    ValueError
        For shapes, strides, overlaps and unknown names.
    """
    return _core.linear_forward(x, w, b, activation, out)


def delta_backward(
    delta_next: np.ndarray,
    w_next: np.ndarray,
    a: np.ndarray,
    activation: str,
    *,
    z: np.ndarray | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """The delta recursion: ``delta = (delta_next w_next) * s'(z)``.

    The derivative is taken from the activation `a` = s(z), or where that does not tell it from `z`.

    Parameters
    ----------
    delta_next : ndarray, shape (n, out)
        The derivative of the loss with respect to the layer above before its activation.
    w_next : ndarray, shape (out, in)
        The weights of the layer above, as they were in the forward pass.
    a : ndarray, shape (n, in)
        This layer's activations.
    activation : str
        This layer's function s, as for `linear_forward`. relu'(0) is 0, and leaky_relu'(0) is 0.01.
    z : ndarray, shape (n, in)
        What `a` was made from: needed for gelu, gelu_tanh and silu, whose derivatives are no functions of
        `a`, and refused for the others.
    out : ndarray, shape (n, in), optional
        Where to write the result; it may overlap no input.

    Returns
    -------
    ndarray, shape (n, in)
        This layer's delta; `out` where that is given.

    Raises
    ------
    TypeError
        For what is no array, is neither float32 nor float64, or differs in dtype from `delta_next`.
    ValueError
        For shapes, strides, overlaps and unknown names, and a `z` that is missing or of no use.
    """
    return _core.delta_backward(delta_next, w_next, a, activation, z, out)


def sgd_update(
    w: np.ndarray,
    b: np.ndarray,
    delta: np.ndarray,
    x: np.ndarray,
    lr: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    vw: np.ndarray | None = None,
    vb: np.ndarray | None = None,
) -> None:
    """One step of SGD in place: ``w`` along ``delta' x`` and ``b`` along the column sums of `delta`.

    The step is that of `bpkern.SGD`. The gradient is never stored.

    Parameters
    ----------
    w : ndarray, shape (out, in)
        Weights, changed in place.
    b : ndarray, shape (out,)
        Bias, changed in place.
    delta : ndarray, shape (n, out)
        The derivative of the loss with respect to this layer before its activation; a mean over the batch
        carries its 1/n already.
    x : ndarray, shape (n, in)
        What the layer was given.
    lr : float
        The learning rate.
    momentum, weight_decay : float
    nesterov : bool
    vw, vb : ndarray, shapes of `w` and `b`, optional
        The velocities, changed in place; needed with momentum and not looked at without.

    Raises
    ------
    TypeError
        For what is no array, is neither float32 nor float64, or differs in dtype from `w`.
    ValueError
        For shapes, strides, overlaps, read-only arrays, momentum without velocities and Nesterov without
        momentum.
    """
    _core.sgd_update(w, b, delta, x, lr, momentum, nesterov, weight_decay, vw, vb)
