"""Scaling of numbers: how each kind is fitted to a column, and applied to blocks of columns.

"robust" is that of RealMLP (Holzmüller et al. 2024, "Better by default"): a number becomes
``s / sqrt(1 + (s / 3)**2)`` with ``s = (x - median) / spread``. The spread is the difference of the
quartiles; if that is 0, half the difference of maximum and minimum. Results are between -3 and 3.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np

SCALINGS = ("robust", "standard", "quantile")

# The smooth clip's bound, and the most quantiles that "quantile" keeps of a column.
BOUND = 3.0
MOST_QUANTILES = 1000
# Beyond this, the clip's result is the bound, in float32; a type of 32 bits still has its square.
LARGEST = 1e15
# Normal quantiles end here, as probabilities: at about -5.2 and 5.2.
TAIL = 1e-7


class Scale(NamedTuple):
    """What a column's numbers become: ``(x - center) * factor``, which "robust" also clips.

    Attributes
    ----------
    center, factor : float
        The factor is 0 for a constant column.
    knots : ndarray, shape (2, m), or None
        For "quantile": increasing numbers, and what they become; between them, straight lines.
    """

    center: float
    factor: float
    knots: np.ndarray | None = None


def scale_of(values: np.ndarray, counts: np.ndarray | None, scaling: str) -> Scale:
    """The scale of a column.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Finite, at least one; float64, and overwritten without `counts`.
    counts : ndarray, shape (n,), or None
        How often each of the increasing values occurs.
    scaling : str
        One of SCALINGS.
    """
    lowest, highest = float(values.min()), float(values.max())
    if lowest == highest:
        return Scale(lowest, 0.0)
    if scaling == "standard":
        # Halves and a shift: sums of large or nearly equal numbers stay exact enough.
        middle = lowest / 2 + highest / 2
        mean = middle + float(np.average(values - middle, weights=counts))
        # In units of the largest difference, squares neither overflow nor underflow.
        unit = max(highest - mean, mean - lowest)
        deviation = float(np.sqrt(np.average(np.square((values - mean) / unit), weights=counts)))
        return Scale(mean, _inverse(unit * deviation))
    if scaling == "quantile":
        return _quantile_scale(values)
    quarter, median, three_quarters = quantiles(values, counts, np.array([0.25, 0.5, 0.75]))
    spread = float(three_quarters - quarter) or highest / 2 - lowest / 2
    return Scale(float(median), _inverse(spread))


def _inverse(spread: float) -> float:
    """1 / spread; 0 where that overflows, as for a constant column."""
    return 1 / spread if spread > 1e-300 else 0.0


def quantiles(values: np.ndarray, counts: np.ndarray | None, at: np.ndarray) -> np.ndarray:
    """Quantiles with straight lines between the ordered values, as `numpy.quantile` defines them.

    Parameters
    ----------
    values, counts
        As for `scale_of`.
    at : ndarray
        Probabilities.
    """
    if counts is None:
        return np.asarray(np.quantile(values, at, overwrite_input=True))
    ends = np.cumsum(counts)
    places = at * (ends[-1] - 1)
    below = values[np.searchsorted(ends, np.floor(places), side="right")]
    above = values[np.searchsorted(ends, np.ceil(places), side="right")]
    return np.asarray(below + (above - below) * (places - np.floor(places)))


def _quantile_scale(values: np.ndarray) -> Scale:
    """The knots of "quantile": ordered values become the quantiles of the normal distribution.

    A value that is several quantiles becomes the mean of theirs.
    """
    count = min(len(values), MOST_QUANTILES)
    found = np.quantile(values, np.linspace(0, 1, count), overwrite_input=True)
    at, place = np.unique(found, return_inverse=True)
    normal = np.bincount(place, weights=_normal_quantiles(count)) / np.bincount(place)
    return Scale(0.0, 1.0, np.stack([at, normal]))


@cache
def _normal_quantiles(count: int) -> np.ndarray:
    from statistics import NormalDist  # only for this scaling

    inverse = NormalDist().inv_cdf
    return np.array([inverse(min(max(p, TAIL), 1 - TAIL)) for p in np.linspace(0, 1, count).tolist()])


def apply(
    block: np.ndarray, center: np.ndarray, factor: np.ndarray, clips: bool, scratch: np.ndarray
) -> None:
    """Scale a block in place; NaN becomes 0.

    Parameters
    ----------
    block, scratch : ndarray, shape (columns, rows)
        float64.
    center, factor : ndarray, shape (columns, 1)
    clips : bool
        Whether to apply the smooth clip.
    """
    block -= center
    block *= factor
    if clips:
        smooth_clip(block, scratch)
    np.copyto(block, 0.0, where=np.isnan(block))


def smooth_clip(values: np.ndarray, scratch: np.ndarray) -> None:
    """``x / sqrt(1 + (x / 3)**2)``, in place."""
    np.clip(values, -LARGEST, LARGEST, out=values)  # whose squares do not overflow
    np.multiply(values, 1 / BOUND, out=scratch)
    np.square(scratch, out=scratch)
    scratch += 1.0
    np.sqrt(scratch, out=scratch)
    values /= scratch
