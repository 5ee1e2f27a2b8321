"""Measures of predictions, and what a model that knows no columns would reach."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import numpy as np

Scores = dict[str, float]

# The names of measures.
LOG_LOSS, ACCURACY, RMSE, MAE, R2 = "log loss", "accuracy", "RMSE", "MAE", "R²"


def of_probabilities(y: np.ndarray, proba: np.ndarray) -> Scores:
    """Scores of probabilities (n, classes) for class numbers (n,)."""
    own = proba[np.arange(len(y)), y].astype(np.float64)
    return {
        ACCURACY: float((proba.argmax(axis=1) == y).mean()),
        LOG_LOSS: float(-np.log(np.maximum(own, 1e-7)).mean()),
    }


def of_values(y: np.ndarray, predicted: np.ndarray) -> Scores:
    """Scores of values (n,)."""
    error = predicted - y
    variance = float(np.square(y - y.mean()).mean())
    mse = float(np.square(error).mean())
    return {
        RMSE: mse**0.5,
        MAE: float(np.abs(error).mean()),
        R2: 1 - mse / variance if variance else float("nan"),
    }


def scores_of(y: np.ndarray, predicted: np.ndarray, classes: int | None) -> Scores:
    """Scores of probabilities, or of values where there are no classes."""
    return of_values(y, predicted) if classes is None else of_probabilities(y, predicted)


def baseline(y: np.ndarray, classes: int | None, rows: int) -> np.ndarray:
    """For each of `rows` rows, the probabilities of the classes in y, or the mean of its values."""
    if classes is None:
        return np.full(rows, float(y.mean()))
    frequencies = np.bincount(y, minlength=classes) / len(y)
    return np.tile(frequencies, (rows, 1))


def is_better(one: Scores, other: Scores) -> bool:
    """Whether the first scores have the lower log loss or RMSE."""
    name = LOG_LOSS if LOG_LOSS in one else RMSE
    return one[name] < other[name]


def text_table(columns: dict[str, Scores]) -> str:
    """Scores side by side: a line per measure, a column per model."""
    names = list(next(iter(columns.values())))
    width = max(map(len, names))
    lines = [" " * width + "".join(f"  {title:>{max(len(title), 10)}}" for title in columns)]
    for name in names:
        cells = "".join(
            f"  {shown(name, scores[name]):>{max(len(title), 10)}}" for title, scores in columns.items()
        )
        lines.append(f"{name:<{width}}{cells}")
    return "\n".join(lines)


def shown(name: str, value: float) -> str:
    """A score as text."""
    return f"{100 * value:.1f} %" if name == ACCURACY else f"{round(value, 12) + 0.0:.4g}"
