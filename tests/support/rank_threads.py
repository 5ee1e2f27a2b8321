"""Ranks that are threads of this process, for tests without MPI: any number, and their memory to look at."""

import math
import threading
from contextlib import contextmanager

import numpy as np

from bpkern._ranks.group import LOOK, SEND, Group, OtherRankLeft
from bpkern._ranks.interrupts import Interrupts

PATIENCE = 60  # seconds that a rank waits for the others


class Machine:
    """What the ranks have in common.

    Attributes
    ----------
    has_memory : bool
        Whether ranks see the same memory: they meet there, and may share the parameters.
    has_results : bool
        Whether they exchange sums of gradients, where they do not share the parameters.
    room : float
        Bytes that ranks can share, as one of them finds.
    gradients : int
        The bytes of all ranks' gradients, from the last fit, and of the place where ranks meet.
    by_memory : bool
        Whether the last fit wanted gradients in shared memory.
    shared : ndarray
        The parameters' place, from the last fit.
    """

    def __init__(self, size, has_memory=True, has_results=False, room=math.inf):
        self.size, self.has_memory, self.has_results, self.room = size, has_memory, has_results, room
        self.by_memory = self.gradients = self.shared = None
        self._barrier, self._given = threading.Barrier(size), [None] * size

    def wait(self):
        self._barrier.wait(PATIENCE)

    def look(self):
        if self._barrier.broken:
            raise OtherRankLeft(-1)

    def exchanged(self, rank, own):
        """What each rank gives."""
        self._given[rank] = own
        self.wait()
        found = list(self._given)
        self.wait()
        return found

    def run(self, work):
        """The results of work(rank), on all ranks at once."""
        results, errors = [None] * self.size, []

        def run(rank):
            try:
                results[rank] = work(Rank(self, rank))
            except BaseException as error:  # raised below, whatever it is
                errors.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(self.size)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        if errors:
            raise errors[0]
        return results


class Rank:
    """A rank as an engine, as the link of its gradients, and as what `fit` gets as `comm`."""

    def __init__(self, machine, rank):
        self.machine, self.size, self.rank, self.local = machine, machine.size, rank, range(machine.size)

    def allgather(self, own, of_all):
        of_all[:] = self.machine.exchanged(self.rank, own.copy())

    def objects(self, own):
        return self.machine.exchanged(self.rank, own)

    def room(self):
        return math.inf if self.rank else self.machine.room

    def link(self, shares_memory):
        self.machine.by_memory = shares_memory
        return self

    def connect(self, wanted):
        dtype, size, nodes, _, barrier, parameters = wanted
        own = np.zeros(nodes[self.rank] * size, dtype), np.zeros(barrier + parameters, dtype)
        found = self.machine.exchanged(self.rank, own)
        stored = [array for array, _ in found]
        results = [array[:size] if self.machine.has_results else None for array in stored]
        of_all = found[0][1]
        self.machine.gradients = (sum(nodes) * size + barrier) * dtype.itemsize
        self.machine.shared = of_all[barrier:]
        return stored, results, of_all if self.machine.has_memory else None

    def travel(self, stage, layer):
        if stage == LOOK:
            self.machine.look()
        elif stage != SEND:
            self.machine.wait()

    def close(self):
        pass

    leave = abandon = close


@contextmanager
def on_ranks(comm, shards, interrupts):
    """In place of `bpkern._ranks.fit.on_ranks`."""
    group = Group(comm, Interrupts(False))
    with group.guard():
        group.set_shards(shards)
        yield group
