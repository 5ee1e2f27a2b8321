"""The numbers of a training step for one row, or their means over all rows."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .trace_data import Step


@dataclass(frozen=True)
class View:
    """What a drawing of units shows: vectors of float64, one number per unit.

    Attributes
    ----------
    step : Step
    row : int or None
        None for all rows: then values are means over the rows, by their weights, and derivatives are sums,
        which are derivatives by the means.
    x, dx : ndarray, shape (in,)
        The inputs of the network, and the derivatives by them.
    z, a, slope, da, delta : tuple of ndarray, shape (out,)
        By layer. `da` is the derivative of the loss by `a`.
    outputs : ndarray, shape (out,)
    probabilities, targets : ndarray, shape (out,), or None
        The targets of a Python loss may have a form without a target for each output.
    """

    step: Step
    row: int | None
    x: np.ndarray
    dx: np.ndarray
    z: tuple[np.ndarray, ...]
    a: tuple[np.ndarray, ...]
    slope: tuple[np.ndarray, ...]
    da: tuple[np.ndarray, ...]
    delta: tuple[np.ndarray, ...]
    outputs: np.ndarray
    probabilities: np.ndarray | None
    targets: np.ndarray | None

    @property
    def rows(self) -> int:
        """The number of all rows."""
        return len(self.step.outputs)


def view_of(step: Step, row: int | None) -> View:
    """The view of a row, or of the means for None."""
    setting, layers = step.setting, step.layers

    def value(matrix: np.ndarray) -> np.ndarray:
        if row is not None:
            return np.asarray(matrix[row], np.float64)
        with np.errstate(all="ignore"):  # z may be infinite
            return np.asarray(setting.row_weights @ matrix.astype(np.float64))

    def derivative(matrix: np.ndarray) -> np.ndarray:
        if row is not None:
            return np.asarray(matrix[row], np.float64)
        with np.errstate(all="ignore"):
            return np.asarray(matrix.sum(axis=0, dtype=np.float64))

    has_targets = setting.targets.shape == step.outputs.shape
    return View(
        step=step,
        row=row,
        x=value(layers[0].x),
        dx=derivative(layers[0].dx),
        z=tuple(value(layer.z) for layer in layers),
        a=tuple(value(layer.a) for layer in layers),
        slope=tuple(value(layer.slope) for layer in layers),
        da=tuple(derivative(by) for by in (*(layer.dx for layer in layers[1:]), step.doutputs)),
        delta=tuple(derivative(layer.delta) for layer in layers),
        outputs=value(step.outputs),
        probabilities=None if step.probabilities is None else value(step.probabilities),
        targets=value(setting.targets) if has_targets else None,
    )
