"""The predictions of a network in float64 by NumPy, and a bound of what rounding can change in them."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._model.activation_texts import parts_of
from ..reference.activations import functions_of
from .front import Front, Table
from .net import Net

# The largest slope of an activation; that of selu is 1.7581, near 0 from below.
STEEPEST = 1.76

# The rounding errors of an activation and of what follows the outputs, in units of eps times 1 + |value|.
OF_FUNCTION = 8

# Activations without an exponential, exact but for one product.
LINEAR = ("identity", "relu", "leaky_relu")


class Evaluated(NamedTuple):
    """Predictions and the bound of their errors, both float64 of shape (n, predictions)."""

    values: np.ndarray
    bound: np.ndarray


def evaluated(net: Net, X: np.ndarray, eps: float) -> Evaluated:
    """The predictions for X (n, in), and how far those computed in a type of this eps may be from them.

    The bound follows the sums through the layers. One sum of K products errs by up to
    ``max(16, 2 sqrt(K)) eps (sum |w x| + |b|)``, as this package promises of its own products on random
    signs. An error of its inputs grows by |W| and by the slope of the activation.
    """
    a = np.asarray(X, np.float64)
    error = np.zeros_like(a)
    if net.scaling is not None:
        center, factor, offset = net.scaling
        error = 3 * eps * ((np.abs(a) + np.abs(center)) * np.abs(factor) + np.abs(offset))
        a = (a - center) * factor + offset
    if net.front is not None:
        a, error = _behind_front(net.front, a, error, eps)
    for l, ((w, b), name) in enumerate(zip(net.weights, net.activations, strict=True)):
        w, b = w.astype(np.float64), b.astype(np.float64)
        sizes = np.abs(w).T
        terms = max(16.0, 2 * np.sqrt(len(sizes)))
        error = error @ sizes + terms * eps * (np.abs(a) @ sizes + np.abs(b))
        a = a @ w.T + b
        z, of_z = a.copy(), error
        _apply(name, a)
        kind, parameter = parts_of(name)
        error = error * max(STEEPEST, parameter or 0)
        error += eps * (np.abs(a) if kind in LINEAR else OF_FUNCTION * ((parameter or 1) + np.abs(a)))
        if (alpha := net.share(l)) is not None:
            alpha = alpha.astype(np.float64)
            # The error of z acts through both terms; each term and their sum are rounded.
            error = np.abs(1 - alpha) * of_z + np.abs(alpha) * error
            error += eps * (3 * np.abs(alpha) * (np.abs(a) + np.abs(z)) + np.abs(z))
            a = z + alpha * (a - z)
    return _predicted(net, a, error, eps)


def _behind_front(
    front: Front, x: np.ndarray, error: np.ndarray, eps: float
) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of layer 0 and their errors."""
    a, errors = np.empty((len(x), front.width)), np.zeros((len(x), front.width))
    plain = np.array(front.plain, np.int64)
    a[:, [front.starts[column] for column in plain]] = x[:, plain]
    errors[:, [front.starts[column] for column in plain]] = error[:, plain]
    for each in front.embeddings:
        if isinstance(each, Table):
            place = slice(front.starts[each.column], front.starts[each.column] + each.weight.shape[1])
            a[:, place] = each.weight[x[:, each.column].astype(np.int64)]
            continue
        for column, *own in zip(each.columns, each.w, each.b, each.v, each.u, strict=True):
            w, b, v, u = (array.astype(np.float64) for array in own)
            start, sizes = front.starts[column], np.abs(v)
            dim = v.shape[1] + 1
            turned = x[:, [column]] * w
            # The error of the angle, whose cosine has at most that, and the rounding of the cosine.
            of_cos = error[:, [column]] * np.abs(w) + eps * (3 * np.abs(turned) + 2 * np.abs(b) + OF_FUNCTION)
            cosine, terms = np.cos(turned + b), max(16.0, 2 * np.sqrt(len(v)))
            a[:, start : start + dim - 1] = cosine @ v + u
            errors[:, start : start + dim - 1] = of_cos @ sizes + terms * eps * (
                np.abs(cosine) @ sizes + np.abs(u)
            )
            a[:, start + dim - 1], errors[:, start + dim - 1] = x[:, column], error[:, column]
    if front.scale is not None:
        scale = front.scale.astype(np.float64)
        a *= scale
        errors = errors * np.abs(scale) + eps * np.abs(a)
    return a, errors


def _apply(name: str, z: np.ndarray) -> None:
    """Replace z by an activation of it."""
    forward: Any = functions_of(name)[0]  # type: ignore[no-untyped-call]
    forward(z, np.empty_like(z))


def _predicted(net: Net, outputs: np.ndarray, error: np.ndarray, eps: float) -> Evaluated:
    """Outputs and their errors through the softmax, sigmoid or exponential."""
    if net.final == "identity":
        return Evaluated(outputs, error)
    if net.final == "softmax":
        values = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
        bound = values * np.expm1(2 * error.max(axis=1, keepdims=True))
    elif net.final == "sigmoid":
        values = outputs.copy()
        _apply("sigmoid", values)
        bound = error / 4
    else:
        values = np.exp(outputs)
        bound = values * np.expm1(error)
    bound += OF_FUNCTION * eps * (1 + np.abs(values))
    if net.both_classes:
        return Evaluated(np.concatenate([1 - values, values], axis=1), np.repeat(bound, 2, axis=1))
    return Evaluated(values, bound)
