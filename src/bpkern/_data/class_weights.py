"""Weights of classes, and their product with the weights of rows."""

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
    """The weight of each row: the weight of its class times its sample weight.

    Parameters
    ----------
    class_weight : None, mapping of int to float, or "balanced"
        Classes that a mapping leaves out have weight 1. "balanced" is
        ``total / (classes present * total of the class)``, where totals are sums of sample weights, as in
        scikit-learn's `compute_class_weight`.
    targets : ndarray of int or bool, shape (n,), or None
        The class of each row; None for regression and multilabel targets.
    sample_weight : ndarray of float64, shape (n,), or None
        None is 1 for each row.
    classes : int
        The number of classes, whether or not all are present.
    is_part : bool
        The rows are some of more rows, and may all have a weight of 0.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        `sample_weight` itself if `class_weight` is None.

    Raises
    ------
    ValueError
        For weights that are negative or not finite, unknown classes, targets without classes, and if all rows
        would have a weight of 0.
    TypeError
        For any other kind, and for weights that are not numbers.
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
        raise ValueError("class_weight needs one class per row: this loss and these outputs have none")
    labels = targets.astype(np.int64, copy=False)
    if isinstance(class_weight, str):
        weights = _balanced(labels, sample_weight, classes)
    else:
        weights = _given(class_weight, classes)
    product = weights[labels] if sample_weight is None else weights[labels] * sample_weight
    if not (is_part or product.any()):
        raise ValueError("class_weight and sample_weight must not be 0 in every row")
    return product


def _balanced(labels: np.ndarray, sample_weight: np.ndarray | None, classes: int) -> np.ndarray:
    """The weights of the classes for "balanced": float64, shape (classes,)."""
    totals = np.bincount(labels, sample_weight, classes)
    # A class whose rows have zero weight counts as absent.
    share = totals.sum() / np.count_nonzero(totals)
    return np.asarray(np.divide(share, totals, out=np.zeros(classes), where=totals > 0))


def _given(class_weight: Mapping[Any, Any], classes: int) -> np.ndarray:
    """The weights of the classes from a mapping: float64, shape (classes,). ValueError or TypeError."""
    weights = np.ones(classes)
    for key, value in class_weight.items():
        # Classes may be floats, as labels may.
        if key not in range(classes):
            raise ValueError(f"class_weight must name classes from 0 to {classes - 1}, not {key!r}")
        weights[int(key)] = _checks.real(f"class_weight of class {key}", value)
    return weights
