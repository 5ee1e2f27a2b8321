"""MPI as the engine between ranks."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
from mpi4py import MPI

from .group import Link
from .mpi_gradients import Messages, SharedMemory

# A rank that waits looks again without a pause for SPIN seconds: most waits between steps are shorter than
# even a sleep of 0 seconds. Until EAGER, it sleeps for 0 seconds in between, and then for SLEEP, so that it
# leaves the processor to others: one may be at work for long in a callback.
SPIN, EAGER, SLEEP = 0.0003, 0.002, 0.0005


def wait(*requests: Any) -> None:
    """Wait for requests of MPI."""
    start = None
    while not MPI.Request.Testall(list(requests)):
        now = time.perf_counter()
        if start is None:
            start = now
        if now > start + SPIN:
            time.sleep(0 if now < start + EAGER else SLEEP)


class MpiEngine:
    """The ranks of a communicator, of which it uses a copy: messages of the caller do not meet its own."""

    def __init__(self, comm: Any) -> None:
        if not isinstance(comm, MPI.Intracomm):
            raise TypeError(
                f"comm must be a communicator of mpi4py, as MPI.COMM_WORLD, or None, not {comm!r}"
            )
        self._comm = comm.Dup()
        self.size, self.rank = comm.size, comm.rank
        self._machine = self._comm.Split_type(MPI.COMM_TYPE_SHARED, self.rank)
        self.local = self._machine.allgather(self.rank)

    def allgather(self, own: np.ndarray, of_all: np.ndarray) -> None:
        wait(self._comm.Iallgather(own, of_all))

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
                wait(self._comm.Ibcast(part, rank))
        return [found[start:end].tobytes() for start, end in pairwise(starts.tolist())]

    def link(self) -> Link:
        if shares_memory(self):
            return SharedMemory(self._comm, wait)
        return Messages(self._comm, wait)

    def close(self) -> None:
        self._machine.Free()
        self._comm.Free()


MOST_BYTES = 1 << 30


def shares_memory(engine: MpiEngine) -> bool:
    """Whether gradients go through shared memory: all ranks are on one machine."""
    return bool(len(engine.local) == engine.size)
