"""A process that makes models for hours: its memory does not grow, and no descriptor or thread is left.

All cycles run in one process, whose growth is measured; if stopped, the attack starts again from the
beginning.
"""

import contextlib
import ctypes
import gc
import os
import pickle
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from journal import Journal, Missing, attack, main

import bpkern
from bpkern import callbacks, losses, schedules

SETTLED, MOST_GROWTH = 500, 1 << 20
EVERY, WINDOW = 25, 10  # cycles between two measurements, and measurements whose median counts

RNG = np.random.default_rng(0)
X = RNG.standard_normal((64, 9))
Y = RNG.integers(0, 3, 64)
VALUES = RNG.random((64, 3))
THREADS = (1, 2, 1, 1, 3, 1, 2)
QUIET: dict[str, Any] = {"verbose": 0}

OPTIMIZERS: tuple[Callable[[], bpkern.optimizers.Optimizer], ...] = (
    lambda: bpkern.SGD(lr=0.01, momentum=0.9),
    lambda: bpkern.Adam(lr=schedules.Cosine(0.01, 50), amsgrad=True),
    lambda: bpkern.RMSprop(centered=True, momentum=0.1),
    lambda: bpkern.Adagrad(initial_accumulator_value=0.1),
    lambda: bpkern.AdamW(),
)


def make(cycle: int, **settings: Any) -> bpkern.MLP:
    layers = ((9, 3), (9, 16, 3), (9, 70, 40, 3))[cycle % 3]
    usual = {"loss": "cross_entropy", "optimizer": OPTIMIZERS[cycle % len(OPTIMIZERS)]()}
    return bpkern.MLP(layers, seed=cycle, **usual | settings)


def raising(error: type[BaseException], call: Callable[..., Any], *arguments: Any, **settings: Any) -> None:
    with contextlib.suppress(error):
        call(*arguments, **settings)
        raise AssertionError(f"{call} has raised no {error.__name__}")


# The calls of a cycle besides fit, predict, save and load ---------------------------------------------------


def measured(model: bpkern.MLP, cycle: int, folder: str) -> None:
    model.evaluate(X, Y)
    model.gradients(X[:5], Y[:5])
    model.train_on_batch(X[:5], Y[:5])
    model.trace(X[:5], Y[:5], steps=2).explain("layers[0].b[0]")
    model.predict_proba(X.astype("f4")[::2])
    model.losses(X.tolist(), Y)
    repr((model, model.summary(batch_size=8), model.history_))


def by_hand(model: bpkern.MLP, cycle: int, folder: str) -> None:
    outputs = model.forward(X[:7], train=True)
    model.backward(np.ones_like(outputs) / 7)
    model.step()
    model.forward(X[:3], train=True)  # without a backward pass


def with_more(model: bpkern.MLP, cycle: int, folder: str) -> None:
    model.fit(
        X,
        Y,
        batch_size=16,
        validation_split=0.2,
        metrics=["accuracy", "f1"],
        class_weight="balanced",
        sample_weight=np.arange(64.0) + 1,
        clip_norm=1.0,
        accumulate=2,
        ema=0.9,
        callbacks=[callbacks.EarlyStopping("loss"), callbacks.Callback()],
        n_threads=THREADS[cycle % 7],
        **QUIET,
    )


def in_batches(model: bpkern.MLP, cycle: int, folder: str) -> None:
    model.fit([(X[:20], Y[:20]), (X[20:], Y[20:])], epochs=2, **QUIET)


