"""Losses and metrics of the rows of all ranks, the same to the bit for every number of ranks."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _core
from .._data.rows import Rows, bad_row
from .._fit.measuring import metrics_of
from .._fit.metrics import Metric
from .._model.core import Core
from . import rows as parts
from .group import Group


def measure(
    core: Core,
    group: Group,
    data: Rows,
    count: int,
    metrics: Sequence[Metric],
    n_threads: int | None,
    most_threads: int,
) -> dict[str, float]:
    """As `bpkern._fit.measuring.measure`, of the rows of all ranks.

    Each shard is measured by itself, so that a row is computed with the same others on any number of ranks.

    Parameters
    ----------
    data : Rows
        The own rows.
    count : int
        The rows of all ranks.
    n_threads : int or None
    most_threads : int
        The most threads if `n_threads` is None.
    """
    net, settings = core.net, core.settings
    others = [metric for metric in metrics if metric.name != "accuracy"]
    outputs = np.empty((len(data[0]), settings.layers[-1]), settings.dtype) if others else None
    if n_threads is None and most_threads < _core.fair_share():
        n_threads = most_threads
    sums = []
    rows = _core.Data(*data)
    try:
        for start, end in pairwise(parts.own_bounds(count, group.shards, group.size, group.rank).tolist()):
            out = None if outputs is None else outputs[start:end]
            index = np.arange(start, end, dtype=np.int64)
            sums.append(net.evaluate(rows, index, n_threads, outputs=out))
    except _core.BadRowError as error:
        raise bad_row(data, error.row, settings) from None
    loss, accuracy, weight = group.total(np.array(sums)).tolist()
    if weight == 0:
        raise ValueError("sample_weight must not be 0 in every row")
    penalty = net.penalty(settings.l1, settings.l2) if settings.penalised else 0.0
    logs = {"loss": loss / weight + penalty * settings.penalty_factor(weight)}
    if len(others) < len(metrics) and settings.has_accuracy:
        logs["accuracy"] = accuracy / weight if math.isfinite(loss) else math.nan
    if outputs is not None:
        logs |= gathered_metrics(core, group, others, data[1], outputs, data[2])
    return logs


def gathered_metrics(
    core: Core,
    group: Group,
    metrics: Sequence[Metric],
    targets: np.ndarray,
    outputs: np.ndarray,
    weights: np.ndarray | None,
) -> dict[str, float]:
    """`metrics_of` of the rows of all ranks, which rank 0 computes for all."""
    own: Any = targets, outputs, weights
    found = group.objects(own)
    values = None
    if group.rank == 0:
        all_targets, all_outputs, all_weights = zip(*found, strict=True)
        whole = None if all_weights[0] is None else np.concatenate(all_weights)
        values = metrics_of(core, metrics, np.concatenate(all_targets), np.concatenate(all_outputs), whole)
    result: dict[str, float] = group.of_first(values)
    return result
