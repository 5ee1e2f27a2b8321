"""Steps and epochs of shards: over rows in memory, or over a stream of batches."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _checks, _core
from .._data import streams
from .._data.rows import Rows
from .._fit.epochs import Epochs, Seen, joined, with_more
from .._fit.steps import Steps, Sums, Watcher
from .._model.seeding import RandomState
from .._model.settings import Settings
from . import rows as parts
from .group import At, Group


class ShardSteps(Steps):
    """Mini-batches that take their share from each shard.

    `batch_size` is that of all ranks together.

    Parameters
    ----------
    shares : bool
        Whether each pass is an epoch of rows in memory in which each mini-batch makes an update at once.

    Attributes
    ----------
    rows : int
        Of the next call of `train`, on all ranks together.
    """

    rows = 0

    def __init__(self, net: _core.Network, *others: Any, group: Group, shares: bool) -> None:
        super().__init__(net, *others)
        shares = shares and group.size > 1 and not self._watcher.every_step
        states = self._update.states if shares else None
        self._watcher = AfterMeetings(self._watcher, group)
        self._group = group
        self.most_threads = self.threads
        link = None if group.engine is None else group
        self._shards = _core.Shards(net, group.shards, self.threads, link, states)

    def train(
        self, data: Rows, index: np.ndarray | None, outputs: np.ndarray | None = None, more: bool = False
    ) -> Sums:
        """As `Steps.train`, for the own rows in the order of `rows.layout`."""
        batch = min(self.batch_size, self.rows)
        self._shards.set_rows(self.rows, batch)
        height = parts.height(batch, self._group.shards, self._group.size)
        return self._pass(data, index, self.rows, height, outputs, more, self._shards)


class AfterMeetings(Watcher):
    """Tells the group that the last meeting has ended, and then calls the watcher: after each slice of
    steps."""

    def __init__(self, watcher: Watcher, group: Group) -> None:
        self._watcher, self._group = watcher, group
        self.every_step = watcher.every_step

    def before(self) -> None:
        self._watcher.before()

    def after(self, rows: int, loss: float, weight: float) -> None:
        self._group.end_meeting()
        self._watcher.after(rows, loss, weight)


class ShardRows(Epochs):
    """Epochs over rows in memory.

    Parameters
    ----------
    data : Rows
        The own rows.
    count : int
        The rows of all ranks.
    group : Group
    random : RandomState or None
        Its generator draws a seed per shard and epoch, the same on all ranks; None keeps the rows' order.
    drop_last : bool
        As for `bpkern._fit.epochs.RowEpochs`.
    """

    _steps: ShardSteps

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        steps: ShardSteps,
        keep_outputs: bool,
        data: Rows,
        count: int,
        group: Group,
        random: RandomState | None,
        drop_last: bool,
    ) -> None:
        super().__init__(net, settings, steps, keep_outputs)
        self._data, self._group, self._random = data, group, random
        batch = min(steps.batch_size, count)
        if drop_last and batch < steps.batch_size:
            raise ValueError(
                f"drop_last leaves no mini-batch: batch_size must be at most the number of rows of all "
                f"ranks, {count}, not {steps.batch_size}"
            )
        self._dropped = count % batch if drop_last else 0
        self.rows = steps.rows = count - self._dropped
        self.iterations = steps.iterations(self.rows)
        self._layout = parts.layout(count, batch, group.shards, group.size, group.rank, drop_last)
        self._bounds = parts.own_bounds(count, group.shards, group.size, group.rank)

    def _train(self) -> Sums:
        sums = self._train_rows(self._data, self._order(), more=False)
        if sums[2] == 0 and self._dropped:
            raise ValueError("drop_last has left only rows of weight 0 in an epoch")
        if self.seen is not None:
            # By shards, an order that does not depend on the number of ranks.
            targets, outputs, weights = self.seen
            place = np.argsort(self._layout)
            self.seen = targets[place], outputs[place], None if weights is None else weights[place]
        return sums

    def _order(self) -> np.ndarray:
        """The own rows of the next epoch in their order, int64."""
        if self._random is None:
            return self._layout
        generator, own = self._random.generator, len(self._bounds) - 1
        seeds = np.asarray(generator.integers(2**64, size=self._group.shards, dtype=np.uint64))
        first = self._group.rank * own
        orders = [
            start + _core.permutation(np.random.default_rng(int(seed)), end - start)
            for seed, start, end in zip(
                seeds[first : first + own], self._bounds[:-1], self._bounds[1:], strict=True
            )
        ]
        order: np.ndarray = np.concatenate(orders)[self._layout]
        return order.astype(np.int64, copy=False)


class ShardStream(Epochs):
    """Epochs over batches of which each rank's iterable gives its own rows.

    Parameters
    ----------
    batches, read, prepare
        As for `bpkern._fit.epochs.StreamEpochs`; `prepare` gets the height of the workspace.
    group : Group
    """

    _steps: ShardSteps

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        steps: ShardSteps,
        keep_outputs: bool,
        batches: Iterable[Any],
        read: Callable[[Any], tuple[Rows, bool]],
        prepare: Callable[[int, bool], int],
        group: Group,
    ) -> None:
        super().__init__(net, settings, steps, keep_outputs)
        self._batches, self._read, self._prepare, self._group = batches, read, prepare, group

    def _train(self) -> Sums:
        from .._data.prefetch import Prefetched  # with its import of threading

        loss = accuracy = weight = 0.0
        seen = []
        self.iterations = 0
        with Prefetched(streams.ReadBatches(self._batches, self._read)) as batches:
            for (data, y_is_1d, rows), more in with_more(self._agreed(batches)):
                steps = self._steps
                steps.rows = steps.batch_size = rows
                most = self._prepare(parts.height(rows, self._group.shards, self._group.size), y_is_1d)
                steps.threads = min(most, steps.most_threads)
                index = parts.layout(rows, rows, self._group.shards, self._group.size, self._group.rank)
                try:
                    sums = self._train_rows(data, index, more)
                except _core.NonFiniteLossError:
                    raise _core.NonFiniteLossError(self.iterations) from None
                loss, accuracy, weight = loss + sums[0], accuracy + sums[1], weight + sums[2]
                self.iterations += 1
                if self.seen is not None:
                    bounds = parts.own_bounds(rows, self._group.shards, self._group.size, self._group.rank)
                    seen.append([of_rows(self.seen, *part) for part in pairwise(bounds.tolist())])
        if not self.iterations:
            raise ValueError("X gave no batch")
        if weight == 0:
            raise ValueError("sample_weight must not be 0 in every row")
        if seen:
            # By shards, an order that does not depend on the number of ranks.
            self.seen = joined([joined(batches) for batches in zip(*seen, strict=True)])
        return loss, accuracy, weight

    def _agreed(self, batches: Iterable[Any]) -> Iterator[tuple[Rows, bool, int]]:
        """Each batch of this rank, and its rows on all ranks. All ranks have as many batches."""
        group, given = self._group, iter(batches)
        for number in _counted():
            batch = next(given, None)
            if isinstance(batch, (ValueError, TypeError)):
                raise _checks.within(f"batch {number}", batch) from None
            if isinstance(batch, Exception):
                raise batch
            found = group.meet(
                At.BATCH, (float(batch is not None), 0.0 if batch is None else len(batch[0][0]))
            )
            has, rows = found[:, 0] != 0, found[:, 1].astype(np.int64)
            if not has.any():
                return
            if not has.all():
                short, long = int(np.argmin(has)), int(np.argmax(has))
                raise ValueError(f"rank {short} gave {number} batches in an epoch, and rank {long} gave more")
            total = int(rows.sum())
            check_counts(f"batch {number}", rows, group)
            assert batch is not None
            yield batch[0], batch[1], total


def of_rows(seen: Seen, start: int, end: int) -> Seen:
    """Rows `start` to ``end - 1``."""
    targets, outputs, weights = seen
    return targets[start:end], outputs[start:end], None if weights is None else weights[start:end]


def _counted() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def check_counts(what: str, rows: np.ndarray, group: Group) -> None:
    """Raise ValueError unless each rank has given its own rows of their total."""
    total = int(rows.sum())
    if total < group.shards:
        raise ValueError(f"{what} has {total} rows on all ranks: each of the {group.shards} shards needs one")
    wanted = np.diff(parts.bounds(total, group.shards)[:: group.shards // group.size])
    for rank, (given, own) in enumerate(zip(rows, wanted, strict=True)):
        if given != own:
            raise ValueError(
                f"{what} has {total} rows, of which rank {rank} must give {own}, not {given}: "
                "bpkern.distributed.own_rows says which"
            )
