"""The ranks of one call: where they meet, and how a failure of one ends the call on all.

Every exchange begins with a meeting: each rank gives a record of fixed size, which says where it is and
whether it goes on. A rank that has failed meets the others wherever they are, and all leave together.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import _core
from .._model.core import Core
from ..distributed import RankError
from .interrupts import Interrupts

# By rank, its nodes and its results, or None; and what all ranks share, or None.
Arrays = tuple[list[np.ndarray], list[np.ndarray | None], np.ndarray | None]


class Wanted(NamedTuple):
    """The arrays that a link makes; sizes are in elements. `_core.Shards` explains them."""

    dtype: np.dtype[Any]
    size: int
    nodes: Sequence[int]
    segments: np.ndarray
    barrier: int
    parameters: int


class Link(Protocol):
    """How gradients travel: `_core.Shards` calls these methods and explains them."""

    def connect(self, wanted: Wanted) -> Arrays: ...

    def travel(self, stage: int, layer: int) -> BaseException | None: ...

    def close(self) -> None: ...


class Engine(Protocol):
    """What moves bytes between ranks.

    Attributes
    ----------
    size, rank : int
    local : list of int
        The ranks on the machine of this one.
    """

    size: int
    rank: int
    local: list[int]

    def allgather(self, own: np.ndarray, of_all: np.ndarray) -> None:
        """of_all (size, n) gets each rank's `own` (n,), float64. Other Python threads may run meanwhile."""

    def objects(self, own: bytes) -> list[bytes]:
        """Each rank's bytes."""

    def room(self) -> float:
        """Bytes of memory that all ranks could share now: 0 if they are on several machines."""

    def link(self, shares_memory: bool) -> Link:
        """A new link for gradients. All ranks want the same one."""

    def close(self) -> None:
        """Free what the engine has made; all ranks call it."""

    def leave(self) -> None:
        """Go without the other ranks: when they wait for this one, `OtherRankLeft` is raised there."""

    def abandon(self) -> None:
        """Keep the memory of messages that will not end, after `OtherRankLeft`."""


class At(IntEnum):
    """Where ranks meet."""

    OBJECTS = 1
    STEP = 2
    BATCH = 3
    EPOCH = 4
    END = 5
    PASS = 6


SEND, RECEIVE, SHARE, LOOK = range(4)  # bpk_stage in csrc/bpkern.h
MOST_VALUES = 4  # of a meeting, unless it has 3 per own shard
STOPPED = _core.STOPPED  # a step is broken off, and made again unless a signal handler raises an error
FAILED = 1000


class OtherRankFailed(Exception):
    """Raised on the ranks that have not failed, until `Group.guard` knows what has happened."""


class OtherRankLeft(Exception):
    """Raised on a rank that waits for another one, which has left the call without a meeting.

    That was Ctrl-C there, and is KeyboardInterrupt here, with the same text.
    """

    def __init__(self, rank: int) -> None:
        super().__init__(f"rank {rank} has left the call")


