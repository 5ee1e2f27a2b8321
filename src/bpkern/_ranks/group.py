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
from typing import Any, NoReturn, Protocol

import numpy as np

from .. import _core
from ..distributed import RankError
from .interrupts import Interrupts


class Link(Protocol):
    """How gradients travel: `_core.Shards` calls these methods and explains them."""

    def connect(
        self, dtype: np.dtype[Any], size: int, nodes: Sequence[int], segments: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray | None]]: ...

    def travel(self, stage: int, layer: int) -> None: ...

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

    def link(self) -> Link:
        """A new link for gradients."""

    def close(self) -> None:
        """Free what the engine has made; all ranks call it."""


class At(IntEnum):
    """Where ranks meet."""

    OBJECTS = 1
    STEP = 2
    BATCH = 3
    EPOCH = 4
    END = 5


STOPPED = _core.STOPPED  # a step is broken off, and made again unless a signal handler raises an error
FAILED = 1000


class OtherRankFailed(Exception):
    """Raised on the ranks that have not failed, until `Group.guard` knows what has happened."""


class Group:
    """The ranks of one call.

    Parameters
    ----------
    engine : Engine or None
        None is one process.
    shards : int
        A multiple of the number of ranks.
    """

    def __init__(self, engine: Engine | None, shards: int) -> None:
        self.engine, self.shards = engine, shards
        self.size = 1 if engine is None else engine.size
        self.rank = 0 if engine is None else engine.rank
        self._own = slice(self.rank * (shards // self.size), (self.rank + 1) * (shards // self.size))
        width = 2 + max(4, 3 * shards // self.size)
        self._record, self._records = np.zeros(width), np.zeros((self.size, width))
        self._failed = False
        self._interrupts = Interrupts()
        self._link: Link | None = None

    # Meetings ----------------------------------------------------------------------------------------

    def meet(self, place: At, values: Sequence[float] = (), status: int = 0) -> np.ndarray:
        """Each rank's values, (size, number of values): at most 4 values, or 3 per own shard."""
        if self.engine is None:
            return np.array([values])
        self._interrupts.hold()
        try:
            return self._meet(place, values, status)
        finally:
            if not self._interrupts.abandoned:
                self._interrupts.release()

    def _meet(self, place: At, values: Any, status: int) -> np.ndarray:
        assert self.engine is not None
        record, records = self._record, self._records
        record[0], record[1] = place, status
        record[2 : 2 + len(values)] = values
        self.engine.allgather(record, records)
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
            if not self._interrupts.abandoned:
                self._interrupts.release()

    def _objects(self, own: Any) -> list[Any]:
        assert self.engine is not None
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
        self, dtype: np.dtype[Any], size: int, nodes: Sequence[int], segments: np.ndarray
    ) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
        """As the link. All ranks call it at the same place."""
        assert self.engine is not None
        self.meet(At.OBJECTS)
        self._link = self.engine.link()
        return self._link.connect(dtype, size, nodes, segments)

    def agree(self, status: int, sums: np.ndarray) -> int:
        """Exchange each shard's sums and the status of a step.

        After a good one, Ctrl-C waits until the next meeting: the others count on this rank's gradients.
        """
        self._interrupts.hold()
        own = sums[self._own]
        found = self._meet(At.STEP, own.ravel(), status)
        sums[:] = found.reshape(sums.shape)
        if status == 0 and not self._records[:, 1].any():
            return 0
        self._interrupts.release()
        return STOPPED

    def travel(self, stage: int, layer: int) -> None:
        """As the link."""
        assert self._link is not None
        self._link.travel(stage, layer)

    # Failure -----------------------------------------------------------------------------------------

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
        with self._interrupts:
            try:
                yield
                self.meet(At.END)
            except OtherRankFailed:
                pass
            except BaseException as own:
                error = own
                if self._interrupts.abandoned:
                    raise
            self._interrupts.hold(to_the_end=True)
            if error is not None and not self._failed:
                self._meet(At.END, (), FAILED)
            errors = self._objects(_described(error)) if self._failed else []
            if self._link is not None:
                self._link.close()
            self.engine.close()
        if error is not None:
            raise error
        if errors:
            _raise_for(errors)


def _described(error: BaseException | None) -> tuple[bool, str] | None:
    """Whether an error is Ctrl-C, and its text."""
    if error is None:
        return None
    return isinstance(error, KeyboardInterrupt), f"{type(error).__name__}: {error}".rstrip(": ")


def _raise_for(errors: Sequence[tuple[bool, str] | None]) -> NoReturn:
    """Raise the error of the first rank that has failed."""
    rank, error = next((rank, error) for rank, error in enumerate(errors) if error is not None)
    if error[0]:
        raise KeyboardInterrupt(f"rank {rank}: {error[1]}")
    raise RankError(rank, error[1])
