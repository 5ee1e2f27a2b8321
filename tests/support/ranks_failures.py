"""One rank fails in a fit: python ranks_failures.py CASES SEED, for `mpiexec`. Each rank reports its error.

The last line of a case says "whole" if all ranks have the same finite model, and can train on. Cases are
separated by commas.
"""

import os
import signal
import sys
import threading
import time
from functools import partial

import numpy as np
from mpi4py import MPI
from ranks_fits import digest, drawn, state_of

import bpkern
from bpkern._ranks.group import Group
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
        if self.case not in ("asleep", "late"):
            self.when = time.monotonic()
        if self.case == "callback":
            raise ZeroDivisionError("as the test wants it")
        if self.case == "asleep":
            time.sleep(60)
        if self.case == "late":
            time.sleep(2)

    def on_epoch_begin(self, model, epoch):
        if self.case == "begin" and comm.rank == self.rank and self.steps >= self.after:
            self.when = time.monotonic()
            raise LookupError("as the test wants it")

    def on_epoch_end(self, model, epoch, logs):
        if self.case == "epoch" and comm.rank == self.rank and self.steps >= self.after:
            self.when = time.monotonic()
            raise LookupError("as the test wants it")
        if self.case == "groups" and comm.rank == self.rank and epoch == 1:
            model.freeze(0)


class Between(Callback):
    """Fails as an epoch begins, without a hook of batches: ranks may share the parameters in an epoch."""

    def __init__(self, rank):
        self.rank, self.steps, self.when = rank, 0, None

    def on_epoch_begin(self, model, epoch):
        if comm.rank == self.rank and epoch == 2:
            self.when = time.monotonic()
            raise LookupError("as the test wants it")


def slowly(hook, rank, after):
    """All steps are counted; in one of them, after the ranks have agreed on it, a rank is asleep."""
    agree = Group.agree

    def counted(self, status, sums):
        found = agree(self, status, sums)
        hook.steps += 1
        if comm.rank == rank and hook.steps == after:
            time.sleep(2)
        return found

    Group.agree = counted


def watched(method, run):
    """The communicator. `run` is called on a thread after each call of a method of it or of its copies."""

    def call(self, *arguments):
        found = getattr(MPI.Intracomm, method)(self, *arguments)
        threading.Thread(target=run, daemon=True).start()
        return found

    return type("Watched", (MPI.Intracomm,), {method: call})(comm)


def press(hook, wait, times=1, steps=0):
    """Ctrl-C of this rank some time after so many steps of the fit, which then handles it."""
    while signal.getsignal(signal.SIGINT) is signal.default_int_handler or hook.steps < steps:
        time.sleep(0.0005)
    time.sleep(wait)
    hook.when = time.monotonic()
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)


def main():
    for case in sys.argv[1].split(","):
        run(case, int(sys.argv[2]))


def run(case, seed):
    signal.signal(signal.SIGINT, signal.default_int_handler)
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
    hook = Between(rank) if case in ("between", "within") else Hook(case, rank, after)
    if case == "within":
        hook.rank = None
        slowly(hook, rank, after)
    if case == "differs":
        model = bpkern.MLP([12, 30 + (comm.rank == rank), 4], loss="cross_entropy", seed=0)
    if case == "argument" and comm.rank == rank:
        x = x[:, :5]
    if case == "rows" and comm.rank == rank:
        x, y = x[1:], y[1:]
    if case == "interrupts" or (case in ("interrupt", "asleep") and comm.rank == rank):
        wait = float(rng.uniform(0.0, drawn(rng, [0.03, 1.0])))  # half of them come while the fit starts
        threading.Thread(target=press, args=(hook, wait), daemon=True).start()
    if (
        case in ("late", "within") and comm.rank == (rank + 1) % comm.size
    ):  # it waits for the rank that is asleep
        threading.Thread(target=press, args=(hook, 0.5, 2, after), daemon=True).start()
    ranks = comm
    if case == "gone" and comm.rank in (rank, (rank + 1) % comm.size):
        waits = "Idup" if comm.rank == rank else "Ibarrier"  # for the others, which have come to `Idup`
        ranks = watched(waits, partial(press, hook, 0.0, 2))
    if case == "gone" and comm.rank != rank:
        comm.recv(source=rank)  # it has waited for this rank, in vain
    start = time.monotonic()
    callbacks = () if case.startswith("interrupt") else hook
    if case == "batches":  # one rank gives fewer
        x, y = [(x, y)] * (3 - (comm.rank == rank)), None
    rows_given = {} if case == "batches" else {"batch_size": 64}
    epochs = 3 if case == "groups" else 100000
    try:
        model.fit(
            x,
            y,
            epochs=epochs,
            **rows_given,
            shards=SHARDS * (1 + (case == "shards" and comm.rank == rank)),
            comm=ranks,
            callbacks=callbacks,
            verbose=0,
        )
        got = "nothing"
    except RankError as error:
        got = f"RankError {error}"
    except BaseException as error:  # reported, whatever it is
        got = f"{type(error).__name__} {error}"
    end = time.monotonic()
    if case == "gone" and comm.rank == rank:
        for other in set(range(comm.size)) - {rank}:
            comm.send(None, other)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one of this rank may come after that of another
    at = [each for each in comm.allgather(hook.when) if each is not None]
    late = end - (min(at) if at else start)
    lines = comm.gather(f"{comm.rank} {late:.3f} {got}")
    history = None if model.history_ is None else model.history_.columns()
    states = comm.allgather(digest(*state_of(model), history))
    whole = all(np.isfinite(each).all() for pair in model.get_weights() for each in pair)
    if case not in ("argument", "rows", "differs", "row", "diverges", "groups", "shards", "batches"):
        model.fit(x, y, shards=SHARDS, comm=comm, batch_size=64, verbose=0)
    if comm.rank == 0:
        print(*lines, sep="\n")
        alike = len(set(states)) == 1 or case == "differs"
        print(
            f"failed on {rank}:", "whole" if whole and alike else f"not whole: {whole} {states}", flush=True
        )


if __name__ == "__main__":
    main()