def from_checkpoints(model: bpkern.MLP, cycle: int, folder: str) -> None:
    path = os.path.join(folder, f"fit{('.npz', '.safetensors')[cycle // 2 % 2]}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    for epochs in (1, 2):
        model.fit(X, Y, epochs=epochs, checkpoint=path, resume=True, **QUIET)


def many(model: bpkern.MLP, cycle: int, folder: str) -> None:
    others = [make(3 * cycle + i) for i in range(3)]
    bpkern.fit_many(others, X, Y, n_threads=2, **QUIET)


def copied(model: bpkern.MLP, cycle: int, folder: str) -> None:
    other = pickle.loads(pickle.dumps(model.copy()))
    other.set_weights(model.get_weights())
    other.polyak_update(model, 0.5)
    other.load_state_dict(model.state_dict())
    other.reset()


def of_ones_own(model: bpkern.MLP, cycle: int, folder: str) -> None:
    def squares(outputs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)

    make(cycle, loss=squares).fit(X, VALUES, **QUIET)
    make(cycle, loss=losses.Huber([0.5, 1.0, 2.0]), dtype="float64", dropout=0.2).fit(X, VALUES, **QUIET)


class Stop(Exception):
    """Raised by a callback."""


class Stopping(callbacks.Callback):
    def on_batch_end(self, model: Any, batch: int, logs: Any) -> None:
        raise Stop


def failing(model: bpkern.MLP, cycle: int, folder: str) -> None:
    bad = X.copy()
    bad[40, 2] = np.nan
    raising(ValueError, model.fit, bad, Y, batch_size=8, n_threads=2, **QUIET)
    raising(ValueError, model.predict, bad)
    raising(ValueError, model.predict, X[:, :4])
    raising(ValueError, model.fit, X, Y + 3, **QUIET)
    raising(Stop, model.fit, X, Y, batch_size=8, callbacks=Stopping(), **QUIET)
    raising(Stop, bpkern.fit_many, [model], X, Y, callbacks=Stopping(), **QUIET)
    raising(ValueError, model.set_weights, [])
    raising(ValueError, bpkern.MLP, [3, 0], loss="mse")
    raising(MemoryError, bpkern.MLP, [2**40, 2**20], loss="mse")
    raising(OSError, model.save, os.path.join(folder, "none", "net.npz"))
    raising(FileNotFoundError, bpkern.MLP.load, os.path.join(folder, "none.npz"))
    damaged = os.path.join(folder, "damaged.npz")
    Path(damaged).write_bytes(b"PK\5\6" + bytes(40))
    raising(ValueError, bpkern.MLP.load, damaged)
    steep = make(1, loss="mse", optimizer=bpkern.SGD(lr=1e30))
    raising(bpkern.DivergedError, steep.fit, X, VALUES, epochs=9, **QUIET)


def sparse(model: bpkern.MLP, cycle: int, folder: str) -> None:
    from scipy.sparse import csr_array

    rows = csr_array(X * (X > 0.5))
    model.fit(rows, Y, **QUIET)
    model.predict(rows)


def estimators(model: bpkern.MLP, cycle: int, folder: str) -> None:
    from sklearn.base import clone

    from bpkern.sklearn import MLPClassifier, MLPRegressor

    # The large tolerance ends the fits without a warning.
    settings = dict(hidden_layer_sizes=(7,), max_iter=4, n_iter_no_change=1, random_state=cycle)
    for estimator, y in ((MLPClassifier(**settings), Y), (MLPRegressor(**settings), VALUES)):
        fitted = clone(estimator).set_params(tol=1e30).fit(X, y)
        pickle.loads(pickle.dumps(fitted)).predict(X)


def reference(model: bpkern.MLP, cycle: int, folder: str) -> None:
    bpkern.reference.MLP([9, 4, 3], loss="cross_entropy", seed=0).fit(X, Y)
    a = bpkern.kernels.linear_forward(X, np.ones((4, 9)), np.ones(4), "gelu")
    bpkern.kernels.delta_backward(np.ones((64, 2)), np.ones((2, 4)), a, "tanh")


OTHERS = (
    *(measured, by_hand, with_more, in_batches, from_checkpoints, many, copied, of_ones_own, failing, sparse),
    *(estimators, reference),
)


def one_cycle(cycle: int, folder: str) -> None:
    model = make(cycle)
    model.fit(X, Y, batch_size=16, n_threads=THREADS[cycle % 7], **QUIET)
    model.predict(X)
    OTHERS[cycle % len(OTHERS)](model, cycle, folder)
    path = os.path.join(folder, f"net{('.npz', '.safetensors')[cycle % 2]}")
    predictions = model.predict(X)
    model.save(path)
    if not np.array_equal(bpkern.MLP.load(path).predict(X), predictions):
        raise AssertionError("another model was loaded")


# Measurements -----------------------------------------------------------------------------------------------


def resident(libc: Any) -> int:
    """The bytes of this process in memory, after its allocators have returned what they can."""
    gc.collect()
    libc.malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def left() -> tuple[int, int]:
    """The numbers of descriptors and threads."""
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))


@attack(trials=10_000)
def cycles(journal: Journal) -> str:
    """After 500 cycles of fit, predict, save and load, 9500 more take at most 1 MiB, and nothing is left."""
    if journal.done < journal.trials:
        measure(journal)
    growth, first = journal.figures["growth"], journal.figures["resident"]
    now, threads = journal.figures["left"]
    return (
        f"{growth / 2**10:.0f} KiB more than {first / 2**20:.0f} MiB, {now} descriptors and {threads} threads"
    )


def measure(journal: Journal) -> None:
    if not os.path.exists("/proc/self/statm"):
        raise Missing("/proc, which reports the memory of a process")
    libc = ctypes.CDLL(None)
    journal.done, journal.failed, journal.failures, journal.figures = 0, 0, [], {}
    sizes: list[int] = []
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        at_first = None
        for cycle in journal:
            one_cycle(cycle, folder)
            if cycle < min(SETTLED, journal.trials // 4) or cycle % EVERY:
                continue
            at_first = at_first or left()
            if left() != at_first:
                journal.fail(cycle, f"{left()} descriptors and threads, and {at_first} before")
            sizes.append(resident(libc))
    # Medians, because a short peak is not growth.
    medians = [statistics.median(sizes[i : i + WINDOW]) for i in range(0, len(sizes), WINDOW)]
    growth = max(medians) - medians[0]
    journal.figures |= {"growth": growth, "resident": medians[0], "left": left()}
    if growth > MOST_GROWTH:
        journal.fail(journal.trials, f"grown by {growth / 2**20:.2f} MiB: {medians}")


if __name__ == "__main__":
    main(__file__)
