"""The command `bpkern trace`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DivergedError
from ..mlp import MLP
from ..optimizers import SGD
from ..trace import Trace

# The losses that contain the function of the last layer, so that its outputs have no activation of their own.
WITH_FUNCTION = ("cross_entropy", "binary_cross_entropy", "poisson")

# The 2-2-2 network of many textbooks.
TEXTBOOK = [
    ([[0.15, 0.20], [0.25, 0.30]], [0.35, 0.35]),
    ([[0.40, 0.45], [0.50, 0.55]], [0.60, 0.60]),
]
TEXTBOOK_X, TEXTBOOK_Y = [[0.05, 0.10]], [[0.01, 0.99]]


def run_trace(options: argparse.Namespace) -> int:
    """Print the trace of these options, and save it; returns the exit status."""
    try:
        model, x, y = _from_file(options) if options.model else _new(options)
        trace = model.trace(x, y, steps=options.steps)
        shown = [str(trace)]
        if options.explain:
            shown += [str(trace.explain(options.explain))]
        if options.save:
            trace.save(options.save, row=options.row)
        page = _page(trace, options) if options.open else None
    except (ValueError, TypeError, OSError, DivergedError, ModuleNotFoundError) as error:
        print(f"bpkern trace: {error}", file=sys.stderr)
        return 1
    text = "\n\n".join(shown)
    # A terminal that lacks the letters of the formulas shows others in their place.
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))
    return 0 if page is None else _open(page)


def _page(trace: Trace, options: argparse.Namespace) -> str:
    """The path of the page that the browser will show."""
    if options.save and options.save.lower().endswith(".html"):
        return str(options.save)
    # It stays: the browser reads it after this command has ended.
    handle, path = tempfile.mkstemp(".html", "bpkern-trace-")
    os.close(handle)
    trace.save(path, row=options.row)
    return path


def _open(page: str) -> int:
    """Show the page in the web browser; returns the exit status."""
    if webbrowser.open(Path(page).absolute().as_uri()):
        return 0
    print(f"bpkern trace: no web browser was found; the page is {page}", file=sys.stderr)
    return 1


def _new(options: argparse.Namespace) -> tuple[MLP, Any, Any]:
    """A new network and its rows: those of the textbook unless the options give others."""
    sizes, loss = options.layers or [2, 2, 2], options.loss or "squared_error"
    activation = options.activation or "sigmoid"
    model = MLP(
        sizes,
        activation=activation,
        output_activation="identity" if loss in WITH_FUNCTION else activation,
        loss=loss,
        optimizer=SGD(lr=0.5 if options.lr is None else options.lr),
        dtype="float64",
        seed=options.seed,
    )
    if options.layers is None:
        model.set_weights(TEXTBOOK)
    if options.data:
        return model, *_rows(options, model)
    rng = np.random.default_rng(options.seed)
    rows = max(len(given) for given in (options.x or [()], options.y or [()]))
    x = options.x or (TEXTBOOK_X if options.layers is None and rows == 1 else rng.random((rows, sizes[0])))
    return model, x, _targets(options, model, rng, len(x))


def _targets(options: argparse.Namespace, model: MLP, rng: np.random.Generator, rows: int) -> Any:
    """The targets that are given, or others that fit the loss."""
    outputs = model.layers[-1]
    if options.y:
        return _labels(model, np.array(options.y))
    if model.loss == "cross_entropy":
        return rng.integers(0, outputs, rows)
    if model.loss in ("hinge", "squared_hinge"):
        return rng.choice([-1.0, 1.0], (rows, outputs))
    return TEXTBOOK_Y if options.layers is None and rows == 1 else rng.random((rows, outputs))


def _labels(model: MLP, y: np.ndarray) -> np.ndarray:
    """One class per row as labels (n,); all other targets as they are."""
    return y[:, 0] if model.loss == "cross_entropy" and y.shape[1] == 1 else y


def _from_file(options: argparse.Namespace) -> tuple[MLP, Any, Any]:
    """The model of a file, and its rows."""
    if any(given is not None for given in (options.layers, options.activation, options.loss)):
        raise ValueError("--layers, --activation and --loss are for a new network, not together with --model")
    model = MLP.load(options.model)
    if options.lr is not None:
        model.optimizer.lr = options.lr
    if options.data:
        return model, *_rows(options, model)
    if not (options.x and options.y):
        raise ValueError("--model needs its rows: --data, or --x and --y")
    return model, options.x, _labels(model, np.array(options.y))


def _rows(options: argparse.Namespace, model: MLP) -> tuple[np.ndarray, np.ndarray]:
    """The rows of --data: inputs, and then targets or, for cross_entropy, a class."""
    if options.x or options.y:
        raise ValueError("give --data, or --x and --y, not both")
    table = np.loadtxt(options.data, delimiter=",", ndmin=2)
    inputs = model.layers[0]
    if table.shape[1] <= inputs:
        raise ValueError(
            f"{options.data} must have {inputs} columns of inputs and then targets, not {table.shape[1]}"
        )
    return table[:, :inputs], _labels(model, table[:, inputs:])
