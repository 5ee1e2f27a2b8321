"""What each rank runs for `failing_ranks.py`; rank 0 prints the results, one line each.

mpiexec -n 4 python tests/attacks/ranks_job.py nets SEED FIRST LAST
mpiexec -n 4 python tests/attacks/ranks_job.py ended FOLDER KIND RANK PLACE

Without `mpiexec`, or where mpi4py is missing, one process does all shards.
"""

import hashlib
import json
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import bpkern
from bpkern._model.core import core_of
from bpkern.activations import ELU, LeakyReLU
from bpkern.callbacks import Callback, EarlyStopping
from bpkern.distributed import own_rows

SHARDS = 8
OPTIMIZERS = ("SGD", "RMSprop", "Adagrad", "Adam", "AdamW", "NAdam")
LOSSES = (
    "mse",
    "squared_error",
    "mae",
    "huber",
    "log_cosh",
    "poisson",
    "hinge",
    "squared_hinge",
    "cross_entropy",
    "binary_cross_entropy",
)
ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid", "leaky_relu", "selu", "mish", LeakyReLU(0.3), ELU(1.7))


def communicator() -> Any:
    """MPI's, if the job has several ranks."""
    if not any(name in os.environ for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")):
        return None
    from mpi4py import MPI

    return MPI.COMM_WORLD


COMM = communicator()
RANK, SIZE = (0, 1) if COMM is None else (COMM.rank, COMM.size)


def say(*words: Any) -> None:
    if RANK == 0:
        print(*words, flush=True)


def digest(model: bpkern.MLP) -> str:
    """Of everything that training continues from, and of the history."""
    core, made = core_of(model), hashlib.sha256()
    for name in sorted(core.net.stores()):
        for pair in core.net.get_layers(name):
            made.update(b"".join(part.tobytes() for part in pair))
    history = None if model.history_ is None else (model.history_.columns(), model.history_.iterations)
    made.update(repr((core.net.counts, core.net.moves, core.random.config(), history)).encode())
    return made.hexdigest()[:16]


def same_everywhere(text: str) -> bool:
    """Whether all ranks give the same."""
    return COMM is None or len(set(COMM.allgather(text))) == 1


# Random nets -----------------------------------------------------------------------------------------------


def random_fit(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, np.ndarray], dict[str, Any]]:
    """The arguments of a model; the data of all ranks, and of their validation; the arguments of a fit."""
    loss = str(rng.choice(LOSSES))
    widths = [int(n) for n in np.exp2(rng.uniform(0, 6.5, rng.integers(2, 5)))]
    rows, held_out = int(rng.integers(8, 260)), int(rng.integers(8, 60))
    if loss == "cross_entropy":
        widths[-1] = max(widths[-1], 2)
    rate = float(10 ** rng.uniform(-4, -2))
    maximize = bool(rng.random() < 0.2)
    optimizer = getattr(bpkern, str(rng.choice(OPTIMIZERS)))(lr=rate, maximize=maximize)
    if isinstance(optimizer, bpkern.SGD) and rng.random() < 0.6:
        nesterov = bool(rng.integers(2))
        optimizer = bpkern.SGD(
            bpkern.schedules.Cosine(rate, 30),
            momentum=0.9,
            nesterov=nesterov,
            dampening=0.0 if nesterov or rng.random() < 0.5 else 0.3,
            maximize=maximize,
        )
    bias = True if rng.random() < 0.7 else [bool(rng.random() < 0.7) for _ in widths[1:]]
    model = {
        "layers": widths,
        "activation": ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))],
        "bias": bias,
        "loss": loss,
        "optimizer": optimizer,
        "dtype": str(rng.choice(["float32", "float64"])),
        "dropout": float(rng.choice([0.0, 0.0, 0.3])),
        "input_dropout": float(rng.choice([0.0, 0.0, 0.25])),
        "l2": float(rng.choice([0.0, 1e-3])),
        "l1": float(rng.choice([0.0, 0.0, 1e-4])),
        "label_smoothing": 0.1 if loss == "cross_entropy" and rng.random() < 0.3 else 0.0,
        "seed": int(rng.integers(1000)),
    }
    data = {}
    for part, count in (("", rows), ("val_", held_out)):
        data[f"{part}X"] = rng.standard_normal((count, widths[0])).astype(rng.choice(["f4", "f8"]))
        targets = rng.random((count, widths[-1]))
        if loss == "cross_entropy":
            targets = rng.integers(0, widths[-1], count)
        if "hinge" in loss:
            targets = 2 * targets.round() - 1
        data[f"{part}y"] = targets.round() if loss == "binary_cross_entropy" else targets
        data[f"{part}w"] = np.where(rng.random(count) < 0.2, 0.0, rng.random(count) + 0.01)
    fit = {
        "epochs": int(rng.integers(1, 4)),
        "batch_size": int(rng.integers(1, rows + 20)),
        "shuffle": bool(rng.integers(4)),
        "accumulate": int(rng.choice([1, 1, 2, 5])),
        "clip_norm": None if rng.random() < 0.6 else 0.3,
        "clip_value": None if rng.random() < 0.8 else 0.05,
        "ema": None if rng.random() < 0.7 else 0.9,
        "metrics": None if rng.random() < 0.5 or "entropy" not in loss else ("accuracy", "f1"),
    }
    if loss == "cross_entropy" and rng.random() < 0.4:
        fit["class_weight"] = "balanced" if rng.integers(2) else {0: 3.0}
    fit["uses"] = [bool(rng.integers(2)), bool(rng.integers(2))]  # weights, validation data
    fit["n_stop"] = bool(rng.random() < 0.2)
    fit["groups"] = random_groups(rng, len(widths) - 1)
    return model, data, fit


