"""Losses and metrics of data without training on it."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._data.rows import Rows, bad_row
from .custom_loss import row_losses
from .metrics import Metric

if TYPE_CHECKING:
    from .._model.prediction import Prediction


def measure(
    model: Prediction, data: Rows, index: np.ndarray | None, metrics: Iterable[Metric], n_threads: int | None
) -> dict[str, float]:
    """The loss, penalties included, and the metrics of the rows that `index` names, or of all.

    The accuracy, which C counts on its way, is among them where `metrics` has it.
    """
    net, settings = model._net, model._settings
    x, targets, weights = data
    rows = len(x) if index is None else len(index)
    others = [metric for metric in metrics if metric.name != "accuracy"]
    wants_accuracy = any(metric.name == "accuracy" for metric in metrics)
    outputs: Any = None
    try:
        with net.reading():
            penalty = net.penalty(settings.l1, settings.l2) if settings.penalised else 0.0
            if settings.custom_loss:
                outputs = net.forward_data(_core.Data(x), index, n_threads=n_threads)
            else:
                if others:
                    outputs = np.empty((rows, settings.layers[-1]), settings.dtype)
                loss, accuracy, weight = net.evaluate(_core.Data(*data), index, n_threads, outputs=outputs)
    except _core.BadRowError as error:
        raise bad_row(data, error.row, settings.dtype) from None
    if index is not None:
        targets, weights = targets[index], None if weights is None else weights[index]
    if settings.custom_loss:
        losses, _ = row_losses(settings.custom_loss, outputs, targets, weights is not None)
        weight = rows if weights is None else float(weights.sum())
        loss = float(losses.sum() if weights is None else losses @ weights)
    logs = {"loss": loss / weight + penalty * settings.penalty_part(weight)}
    if wants_accuracy and settings.has_accuracy:
        logs["accuracy"] = accuracy / weight
    if others:
        logs |= metrics_of(model, others, targets, outputs, weights)
    return logs


def metrics_of(
    model: Prediction,
    metrics: Iterable[Metric],
    targets: np.ndarray,
    outputs: Any,
    weights: np.ndarray | None,
) -> dict[str, float]:
    """The metrics of outputs (n, out) that belong to targets."""
    predicted = model._predictions(outputs)
    return {metric.name: metric(targets, predicted, weights) for metric in metrics}
