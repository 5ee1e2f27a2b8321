"""scikit-learn's gradient boosting on the same rows and columns, for a comparison."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .._needs import needs
from .frames import Coded
from .reading import taken

# The most categories that it takes as such.
MOST_CATEGORIES = 255


Columns = Mapping[str, "np.ndarray | Coded"]


def boosted(
    train: tuple[Columns, np.ndarray],
    y: np.ndarray,
    test: tuple[Columns, np.ndarray],
    names: list[str],
    classes: int | None,
    *,
    seed: int,
) -> np.ndarray:
    """Predictions for the rows of `test` as `scores.scores_of` takes them.

    Parameters
    ----------
    train, test : (columns, rows)
        Columns by name, and the rows of them.
    y : ndarray
        Class numbers or values of `train`.
    names : list of str
        The columns to use.
    classes : int or None
        The number of classes; None for values.
    seed : int

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    """
    ensemble = needs("sklearn.ensemble", "sklearn", "--compare")
    inputs, tests, categorical = [], [], []
    for name in names:
        column, other = train[0][name], test[0][name]
        if isinstance(column, Coded):
            assert isinstance(other, Coded)
            known = {text: code for code, text in enumerate(column.categories)}
            of_test = np.array([*(known.get(text, -1) for text in other.categories), -1], np.float64)
            inputs.append(column.codes[train[1]].astype(np.float64))
            tests.append(of_test[other.codes[test[1]]])
            categorical.append(len(known) <= MOST_CATEGORIES)
        else:
            inputs.append(taken(column, train[1]))
            tests.append(taken(other, test[1]))
            categorical.append(False)
    X, X_test = (np.stack(columns, axis=1) for columns in (inputs, tests))
    for matrix in (X, X_test):
        matrix[:, categorical] = np.where(matrix[:, categorical] < 0, np.nan, matrix[:, categorical])
    kind = (
        ensemble.HistGradientBoostingRegressor if classes is None else ensemble.HistGradientBoostingClassifier
    )
    model = kind(categorical_features=categorical, random_state=seed).fit(X, y)
    if classes is None:
        return np.asarray(model.predict(X_test))
    proba = np.zeros((len(X_test), classes))
    proba[:, model.classes_] = model.predict_proba(X_test)
    return proba
