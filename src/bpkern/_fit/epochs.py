"""The epochs of one fit: rows in some order or a stream of batches, steps over them, and what is left when
these diverge."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .. import _core
from .._data.rows import Rows, bad_row
from .._data.streams import Prefetched
from .._model.seeding import Shuffler
from .._model.settings import Settings
from ..errors import DivergedError
from .steps import Steps, Sums


def _means(sums: Sums, settings: Settings) -> dict[str, float]:
    """Loss and, where there is one, accuracy from their weighted sums and the sum of the weights."""
    loss, accuracy, weight = sums
    metrics = {"loss": loss / weight}
    if settings.has_accuracy:
        metrics["accuracy"] = accuracy / weight
    return metrics


class Epochs:
    """The epochs of one fit, or the one step of `train_on_batch`.

    Parameters
    ----------
    net : Network
        Its writer is the caller, its workspace is there, and a snapshot of its start has been taken.
    settings : Settings
    steps : Steps

    Attributes
    ----------
    iterations : int
        Mini-batches of the last epoch.
    done : int
        Those of the epochs before it, also of a fit that is resumed.
    rows : int or None
        Of an epoch, where that is known before.
    seen : tuple or None
        Where `keep_outputs` is set, of the last epoch: targets, outputs before each update, and weights or
        None, in the order of the steps.
    """

    def __init__(self, net: _core.Network, settings: Settings, steps: Steps, keep_outputs: bool) -> None:
        self._net, self._settings, self._steps = net, settings, steps
        self._keep_outputs = keep_outputs
        self._stepped = False
        self.iterations = self.done = 0
        self.rows: int | None = None
        self.seen: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None

    def run(self, number: int) -> dict[str, float]:
        """Epoch `number`, from 0; its metrics. However it ends, the weights are finite."""
        if self._stepped:
            self._net.snapshot()
        finite = True
        try:
            sums = self._train()
        except _core.NonFiniteLossError as stop:
            raise self._diverged("the loss is no longer finite", number, stop.step) from None
        finally:
            finite = self._net.finite()
            if not finite:
                self._net.restore()
        if not finite:
            raise self._diverged("the weights overflowed", number, self.iterations)
        metrics = _means(sums, self._settings)
        if not math.isfinite(metrics["loss"]):  # each batch's is, and their sum is not
            self._net.restore()
            raise self._diverged("the loss is no longer finite", number, self.iterations)
        self._stepped = True
        self.done += self.iterations
        return metrics

    def _train(self) -> Sums:
        """All steps of an epoch."""
        raise NotImplementedError

    def _rows(self, data: Rows, index: np.ndarray | None, more: bool) -> Sums:
        """Steps over rows."""
        rows = len(data[0]) if index is None else len(index)
        outputs = None
        if self._keep_outputs:
            outputs = np.zeros((rows, self._settings.layers[-1]), self._settings.dtype)
        try:
            sums = self._steps.train(data, index, outputs, more)
        except _core.BadRowError as stop:
            raise bad_row(data, stop.row, self._settings.dtype) from None
        if outputs is not None:
            _, targets, weights = data
            if index is not None:
                targets, weights = targets[index], None if weights is None else weights[index]
            self.seen = targets, outputs, weights
        return sums

    def _diverged(self, what: str, epoch: int, step: int) -> DivergedError:
        lr, iteration = self._steps.optimizer.lr, self.done + step
        return DivergedError(
            f"{what} in epoch {epoch}, at iteration {iteration}: lower the learning rate (lr={lr}), clip the "
            "gradients (clip_norm), or scale X and y; reset() starts again",
            epoch,
            iteration,
        )


class RowEpochs(Epochs):
    """Epochs over rows in memory.

    Parameters
    ----------
    data : Rows
    index : ndarray of int64 or None
        Which rows to train on; None is all of them.
    shuffler : Shuffler or None
        None takes the rows as they come.
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
    ) -> None:
        super().__init__(net, settings, steps, keep_outputs)
        self._data, self._index, self._shuffler = data, index, shuffler
        self._count = self.rows = len(data[0]) if index is None else len(index)
        self.iterations = steps.iterations(self._count)

    def _train(self) -> Sums:
        return self._rows(self._data, self._order(), more=False)

    def _order(self) -> np.ndarray | None:
        if self._shuffler is None:
            return self._index
        order = self._shuffler.permutation(self._count).astype(np.int64, copy=False)
        return order if self._index is None else np.asarray(self._index[order])


class StreamEpochs(Epochs):
    """Epochs over batches that come one by one, read ahead on another thread.

    Parameters
    ----------
    batches : iterable
    read : callable
        From an item to checked `Rows`.
    prepare : callable
        Makes room for a batch of so many rows; how many threads to take for it.
    """

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        steps: Steps,
        keep_outputs: bool,
        batches: Iterable[Any],
        read: Callable[[Any], Rows],
        prepare: Callable[[int], int],
    ) -> None:
        super().__init__(net, settings, steps, keep_outputs)
        self._batches, self._read, self._prepare = batches, read, prepare

    def _train(self) -> Sums:
        loss = accuracy = weight = 0.0
        seen = []
        self.iterations = 0
        with Prefetched(self._batches) as batches:
            for item, more in _with_more(batches):
                data = self._next(item)
                self._steps.batch_size = len(data[0])
                self._steps.threads = self._prepare(len(data[0]))
                try:
                    sums = self._rows(data, None, more)
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
            targets, outputs, weights = zip(*seen, strict=True)
            whole = None if weights[0] is None else np.concatenate(weights)
            self.seen = np.concatenate(targets), np.concatenate(outputs), whole
        return loss, accuracy, weight

    def _next(self, item: Any) -> Rows:
        try:
            return self._read(item)
        except (ValueError, TypeError) as error:
            raise type(error)(f"batch {self.iterations}: {error}") from None


def _with_more(items: Iterable[Any]) -> Iterable[tuple[Any, bool]]:
    """Each item with whether another comes."""
    before: list[Any] = []
    for item in items:
        if before:
            yield before.pop(), True
        before.append(item)
    if before:
        yield before.pop(), False
