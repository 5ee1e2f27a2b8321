"""Calibration by temperature: one factor of the outputs, from rows that have not been trained on.

`shrink` does the same for values: the outputs of a network may be too far from the mean.

Guo et al., "On Calibration of Modern Neural Networks" (2017), arXiv:1706.04599.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..mlp import MLP
from .plan import Rows

# The smallest and the largest factor.
LOWEST, HIGHEST = 0.01, 100.0
HALVINGS = 40

# Rows that are computed at once.
BLOCK = 1 << 14


def calibrate(model: MLP, logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """Multiply the output layer of a model for classes by the factor with the lowest log loss on some rows.

    So the probabilities are calibrated wherever the model is used: in files, exports, and other programs.

    Parameters
    ----------
    model : MLP
        With the loss "cross_entropy".
    logits : ndarray, shape (n, classes)
        The model's outputs for these rows.
    y : ndarray, shape (n,)
        Class numbers.
    weights : ndarray, shape (n,), or None

    Returns
    -------
    float
        The temperature, by which the outputs are divided.
    """
    factor = best_factor(logits, y, weights)
    _multiply(model, np.full(model.layers[-1], factor))
    return 1 / factor


def calibrate_by(model: MLP, rows: Rows, index: np.ndarray) -> float:
    """As `calibrate`, by some of the rows."""
    return calibrate(model, rows.outputs(model, index), *rows.targets(index))


def shrink(model: MLP, outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
    """Multiply each output of a model for values by the factor from 0 to 1 with the least error on some rows.

    Parameters
    ----------
    model : MLP
    outputs, y : ndarray, shape (n, out)
        The model's outputs for these rows, and what they should be.
    weights : ndarray, shape (n,), or None
    """
    z = outputs.astype(np.float64)
    products, squares = (np.average(z * other, axis=0, weights=weights) for other in (y, z))
    _multiply(model, np.clip(products / np.where(squares > 0, squares, 1.0), 0.0, 1.0))


def _multiply(model: MLP, factors: np.ndarray) -> None:
    """Multiply each output of a model by its factor, of shape (out,), in the output layer."""
    last = len(model.layers) - 2
    state = model.state_dict()
    factors = factors.astype(np.float32)
    state[f"{last}.weight"] *= factors[:, None]
    state[f"{last}.bias"] *= factors
    model.load_state_dict(state)


def best_factor(logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> float:
    """The factor of the logits (n, classes) with the lowest log loss.

    The targets are slightly smoothed, as by one more row of each class (Platt, "Probabilistic outputs for
    support vector machines", 1999): rows that are all predicted right would ask for certainty.

    The loss is convex in the factor; its derivative is ``sum(w * (softmax(factor * z) - t) * z)``.
    """
    n, k = logits.shape
    own, sums = np.empty((2, n))
    for part, z in _blocks(logits):
        own[part], sums[part] = z[np.arange(len(z)), y[part]], z.sum(axis=1)
    w = np.full(n, 1 / n) if weights is None else weights / weights.sum()
    # t is (n + 1) / (n + k) for the true class, and 1 / (n + k) for each other one.
    target = float(w @ (n * own + sums)) / (n + k)
    del own, sums
    ratios = np.empty(n)
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        for part, z in _blocks(logits):
            p = np.exp(math.exp(middle) * z)
            ratios[part] = (p * z).sum(axis=1) / p.sum(axis=1)
        low, high = (low, middle) if float(w @ ratios) > target else (middle, high)
    return math.exp((low + high) / 2)


def _blocks(logits: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Some rows at a time, as float64, from which their maximum is subtracted: all would take much memory."""
    for start in range(0, len(logits), BLOCK):
        z = logits[start : start + BLOCK].astype(np.float64)
        z -= z.max(axis=1, keepdims=True)
        yield slice(start, start + len(z)), z
