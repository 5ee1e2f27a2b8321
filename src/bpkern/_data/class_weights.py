"""Weights of classes, multiplied into the weights of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks


def row_weights(
    class_weight: Any,
    targets: np.ndarray | None,
    sample_weight: np.ndarray | None,
    classes: int,
    is_part: bool = False,
) -> np.ndarray | None:
    """The weight of each row: that of its class times its own.

    Parameters
    ----------
    class_weight : None, mapping of int to float, or "balanced"
        Classes that a mapping does not name have 1. "balanced" is
        ``total / (classes present * total of the class)``, where a total is a sum of sample weights, as
        scikit-learn's `compute_class_weight` has it.
    targets : ndarray of int or bool, shape (n,), or None
        The class of each row; None where there are none, in regression and with many labels.
    sample_weight : ndarray of float64, shape (n,), or None
        None is 1 for each row.
    classes : int
        How many there are, whether or not all are present.
    is_part : bool
        The rows are a part of more, and may all have a weight of 0.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        `sample_weight` as it is where `class_weight` is None.

    Raises
    ------
    ValueError
        For weights that are negative or not finite, classes that are none, targets without classes, and where
        every row of all would have a weight of 0.
    TypeError
        For what is no mapping of numbers.
    """
    if class_weight is None:
        return sample_weight
    if not isinstance(class_weight, Mapping) and not (
        isinstance(class_weight, str) and class_weight == "balanced"
    ):
        kind = ValueError if isinstance(class_weight, str) else TypeError
        raise kind(
            f"class_weight must be None, a mapping of class to weight, or 'balanced', not {class_weight!r}"
        )
    if targets is None:
        raise ValueError("class_weight needs one class a row: this loss and these outputs have none")
    labels = targets.astype(np.int64, copy=False)
    if isinstance(class_weight, str):
        weights = _balanced(labels, sample_weight, classes)
    else:
        weights = _given(class_weight, classes)
    rows = weights[labels] if sample_weight is None else weights[labels] * sample_weight
    if not (is_part or rows.any()):
        raise ValueError("class_weight and sample_weight must not be 0 in every row")
    return rows


def _balanced(labels: np.ndarray, sample_weight: np.ndarray | None, classes: int) -> np.ndarray:
    totals = np.bincount(labels, sample_weight, classes)
    # A class whose rows weigh nothing is as good as not there.
    share = totals.sum() / np.count_nonzero(totals)
    return np.asarray(np.divide(share, totals, out=np.zeros(classes), where=totals > 0))


def _given(class_weight: Mapping[Any, Any], classes: int) -> np.ndarray:
    weights = np.ones(classes)
    for key, value in class_weight.items():
        # Classes may come as floats, like the labels themselves.
        if key not in range(classes):
            raise ValueError(f"class_weight must name classes from 0 to {classes - 1}, not {key!r}")
        weights[int(key)] = _checks.real(f"class_weight of class {key}", value)
    return weights
