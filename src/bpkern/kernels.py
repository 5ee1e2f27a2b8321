"""The three kernels of backpropagation as functions of NumPy arrays.

All arrays of a call are float32 or all are float64, contiguous along the last axis with any row stride. Sizes
may be zero. Values may be NaN or infinite; results too small to be normal numbers are zero. The errors of the
activations, in units in the last place of the exact value, are at most 2.5 for sigmoid and tanh, 2 for elu
and selu, 3 for softplus, 4 for silu, 5 for gelu, gelu_tanh and mish, in the tails as well (bench/ulp.py).
With the instruction set ``generic``, which rounds products before it adds them, gelu is within 6.
csrc/bpkern.h has the formulas. In those below, ``x.T`` is the transpose of x, and s' the derivative of the
activation s.
"""

import numpy as np

from . import _checks, _core

__all__ = ["delta_backward", "linear_forward", "sgd_update"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


def linear_forward(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    activation: str = "identity",
    out: np.ndarray | None = None,
    *,
    n_threads: int | None = None,
) -> np.ndarray:
    """One layer forward: ``a = s(x @ w.T + b)``.

    Parameters
    ----------
    x : ndarray, shape (n, in)
        The mini-batch, or the activations of the layer before.
    w : ndarray, shape (out, in)
        Weights.
    b : ndarray, shape (out,)
        Bias.
    activation : str
        The function s: "identity", "relu", "leaky_relu", "sigmoid", "tanh", "elu", "selu", "softplus",
        "gelu", "gelu_tanh", "silu" or "mish"; without a parameter in parentheses.
    out : ndarray, shape (n, out), optional
        The array for the result; it must not overlap an input.
    n_threads : int, optional
        The number of threads, as for `bpkern.MLP.fit`. It changes no bit of the result.

    Returns
    -------
    ndarray, shape (n, out)
        The activations a; `out` if given.

    Raises
    ------
    TypeError
        For values that are not arrays of float32 or float64, or whose dtype differs from that of `x`.
    ValueError
        For shapes, strides and overlaps that are not allowed, and unknown names.
    MemoryError
        If there is no memory for a copy of a part of `w` or `x`.
    """
    return _core.linear_forward(
        x, w, b, activation, out, n_threads if n_threads is None else _threads(n_threads)
    )


def delta_backward(
    delta_next: np.ndarray,
    w_next: np.ndarray,
    a: np.ndarray,
    activation: str,
    *,
    z: np.ndarray | None = None,
    out: np.ndarray | None = None,
    n_threads: int | None = None,
) -> np.ndarray:
    """The delta recursion: ``delta = (delta_next @ w_next) * s'(z)``.

    The derivative is computed from the activation `a` = s(z), or from `z` if it is not a function of `a`.

    Parameters
    ----------
    delta_next : ndarray, shape (n, out)
        The delta of the layer after: the derivative of the loss with respect to its z.
    w_next : ndarray, shape (out, in)
        The weights of the layer after, as of the forward pass.
    a : ndarray, shape (n, in)
        This layer's activations.
    activation : str
        This layer's function s, as for `linear_forward`. relu'(0) is 0, and leaky_relu'(0) is 0.01.
    z : ndarray, shape (n, in), optional
        The input of the activation: required for gelu, gelu_tanh, silu and mish, whose derivatives are
        not functions of `a`, and refused for the others.
    out : ndarray, shape (n, in), optional
        The array for the result; it must not overlap an input.
    n_threads : int, optional
        The number of threads, as for `bpkern.MLP.fit`. It changes no bit of the result.

    Returns
    -------
    ndarray, shape (n, in)
        This layer's delta; `out` if given.

    Raises
    ------
    TypeError
        For values that are not arrays of float32 or float64, or whose dtype differs from that of
        `delta_next`.
    ValueError
        For shapes, strides and overlaps that are not allowed, unknown names, and a `z` that is missing or
        refused.
    MemoryError
        If there is no memory for a copy of a part of `w_next` or `delta_next`.
    """
    return _core.delta_backward(
        delta_next, w_next, a, activation, z, out, n_threads if n_threads is None else _threads(n_threads)
    )


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
    n_threads: int | None = None,
) -> None:
    """One step of SGD in place: ``w`` along ``delta.T @ x`` and ``b`` along the column sums of `delta`.

    The step is that of `bpkern.SGD`. The gradient is never stored.

    Parameters
    ----------
    w : ndarray, shape (out, in)
        Weights, changed in place.
    b : ndarray, shape (out,)
        Bias, changed in place.
    delta : ndarray, shape (n, out)
        This layer's delta: the derivative of the loss with respect to its z. For a mean over the batch it
        includes the factor 1/n.
    x : ndarray, shape (n, in)
        The input of the layer.
    lr : float
        The learning rate.
    momentum : float
        As for `bpkern.SGD`, but not refused if out of range.
    nesterov : bool
        As for `bpkern.SGD`.
    weight_decay : float
        As for `bpkern.SGD`, but not refused if out of range.
    vw, vb : ndarray, shapes of `w` and `b`, optional
        The velocities, changed in place; required with momentum, and ignored without.
    n_threads : int, optional
        The number of threads, as for `bpkern.MLP.fit`. It changes no bit of the result.

    Raises
    ------
    TypeError
        For values that are not arrays of float32 or float64, or whose dtype differs from that of `w`.
    ValueError
        For shapes, strides and overlaps that are not allowed, read-only arrays, momentum without velocities,
        and Nesterov without momentum.
    MemoryError
        If there is no memory for a copy of a part of `x` or `delta`.
    """
    _core.sgd_update(
        w,
        b,
        delta,
        x,
        lr,
        momentum,
        nesterov,
        weight_decay,
        vw,
        vb,
        n_threads if n_threads is None else _threads(n_threads),
    )


def _threads(n_threads: int) -> int:
    return _checks.whole("n_threads", n_threads, 1)
