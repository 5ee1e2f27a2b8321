"""One rank fails in a fit: python ranks_failures.py CASES SEED, for `mpiexec`. Each rank reports its error.

The last line of a case says "whole" if all ranks have the same finite model, and can train on. Cases are
separated by commas.
"""

import os
import signal
import sys
import threading
import time
from contextlib import nullcontext
from functools import partial

import numpy as np
from mpi4py import MPI
from ranks_fits import digest, drawn, state_of

import bpkern
from bpkern._model.core import core_of
from bpkern._ranks import mpi
from bpkern._ranks.group import LOOK, Group
from bpkern.callbacks import Callback
from bpkern.distributed import RankError, own_rows

comm = MPI.COMM_WORLD
SHARDS, BATCH, COMMON_ROOM = comm.size, 64, mpi.common_room
PLACES = "entering", "ahead", "within", "torn"


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


class Slowly:
    """A fit in which one rank waits for a slow one, and fails there. The slow one goes on after that.

    Parameters
    ----------
    place : str
        Where the slow rank is meanwhile: "entering" a pass in which ranks share the parameters; "ahead" of
        where ranks agree on a step; "within" the step, before its gradients are stored; or after that, while
        the others update the parameters ("torn").
    by_alarm : bool
        Whether a handler of SIGALRM raises an error; otherwise, Ctrl-C comes twice.
    rank, slow : int
    after : int
        The number of the step.
    ends_step : bool
        Whether a rank that fails within a step ends it first.
    """

    def __init__(self, hook, place, by_alarm, rank, slow, after, ends_step):
        self.hook, self.place, self.by_alarm, self.rank, self.slow = hook, place, by_alarm, rank, slow
        self.after, self.passes, self.begun, self.ends_step = after, 2 + after // 20, 0, ends_step

    def __enter__(self):
        self.methods = Group.begin_pass, Group.agree, Group.travel
        begin_pass, agree, travel = self.methods

        def begin_slowly(group, *stores):
            self.begun += 1
            if self.place == "entering" and self.begun == self.passes:
                self.wait_or_fail()
            return begin_pass(group, *stores)

        def agree_slowly(group, status, sums):
            if self.place == "ahead" and self.hook.steps + 1 == self.after:
                self.wait_or_fail()
            found = agree(group, status, sums)
            self.hook.steps += found == 0
            if self.hook.steps == self.after and self.place == "within":
                self.wait_or_fail()
            if self.hook.steps == self.after and self.place == "torn" and comm.rank == self.rank:
                comm.recv(source=self.slow)
                self.fail()
            return found

        def travel_slowly(group, stage, layer):
            is_waiting = stage == LOOK and self.hook.steps == self.after
            if is_waiting and self.place == "torn" and comm.rank == self.slow:
                self.place = "has been torn"
                comm.send(None, self.rank)  # which this rank has waited for: all others go on
                comm.recv(source=self.rank)
            return travel(group, stage, layer)

        Group.begin_pass, Group.agree, Group.travel = begin_slowly, agree_slowly, travel_slowly

    def __exit__(self, kind, error, trace):
        Group.begin_pass, Group.agree, Group.travel = self.methods
        if comm.rank == self.rank and not self.by_alarm:
            comm.send(None, self.slow)

    def wait_or_fail(self):
        if comm.rank == self.slow:
            comm.recv(source=self.rank)
        elif comm.rank == self.rank:
            self.fail()

    def fail(self):
        """Begin to: this rank waits by then."""
        if self.by_alarm:
            signal.signal(signal.SIGALRM, self.alarm)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
        else:
            threading.Thread(target=press, args=(self.hook, 0.1, 2), daemon=True).start()

    def alarm(self, number, frame):
        self.hook.when = time.monotonic()
        comm.send(None, self.slow)
        raise LookupError("as the test wants it")

    def updates(self):
        """Those that the models may have made in the end: all the same."""
        steps = -(-200 * comm.size // BATCH)  # of an epoch
        if self.place == "entering":
            return [steps * (self.passes - 1)]
        begun = (self.after - 1) // steps * steps  # before the epoch of the step
        if self.place == "within" and self.ends_step:
            return [self.after]
        return [self.after - 1] if self.place in ("ahead", "within") else [begun, self.after - 1]


def failing_once(method, number, hook):
    """Raises an error in that call of a method, as a handler of a signal might."""
    calls = []

    def called(engine, *arguments):
        calls.append(None)
        if len(calls) == number:
            hook.when = time.monotonic()
            raise LookupError("as the test wants it")
        return method(engine, *arguments)

    return called


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
    way, _, case = case.rpartition("/")
    mpi.common_room = COMMON_ROOM if way != "messages" else lambda engine: 0.0
    clip_norm = None if way == "" else 1e9
    place = case.removeprefix("alarm_")
    hook = Hook(case, rank, after)
    slowly = None
    if case == "between" or place in PLACES:
        hook = Between(rank if case == "between" else None)
    if place in PLACES:
        slowly = Slowly(hook, place, place != case, rank, (rank + 1) % comm.size, after, way == "messages")
    if case == "differs":
        model = bpkern.MLP([12, 30 + (comm.rank == rank), 4], loss="cross_entropy", seed=0)
    if case == "exchange" and comm.rank == rank:
        mpi.MpiEngine.objects = failing_once(mpi.MpiEngine.objects, after, hook)
    if case == "argument" and comm.rank == rank:
        x = x[:, :5]
    if case == "rows" and comm.rank == rank:
        x, y = x[1:], y[1:]
    if case == "interrupts" or (case in ("interrupt", "asleep") and comm.rank == rank):
        wait = float(rng.uniform(0.0, drawn(rng, [0.03, 1.0])))  # half of them come while the fit starts
        threading.Thread(target=press, args=(hook, wait), daemon=True).start()
    if case == "late" and comm.rank == (rank + 1) % comm.size:  # it waits for the rank that is asleep
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
    rows_given = {} if case == "batches" else {"batch_size": BATCH}
    epochs = 3 if case == "groups" else 100000
    try:
        with slowly or nullcontext():
            model.fit(
                x,
                y,
                epochs=epochs,
                **rows_given,
                shards=SHARDS * (1 + (case == "shards" and comm.rank == rank)),
                comm=ranks,
                callbacks=callbacks,
                clip_norm=clip_norm,
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
    if slowly is not None:
        whole = whole and core_of(model).net.counts[0] in slowly.updates()
    if case not in ("argument", "rows", "differs", "row", "diverges", "groups", "shards", "batches"):
        model.fit(x, y, shards=SHARDS, comm=comm, batch_size=BATCH, verbose=0)
    if comm.rank == 0:
        print(*lines, sep="\n")
        alike = len(set(states)) == 1 or case == "differs"
        print(
            f"failed on {rank}:", "whole" if whole and alike else f"not whole: {whole} {states}", flush=True
        )


if __name__ == "__main__":
    main()
