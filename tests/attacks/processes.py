"""Other processes: forked at any moment, spawned, from a fork server or from loky; each trains and predicts.

Each child must come to the parent's bits within five seconds, then end, and leave no trace in the parent,
which continues its work.
"""

import hashlib
import multiprocessing
import os
import select
import signal
import threading
import time
import warnings
from contextlib import contextmanager

import numpy as np
from journal import Journal, Missing, attack, main

import bpkern
from bpkern.callbacks import Callback

# The seconds that a child may take.
LIMIT = 5.0


def make(seed):
    """A model made from the seed, which also selects its kind."""
    kinds = [
        {"optimizer": bpkern.SGD(0.01, 0.9)},
        {"optimizer": bpkern.Adam(), "dropout": 0.3},
        {"activation": "gelu", "dtype": "float64"},
    ]
    return bpkern.MLP([20, 40, 30, 4], loss="cross_entropy", seed=seed, **kinds[seed % len(kinds)])


def data(seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((200, 20)).astype(np.float32), rng.integers(0, 4, 200)


def trained(model, X, y, seed):
    """A digest of the model's outputs and weights after two more epochs."""
    model.fit(X, y, epochs=2, batch_size=32 + seed % 64, n_threads=1 + seed % 3, verbose=0)
    arrays = [model.forward(X), *(array for pair in model.get_weights() for array in pair)]
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).digest()


def fork(work):
    """Fork a child that calls `work`, which returns bytes; return its process id and a pipe for the bytes."""
    ours, its = os.pipe()
    with warnings.catch_warnings():
        # Python warns of forks while other threads run, which is what these attacks are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child:
        os.close(its)
        return child, ours
    try:
        signal.alarm(60)
        os.close(ours)
        os.write(its, work())
    finally:
        os._exit(0)


def wait(child, ours, until):
    """The bytes of a child, empty if they do not come in time. The child has ended afterwards."""
    got, left = b"", max(0.0, until - time.monotonic())
    if select.select([ours], [], [], left)[0]:
        got = os.read(ours, 4096)
    else:
        os.kill(child, signal.SIGKILL)
    os.close(ours)
    os.waitpid(child, 0)
    return got


def in_time(journal, work):
    """The bytes of one child; the journal keeps its time."""
    began = time.monotonic()
    got = wait(*fork(work), began + LIMIT)
    journal.keep("slowest child", max, time.monotonic() - began)
    return got


def seed_of(journal, trial):
    return int(journal.generator(trial).integers(1000))


def compare(journal, trial, got, wanted):
    if got == b"":
        journal.fail(trial, f"a child said nothing within {LIMIT} s")
    elif got != wanted:
        journal.fail(trial, "a child came to other bits")


def ended(journal):
    """The result of an attack; a child that is left is a failure."""
    try:
        if os.waitpid(-1, os.WNOHANG) is not None:
            journal.fail(journal.trials, "children are left")
    except ChildProcessError:  # no child is left
        pass
    return f"the slowest child took {journal.figures.get('slowest child', 0):.2f} s"


def needs_fork():
    if not hasattr(os, "fork"):
        raise Missing("fork: this system has none")


@attack(trials=100)
def after_fit(journal: Journal) -> str:
    """A child forked after a fit trains and predicts, to the parent's bits within 5 s."""
    needs_fork()
    for trial in journal:
        seed = seed_of(journal, trial)
        model, (X, y) = make(seed), data(seed)
        trained(model, X, y, seed)
        got = in_time(journal, lambda m=model, x=X, y=y, s=seed: trained(m, x, y, s))
        compare(journal, trial, got, trained(model, X, y, seed))
    return ended(journal)


class Until(Callback):
    """Continues the fit until `stop` is set."""

    def __init__(self):
        self.begun, self.stop, self.epochs = threading.Event(), False, 0

    def on_epoch_end(self, model, epoch, logs):
        self.epochs = epoch + 1
        self.begun.set()
        model.stop_training = self.stop


@contextmanager
def meanwhile(fit, callbacks):
    """Run the block while another thread fits; raise that thread's error."""
    errors = []

    def run():
        try:
            fit()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        if not callbacks[0].begun.wait(60):
            raise RuntimeError("the other thread never began")
        yield
    finally:
        for each in callbacks:
            each.stop = True
        thread.join()
    if errors:
        raise errors[0]


