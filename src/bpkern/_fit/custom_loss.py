"""A loss that is a Python function of a mini-batch's outputs and targets."""

from collections.abc import Callable
from typing import Any

import numpy as np


def row_losses(
    function: Callable[[np.ndarray, np.ndarray], Any],
    outputs: np.ndarray,
    targets: np.ndarray,
    weighted: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each row (n,), and the gradient of each by the outputs (n, out), both in float64.

    Parameters
    ----------
    function : callable
        ``function(outputs, targets) -> (loss, gradient)``: losses (n,) with the gradient of each row's, or
        one number, the mean, with the gradient of that.
    outputs : ndarray, shape (n, out)
        A copy goes to the function.
    targets : ndarray, shape (n, ...)
    weighted : bool
        Whether rows have weights: a mean is of no use then.

    Raises
    ------
    TypeError, ValueError
        Where the function returns something else.
    """
    returned = function(outputs.copy(), targets)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"the loss must return (loss, gradient), not {type(returned).__name__}")
    losses, gradient = np.asarray(returned[0], np.float64), np.asarray(returned[1], np.float64)
    rows = len(outputs)
    if losses.shape not in ((), (rows,)):
        raise ValueError(f"the loss must be one number, or one a row, ({rows},), not of shape {losses.shape}")
    if gradient.shape != outputs.shape:
        raise ValueError(
            f"the loss's gradient must have the outputs' shape {outputs.shape}, not {gradient.shape}"
        )
    if losses.ndim:
        return losses, gradient
    if weighted:
        raise ValueError("the loss must return one number a row for weights and for losses, not their mean")
    with np.errstate(over="ignore"):  # whoever calls looks whether the loss is finite
        return np.full(rows, losses), gradient * rows
