"""MPI as the engine between ranks."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import os
import shutil
import time
from itertools import pairwise
from typing import Any

import numpy as np
from mpi4py import MPI

from .group import Link, OtherRankLeft
from .mpi_gradients import Messages, SharedMemory

# A rank that waits looks again without a pause for SPIN seconds: most waits between steps are shorter than
# even a sleep of 0 seconds. Until EAGER, it sleeps for 0 seconds in between, and then for SLEEP, so that it
# leaves the processor to others: one may be at work for long in a callback.
SPIN, EAGER, SLEEP = 0.0003, 0.002, 0.0005

# Copies of communicators that a rank has not waited for: MPI writes into them when the last rank comes,
# which may be after the call.
_KEPT: list[Any] = []


class MpiEngine:
    """The ranks of a communicator, of which it uses a copy: messages of the caller do not meet its own."""

    def __init__(self, comm: Any) -> None:
        if not isinstance(comm, MPI.Intracomm):
            raise TypeError(
                f"comm must be a communicator of mpi4py, as MPI.COMM_WORLD, or None, not {comm!r}"
            )
        self._comm: Any = None
        self.size, self.rank = comm.size, comm.rank
        self._unfinished: list[Any] = []
        self._left: dict[int, int] = {}  # by rank, the steps that it had begun
        self._link: Link | None = None
        # Others may come late. MPI would wait in C, where Python handles no Ctrl-C.
        copy, request = comm.Idup()
        try:
            self._wait(request)
        except BaseException:
            _KEPT.append((copy, request))
            raise
        self._comm = copy
        try:
            # All have come: none waits in C for a rank that has gone.
            self._wait(self._comm.Ibarrier())
            self._machine = self._comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank)
            self.local = self._machine.allgather(self.rank)
        except OtherRankLeft as other:
            self.abandon()
            raise KeyboardInterrupt(str(other)) from None
        except BaseException:
            self.leave()
            raise

    def allgather(self, own: np.ndarray, of_all: np.ndarray) -> None:
        self._wait(self._comm.Iallgather(own, of_all))

    def objects(self, own: bytes) -> list[bytes]:
        sizes = np.zeros(self.size)
        self.allgather(np.array([float(len(own))]), sizes)
        counts = sizes.astype(np.int64).tolist()
        found = np.empty(sum(counts), np.uint8)
        # Counts have 32 bits in older versions of MPI, so objects travel in parts of at most MOST_BYTES.
        starts = np.cumsum([0, *counts])
        given = np.frombuffer(own, np.uint8)
        for rank, count in enumerate(counts):
            for at in range(0, count, MOST_BYTES):
                part = found[starts[rank] + at : starts[rank] + min(at + MOST_BYTES, count)]
                if rank == self.rank:
                    part[:] = given[at : at + len(part)]
                self._wait(self._comm.Ibcast(part, rank))
        return [found[start:end].tobytes() for start, end in pairwise(starts.tolist())]

    def room(self) -> float:
        return common_room(self)

    def link(self, shares_memory: bool) -> Link:
        self._link = (
            SharedMemory(self._comm, self._wait, self._look_for_others)
            if shares_memory
            else Messages(self._comm, self._wait)
        )
        return self._link

    def close(self) -> None:
        self._machine.Free()
        self._comm.Free()

    def leave(self) -> None:
        if self._comm is not None:
            others = (rank for rank in range(self.size) if rank != self.rank)
            begun = np.array([self._link.step if isinstance(self._link, Messages) else 0])
            self._unfinished += [self._comm.Isend(begun, rank, LEFT) for rank in others]
            self.abandon()

    def abandon(self) -> None:
        # Other ranks may still write here. The communicator is not freed, so its attributes live on.
        self._comm.Set_attr(MPI.Comm.Create_keyval(), self)

    def _wait(self, *requests: Any, step: int | None = None) -> None:
        """Wait for requests of MPI. Raises OtherRankLeft as below, and whatever a signal handler raises."""
        start = None
        try:
            while not MPI.Request.Testall(list(requests)):
                now = time.perf_counter()
                if start is None:
                    start = now
                if now > start + SPIN:
                    self._look_for_others(step)
                    time.sleep(0 if now < start + EAGER else SLEEP)
        except BaseException:
            self._unfinished += requests
            raise

    def _look_for_others(self, step: int | None = None) -> None:
        """Raise OtherRankLeft if a rank has left, within a step only if it has not begun that step."""
        status, begun = MPI.Status(), np.empty(1, np.int64)
        while self._comm is not None and self._comm.Iprobe(MPI.ANY_SOURCE, LEFT, status):
            self._comm.Recv(begun, status.source, LEFT)
            self._left[status.source] = int(begun[0])
        for rank, begun_there in self._left.items():
            if step is None or begun_there < step:
                raise OtherRankLeft(rank)


MOST_BYTES = 1 << 30
MEMORY = "/dev/shm"  # where Linux has the memory that processes share
LEFT = 0  # the tag of the message that a rank has left; those of gradients are larger


def common_room(engine: MpiEngine) -> float:
    """As `Engine.room`. The system kills a process that writes shared memory for which there is no room."""
    if len(engine.local) < engine.size:
        return 0.0
    return shutil.disk_usage(MEMORY).free if os.path.isdir(MEMORY) else math.inf
