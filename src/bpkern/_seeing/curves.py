"""What learning curves show: the panels of a history, their names, the best epoch, the kind of axis."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

# The axis of positive values that fall by a larger factor is logarithmic.
LOGARITHMIC = 10

# Metrics whose names are abbreviations.
LABELS = {"mae": "MAE", "mse": "MSE", "rmse": "RMSE", "r2": "R²", "f1": "F1"}
RATE = "learning rate"


class Panel(NamedTuple):
    """The curves of one metric.

    Attributes
    ----------
    name : str
        Of the metric in the history; "lr" for the learning rate.
    label : str
    training, validation : sequence of float
        A value per epoch; empty without them.
    best : int or None
        The index of the epoch of the lowest validation loss.
    logarithmic : bool
    """

    name: str
    label: str
    training: Sequence[float]
    validation: Sequence[float]
    best: int | None
    logarithmic: bool


def panels_of(metrics: Mapping[str, Sequence[float]], rates: Sequence[float]) -> list[Panel]:
    """A panel for the loss, for each other metric, and for the learning rate if it has changed."""
    names = dict.fromkeys(["loss", *(name.removeprefix("val_") for name in metrics)])
    best = lowest(metrics.get("val_loss", ()))
    panels = []
    for name in names:
        training, validation = metrics.get(name, ()), metrics.get(f"val_{name}", ())
        first = training or validation
        falls = len(first) > 1 and first[-1] < first[0]
        panels.append(
            Panel(
                name,
                LABELS.get(name, name.replace("_", " ")),
                training,
                validation,
                best if validation else None,
                falls and _differ(training, validation),
            )
        )
    if len(set(rates)) > 1:
        panels.append(Panel("lr", RATE, rates, (), None, _differ(rates)))
    return panels


def lowest(values: Sequence[float]) -> int | None:
    """The index of the lowest finite value, or None."""
    finite = [epoch for epoch, value in enumerate(values) if math.isfinite(value)]
    return min(finite, key=lambda epoch: values[epoch], default=None)


def _differ(*curves: Sequence[float]) -> bool:
    """Whether all values are positive and differ by a large factor."""
    finite = [value for curve in curves for value in curve if math.isfinite(value)]
    return bool(finite) and 0 < min(finite) * LOGARITHMIC < max(finite)
