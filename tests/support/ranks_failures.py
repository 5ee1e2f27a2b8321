"""One rank fails in a fit: python ranks_failures.py CASE SEED, for `mpiexec`. Each rank reports its error.

The last line of rank 0 says "whole" if all ranks have the same finite model, and can train on.
"""

import os
import signal
import sys
import threading
import time

import numpy as np
from mpi4py import MPI
from ranks_fits import digest, state_of

import bpkern
from bpkern.callbacks import Callback
from bpkern.distributed import RankError, own_rows

comm = MPI.COMM_WORLD
SHARDS = comm.size


class Hook(Callback):
    """Fails in a hook of the failing rank, after some steps."""

    def __init__(self, case, rank, after):
        self.case, self.rank, self.after, self.steps, self.when = case, rank, after, 0, None

    def on_batch_end(self, model, batch, logs):
        self.steps += 1
        if comm.rank != self.rank or self.steps != self.after:
            return
        self.when = time.monotonic()
        if self.case == "callback":
            raise ZeroDivisionError("as the test wants it")

    def on_epoch_end(self, model, epoch, logs):
        if self.case == "epoch" and comm.rank == self.rank and self.steps >= self.after:
            self.when = time.monotonic()
            raise LookupError("as the test wants it")
        if self.case == "groups" and comm.rank == self.rank and epoch == 1:
            model.freeze(0)


def main():
    case, seed = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(seed)
    rank, after, rows = int(rng.integers(comm.size)), int(rng.integers(1, 60)), 200 * comm.size
    x = np.random.default_rng(0).normal(size=(rows, 12))
    y = np.random.default_rng(1).integers(0, 4, rows)
    own = own_rows(rows, comm, SHARDS)
    x, y = x[own].copy(), y[own]
    lr = 0.01
    if case == "row" and comm.rank == rank:
        x[int(rng.integers(len(x))), 3] = np.nan
    if case == "diverges":
        lr = 1e200
    model = bpkern.MLP(
        [12, 30, 4], loss="cross_entropy", optimizer=bpkern.SGD(lr=lr), dtype="float64", seed=0
    )
    hook = Hook(case, rank, after)
    if case == "differs":
        model = bpkern.MLP([12, 30 + (comm.rank == rank), 4], loss="cross_entropy", seed=0)
    if case == "argument" and comm.rank == rank:
        x = x[:, :5]
    if case == "rows" and comm.rank == rank:
        x, y = x[1:], y[1:]
    if case == "interrupt" and comm.rank == rank:
        wait = float(rng.uniform(0.05, 1.0))
        threading.Timer(wait, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    callbacks = () if case == "interrupt" else hook
    epochs = 3 if case == "groups" else 100000
    try:
        model.fit(
            x, y, epochs=epochs, batch_size=64, shards=SHARDS, comm=comm, callbacks=callbacks, verbose=0
        )
        got = "nothing"
    except RankError as error:
        got = f"RankError {error}"
    except BaseException as error:  # reported, whatever it is
        got = f"{type(error).__name__} {error}"
    end = time.monotonic()
    at = [each for each in comm.allgather(hook.when) if each is not None]
    late = end - (min(at) if at else start)
    lines = comm.gather(f"{comm.rank} {late:.3f} {got}")
    states = comm.allgather(digest(*state_of(model)))
    whole = all(np.isfinite(each).all() for pair in model.get_weights() for each in pair)
    if case not in ("argument", "rows", "differs", "row", "diverges", "groups"):
        model.fit(x, y, shards=SHARDS, comm=comm, batch_size=64, verbose=0)
    if comm.rank == 0:
        print(*lines, sep="\n")
        alike = len(set(states)) == 1 or case == "differs"
        print(
            f"failed on {rank}:", "whole" if whole and alike else f"not whole: {whole} {states}", flush=True
        )


if __name__ == "__main__":
    main()
