"""Which rows networks train on, and which choose their epoch."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import numpy as np

from .plan import Split
from .task import split


def random_split(y: np.ndarray, stratify: bool, part: float, generator: np.random.Generator) -> Split:
    """A random part of the rows to choose the epoch by, of each class in proportion; None if it is 0."""
    if part == 0:
        return ascending(np.arange(len(y)), None)
    return ascending(*split(y, stratify, part, generator))


def folds(y: np.ndarray, stratify: bool, count: int, generator: np.random.Generator) -> list[Split]:
    """The rows in `count` parts, each of which chooses the epoch of one network."""
    order = generator.permutation(len(y))
    if stratify:
        order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), np.int64)
    fold[order] = np.arange(len(y)) % count
    return [ascending(np.flatnonzero(fold != own), np.flatnonzero(fold == own)) for own in range(count)]


def bags(rows: int, count: int, generator: np.random.Generator) -> list[Split]:
    """For each network as many rows as there are, drawn with replacement; those not drawn choose its epoch.

    Breiman, "Bagging predictors" (1996).
    """
    found: list[Split] = []
    while len(found) < count:
        drawn = generator.integers(0, rows, rows)
        others = np.setdiff1d(np.arange(rows), drawn)
        if len(others):  # of few rows, all may have been drawn
            found.append(ascending(drawn, others))
    return found


def ascending(training: np.ndarray, choosing: np.ndarray | None) -> Split:
    """A split with its row numbers in order, in half the memory if they are small.

    The arguments may be sorted in place.
    """
    return Split(_sorted(training), None if choosing is None else _sorted(choosing))


def _sorted(rows: np.ndarray) -> np.ndarray:
    found = rows.astype(np.int32 if rows.max(initial=0) < 1 << 31 else np.int64, copy=False)
    found.sort()
    return found
