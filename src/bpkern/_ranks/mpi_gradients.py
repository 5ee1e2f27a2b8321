"""The ways of gradients between ranks: shared memory on one machine, otherwise messages."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

Arrays = tuple[list[np.ndarray], list[np.ndarray | None], np.ndarray | None]
SEND, RECEIVE, SHARE, LOOK = range(4)  # bpk_stage in csrc/bpkern.h


class SharedMemory:
    """All ranks read each other's gradients where they are: nothing is copied, and ranks only wait.

    `look` raises OtherRankLeft if a rank has left.
    """

    def __init__(self, comm: Any, wait: Callable[..., None], look: Callable[[], None]) -> None:
        self._comm, self._wait, self._look = comm, wait, look
        self._window: Any = None

    def connect(
        self, dtype: np.dtype[Any], size: int, nodes: Sequence[int], segments: np.ndarray, shared: int
    ) -> Arrays:
        me = self._comm.rank
        own = nodes[me] * size + (shared if me == 0 else 0)
        self._window = MPI.Win.Allocate_shared(own * dtype.itemsize, dtype.itemsize, comm=self._comm)
        self._window.Lock_all()  # `Sync` is only allowed between this and `Unlock_all`
        stored = []
        for rank, count in enumerate(nodes):
            memory, _ = self._window.Shared_query(rank)
            array = np.frombuffer(memory, dtype)
            if rank == 0:  # what all ranks share is in front of its gradients
                of_all, array = array[:shared] if shared else None, array[shared:]
            stored.append(array[: count * size])
        # Nobody writes the padding of parameters, which must be zero.
        stored[me][:] = 0
        if of_all is not None:
            if me == 0:
                of_all[: 64 // dtype.itemsize] = 0
            self._meet()
        if self._comm.size == 2:
            # To add up two arrays costs no more than to read their sums, and saves a meeting.
            return stored, [None, None], of_all
        # A segment of a rank's first node is read by nobody else until the sum is written there.
        return stored, [array[:size] for array in stored], of_all

    def travel(self, stage: int, layer: int) -> None:
        if stage == LOOK:
            self._look()
        elif stage != SEND:
            self._meet()

    def _meet(self) -> None:
        self._window.Sync()
        self._wait(self._comm.Ibarrier())
        self._window.Sync()

    def close(self) -> None:
        if self._window is not None:
            self._window.Unlock_all()
            self._window.Free()


class Messages:
    """Each rank gets its segments of all gradients from all other ranks, and sends the sums to all.

    The gradients of the upper layers travel while those of the lower ones are computed.
    """

    def __init__(self, comm: Any, wait: Callable[..., None], look: Callable[[], None]) -> None:
        self._comm, self._wait = comm, wait
        self._requests: list[Any] = []

    def connect(
        self, dtype: np.dtype[Any], size: int, nodes: Sequence[int], segments: np.ndarray, shared: int
    ) -> Arrays:
        self._size, self._nodes, self._segments = size, nodes, segments.tolist()
        # Only the own segments of other ranks' arrays are written: the rest of that memory does not exist.
        # Nobody writes the padding of parameters, which must be zero.
        self._stored = [np.zeros(count * size, dtype) for count in nodes]
        self._result = np.zeros(size, dtype)
        self._others = [rank for rank in range(self._comm.size) if rank != self._comm.rank]
        return self._stored, [self._result] * self._comm.size, None

    def travel(self, stage: int, layer: int) -> None:
        me, comm = self._comm.rank, self._comm
        if stage == SEND:
            if layer == len(self._segments) - 1:
                self._receive()
            for rank in self._others:
                for node in range(self._nodes[me]):
                    part = self._part(me, node, layer, rank)
                    self._requests.append(comm.Isend(part, rank, self._tag(layer, node)))
            MPI.Request.Testall(self._requests[:1])  # lets MPI move what waits
            return
        if stage == SHARE:
            for layer in range(len(self._segments)):
                for rank in self._others:
                    tag = self._tag(layer, len(self._nodes))
                    start, end = self._segments[layer][rank]
                    self._requests.append(comm.Irecv(self._result[start:end], rank, tag))
                    start, end = self._segments[layer][me]
                    self._requests.append(comm.Isend(self._result[start:end], rank, tag))
        requests, self._requests = self._requests, []
        self._wait(*requests)

    def _receive(self) -> None:
        """Ask for the own segments of all layers."""
        me = self._comm.rank
        for rank in self._others:
            for node in range(self._nodes[rank]):
                for layer in range(len(self._segments)):
                    part = self._part(rank, node, layer, me)
                    self._requests.append(self._comm.Irecv(part, rank, self._tag(layer, node)))

    def _part(self, owner: int, node: int, layer: int, rank: int) -> np.ndarray:
        """A rank's segment of a layer, of one of the owner's nodes."""
        start, end = self._segments[layer][rank]
        return self._stored[owner][node * self._size + start : node * self._size + end]

    def _tag(self, layer: int, kind: int) -> int:
        return 1 + layer + len(self._segments) * kind

    def close(self) -> None:
        """Nothing is left."""
