"""Permutation importance: how much worse predictions become if a column is shuffled (Breiman, 2001)."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from . import scores
from .table_model import TableModel

REPEATS, MOST_ROWS = 5, 2_000


class Importance(NamedTuple):
    """A column's importance.

    Attributes
    ----------
    name : str
    mean, deviation : float
        Of the increase of the loss: log loss, or RMSE.
    """

    name: str
    mean: float
    deviation: float


def importances(
    model: TableModel, X: np.ndarray, y: np.ndarray, names: list[str], rng: np.random.Generator
) -> list[Importance]:
    """The columns of a table, the most important one first.

    Parameters
    ----------
    model : TableModel
    X : ndarray, shape (n, results)
        Encoded rows, which are not changed.
    y : ndarray, shape (n,)
        Class numbers or values.
    names : list of str
        Of the table's columns.
    rng : Generator
    """
    X, y = X[:MOST_ROWS], y[:MOST_ROWS]
    sources = model.encoder.__bpkern_sources__()
    before = _loss(model, X, y)
    found = []
    for place in dict.fromkeys(sources.tolist()):
        own = sources == place
        rises = []
        for _ in range(REPEATS):
            shuffled = X.copy()
            shuffled[:, own] = X[np.ix_(rng.permutation(len(X)), own)]
            rises.append(_loss(model, shuffled, y) - before)
        found.append(Importance(names[place], float(np.mean(rises)), float(np.std(rises))))
    return sorted(found, key=lambda each: -each.mean)


def _loss(model: TableModel, X: np.ndarray, y: np.ndarray) -> float:
    predicted = model.__bpkern_predictions__(X)
    if model.classes_ is None:
        return scores.of_values(y, predicted)[scores.RMSE]
    return scores.of_probabilities(y, predicted)[scores.LOG_LOSS]