def alone(model, X, y, given, epochs):
    """Whether the model equals one trained for the same epochs alone."""
    twin = make(given["seed"])
    twin.fit(X, y, epochs=epochs, batch_size=given["batch_size"], verbose=0)
    ours = [array.tobytes() for pair in model.get_weights() for array in pair]
    return ours == [array.tobytes() for pair in twin.get_weights() for array in pair]


@attack(trials=100)
def during_fit(journal: Journal) -> str:
    """A child forked while another thread fits trains and predicts; that fit continues to the same bits."""
    needs_fork()
    for trial in journal:
        seed, rng = seed_of(journal, trial), journal.generator(trial)
        X, y = data(seed)
        model, other, until = make(seed), make(seed + 1), Until()
        threads = int(rng.integers(1, 3))
        given = {"batch_size": 32, "callbacks": until, "epochs": 10**9, "verbose": 0, "n_threads": threads}
        with meanwhile(lambda m=other, x=X, y=y, g=given: m.fit(x, y, **g), [until]):
            time.sleep(rng.exponential(0.005))

            def work(model=model, other=other, X=X, y=y, seed=seed):
                try:
                    other.predict(X)
                except RuntimeError:  # the model may be in the middle of a step and is then refused
                    return trained(model, X, y, seed)
                return b"what was half trained was let through"

            got = in_time(journal, work)
        compare(journal, trial, got, trained(model, X, y, seed))
        if not alone(other, X, y, {"seed": seed + 1, "batch_size": 32}, until.epochs):
            journal.fail(trial, "the fit that went on came to other bits")
    return ended(journal)


@attack(trials=100)
def nested(journal: Journal) -> str:
    """A child, its child and its grandchild, each forked after a fit, train and predict, to the same bits."""
    needs_fork()
    for trial in journal:
        seed = seed_of(journal, trial)
        model, (X, y) = make(seed), data(seed)

        def work(depth, model=model, X=X, y=y, seed=seed):
            below = b""
            if depth:
                below = wait(*fork(lambda: work(depth - 1)), time.monotonic() + LIMIT)
            return below + trained(model, X, y, seed)

        got = in_time(journal, lambda w=work: w(2))
        compare(journal, trial, got, 3 * trained(model, X, y, seed))
    return ended(journal)


@attack(trials=100)
def during_fit_many(journal: Journal) -> str:
    """A child forked during fit_many trains and predicts; the models of fit_many end with the usual bits."""
    needs_fork()
    for trial in journal:
        seed = seed_of(journal, trial)
        X, y = data(seed)
        model, models, untils = make(seed), [make(seed + i) for i in range(4)], [Until() for _ in range(4)]
        given = {"batch_size": 32, "epochs": 10**9, "verbose": 0, "n_threads": 2}
        each = [{"callbacks": until} for until in untils]

        def fit(models=models, X=X, y=y, each=each, given=given):
            bpkern.fit_many(models, X, y, each=each, **given)

        with meanwhile(fit, untils):
            time.sleep(journal.generator(trial).exponential(0.005))

            def work(model=model, X=X, y=y, seed=seed):
                bpkern.fit_many([make(i) for i in range(3)], X, y, n_threads=2, verbose=0)
                return trained(model, X, y, seed)

            got = in_time(journal, work)
        compare(journal, trial, got, trained(model, X, y, seed))
        for i, (one, until) in enumerate(zip(models, untils, strict=True)):
            if not alone(one, X, y, {"seed": seed + i, "batch_size": 32}, until.epochs):
                journal.fail(trial, f"models[{i}] of fit_many came to other bits")
    return ended(journal)


