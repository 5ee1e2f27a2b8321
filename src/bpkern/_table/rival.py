"""scikit-learn's gradient boosting on the same rows and columns, for a comparison."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import numpy as np

from .._needs import needs
from .frames import Coded
from .reading import Table, taken

# The most categories that it takes as such.
MOST_CATEGORIES = 255


def boosted(
    train: Table,
    rows: np.ndarray,
    y: np.ndarray,
    test: Table,
    test_rows: np.ndarray,
    names: list[str],
    classes: int | None,
    seed: int,
) -> np.ndarray:
    """Predictions for the rows of `test` as `scores.scores_of` takes them.

    Raises
    ------
    ModuleNotFoundError
        If scikit-learn is not installed.
    """
    ensemble = needs("sklearn.ensemble", "sklearn", "--compare")
    inputs, tests, categorical = [], [], []
    for name in names:
        column, other = train.columns[name], test.columns[name]
        if isinstance(column, Coded):
            assert isinstance(other, Coded)
            known = {text: code for code, text in enumerate(column.categories)}
            of_test = np.array([*(known.get(text, -1) for text in other.categories), -1], np.float64)
            inputs.append(column.codes[rows].astype(np.float64))
            tests.append(of_test[other.codes[test_rows]])
            categorical.append(len(known) <= MOST_CATEGORIES)
        else:
            inputs.append(taken(column, rows))
            tests.append(taken(other, test_rows))
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
