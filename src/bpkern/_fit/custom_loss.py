"""A loss that is a Python function of a mini-batch's outputs and targets."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._data.read_only import read_only


def row_losses(
    function: Callable[[np.ndarray, np.ndarray], Any],
    outputs: np.ndarray,
    targets: np.ndarray,
    weighted: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The loss of each row (n,), and its gradient by the outputs (n, out), both float64.

    Parameters
    ----------
    function : callable
        ``function(outputs, targets) -> (loss, gradient)``: either losses (n,) and the gradient of each row's
        loss, or one number, their mean, and the gradient of the mean.
    outputs : ndarray, shape (n, out)
        The function receives a copy.
    targets : ndarray, shape (n, ...)
        The function receives a read-only view.
    weighted : bool
        Whether losses per row are required: rows with weights cannot be weighted after a mean.

    Raises
    ------
    TypeError, ValueError
        If the function returns anything else.
    """
    returned = function(outputs.copy(), read_only(targets))
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise TypeError(f"the loss must return (loss, gradient), not {type(returned).__name__}")
    # Copies: the function may keep its arrays, and change them at its next call.
    losses, gradient = (np.array(each, np.float64, order="C") for each in returned)
    rows = len(outputs)
    if losses.shape not in ((), (rows,)):
        raise ValueError(
            f"the loss must be one number, or one per row, ({rows},), not of shape {losses.shape}"
        )
    if gradient.shape != outputs.shape:
        raise ValueError(
            f"the loss's gradient must have the outputs' shape {outputs.shape}, not {gradient.shape}"
        )
    if losses.ndim:
        return losses, gradient
    if weighted:
        raise ValueError("the loss must return one number per row for weights and for losses, not their mean")
    with np.errstate(all="ignore"):  # the caller checks that the loss is finite
        return np.full(rows, losses), gradient * rows