@attack(trials=100)
def in_callback(journal: Journal) -> str:
    """A child forked in a callback trains other models, or continues its parent's fit to the same bits."""
    needs_fork()

    class Fork(Callback):
        def __init__(self, fit):
            self.fit, self.before = fit, os.getpid()

        def on_epoch_end(self, model, epoch, logs):
            if epoch == 1:
                self.child = fork(self.fit)

    for trial in journal:
        seed = seed_of(journal, trial)
        model, expected, (X, y) = make(seed), make(seed), data(seed)
        settings = {"epochs": 4, "batch_size": 32, "verbose": 0, "n_threads": 1 + seed % 2}

        def others(model=model, X=X, y=y, seed=seed):
            model.predict(X)
            return trained(make(seed), X, y, seed)

        began = time.monotonic()
        callback = Fork(others)
        model.fit(X, y, callbacks=callback, **settings)
        got = wait(*callback.child, began + LIMIT)
        journal.keep("slowest child", max, time.monotonic() - began)
        compare(journal, trial, got, trained(make(seed), X, y, seed))
        expected.fit(X, y, **settings)
        whole = trained(expected, X, y, seed)
        compare(journal, trial, trained(model, X, y, seed), whole)

        # A child that continues the fit returns from the callback, and later from fit.
        began, going_on = time.monotonic(), make(seed)

        class GoOn(Callback):
            def on_epoch_end(self, model, epoch, logs):
                if epoch == 1:
                    self.its = os.pipe()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", DeprecationWarning)
                        self.child = os.fork()

        callback = GoOn()
        try:
            going_on.fit(X, y, callbacks=callback, **settings)
            if callback.child == 0:
                os.write(callback.its[1], trained(going_on, X, y, seed))
        finally:
            if callback.child == 0:
                os._exit(0)
        os.close(callback.its[1])
        got = wait(callback.child, callback.its[0], began + LIMIT)
        compare(journal, trial, got, whole)
        compare(journal, trial, trained(going_on, X, y, seed), whole)
    return ended(journal)


def tell(connection, model, X, y, seed):
    connection.send_bytes(trained(model, X, y, seed))
    connection.close()


def by_multiprocessing(journal, method):
    if method not in multiprocessing.get_all_start_methods():
        raise Missing(f"{method}: this system has none")
    context = multiprocessing.get_context(method)
    for trial in journal:
        seed = seed_of(journal, trial)
        model, (X, y) = make(seed), data(seed)
        trained(model, X, y, seed)
        began = time.monotonic()
        ours, its = context.Pipe(duplex=False)
        child = context.Process(target=tell, args=(its, model, X, y, seed))
        child.start()
        its.close()
        got = ours.recv_bytes() if ours.poll(LIMIT) else b""
        journal.keep("slowest child", max, time.monotonic() - began)
        child.join(LIMIT)
        if child.exitcode != 0:
            journal.fail(trial, f"a child ended with {child.exitcode}")
            child.kill()
            child.join()
        child.close()
        ours.close()
        compare(journal, trial, got, trained(model, X, y, seed))
    return f"the slowest child took {journal.figures['slowest child']:.2f} s"


@attack(trials=100)
def spawned(journal: Journal) -> str:
    """A child of multiprocessing's "spawn" trains and predicts, to the parent's bits within 5 s."""
    return by_multiprocessing(journal, "spawn")


@attack(trials=100)
def of_a_fork_server(journal: Journal) -> str:
    """A child of multiprocessing's "forkserver" trains and predicts, to the parent's bits within 5 s."""
    return by_multiprocessing(journal, "forkserver")


@attack(trials=100)
def of_loky(journal: Journal) -> str:
    """Workers of loky, some of them new, get a model, train and predict, to the parent's bits within 5 s."""
    try:
        import loky
    except ModuleNotFoundError:
        raise Missing("loky") from None
    for trial in journal:
        seed = seed_of(journal, trial)
        model, (X, y) = make(seed), data(seed)
        trained(model, X, y, seed)
        began = time.monotonic()
        anew = trial % 10 == 0
        executor = loky.get_reusable_executor(max_workers=2, kill_workers=anew, reuse=not anew)
        futures = [executor.submit(trained, model, X, y, seed) for _ in range(2)]
        try:
            got = [future.result(timeout=LIMIT) for future in futures]
        except TimeoutError:
            got = [b""]
        journal.keep("slowest child", max, time.monotonic() - began)
        wanted = trained(model, X, y, seed)
        for each in got:
            compare(journal, trial, each, wanted)
    loky.get_reusable_executor(max_workers=2).shutdown(wait=True)
    return f"the slowest two took {journal.figures['slowest child']:.2f} s"


if __name__ == "__main__":
    main(__file__)
