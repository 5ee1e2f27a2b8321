"""Losses: ``loss(a, y, delta, parameter)`` returns the loss of each row (n,), and writes its derivative by
the outputs a (n, out) to delta (n, out).

The parameter is the `delta` of `bpkern.losses.Huber` (`corner` here) or the `q` of `Quantile`, a number or an
array (out,), or the label smoothing of the two cross-entropies; the other losses ignore it.
"""

import numpy as np

from .._data.read_only import read_only


def _mse(a, y, delta, parameter):
    np.subtract(a, y, out=delta)
    loss = np.square(delta).mean(axis=1)
    delta *= 2 / a.shape[1]
    return loss


def _squared_error(a, y, delta, parameter):
    np.subtract(a, y, out=delta)
    return np.square(delta).sum(axis=1) / 2


def _cross_entropy(a, y, delta, smoothing):
    """With the softmax. The part `smoothing` of each target is distributed equally over all classes."""
    shifted = a - a.max(axis=1, keepdims=True)
    np.exp(shifted, out=delta)
    total = delta.sum(axis=1, keepdims=True)
    delta /= total
    if y.ndim == 1:
        rows = np.arange(len(y))
        delta[rows, y] -= 1 - smoothing
        of_target = (1 - smoothing) * shifted[rows, y]
    else:
        delta -= (1 - smoothing) * y
        of_target = (1 - smoothing) * (y * shifted).sum(axis=1)
    if smoothing:
        delta -= smoothing / a.shape[1]
        of_target += smoothing * shifted.mean(axis=1)
    return np.log(total[:, 0]) - of_target


def _binary_cross_entropy(a, y, delta, smoothing):
    """With the sigmoid. The part `smoothing` of each target is distributed equally over its two classes."""
    if smoothing:
        y = (1 - smoothing) * y + smoothing / 2
    e = np.exp(-np.abs(a))
    loss = (np.maximum(a, 0) - a * y + np.log1p(e)).mean(axis=1)
    np.divide(np.where(a < 0, e, 1), 1 + e, out=delta)
    delta -= y
    delta /= a.shape[1]
    return loss


def _mae(a, y, delta, parameter):
    np.subtract(a, y, out=delta)
    loss = np.abs(delta).mean(axis=1)
    np.sign(delta, out=delta)
    delta /= a.shape[1]
    return loss


def _huber(a, y, delta, corner):
    """With d = |a - y|: d^2 / 2 up to the corner, then its tangent, corner (d - corner / 2)."""
    np.subtract(a, y, out=delta)
    distance = np.abs(delta)
    near = np.minimum(distance, corner)
    loss = (near * (distance - near / 2)).mean(axis=1)
    np.clip(delta, -corner, corner, out=delta)
    delta /= a.shape[1]
    return loss


def _quantile(a, y, delta, q):
    """q (y - a) where a < y, (1 - q) (a - y) where a > y."""
    np.subtract(a, y, out=delta)
    slope = (1 - q) * (delta > 0) - q * (delta < 0)
    loss = (slope * delta).mean(axis=1)
    np.divide(slope, a.shape[1], out=delta)
    return loss


def _poisson(a, y, delta, parameter):
    """The outputs are logarithms of rates: exp(a) - y a."""
    with np.errstate(over="ignore"):  # the trainer finds an infinite loss
        np.exp(a, out=delta)
    loss = (delta - y * a).mean(axis=1)
    delta -= y
    delta /= a.shape[1]
    return loss


def _log_cosh(a, y, delta, parameter):
    """With d = a - y: log(cosh d), which is log(1 + sinh(d)^2) / 2 for small d, and |d| + ... for large d."""
    np.subtract(a, y, out=delta)
    size = np.abs(delta)
    near = np.log1p(np.square(np.sinh(np.minimum(size, 1)))) / 2
    far = size + np.log1p(np.exp(-2 * size)) - np.log(2).astype(a.dtype)
    np.tanh(delta, out=delta)
    delta /= a.shape[1]
    return np.where(size < 1, near, far).mean(axis=1)


def _hinge(a, y, delta, parameter):
    """max(0, 1 - y a), for y of 1 and -1."""
    below = 1 - y * a
    np.multiply(-y, below > 0, out=delta)
    delta /= a.shape[1]
    return np.maximum(below, 0).mean(axis=1)


def _squared_hinge(a, y, delta, parameter):
    """max(0, 1 - y a)^2, for y of 1 and -1."""
    below = np.maximum(1 - y * a, 0)
    np.multiply(y, below, out=delta)
    delta *= -2 / a.shape[1]
    return np.square(below).mean(axis=1)


LOSSES = {
    "mse": _mse,
    "squared_error": _squared_error,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "mae": _mae,
    "huber": _huber,
    "quantile": _quantile,
    "poisson": _poisson,
    "log_cosh": _log_cosh,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
}


def custom(function, a, y, delta, weighted):
    """The loss of each row (n,), as above, by a callable ``function(a, y) -> (loss, gradient)``.

    The callable returns losses (n,) and the gradient of each row's loss, or the mean and its gradient. With
    `weighted` rows a mean is a ValueError: rows cannot be weighted after it.
    """
    loss, gradient = function(a.copy(), read_only(y))
    loss = np.asarray(loss, np.float64)
    if loss.ndim == 0:
        if weighted:
            raise ValueError("rows have weights: a custom loss must return one value per row, not their mean")
        np.multiply(gradient, len(a), out=delta)
        return np.full(len(a), loss)
    delta[...] = gradient
    return loss


def right(loss, a, y):
    """For each row, whether its class is right; for binary_cross_entropy, the fraction of right outputs."""
    if loss == "binary_cross_entropy":
        return ((a > 0) == (y > 0.5)).mean(axis=1)
    return a.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))