def random_groups(rng: np.random.Generator, layers: int) -> list[tuple[str, int, dict[str, Any]]]:
    """Calls that freeze parameters or give them factors: name, layer and arguments."""
    calls: list[tuple[str, int, dict[str, Any]]] = []
    for layer in range(layers if rng.random() < 0.5 else 0):
        kinds = {"weights": bool(rng.integers(2)), "biases": bool(rng.integers(2))}
        if rng.random() < 0.3:
            calls.append(("freeze", layer, kinds))
        elif rng.random() < 0.5:
            calls.append(("set_factors", layer, {"lr": 3.0, "weight_decay": 0.5}))
    return calls


def trained(seed: int, trial: int, n_threads: int) -> str:
    """Train a random net on this rank's rows, and return its digest with that of its evaluation."""
    arguments, data, fit = random_fit(np.random.default_rng([seed, trial]))
    uses_weights, uses_validation = fit.pop("uses")
    rows = own_rows(len(data["X"]), COMM, SHARDS)
    held_out = own_rows(len(data["val_X"]), COMM, SHARDS)
    model = bpkern.MLP(**arguments)
    for name, layer, chosen in fit.pop("groups"):
        getattr(model, name)(layer, **chosen)
    validation = tuple(data[f"val_{name}"][held_out] for name in ("X", "y", "w")[: 2 + uses_weights])
    callbacks = [EarlyStopping("loss", patience=1)] if fit.pop("n_stop") else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model.fit(
                data["X"][rows],
                data["y"][rows],
                sample_weight=data["w"][rows] if uses_weights else None,
                validation_data=validation if uses_validation else None,
                callbacks=callbacks,
                n_threads=n_threads,
                verbose=0,
                shards=SHARDS,
                comm=COMM,
                **fit,
            )
            ending = ""
        except (bpkern.DivergedError, ValueError) as error:
            ending = type(error).__name__
        found = model.evaluate(*validation[:2], shards=SHARDS, comm=COMM)
    predicted = model.predict(data["X"][rows], comm=COMM)
    made = (
        f"{digest(model)} {ending} {json.dumps(found)} {hashlib.sha256(predicted.tobytes()).hexdigest()[:8]}"
    )
    return made if same_everywhere(made) else f"the ranks differ: {COMM.allgather(made)}"


def nets(seed: str, first: str, last: str) -> None:
    """Print trial, threads and digest of each net."""
    for trial in range(int(first), int(last)):
        for n_threads in (1, 2):
            say(trial, n_threads, trained(int(seed), trial, n_threads))


# Fits that end early ---------------------------------------------------------------------------------------


def a_fit(rows: int = 3000) -> tuple[bpkern.MLP, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 20)).astype(np.float32)
    y = rng.integers(0, 5, rows)
    settings = dict(optimizer=bpkern.Adam(0.003), dropout=0.1, seed=0)
    model = bpkern.MLP([20, 64, 32, 5], loss="cross_entropy", **settings)
    own = own_rows(rows, COMM, SHARDS)
    return model, np.array(X[own]), y[own]


class Planned(Exception):
    """The error of a callback."""


class Fail(Callback):
    """Raise at a batch or an epoch; or write that a fit is under way."""

    def __init__(self, kind: str, place: int, begun: Path) -> None:
        self.kind, self.place, self.begun = kind, place, begun
        self.raised: float | None = None

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        if epoch == 1:
            self.begun.touch()

    def on_epoch_end(self, model: Any, epoch: int, logs: Any) -> None:
        if self.kind == "epoch" and epoch == self.place:
            self.raised = time.time()
            raise Planned(f"after epoch {epoch}")


class FailInBatch(Fail):
    """Raise after a mini-batch."""

    def on_batch_end(self, model: Any, batch: int, logs: Any) -> None:
        if batch == self.place:
            self.raised = time.time()
            raise Planned(f"after batch {batch}")


def ended(folder: str, kind: str, rank: str, place: str) -> None:
    """A fit that ends by an error on one rank, or by Ctrl-C; prints how and when it ended on each rank."""
    model, X, y = a_fit()
    mine = int(rank) == RANK
    chosen = FailInBatch if kind == "batch" else Fail
    callback = chosen(kind if mine else "", int(place) if mine else -1, Path(folder) / f"begun_{RANK}")
    if mine and kind == "row":
        X[int(place) % len(X), 3] = np.nan
    if mine and kind == "diverged":
        X[int(place) % len(X)] = 3e38
    (Path(folder) / f"pid_{RANK}").write_text(str(os.getpid()))
    try:
        model.fit(
            X,
            y,
            epochs=10**6,
            batch_size=64,
            callbacks=callback,
            n_threads=1,
            verbose=0,
            shards=SHARDS,
            comm=COMM,
        )
        how = "no error"
    except BaseException as error:
        how = f"{type(error).__name__}: {error}".splitlines()[0]
    now = time.time()
    whole = all(np.isfinite(part).all() for pair in model.get_weights() for part in pair)
    own = how, whole, now, callback.raised
    told = [own] if COMM is None else COMM.gather(own)
    same = same_everywhere(digest(model))
    if told is not None:
        say(json.dumps({"endings": told, "same": same}))


if __name__ == "__main__":
    {"nets": nets, "ended": ended}[sys.argv[1]](*sys.argv[2:])
