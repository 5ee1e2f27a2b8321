"""Steps of training over rows: in C alone, or with a Python function for the loss of each mini-batch."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._data.rows import Rows
from .._model.settings import Settings
from ..optimizers import Optimizer
from ..schedules import rate, rates
from .custom_loss import row_losses

# Sums over rows of the weighted loss, the weighted accuracy, and the weights.
Sums = tuple[float, float, float]


class Watcher:
    """Told how far the steps are. This one looks at nothing.

    Attributes
    ----------
    each : bool
        Whether to be told of each step by itself, and before it, or only from time to time.
    """

    each = False

    def before(self) -> None:
        """A step begins."""

    def after(self, rows: int, loss: float, weight: float) -> None:
        """So many rows more are done, with the sum of their weighted losses, and of their weights."""


class Steps:
    """Mini-batches over rows, one after the other.

    Parameters
    ----------
    net : Network
        Its writer is the caller, and its workspace is there.
    settings : Settings
    update : Update
    optimizer : Optimizer
        Apart from the caller's.
    batch_size : int
    threads : int
        At most those of the workspace.
    watcher : Watcher

    Attributes
    ----------
    rate : float
        The learning rate of the last update.
    """

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        update: _core.Update,
        optimizer: Optimizer,
        batch_size: int,
        threads: int,
        watcher: Watcher,
    ) -> None:
        self._net, self._settings, self._update = net, settings, update
        self.optimizer, self.batch_size = optimizer, batch_size
        self.threads, self._watcher = threads, watcher
        self.rate = 0.0
        self._pace = _core.Pace(watcher.each)

    def iterations(self, rows: int) -> int:
        """How many mini-batches so many rows make."""
        return -(-rows // self.batch_size)

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """Go on with other settings."""
        if type(optimizer) is not type(self.optimizer):
            self._net.drop_states()  # those that the old one has made anew since it was replaced
        self.optimizer = optimizer
        self._update.set_optimizer(optimizer)

    def train(
        self, data: Rows, index: np.ndarray | None, outputs: np.ndarray | None = None, more: bool = False
    ) -> Sums:
        """Train on the rows that `index` (int64) names, or on all.

        Parameters
        ----------
        data : Rows
        index : ndarray of int64 or None
        outputs : ndarray, shape (rows, out), or None
            Gets the outputs before each update.
        more : bool
            Whether gradients that are accumulated at the end go on into the next call.
        """
        rows = len(data[0]) if index is None else len(index)
        first = self._net.counts[0]
        # As many as there can be updates: fewer are made where batches have no weight.
        lr = rates(self.optimizer.lr, first, -(-self.iterations(rows) // self._update.accumulate))
        sums = self._net.train(
            _core.Data(*data),
            index,
            min(self.batch_size, rows),
            self._update,
            lr,
            self.threads,
            self._pace,
            self._watcher,
            outputs,
            more,
        )
        self._note(lr, self._net.counts[0] - first)
        return sums

    def _note(self, lr: float | np.ndarray, updates: int) -> None:
        """The rate of the last of so many updates."""
        if isinstance(lr, float):
            self.rate = lr
        elif updates:
            self.rate = float(lr[updates - 1])


class CustomLossSteps(Steps):
    """The same with a loss that is a Python function of each mini-batch's outputs and targets."""

    def __init__(self, net: _core.Network, *others: Any) -> None:
        super().__init__(net, *others)
        self._tape = _core.Tape(net)

    def train(
        self, data: Rows, index: np.ndarray | None, outputs: np.ndarray | None = None, more: bool = False
    ) -> Sums:
        x, targets, weights = data
        order = np.arange(len(x)) if index is None else index
        source, tape = _core.Data(x), self._tape
        loss_sum = weight_sum = 0.0
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            end = start + len(batch)
            if self._watcher.each:
                self._watcher.before()
            counts = self._net.counts
            try:
                batch_outputs = tape.forward(source, batch, self.threads)
                batch_weights = None if weights is None else weights[batch]
                loss, weight = self._backward(batch_outputs, targets[batch], batch_weights)
                if not np.isfinite(loss):
                    raise _core.NonFiniteLossError(start // self.batch_size)
                lr = rate(self.optimizer.lr, counts[0])
                tape.spend(self._update, lr, weight, at_end=not more and end == len(order))
            except BaseException:
                if self._net.counts[0] == counts[0]:
                    self._net.counts = counts  # the mini-batch was none
                raise
            self._note(lr, self._net.counts[0] - counts[0])
            loss_sum, weight_sum = loss_sum + loss, weight_sum + weight
            if outputs is not None:
                outputs[start:end] = batch_outputs
            self._watcher.after(len(batch), loss, weight)
        return loss_sum, 0.0, weight_sum

    def _backward(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> tuple[float, float]:
        """The weight of the batch times its loss, and its weight; goes back where the loss is finite."""
        settings, tape = self._settings, self._tape
        assert settings.custom_loss is not None
        total = float(len(outputs) if weights is None else weights.sum())
        if total == 0:  # passed over: what its rows would make of the loss, infinity too, is not asked
            return 0.0, 0.0
        losses, gradient = row_losses(settings.custom_loss, outputs, targets, weights is not None)
        with np.errstate(all="ignore"):  # what overflows is told by DivergedError
            if weights is not None:
                losses, gradient = losses * weights, gradient * weights[:, None]
            loss = float(losses.sum())
            gradient = np.ascontiguousarray(gradient, settings.dtype)
        if settings.penalised:
            penalty = self._net.penalty(settings.l1, settings.l2, trained=True)
            loss += total * settings.penalty_part(total) * penalty
        if np.isfinite(loss):
            tape.backward(gradient, False)
        return loss, total


def make_steps(net: _core.Network, settings: Settings, *others: Any) -> Steps:
    """The kind that the loss asks for; the arguments are those of `Steps`."""
    return (CustomLossSteps if settings.custom_loss else Steps)(net, settings, *others)
