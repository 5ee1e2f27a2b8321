"""Digests of what bpkern computes, one per row of the table in docs/reproducibility.md.

    python tests/support/bits.py

prints them as JSON, with what the environment has turned on. test_reproducibility.py runs it in different
environments, and compares. After a deliberate change of the arithmetic,

    python tests/support/bits.py --record

writes those that depend on the instruction set alone to tests/golden/bits.json.
"""

import copy
import hashlib
import json
import pickle
import re
import sys
import tempfile
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from helpers import using

import bpkern
from bpkern import _core, schedules

# All numbers from integers, exact in float32 as well, so that they are the same everywhere.
X = (np.arange(300 * 40).reshape(300, 40) * 7919 % 4001 - 2000) / 1024
LABELS = np.arange(300) * 31 % 7 % 5
VALUES = (np.arange(300 * 5).reshape(300, 5) * 6131 % 3001 - 1500) / 1024
WEIGHTS = (np.arange(300) * 97 % 89 + 1) / 89

DTYPES = ("float32", "float64")
ACTIVATIONS = bpkern._core.ACTIVATIONS
REGRESSION = ("mse", "squared_error", "mae", "huber", "quantile", "poisson")
CONSTANT = (bpkern.SGD(0.01, 0.9, True), bpkern.RMSprop(momentum=0.5, centered=True), bpkern.Adagrad())
ADAMS = (bpkern.Adam(), bpkern.Adam(amsgrad=True, eps_hat=True), bpkern.AdamW(), bpkern.NAdam())
UNIFORM = ("auto", "glorot_uniform", "he_uniform", "lecun_uniform")
NORMAL = ("glorot_normal", "he_normal", "lecun_normal")
SCHEDULES = (
    schedules.Step(0.01, 3, 0.7),
    schedules.Exponential(0.01, 0.97, 3),
    schedules.InverseScaling(0.01, 0.3),
    schedules.Cosine(0.01, 90, warmup=3, restarts=2),
    schedules.OneCycle(0.01, 200),
)


def given(layers):
    """Weights and biases from integers."""
    return [
        (
            (np.arange(m * n).reshape(n, m) * 104729 % 8191 - 4095) / 2.0**15,
            (np.arange(n) * 37 % 17 - 8) / 64,
        )
        for m, n in pairwise(layers)
    ]


def network(dtype, layers=(40, 33, 20, 5), **settings):
    return bpkern.MLP(
        list(layers), **{"loss": "cross_entropy", "init": given(layers), "dtype": dtype, "seed": 0} | settings
    )


def targets(loss):
    if loss == "cross_entropy":
        return LABELS
    return (VALUES > 0) * 1.0 if loss == "binary_cross_entropy" else np.abs(VALUES)


def fitted(model, **arguments):
    """The model after a fit by exactly as many threads as a call may use, in the order of the rows."""
    threads = bpkern.get_num_threads()
    loss = model.loss
    usual = {"epochs": 1, "batch_size": 64, "shuffle": False, "verbose": 0, "n_threads": threads}
    model.fit(X, targets(loss), **usual | arguments)
    return model


def arrays(model):
    return [array for pair in model.get_weights() for array in pair]


def initial(kinds):
    return [
        array
        for dtype in DTYPES
        for init in kinds
        for array in arrays(network(dtype, (90, 80, 10), init=init))
    ]


def orders():
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(1000), bpkern._core.permutation(rng, 300_000)]
    core = network("float32").__bpkern_core__()
    drawn += core.random.split(300, 0.2, LABELS)
    # With W the identity, the outputs that are 0 are the activations that were dropped.
    pair = np.ones((60, 40)), np.zeros(60)
    model = network("float32", (40, 60, 60), dropout=0.4, loss="mse", init=[pair, (np.eye(60), np.zeros(60))])
    return [*drawn, model.forward(np.ones((50, 40)), train=True) == 0]


def fits(optimizers):
    """Each activation, each loss, and what a fit can do with gradients."""
    models = [
        fitted(network(dtype, activation=activation, optimizer=optimizers[0]))
        for dtype in DTYPES
        for activation in ACTIVATIONS
    ]
    models += [
        fitted(network(dtype, loss=loss, optimizer=optimizers[1]))
        for dtype in DTYPES
        for loss in (*REGRESSION, "binary_cross_entropy")
    ]
    extras = {"clip_norm": 0.5, "ema": 0.9, "accumulate": 2}
    models += [
        fitted(network(dtype, optimizer=optimizer, l2=1e-4), sample_weight=WEIGHTS, **more)
        for dtype in DTYPES
        for optimizer in optimizers
        for more in ({}, {"class_weight": "balanced"}, extras)
    ]
    return [array for model in models for array in arrays(model)]


def rates():
    """Also of an array, which NumPy computes in vectors."""
    return [schedule(np.arange(200)) for schedule in SCHEDULES] + [
        fitted(network("float64", optimizer=bpkern.SGD(schedule)), epochs=3).history_.lr
        for schedule in SCHEDULES
    ]


