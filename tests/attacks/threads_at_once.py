"""Threads at once: many models side by side, one model used by several threads, threads inside a call."""

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from journal import Journal, attack, main

import bpkern
from bpkern import _core
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

CLEAR = "give each thread its own, or take turns"


def bits(model):
    """Everything that training changes, and the outputs."""
    net = core_of(model).net
    arrays = [array for store in net.stores() for pair in net.get_layers(store) for array in pair]
    return b"".join(array.tobytes() for array in arrays)


def settings_of(rng):
    """A random network, its data and the arguments of its fit."""
    rows, width, out = int(rng.integers(60, 400)), int(rng.integers(1, 40)), int(rng.integers(1, 10))
    hidden = [int(size) for size in rng.integers(1, 90, rng.integers(0, 4))]
    optimizers = [
        lambda: bpkern.SGD(0.01),
        lambda: bpkern.SGD(0.01, 0.9, nesterov=True, weight_decay=1e-3),
        lambda: bpkern.RMSprop(1e-3),
        lambda: bpkern.Adagrad(1e-2),
        lambda: bpkern.Adam(1e-3, amsgrad=True),
        lambda: bpkern.AdamW(1e-3),
    ]
    activations = ("relu", "tanh", "sigmoid", "gelu", "silu", "softplus")
    made = {
        "layers": [width, *hidden, out],
        "activation": [activations[i] for i in rng.integers(0, len(activations), len(hidden))],
        "loss": ("mse", "binary_cross_entropy", "huber")[rng.integers(3)],
        "optimizer": optimizers[rng.integers(len(optimizers))](),
        "dtype": ("float32", "float64")[rng.integers(2)],
        "dropout": [float(part) for part in rng.choice([0.0, 0.3], len(hidden))],
        "l1": float(rng.choice([0.0, 1e-4])),
        "l2": float(rng.choice([0.0, 1e-4])),
        "seed": int(rng.integers(1000)),
    }
    given = {
        "epochs": 2,
        "batch_size": int(rng.choice([1, 7, 16, 64, 150, 1000])),
        "accumulate": int(rng.choice([1, 1, 3])),
        "clip_norm": (None, None, 0.1)[rng.integers(3)],
        "ema": (None, None, 0.9)[rng.integers(3)],
        "validation_split": float(rng.choice([0.0, 0.2])),
        "sample_weight": (None, rng.random(rows))[rng.integers(2)],
        "verbose": 0,
    }
    return made, rng.standard_normal((rows, width)).astype(np.float32), rng.random((rows, out)), given


def fitted(made, X, y, given):
    model = bpkern.MLP(**made)
    history = model.fit(X, y, **given)
    return bits(model), dict(history), model.forward(X).tobytes()


@attack(trials=20)
def any_number_of_threads(journal: Journal) -> str:
    """A fit gives the same bits at 1, 2, 3, 4 and 8 threads, on every instruction set of the machine."""
    before = _core.isa()
    try:
        for trial in journal:
            rng = journal.generator(trial)
            for _ in range(5):
                made, X, y, given = settings_of(rng)
                for isa in _core.available_isas():
                    _core.select_isa(isa)
                    expected = fitted(made, X, y, given | {"n_threads": 1})
                    for n_threads in (1, 2, 3, 4, 8):
                        journal.count("fits")
                        if fitted(made, X, y, given | {"n_threads": n_threads}) != expected:
                            journal.fail(trial, f"{isa}, {n_threads} threads: {made}, {given}")
    finally:
        _core.select_isa(before)
    return f"{journal.figures['fits']} fits of random nets and settings on {len(_core.available_isas())} ISAs"


@attack(trials=20)
def eight_models(journal: Journal) -> str:
    """Eight threads that fit eight models give the bits of one fit after another."""
    for trial in journal:
        rng = journal.generator(trial)
        fits = [settings_of(rng) for _ in range(8)]
        expected = [fitted(*fit) for fit in fits]
        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(lambda fit: fitted(*fit), fits))
        for number in range(8):
            if got[number] != expected[number]:
                journal.fail(trial, f"model {number}: {fits[number][0]}")
    return "all the same"


class Noted(Callback):
    """Records whose fit has begun, while its guard is held."""

    def __init__(self, whose, order):
        self.whose, self.order = whose, order

    def on_fit_begin(self, model):
        self.order.append(self.whose)


@attack(trials=100)
def one_model(journal: Journal) -> str:
    """Threads that write one model take turns or are refused: it ends as after the same fits in sequence."""
    for trial in journal:
        rng = journal.generator(trial)
        made, X, y, given = settings_of(rng)
        given |= {"epochs": 1, "sample_weight": None}
        shared, order, refused, errors = bpkern.MLP(**made), [], [0], []
        parts = [(X[i::3], y[i::3]) for i in range(3)]

        def attempt(call, refused=refused, errors=errors):
            try:
                call()
            except RuntimeError as error:
                refused[0] += 1
                if CLEAR not in str(error):
                    errors.append(repr(error))
            except BaseException as error:
                errors.append(repr(error))

        def write(whose, model=shared, parts=parts, given=given, order=order, attempt=attempt):
            for _ in range(10):
                attempt(lambda: model.fit(*parts[whose], callbacks=Noted(whose, order), **given))

        def read(model=shared, X=X, y=y, attempt=attempt):
            with tempfile.TemporaryDirectory() as folder:
                for _ in range(30):
                    attempt(lambda: model.forward(X))
                    attempt(lambda: model.evaluate(X, y))
                    attempt(model.copy)
                attempt(lambda: model.save(Path(folder) / "model.npz"))

        threads = [threading.Thread(target=write, args=(whose,)) for whose in range(3)]
        threads.append(threading.Thread(target=read))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.count("refused", refused[0])
        journal.count("fits", len(order))
        twin = bpkern.MLP(**made)
        for whose in order:
            twin.fit(*parts[whose], **given)
        if bits(twin) != bits(shared):
            journal.fail(trial, f"after {len(order)} fits it is not what these make: {made}, {given}")
        for complaint in sorted(set(errors)):
            journal.fail(trial, complaint)
    return f"{journal.figures['fits']} fits had their turn, {journal.figures['refused']} calls were refused"


@attack(trials=50)
def readers(journal: Journal) -> str:
    """Eight threads that read one model at once get the results of one thread."""
    for trial in journal:
        rng = journal.generator(trial)
        made, X, y, given = settings_of(rng)
        model = bpkern.MLP(**made)
        model.fit(X, y, **given)

        def read(model=model, X=X, y=y):
            loss, gradients = model.gradients(X, y)
            arrays = [model.forward(X), *(array for pair in gradients for array in pair)]
            return loss, model.evaluate(X, y), [array.tobytes() for array in arrays], bits(model.copy())

        expected = read()
        with ThreadPoolExecutor(8) as pool:
            for got in pool.map(lambda _: read(), range(24)):
                if got != expected:
                    journal.fail(trial, f"{made}")
    return "all the same"


if __name__ == "__main__":
    main(__file__)
