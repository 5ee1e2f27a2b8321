"""Weights of classes, and their product with the weights of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _checks

# Larger than the exponent of any float64.
MOST_POWER = 1 << 12


@np.errstate(all="ignore")
def row_weights(
    class_weight: Any,
    targets: np.ndarray | None,
    sample_weight: np.ndarray | None,
    classes: int,
    is_part: bool = False,
    has_scale: bool = False,
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
    has_scale : bool
        The sum of the weights has a meaning, as in `rows.as_sample_weight`; the weights are not scaled.

    Returns
    -------
    ndarray of float64, shape (n,), or None
        `sample_weight` itself if `class_weight` is None. Otherwise the products. Without `has_scale` they are
        scaled by a power of two, which changes no bit of a weighted mean, so that sums cannot overflow: the
        largest product, or with `is_part` the largest weight of a class, becomes at least 1/2 and below 1.
        Products that are then too small to be normal numbers are 0, as they are to the kernels.

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
    # Weights are mantissas times powers of two, whose products neither overflow nor vanish.
    if isinstance(class_weight, str):
        of_class, power_of_class = _balanced(np.bincount(labels, sample_weight, classes))
    else:
        of_class, power_of_class = _given(class_weight, classes)
    product, power = of_class[labels], power_of_class[labels]
    if sample_weight is not None:
        own, own_power = np.frexp(sample_weight)
        product, power = product * own, power + own_power
    product, carried = np.frexp(product)
    power = power + carried
    if not (is_part or product.any()):
        raise ValueError("class_weight and sample_weight must not be 0 in every row")
    if has_scale:
        top = 0
    elif is_part:
        top = power_of_class[of_class > 0].max(initial=-MOST_POWER)
    else:
        top = power[product > 0].max()
    normal = power - top > np.finfo(np.float64).minexp
    weights = np.asarray(np.ldexp(product, np.where(normal, power - top, 0)) * normal)
    if has_scale and not np.isfinite(weights.sum()):
        raise ValueError("class_weight times sample_weight must have a finite sum")
    return weights


def balanced(totals: np.ndarray) -> dict[int, float]:
    """The mapping that "balanced" stands for, from the sums of the sample weights by class."""
    weights, powers = _balanced(totals)
    return dict(enumerate(np.ldexp(weights, powers).tolist()))


def _balanced(of_class: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weights of the classes for "balanced", as mantissas and powers of two, each of shape (classes,)."""
    classes = len(of_class)
    totals, powers = np.frexp(of_class)
    # A class whose rows have zero weight counts as absent.
    share, power = np.frexp(np.ldexp(totals, powers).sum() / np.count_nonzero(totals))
    weights, carried = np.frexp(np.divide(share, totals, out=np.zeros(classes), where=totals > 0))
    return weights, np.asarray(carried + power - powers)


def _given(class_weight: Mapping[Any, Any], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The weights of the classes from a mapping, in the form of `_balanced`. ValueError or TypeError."""
    weights = np.ones(classes)
    for key, value in class_weight.items():
        # Classes may be floats, as labels may.
        if key not in range(classes):
            raise ValueError(f"class_weight must name classes from 0 to {classes - 1}, not {key!r}")
        weights[int(key)] = _checks.real(f"class_weight of class {key}", value)
    return np.frexp(weights)
