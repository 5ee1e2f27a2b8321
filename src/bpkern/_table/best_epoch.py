"""Callbacks of training on a table: the best epoch kept, an end in time, the progress of several fits."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from .._fit.progress import Progress
from .._model.core import core_of
from ..callbacks import Callback


class BestEpoch(Callback):
    """Keeps the parameters of the epoch with the best value; of equally good ones, those of the last.

    RealMLP chooses its epoch in this way: many epochs have the same accuracy, and later ones, of smaller
    learning rates, predict better.

    Parameters
    ----------
    monitor : str
        "val_accuracy", which is maximised, or "val_loss".
    measure : callable, optional
        Computes the value of the model, to be minimised, in place of the fit, which has no validation rows.
        The history gets it under the name `monitor`.

    Attributes
    ----------
    measures : bool
        Whether there is `measure`.
    best : float or None
        None before an epoch with a finite value.
    """

    def __init__(self, monitor: str, measure: Callable[[Any], float] | None = None) -> None:
        self._monitor, self._sign = monitor, -1.0 if monitor == "val_accuracy" else 1.0
        self._measure, self.measures = measure, measure is not None
        self.best: float | None = None
        self._epoch = 0
        self._parameters: dict[str, Any] = {}

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        if self._measure is None:
            value = logs[self._monitor]
        else:
            value = self._measure(model)
            _values_of(model, self._monitor).append(value)
        if math.isfinite(value) and (self.best is None or self._sign * value <= self._sign * self.best):
            self.best, self._epoch, self._parameters = value, epoch, core_of(model).get_parameters()

    def restore(self, model: Any) -> None:
        """Give the model the parameters of that epoch, also after an interrupt."""
        core = core_of(model)
        core.set_parameters(self._parameters)
        if core.history is None:
            return
        core.history.best_epoch = self._epoch
        if self._measure is not None:  # an interrupt may have come between an epoch and its value
            values = _values_of(model, self._monitor)
            values += [math.nan] * (len(core.history.lr) - len(values))


def _values_of(model: Any, name: str) -> list[float]:
    """The list of this name in the history of a model."""
    history = core_of(model).history
    assert history is not None
    return history.setdefault(name, [])


class Deadline(Callback):
    """Ends a fit after the epoch in which a time of the monotonic clock is over."""

    def __init__(self, at: float) -> None:
        self._at = at

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        model.stop_training = model.stop_training or time.monotonic() > self._at


class Count:
    """The epochs of several fits, in any threads, on one display."""

    def __init__(self, display: Progress) -> None:
        self._display, self._lock, self._done = display, threading.Lock(), 0

    def epoch(self, logs: Mapping[str, float]) -> None:
        """An epoch of one of the fits has ended."""
        with self._lock:
            self._done += 1
            self._display.epoch(self._done, logs)


class Shown(Callback):
    """Counts the epochs of one of several fits, and shows what the history has of them."""

    def __init__(self, count: Count) -> None:
        self._count = count

    def on_epoch_end(self, model: Any, epoch: int, logs: Mapping[str, float]) -> None:
        history = core_of(model).history
        assert history is not None
        self._count.epoch({name: values[-1] for name, values in history.items()})
