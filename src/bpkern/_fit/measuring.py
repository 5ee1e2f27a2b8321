"""Losses and metrics of data without training on them."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .. import _core
from .._data.gathered import GatheredRows, gathered_blocks
from .._data.rows import Rows, bad_row, read_rows
from .._model.core import Core
from .._model.prediction import predictions
from .custom_loss import row_losses
from .metrics import Metric, make_metrics


def evaluate(core: Core, X: Any, y: Any, sample_weight: Any, metrics: Any) -> dict[str, float]:
    """As `MLP.evaluate`."""
    settings = core.settings
    asked = make_metrics(metrics, settings.loss, settings.layers[-1])
    return measure(core, read_rows(X, y, sample_weight, settings), None, asked, None)


def losses(core: Core, X: Any, y: Any) -> np.ndarray:
    """As `MLP.losses`."""
    net, settings = core.net, core.settings
    data = read_rows(X, y, None, settings)
    try:
        if settings.custom_loss:
            outputs = net.forward_data(_core.Data(data[0]))
            return row_losses(settings.custom_loss, outputs, data[1], weighted=True)[0]
        found = np.empty(len(data[0]))
        net.evaluate(_core.Data(*data), None, None, row_losses=found)
        return found
    except _core.BadRowError as error:
        raise bad_row(data, error.row, settings) from None


def measure(
    core: Core, data: Rows, index: np.ndarray | None, metrics: Sequence[Metric], n_threads: int | None
) -> dict[str, float]:
    """The loss with its penalties, and the metrics.

    Parameters
    ----------
    core : Core
    data : Rows
    index : ndarray of int64, or int32 with gathered rows, or None
        The rows to measure; None is all of them.
    metrics : sequence of Metric
        C computes the accuracy along with the loss; all others are computed from the outputs.
    n_threads : int or None
    """
    net, settings = core.net, core.settings
    x, targets, weights = data
    rows = len(x) if index is None else len(index)
    others = [metric for metric in metrics if metric.name != "accuracy"]
    wants_accuracy = len(others) < len(metrics)
    outputs: Any = None
    try:
        with net.reading():
            penalty = net.penalty(settings.l1, settings.l2) if settings.penalised else 0.0
            if settings.custom_loss:
                outputs = net.forward_data(_core.Data(x), index, n_threads=n_threads)
            else:
                if others:
                    outputs = np.empty((rows, settings.layers[-1]), settings.dtype)
                loss, accuracy, weight = _evaluate(net, data, index, n_threads, outputs)
    except _core.BadRowError as error:
        raise bad_row(data, error.row, settings) from None
    if index is not None:
        targets, weights = targets[index], None if weights is None else weights[index]
    if settings.custom_loss:
        custom, _ = row_losses(settings.custom_loss, outputs, targets, weights is not None)
        weight = rows if weights is None else float(weights.sum())
        # Not `custom @ weights`: the bits of BLAS depend on its kernels and threads.
        with np.errstate(all="ignore"):
            loss = float((custom if weights is None else custom * weights).sum())
    logs = {"loss": loss / weight + penalty * settings.penalty_factor(weight)}
    if wants_accuracy and settings.has_accuracy:
        # An output that is not finite has no class. Neither has it a finite loss, which is faster to check.
        logs["accuracy"] = accuracy / weight if math.isfinite(loss) else math.nan
    if others:
        logs |= metrics_of(core, others, targets, outputs, weights)
    return logs


def _evaluate(
    net: _core.Network,
    data: Rows,
    index: np.ndarray | None,
    n_threads: int | None,
    outputs: np.ndarray | None,
) -> tuple[float, float, float]:
    """As `Network.evaluate`, also of gathered rows."""
    x, targets, weights = data
    if not isinstance(x, GatheredRows):
        return net.evaluate(_core.Data(*data), index, n_threads, outputs=outputs)
    sums = (0.0, 0.0, 0.0)
    for start, numbers, block in gathered_blocks(x, targets, weights, index, batch=1):
        own = None if outputs is None else outputs[start : start + len(numbers)]
        try:
            sums = net.evaluate(_core.Data(*block), None, n_threads, outputs=own, sums=sums)
        except _core.BadRowError as error:
            raise _core.BadRowError(int(numbers[error.row]), error.step) from None
    return sums


def metrics_of(
    core: Core,
    metrics: Iterable[Metric],
    targets: np.ndarray,
    outputs: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, float]:
    """Each metric by its name, of targets (n, ...), outputs (n, out) and weights (n,) or None.

    All are NaN if an output is not finite: nothing is predicted from that.
    """
    if not _core.all_finite(outputs):
        return {metric.name: math.nan for metric in metrics}
    predicted = predictions(core, outputs)
    return {metric.name: metric(targets, predicted, weights) for metric in metrics}