class Group:
    """The ranks of one call.

    Parameters
    ----------
    engine : Engine or None
        None is one process.
    interrupts : Interrupts
        The context of the call.

    Attributes
    ----------
    size, rank, shards : int
        The ranks, this one, and the shards: a multiple of the ranks. Set by `set_shards`.
    core : Core or None
        The model, since it has begun as on all other ranks.
    """

    def __init__(self, engine: Engine | None, interrupts: Interrupts) -> None:
        self.engine, self._interrupts = engine, interrupts
        self.size = 1 if engine is None else engine.size
        self.rank = 0 if engine is None else engine.rank
        self.core: Core | None = None
        self._failed = self._broken = False
        # The others go on from here to an exchange, and need this rank for that.
        self._begins = {At.OBJECTS}
        self._link: Link | None = None
        self._record, self._records = self._new_records(MOST_VALUES)

    def _new_records(self, values: int) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(2 + values), np.zeros((self.size, 2 + values))

    def set_shards(self, shards: int) -> None:
        """Raise ValueError, on all ranks alike, if they have other numbers of shards."""
        given = self.objects(shards)
        for rank, theirs in enumerate(given):
            if theirs != given[0]:
                raise ValueError(f"rank {rank} has shards={theirs}, and rank 0 has {given[0]}")
        self.shards, count = shards, shards // self.size
        self._own = slice(self.rank * count, (self.rank + 1) * count)
        self._record, self._records = self._new_records(max(MOST_VALUES, 3 * count))

    # Meetings ----------------------------------------------------------------------------------------

    def meet(self, place: At, values: Sequence[float] = (), status: int = 0) -> np.ndarray:
        """Each rank's values, (size, number of values): at most MOST_VALUES, or 3 per own shard."""
        if self.engine is None:
            return np.array([values])
        self._interrupts.hold()
        try:
            return self._meet(place, values, status)
        finally:
            self._interrupts.release()

    def _meet(self, place: At, values: Any, status: int) -> np.ndarray:
        assert self.engine is not None
        record, records = self._record, self._records
        record[0], record[1] = place, status
        record[2 : 2 + len(values)] = values
        try:
            self.engine.allgather(record, records)
        except BaseException:
            # The messages may still be on their way. The others count on them; the next meeting has its own.
            self._record, self._records = self._new_records(len(record) - 2)
            self._broken = self._broken or place in self._begins
            raise
        statuses = records[:, 1]
        if ((statuses != 0) & (statuses != STOPPED)).any():
            self._failed = True
            if status in (0, STOPPED):
                raise OtherRankFailed
        elif (records[:, 0] != place).any():
            places = [At(int(each)).name.lower() for each in records[:, 0]]
            raise RuntimeError(
                f"the ranks are at different places of the call, {places}: they must make the same calls, "
                "and callbacks must decide alike on all"
            )
        return records[:, 2 : 2 + len(values)].copy()

    def objects(self, own: Any) -> list[Any]:
        """An object of each rank."""
        if self.engine is None:
            return [own]
        self._interrupts.hold()
        try:
            self._meet(At.OBJECTS, (), 0)
            return self._objects(own)
        finally:
            self._interrupts.release()

    def _objects(self, own: Any) -> list[Any]:
        assert self.engine is not None
        with self._needed_by_others():
            given = pickle.dumps(own, pickle.HIGHEST_PROTOCOL)
            return [pickle.loads(each) for each in self.engine.objects(given)]

    def of_first(self, own: Any) -> Any:
        """The object of rank 0."""
        return self.objects(own if self.rank == 0 else None)[0]

    def total(self, of_own_shards: np.ndarray) -> np.ndarray:
        """The sum over all shards, in the order of the tree, of (own shards, ...)."""
        from .rows import tree_sum

        return tree_sum(np.concatenate(self.objects(np.asarray(of_own_shards))))

    # A fit's steps (the link of `_core.Shards`) ----------------------------------------------------------

    def connect(
        self,
        dtype: np.dtype[Any],
        size: int,
        nodes: Sequence[int],
        segments: np.ndarray,
        barrier: int,
        parameters: int,
    ) -> Arrays:
        """As the link. All ranks call it at the same place.

        Gradients take half of the room for shared memory at most, with `parameters` or without them.
        """
        assert self.engine is not None
        sizes, rooms = self.meet(At.OBJECTS, (float(parameters), self.engine.room())).T
        most = rooms.min() / 2 / dtype.itemsize
        gradients = sum(nodes) * size + barrier
        if (sizes != parameters).any() or gradients + parameters > most:
            parameters = 0
        self._link = self.engine.link(gradients <= most)
        if gradients > most:
            self._begins.add(At.STEP)
        with self._needed_by_others():
            return self._link.connect(Wanted(dtype, size, nodes, segments, barrier, parameters))

    def begin_pass(self, stores: int) -> bool:
        """As the link. If ranks share the parameters, a Ctrl-C waits for the agreement on the first step."""
        self._interrupts.hold()
        found = self._meet(At.PASS, (float(stores),), 0)
        shares = stores != 0 and bool((found == stores).all())
        if not shares:
            self._interrupts.release()
        return shares

    def agree(self, status: int, sums: np.ndarray) -> int:
        """Exchange each shard's sums and the status of a step.

        A good one goes on until `end_meeting`: the others count on this rank's gradients.
        """
        self._interrupts.hold()
        own = sums[self._own]
        found = self._meet(At.STEP, own.ravel(), status)
        sums[:] = found.reshape(sums.shape)
        if status == 0 and not self._records[:, 1].any():
            return 0
        self._interrupts.release()
        return STOPPED

    def end_meeting(self) -> None:
        """The last step has ended."""
        self._interrupts.release()

    def travel(self, stage: int, layer: int) -> BaseException | None:
        """As the link."""
        assert self._link is not None
        return self._link.travel(stage, layer)

    # Failure -----------------------------------------------------------------------------------------

    @contextmanager
    def _needed_by_others(self) -> Iterator[None]:
        """The other ranks wait for what this one does here: after an error, it can only leave the call."""
        try:
            yield
        except BaseException:
            self._broken = True
            raise

    @contextmanager
    def guard(self) -> Iterator[None]:
        """An error within this context, on any rank, ends it on all.

        Raises
        ------
        RankError, KeyboardInterrupt
            On ranks that have not failed themselves.
        """
        if self.engine is None:
            yield
            return
        error: BaseException | None = None
        try:
            try:
                yield
                self.meet(At.END)
            except OtherRankFailed:
                pass
            except OtherRankLeft:
                raise
            except BaseException as own:
                if self._interrupts.abandoned or self._broken:
                    raise
                error = own
            self._interrupts.hold(to_the_end=True)
            self._leave_together(error)
        except OtherRankLeft as other:
            self.engine.abandon()
            raise KeyboardInterrupt(str(other)) from None
        except BaseException:
            if self._interrupts.abandoned or self._broken:
                self.engine.leave()
            raise
        if error is not None:
            raise error

    def _leave_together(self, error: BaseException | None) -> None:
        """Free what the ranks have made. Raises the error of another rank, unless this one has its own."""
        assert self.engine is not None
        found = []
        with self._needed_by_others():
            if error is not None and not self._failed:
                self._meet(At.END, (), FAILED)
            if self._failed:
                own = None if self.core is None else _progress(self.core)
                found = self._objects((_described(error), own))
        if self._link is not None:
            self._link.close()
        self.engine.close()
        if not found:
            return
        failed, (told, progress) = next(
            (rank, each) for rank, each in enumerate(found) if each[0] is not None
        )
        # A rank may have failed before or after others did what one process does: all are as that rank.
        have_all = all(each is not None for _, each in found)
        if self.core is not None and have_all and found[self.rank][1] != progress:
            _go_back(self.core, progress)
        if error is not None:
            return
        is_interrupt, text = told
        if is_interrupt:
            raise KeyboardInterrupt(f"rank {failed}: {text}")
        raise RankError(failed, text)


def _described(error: BaseException | None) -> tuple[bool, str] | None:
    """Whether an error is Ctrl-C, and its text."""
    if error is None:
        return None
    return isinstance(error, KeyboardInterrupt), f"{type(error).__name__}: {error}".rstrip(": ")


def _progress(core: Core) -> bytes:
    """What a fit changes besides its steps, on which ranks agree: the generator and the history."""
    return pickle.dumps((core.random.state(), core.history, core.fitted_1d), pickle.HIGHEST_PROTOCOL)


def _go_back(core: Core, progress: bytes) -> None:
    """Restore what `_progress` has described, of another rank."""
    state, core.history, core.fitted_1d = pickle.loads(progress)
    core.random.go_back(state)
