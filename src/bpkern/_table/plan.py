"""Encoded rows, which of them each network uses, and how to train."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._data.gathered import GatheredRows, gathered_blocks
from ..mlp import MLP

# The fewest rows that choose an epoch, or calibrate, where there are as many.
FEWEST_CHOOSING = 256


class Rows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    X : ndarray of float32, shape (n, in), or GatheredRows
    y : ndarray, shape (n,) or (n, out)
        Class numbers; or values of about mean 0 and deviation 1, as float32.
    weights : ndarray, shape (n,), or None
    values : ndarray of float64, shape of y, or None
        The values before they were scaled; None for classes.
    scale : callable, optional
        Makes scaled values of some of them, as float64.
    """

    X: np.ndarray | GatheredRows
    y: np.ndarray
    weights: np.ndarray | None = None
    values: np.ndarray | None = None
    scale: Callable[[np.ndarray], np.ndarray] | None = None

    def some(self, index: np.ndarray) -> np.ndarray:
        """A copy of some rows of X."""
        return self.X.some(index) if isinstance(self.X, GatheredRows) else np.asarray(self.X[index])

    def targets(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Copies of some rows of y and of the weights."""
        return self.y[index], None if self.weights is None else self.weights[index]

    def outputs(self, model: MLP, index: np.ndarray) -> np.ndarray:
        """The outputs (m, out) of a model for some rows."""
        if not isinstance(self.X, GatheredRows):
            return model.forward(self.X[index])
        found = [
            model.forward(block[0]) for _, _, block in gathered_blocks(self.X, self.y, None, index, batch=1)
        ]
        return np.concatenate(found)


class Split(NamedTuple):
    """The rows of one network, by their numbers: to train on, and to choose the epoch by, or None."""

    training: np.ndarray
    choosing: np.ndarray | None


class Plan(NamedTuple):
    """How to train.

    Attributes
    ----------
    epochs, batch : int
        At most; a mini-batch has no more rows than there are.
    calibrates : bool
        Whether to calibrate the probabilities, of a network for classes.
    until : float or None
        The end of training on the monotonic clock.
    n_threads : int or None
    verbose : various
        As for `MLP.fit`.
    """

    epochs: int
    batch: int
    calibrates: bool
    until: float | None = None
    n_threads: int | None = None
    verbose: Any = "auto"
