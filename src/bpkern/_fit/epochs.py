"""The epochs of one fit: steps over rows in some order, or over a stream of batches."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from .. import _checks, _core
from .._data import streams
from .._data.gathered import GatheredRows
from .._data.rows import Rows, bad_row
from .._model.seeding import RandomState, Shuffler
from .._model.settings import Settings
from ..errors import DivergedError
from ..history import History
from ..optimizers import Optimizer
from .rollback import restore_unless_finite
from .steps import Steps, Sums

# Row numbers that are replaced at once.
RENUMBERED = 1 << 16

# Targets, outputs before each update, and weights or None, in the order of the steps.
Seen = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _means(sums: Sums, settings: Settings) -> dict[str, float]:
    """The loss and, for the two cross-entropies, the accuracy from their sums over rows."""
    loss, accuracy, weight = sums
    metrics = {"loss": loss / weight}
    if settings.has_accuracy:
        metrics["accuracy"] = accuracy / weight
    return metrics


def diverged(stop: _core.NonFiniteLossError, epoch: int, done: int, optimizer: Optimizer) -> DivergedError:
    """The error for a divergence in an epoch, counted from 0, after `done` mini-batches of finished ones."""
    what = "the loss is no longer finite"
    if isinstance(stop, _core.OverflowedError):
        what = "the weights overflowed"
    iteration = done + stop.step
    return DivergedError(
        f"{what} in epoch {epoch}, at iteration {iteration}: lower the learning rate (lr={optimizer.lr}), "
        "clip the gradients (clip_norm), or scale X and y; reset() starts again",
        epoch,
        iteration,
    )


class Epochs:
    """The epochs of one fit, or the one step of `train_on_batch` with a Python function as the loss.

    Parameters
    ----------
    net : _core.Network
        This thread is inside its `writing()`. It has a workspace for the batches.
    settings : Settings
    steps : Steps
    keep_outputs : bool
        Whether to fill `seen`.

    Attributes
    ----------
    iterations : int
        Mini-batches of the epoch that runs or has ended last.
    done : int
        Mini-batches of all finished epochs, including those before a fit was resumed.
    rows : int or None
        Rows of an epoch, if that is known in advance.
    seen : Seen or None
        Of the last epoch, if its outputs are kept.
    """

    def __init__(self, net: _core.Network, settings: Settings, steps: Steps, keep_outputs: bool) -> None:
        self._net, self._settings, self._steps = net, settings, steps
        self._keep_outputs = keep_outputs
        self.iterations = self.done = 0
        self.rows: int | None = None
        self.seen: Seen | None = None

    def run(self, number: int) -> dict[str, float]:
        """Train for epoch `number`, counted from 0, and return its loss and accuracy.

        Raises
        ------
        DivergedError
            If the loss or the weights are no longer finite. The weights are then restored to finite ones.
        ValueError, TypeError
            For rows and batches that do not fit.
        Exception
            Any error of the iterable, of a Python function as loss or learning rate, or of a batch hook.
        """
        self._net.snapshot()
        try:
            sums = self._train()
        except _core.NonFiniteLossError as stop:
            raise self._diverged(stop, number) from None
        except DivergedError:
            # Raised by a call between the steps, as from a callback. If the weights are not finite, the steps
            # of this epoch have overflowed.
            if self._net.finite():
                raise
            raise self._diverged(_core.OverflowedError(self.iterations), number) from None
        finally:
            finite = restore_unless_finite(self._net)
        if not finite:
            raise self._diverged(_core.OverflowedError(self.iterations), number)
        metrics = _means(sums, self._settings)
        if not math.isfinite(metrics["loss"]):  # a sum of finite losses may overflow
            self._net.restore()
            raise self._diverged(_core.NonFiniteLossError(self.iterations), number)
        self.done += self.iterations
        return metrics

    def _train(self) -> Sums:
        """Take all steps of an epoch."""
        raise NotImplementedError

    def _train_rows(self, data: Rows, index: np.ndarray | None, more: bool) -> Sums:
        """Take the steps over some rows and set `seen`; arguments as for `Steps.train`."""
        rows = len(data[0]) if index is None else len(index)
        outputs = None
        if self._keep_outputs:
            outputs = np.zeros((rows, self._settings.layers[-1]), self._settings.dtype)
        try:
            sums = self._steps.train(data, index, outputs, more)
        except _core.BadRowError as stop:
            settings = self._settings
            raise bad_row(data, stop.row, settings) from None
        if outputs is not None:
            _, targets, weights = data
            if index is not None:
                targets, weights = targets[index], None if weights is None else weights[index]
            self.seen = targets, outputs, weights
        return sums

    def _diverged(self, stop: _core.NonFiniteLossError, epoch: int) -> DivergedError:
        """The error for a divergence in an epoch, counted from 0."""
        return diverged(stop, epoch, self.done, self._steps.optimizer)


class RowEpochs(Epochs):
    """Epochs over rows in memory.

    Parameters
    ----------
    data : Rows
    index : ndarray of int64, or int32 with gathered rows, or None
        The rows to train on; None is all of them.
    shuffler : Shuffler or None
        The source of a new order for each epoch; None keeps the order of the rows.
    drop_last : bool
        Whether the rows of an epoch that do not fill a mini-batch are left out: the last ones of its order.

    Raises
    ------
    ValueError
        If no mini-batch would be left.
    """

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        steps: Steps,
        keep_outputs: bool,
        data: Rows,
        index: np.ndarray | None,
        shuffler: Shuffler | None,
        drop_last: bool,
    ) -> None:
        super().__init__(net, settings, steps, keep_outputs)
        self._data, self._index, self._shuffler = data, index, shuffler
        self._generator: np.random.Generator | None = None  # of the orders, if C can draw from it
        if isinstance(shuffler, RandomState) and _core.shuffles(shuffler.generator):
            self._generator = shuffler.generator
        self._count = len(data[0]) if index is None else len(index)
        self._used = self._count // steps.batch_size * steps.batch_size if drop_last else self._count
        self.rows = self._used
        if not self._used:
            raise ValueError(
                f"drop_last leaves no mini-batch: batch_size must be at most the number of rows to train on, "
                f"{self._count}, not {steps.batch_size}"
            )
        self.iterations = steps.iterations(self._used)

    def _train(self) -> Sums:
        sums = self._train_rows(self._data, self._order(), more=False)
        if sums[2] == 0 and self._used < self._count:
            raise ValueError("drop_last has left only rows of weight 0 in an epoch")
        return sums

    @property
    def quick(self) -> bool:
        """Whether `run_some` can train: epochs are short, and C can draw their orders."""
        has_orders = self._shuffler is None or self._generator is not None
        return (
            has_orders
            and self._used == self._count
            and not self._keep_outputs
            and not isinstance(self._data[0], GatheredRows)
            and self._steps.quick(self._count)
        )

    def run_some(
        self, number: int, most: int, keeps_average: bool, history: History, wants_accuracy: bool
    ) -> int:
        """Train for epoch `number`, counted from 0, and up to ``most - 1`` more, in one call into C.

        Finished epochs are in the history, also after an error. Without `keeps_average`, the average of the
        parameters is dropped after an epoch.

        Returns
        -------
        int
            The number of epochs.

        Raises
        ------
        DivergedError, ValueError
            As `run`; and whatever a handler of a signal raises.
        """
        before = len(history.lr)
        try:
            self._steps.train_epochs(
                self._data,
                self._index,
                self._generator,
                most,
                keeps_average,
                history,
                wants_accuracy and self._settings.has_accuracy,
            )
        except _core.BadRowError as stop:
            settings = self._settings
            raise bad_row(self._data, stop.row, settings) from None
        except _core.NonFiniteLossError as stop:
            finished = len(history.lr) - before
            raise diverged(
                stop, number + finished, self.done + finished * self.iterations, self._steps.optimizer
            ) from None
        finished = len(history.lr) - before
        self.done += finished * self.iterations
        return finished

    def _order(self) -> np.ndarray | None:
        """The rows of the next epoch in their order, None for all rows in the order of the data.

        They are int64, or of gathered rows int32.
        """
        if self._shuffler is None:
            if self._used == self._count:
                return self._index
            return np.arange(self._used) if self._index is None else self._index[: self._used]
        order = self._shuffler.permutation(self._count).astype(np.int64, copy=False)[: self._used]
        if self._index is None:
            return order
        # scikit-learn's shuffler keeps the array that it returns.
        if len(order) <= RENUMBERED or not isinstance(self._shuffler, RandomState):
            return np.asarray(self._index[order])
        for start in range(0, len(order), RENUMBERED):  # in place: of many rows, another order is large
            part = order[start : start + RENUMBERED]
            part[:] = self._index[part]
        return order


class StreamEpochs(Epochs):
    """Epochs over batches of an iterable, fetched ahead and read on another thread.

    Parameters
    ----------
    batches : iterable
    read : callable
        Checks an item and returns its `Rows`, in memory of their own, and whether its y has one dimension. It
        is called on the other thread.
    prepare : callable
        Called before each batch with its number of rows and whether its y has one dimension. Reserves memory,
        and returns the number of threads for the batch.
    """

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        steps: Steps,
        keep_outputs: bool,
        batches: Iterable[Any],
        read: Callable[[Any], tuple[Rows, bool]],
        prepare: Callable[[int, bool], int],
    ) -> None:
        super().__init__(net, settings, steps, keep_outputs)
        self._batches, self._read, self._prepare = batches, read, prepare

    def _train(self) -> Sums:
        from .._data.prefetch import Prefetched  # with its import of threading

        loss = accuracy = weight = 0.0
        seen = []
        self.iterations = 0
        with Prefetched(streams.ReadBatches(self._batches, self._read)) as batches:
            for batch, more in with_more(batches):
                data, y_is_1d = self._checked(batch)
                self._steps.batch_size = len(data[0])
                self._steps.threads = self._prepare(len(data[0]), y_is_1d)
                try:
                    sums = self._train_rows(data, None, more)
                except _core.NonFiniteLossError:
                    raise _core.NonFiniteLossError(self.iterations) from None
                loss, accuracy, weight = loss + sums[0], accuracy + sums[1], weight + sums[2]
                self.iterations += 1
                if self.seen is not None:
                    seen.append(self.seen)
        if not self.iterations:
            raise ValueError("X gave no batch")
        if weight == 0:
            raise ValueError("sample_weight must not be 0 in every row")
        if seen:
            self.seen = joined(seen)
        return loss, accuracy, weight

    def _checked(self, batch: tuple[Rows, bool] | Exception) -> tuple[Rows, bool]:
        """The batch, or its error raised; the message then begins with the number of the batch."""
        if isinstance(batch, (ValueError, TypeError)):
            raise _checks.within(f"batch {self.iterations}", batch) from None
        if isinstance(batch, Exception):
            raise batch
        return batch


def joined(seen: Sequence[Seen]) -> Seen:
    """The rows of all batches. If only some batches have weights, rows of the others have a weight of 1."""
    targets, outputs, weights = zip(*seen, strict=True)
    whole = None
    if any(each is not None for each in weights):
        pairs = zip(targets, weights, strict=True)
        whole = np.concatenate([np.ones(len(rows)) if each is None else each for rows, each in pairs])
    return np.concatenate(targets), np.concatenate(outputs), whole


def with_more(items: Iterable[Any]) -> Iterable[tuple[Any, bool]]:
    """Each item, and whether another one follows; fetches one item ahead to know."""
    before: list[Any] = []
    for item in items:
        if before:
            yield before.pop(), True
        before.append(item)
    if before:
        yield before.pop(), False
