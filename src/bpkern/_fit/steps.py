"""Training steps over rows: in C alone, or with a Python function for the loss of each mini-batch."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._data.gathered import GatheredRows, gathered_blocks
from .._data.rows import Rows
from .._model.scheduled import WEIGHT_DECAY, decays, dropouts
from .._model.settings import Settings
from ..history import History
from ..optimizers import Optimizer
from ..schedules import rate, rates
from .custom_loss import row_losses
from .rollback import Rollback

# Sums over rows: of weight times loss, of weight times accuracy, and of the weights.
Sums = tuple[float, float, float]


class Watcher:
    """Receives the progress of the steps. This one ignores it.

    Attributes
    ----------
    every_step : bool
        Whether `before` and `after` are called for each step. Otherwise `after` is called from time to time
        for several steps, and `before` never.
    """

    every_step = False

    def before(self) -> None:
        """A step begins."""

    def after(self, rows: int, loss: float, weight: float) -> None:
        """`rows` more rows are done, with their sums of weight times loss and of the weights."""


class Steps:
    """Mini-batches over rows, one after the other.

    Parameters
    ----------
    net : _core.Network
        This thread is inside its `writing()`, and it has a workspace for these batches.
    settings : Settings
    update : _core.Update
    optimizer : Optimizer
        From `Settings.current_optimizer`.
    batch_size : int
    threads : int
        The number of threads, at most that of the workspace.
    watcher : Watcher

    Attributes
    ----------
    optimizer, batch_size, threads
        As given; `batch_size` and `threads` may be set.
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
        self._pace = _core.Pace(watcher.every_step)

    def iterations(self, rows: int) -> int:
        """The number of mini-batches of `rows` rows."""
        return -(-rows // self.batch_size)

    def set_optimizer(self, optimizer: Optimizer) -> None:
        """Continue with another optimiser, or other settings of the same."""
        if type(optimizer) is not type(self.optimizer):
            # Updates between the replacement and this call have made states for the old kind of optimiser.
            self._net.discard_states()
        self.optimizer = optimizer
        self._update.set_optimizer(optimizer)

    def train(
        self, data: Rows, index: np.ndarray | None, outputs: np.ndarray | None = None, more: bool = False
    ) -> Sums:
        """Train once on each row.

        Parameters
        ----------
        data : Rows
        index : ndarray of int64, or int32 with gathered rows, or None
            The rows to train on, in this order; None is all of them.
        outputs : ndarray, shape (rows, out), or None
            Receives the outputs before each update.
        more : bool
            Whether gradients that are still accumulated at the end remain for the next call. Otherwise they
            make an update.

        Returns
        -------
        Sums

        Raises
        ------
        _core.BadRowError, _core.NonFiniteLossError
            The updates of earlier mini-batches have been made.
        """
        rows = len(data[0]) if index is None else len(index)
        x, targets, weights = data
        if not isinstance(x, GatheredRows):
            return self._pass(data, index, rows, min(self.batch_size, rows), outputs, more)
        sums, height = (0.0, 0.0, 0.0), min(self.batch_size, rows)
        for start, numbers, block in gathered_blocks(x, targets, weights, index, height):
            stop = start + len(numbers)
            own = None if outputs is None else outputs[start:stop]
            pending = min(start // height, self._update.accumulate - 1)
            try:
                sums = self._pass(
                    block, None, len(numbers), height, own, more or stop < rows, before=sums, pending=pending
                )
            except _core.BadRowError as error:
                raise _core.BadRowError(int(numbers[error.row]), start // height + error.step) from None
            except _core.NonFiniteLossError as error:
                raise _core.NonFiniteLossError(start // height + error.step) from None
        return sums

    def _pass(
        self,
        data: Rows,
        index: np.ndarray | None,
        rows: int,
        height: int,
        outputs: np.ndarray | None,
        more: bool,
        shards: _core.Shards | None = None,
        before: Sums = (0.0, 0.0, 0.0),
        pending: int = 0,
    ) -> Sums:
        """`train` of mini-batches of `rows` rows in all, in a workspace of this height, with sums added.

        At most `pending` earlier mini-batches of the epoch wait for their update.
        """
        first = self._net.counts[0]  # updates so far
        # Rates for the largest possible number of updates: batches without weight make none.
        most = -(-(pending + self.iterations(rows)) // self._update.accumulate)
        lr = rates(self.optimizer.lr, first, most)
        sums = self._net.train(
            _core.Data(*data),
            index,
            height,
            self._update,
            lr,
            self.threads,
            self._pace,
            self._watcher,
            outputs,
            more,
            shards,
            decays(self.optimizer, first, most),
            dropouts(self._settings, first, most),
            before,
        )
        self._note(lr, self._net.counts[0] - first)
        return sums

    def quick(self, rows: int) -> bool:
        """Whether `train_epochs` can train: nothing is scheduled, and epochs of `rows` rows are short."""
        batch = min(self.batch_size, rows)
        return not self._settings.scheduled and self._net.is_short(
            batch, self.iterations(rows), rows, self.threads
        )

    def train_epochs(
        self,
        data: Rows,
        index: np.ndarray | None,
        generator: np.random.Generator | None,
        most: int,
        keeps_average: bool,
        history: History,
        with_accuracy: bool,
    ) -> None:
        """Train for up to `most` epochs, and add them to the history: as `_core.train_epochs`."""
        rows, lr = len(data[0]) if index is None else len(index), self.optimizer.lr
        assert not callable(lr)
        _core.train_epochs(
            self._net,
            _core.Data(*data),
            index,
            min(self.batch_size, rows),
            self._update,
            lr,
            self.threads,
            generator,
            most,
            keeps_average,
            history,
            with_accuracy,
        )

    def _note(self, lr: float | np.ndarray, updates: int) -> None:
        """Keep the rate of the last of `updates` updates.

        `updates` may be any number: a callback between the steps may have trained the model or reset it.
        """
        if isinstance(lr, float):
            self.rate = lr
        elif updates > 0:
            self.rate = float(lr[min(updates, len(lr)) - 1])


class CustomLossSteps(Steps):
    """Steps whose loss is a Python function of each mini-batch's outputs and targets."""

    def __init__(self, net: _core.Network, *others: Any) -> None:
        super().__init__(net, *others)
        self._tape = _core.Tape(net)

    def quick(self, rows: int) -> bool:
        return False

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
            if self._watcher.every_step:
                self._watcher.before()
            rollback = Rollback(self._net)
            first = rollback.counts[0]
            try:
                batch_outputs = tape.forward(source, batch, self.threads, dropouts(self._settings, first, 1))
                batch_weights = None if weights is None else weights[batch]
                loss, weight = self._backward(batch_outputs, targets[batch], batch_weights)
                if not np.isfinite(loss):
                    raise _core.NonFiniteLossError(start // self.batch_size)
                lr = rate(self.optimizer.lr, first)
                if callable(self.optimizer.weight_decay):
                    self._update.set_weight_decay(rate(self.optimizer.weight_decay, first, WEIGHT_DECAY))
                tape.spend(self._update, lr, weight, at_end=not more and end == len(order))
            except BaseException:
                rollback.undo()
                raise
            self._note(lr, self._net.counts[0] - first)
            loss_sum, weight_sum = loss_sum + loss, weight_sum + weight
            if outputs is not None:
                outputs[start:end] = batch_outputs
            self._watcher.after(len(batch), loss, weight)
        return loss_sum, 0.0, weight_sum

    def _backward(
        self, outputs: np.ndarray, targets: np.ndarray, weights: np.ndarray | None
    ) -> tuple[float, float]:
        """The weight of the batch times its loss, and its weight. A finite loss is propagated backward."""
        settings, tape = self._settings, self._tape
        assert settings.custom_loss is not None
        total = float(len(outputs) if weights is None else weights.sum())
        if total == 0:  # skipped without a call of the loss, which may be infinite for these rows
            return 0.0, 0.0
        losses, gradient = row_losses(settings.custom_loss, outputs, targets, weights is not None)
        with np.errstate(all="ignore"):  # an overflow ends in a DivergedError
            if weights is not None:
                losses, gradient = losses * weights, gradient * weights[:, None]
            loss = float(losses.sum())
            gradient = np.ascontiguousarray(gradient, settings.dtype)
        if settings.penalised:
            penalty = self._net.penalty(settings.l1, settings.l2, trained=True)
            loss += total * settings.penalty_factor(total) * penalty
        if np.isfinite(loss):
            tape.backward(gradient, False)
        return loss, total


def make_steps(net: _core.Network, settings: Settings, *others: Any) -> Steps:
    """The steps for this kind of loss. The arguments are those of `Steps`."""
    return (CustomLossSteps if settings.custom_loss else Steps)(net, settings, *others)