def losses():
    found = []
    for dtype in DTYPES:
        for loss in (*REGRESSION, "cross_entropy", "binary_cross_entropy"):
            model = fitted(network(dtype, loss=loss), sample_weight=WEIGHTS, validation_split=0.2)
            y = targets(loss)
            history = {name: model.history_[name] for name in ("loss", "val_loss")}
            found += [history, model.losses(X, y), model.evaluate(X, y, metrics=())]
    return found


def metrics():
    names = {
        "cross_entropy": ("accuracy", "f1", "precision", "recall"),
        "poisson": ("mae", "mse", "rmse", "r2"),
    }
    return [
        fitted(network(dtype, loss=loss)).evaluate(X, targets(loss), sample_weight=weights, metrics=of_loss)
        for dtype in DTYPES
        for loss, of_loss in names.items()
        for weights in (None, WEIGHTS)
    ]


def passes():
    found = []
    for dtype in DTYPES:
        for activation in ACTIVATIONS:
            model = network(dtype, activation=activation)
            gradients = [array for pair in model.gradients(X, LABELS)[1] for array in pair]
            found += [model.forward(X), model.predict(X), model.predict(X[:1]), *gradients]
    return found


def probabilities():
    return [
        network(dtype, loss=loss).predict_proba(4 * X)
        for dtype in DTYPES
        for loss in ("cross_entropy", "binary_cross_entropy")
    ]


def estimators(*solvers):
    from bpkern.sklearn import MLPClassifier, MLPRegressor

    found = []
    for dtype in DTYPES:
        for solver in solvers:
            settings = dict(hidden_layer_sizes=(20,), solver=solver, max_iter=2, random_state=0, dtype=dtype)
            settings |= {"n_threads": bpkern.get_num_threads(), "batch_size": 64}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they have not converged
                found += MLPClassifier(**settings).fit(X, LABELS).coefs_
                found += MLPRegressor(**settings).fit(X, VALUES).coefs_
    return found


def of_reference():
    found = []
    for dtype in DTYPES:
        model = bpkern.reference.MLP(
            [40, 33, 5], loss="cross_entropy", dtype=dtype, init=given((40, 33, 5)), seed=0
        )
        model.fit(X, LABELS, epochs=2)
        found += arrays(model)
    return found


def stored():
    """From given weights: what is stored is what was given."""
    found = []
    for dtype in DTYPES:
        model = network(dtype)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.npz"
            model.save(path)
            copies = bpkern.MLP.load(path), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)
        found += [array for twin in copies for array in arrays(twin)]
    return found


ROWS = {
    "initial weights: uniform": lambda: initial(UNIFORM),
    "initial weights: normal": lambda: initial(NORMAL),
    "initial weights: orthogonal": lambda: initial(["orthogonal"]),
    "order of rows, validation split, dropout masks": orders,
    "fit with SGD, RMSprop, Adagrad": lambda: fits(CONSTANT),
    "fit with Adam, AdamW, NAdam": lambda: fits(ADAMS),
    "learning rates of schedules": rates,
    "losses: history, `evaluate`, `losses`": losses,
    "metrics": metrics,
    "`forward`, `predict`, `gradients`": passes,
    "`predict_proba`": probabilities,
    "estimators, solvers sgd and adam": lambda: estimators("sgd", "adam"),
    "estimators, solver lbfgs": lambda: estimators("lbfgs"),
    "`bpkern.reference`": of_reference,
    "files, copies, pickles": stored,
}


# The rows that depend on nothing but the instruction set. Scalar code depends on the C library as well.
RECORDED = (
    "fit with SGD, RMSprop, Adagrad",
    "`forward`, `predict`, `gradients`",
    "`predict_proba`",
    "files, copies, pickles",
)
VECTOR = tuple(isa for isa in _core.compiled_isas() if isa != "scalar")
GOLDEN = Path(__file__).parents[1] / "golden" / "bits.json"


def table():
    """The page's table: the causes of its columns, and of each row what it says of each cause."""
    page = (Path(__file__).parents[2] / "docs" / "reproducibility.md").read_text()
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*", page, re.M)
    ]
    causes = lines[0][1:]
    return causes, {line[0]: dict(zip(causes, line[1:], strict=True)) for line in lines[2:]}


def digest(values):
    """Of the bits of arrays and floats."""
    sha = hashlib.sha256()
    for value in values:
        # repr gives every float its own text.
        sha.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return sha.hexdigest()[:16]


def digests():
    """The digest of each row; None where a library is not installed."""
    found = {}
    for name, compute in ROWS.items():
        try:
            found[name] = digest(compute())
        except ModuleNotFoundError:
            found[name] = None
    return found


def record():
    found = json.loads(GOLDEN.read_text())
    for isa in set(VECTOR).intersection(bpkern.available_isas()):
        with using(isa):
            found[isa] = {name: digest(ROWS[name]()) for name in RECORDED}
    GOLDEN.write_text(json.dumps(dict(sorted(found.items())), indent=2) + "\n")


def main():
    if sys.argv[1:] == ["--record"]:
        record()
        return
    features = np._core._multiarray_umath.__cpu_features__
    json.dump(
        {
            "rows": digests(),
            "threads": bpkern.get_num_threads(),
            "isa": bpkern.isa(),
            "features": [name for name, there in features.items() if there],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
