"""The ways of gradients between ranks: shared memory on one machine, otherwise messages."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from mpi4py import MPI

from .group import LOOK, RECEIVE, SEND, SHARE, Arrays, OtherRankLeft, Wanted


class SharedMemory:
    """All ranks read each other's gradients where they are: nothing is copied, and ranks only wait.

    `wait` returns when requests of MPI have ended. `look` raises OtherRankLeft if a rank has left.
    """

    def __init__(self, comm: Any, wait: Callable[..., None], look: Callable[[], None]) -> None:
        self._comm, self._wait, self._look = comm, wait, look
        self._window: Any = None

    def connect(self, wanted: Wanted) -> Arrays:
        dtype, size, nodes = wanted.dtype, wanted.size, wanted.nodes
        me, shared = self._comm.rank, wanted.barrier + wanted.parameters
        # All have come, and none waits in C, where Python handles no Ctrl-C, for a rank that has gone.
        self._wait(self._comm.Ibarrier())
        own = nodes[me] * size + (shared if me == 0 else 0)
        self._window = MPI.Win.Allocate_shared(own * dtype.itemsize, dtype.itemsize, comm=self._comm)
        self._window.Lock_all()  # `Sync` is only allowed between this and `Unlock_all`
        stored = []
        for rank, count in enumerate(nodes):
            memory, _ = self._window.Shared_query(rank)
            array = np.frombuffer(memory, dtype)
            if rank == 0:  # what all ranks share is in front of its gradients
                of_all, array = array[:shared], array[shared:]
            stored.append(array[: count * size])
        # Nobody writes the padding of parameters, which must be zero.
        stored[me][:] = 0
        if me == 0:
            of_all[: 64 // dtype.itemsize] = 0
        self._window.Sync()
        self._wait(self._comm.Ibarrier())
        self._window.Sync()
        if self._comm.size == 2:
            # To add up two arrays costs no more than to read their sums, and saves a meeting.
            return stored, [None, None], of_all
        # A segment of a rank's first node is read by nobody else until the sum is written there.
        return stored, [array[:size] for array in stored], of_all

    def travel(self, stage: int, layer: int) -> None:
        assert stage == LOOK, "ranks that see the same memory meet there"
        self._look()

    def close(self) -> None:
        if self._window is not None:
            self._window.Unlock_all()
            self._window.Free()


class Messages:
    """Each rank gets its segments of all gradients from all other ranks, and sends the sums to all.

    The gradients of the upper layers travel while those of the lower ones are computed.

    No rank leaves within a step, since the others count on its messages: an error of a signal handler waits
    until this rank has done its part. ``wait(*requests, step)`` returns when requests of MPI have ended, or
    raises OtherRankLeft if a rank has left before that step.

    Attributes
    ----------
    step : int
        The steps that this rank has begun.
    """

    def __init__(self, comm: Any, wait: Callable[..., None]) -> None:
        self._comm, self._wait = comm, wait

    def connect(self, wanted: Wanted) -> Arrays:
        size, nodes = wanted.size, wanted.nodes
        self._size, self._nodes, self._segments = size, nodes, wanted.segments.tolist()
        # Only the own segments of other ranks' arrays are written: the rest of that memory does not exist.
        # Nobody writes the padding of parameters, which must be zero.
        self._stored = [np.zeros(count * size, wanted.dtype) for count in nodes]
        self._result = np.zeros(size, wanted.dtype)
        self._others = [rank for rank in range(self._comm.size) if rank != self._comm.rank]
        self._plan()
        return self._stored, [self._result] * self._comm.size, None

    def _plan(self) -> None:
        """The calls of a step, by stage and layer, and how many there are with them."""
        top = len(self._segments) - 1
        self._calls = {(SEND, layer): self._sends(layer) for layer in range(top, -1, -1)}
        self._calls[SEND, top] = self._receives() + self._calls[SEND, top]
        self._calls |= {(RECEIVE, 0): [], (SHARE, 0): self._shares()}
        self._first, self._ends, end = (SEND, top), {}, 0
        for place, calls in self._calls.items():
            end += len(calls)
            self._ends[place] = end
        self._requests, self.step = [MPI.REQUEST_NULL] * end, 0

    def _receives(self) -> list[Callable[[], Any]]:
        """Ask for the own segments of all layers."""
        me = self._comm.rank
        return [
            partial(self._comm.Irecv, self._part(rank, node, layer, me), rank, self._tag(layer, node))
            for rank in self._others
            for node in range(self._nodes[rank])
            for layer in range(len(self._segments))
        ]

    def _sends(self, layer: int) -> list[Callable[[], Any]]:
        """Send the other ranks' segments of a layer."""
        me = self._comm.rank
        return [
            partial(self._comm.Isend, self._part(me, node, layer, rank), rank, self._tag(layer, node))
            for rank in self._others
            for node in range(self._nodes[me])
        ]

    def _shares(self) -> list[Callable[[], Any]]:
        """Exchange the sums of all segments."""
        calls: list[Callable[[], Any]] = []
        for layer, segments in enumerate(self._segments):
            tag, (start, end) = self._tag(layer, len(self._nodes)), segments[self._comm.rank]
            own = self._result[start:end]
            for rank in self._others:
                start, end = segments[rank]
                calls.append(partial(self._comm.Irecv, self._result[start:end], rank, tag))
                calls.append(partial(self._comm.Isend, own, rank, tag))
        return calls

    def _part(self, owner: int, node: int, layer: int, rank: int) -> np.ndarray:
        """A rank's segment of a layer, of one of the owner's nodes."""
        start, end = self._segments[layer][rank]
        return self._stored[owner][node * self._size + start : node * self._size + end]

    def _tag(self, layer: int, kind: int) -> int:
        return 1 + layer + len(self._segments) * kind

    def travel(self, stage: int, layer: int) -> BaseException | None:
        error: BaseException | None = None
        while True:
            try:
                self._go_on((stage, layer))
                return error
            except (OtherRankLeft, MPI.Exception, MemoryError):
                raise
            except BaseException as of_handler:
                error = of_handler

    def _go_on(self, place: tuple[int, int]) -> None:
        """Come to that place of a step, from wherever a signal handler has broken this off."""
        if place == self._first and len(self._requests) == self._ends[SHARE, 0]:
            self._requests, self.step = [], self.step + 1
        if len(self._requests) < self._ends[place]:
            # Within one function of C: signals are not handled between a call and the storing of its request.
            self._requests.extend(map(operator.call, self._calls[place]))
        if place[0] == SEND:
            MPI.Request.Testall(self._requests[:1])  # lets MPI move what waits
        else:
            self._wait(*self._requests, step=self.step)

    def close(self) -> None:
        """Nothing is left."""
