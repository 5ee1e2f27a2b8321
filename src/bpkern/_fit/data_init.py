"""Initial weights and biases by the data: RealMLP's, layer by layer.

Holzmüller, Grinsztajn and Steinwart, "Better by default" (2024); docs/design-inputs.md has the sources.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks, _core
from .._data.rows import as_rows, bad_row
from .._model.core import Core

# The most rows that are used; of more, as many are chosen at random.
MOST_ROWS = 1 << 14

# Points in the convex hull of which a unit's bend is placed.
POINTS = 5

WEIGHTS = ("std", "keep")
BIASES = ("he+5", "zeros", "keep")


def initialize(core: Core, X: Any, weights: str, biases: str) -> None:
    """As `MLP.initialize`."""
    core.net.check_trains()
    settings, net, generator = core.settings, core.net, core.random.generator
    check(weights, biases)
    x = as_rows(X, settings.layers[0])
    if len(x) == 0:
        raise ValueError("X has no rows")
    with net.writing():
        core.check_may_train()
        net.snapshot()
        random = core.random.state()
        try:
            index = some_rows(generator, len(x))
            data = _core.Data(x)
            layers = net.get_layers()
            for l, (w, b) in enumerate(layers):
                draw_layer(generator, _inputs_of(core, data, index, l), w, b, weights, biases)
                net.set_layers(layers)
        except BaseException as error:
            net.restore()
            core.random.go_back(random)
            if isinstance(error, _core.BadRowError):
                raise bad_row((x, None, None), error.row, settings) from None
            raise
        core.tape = _core.Tape(net)
        net.forget()
        core.history = None


def check(weights: str, biases: str) -> None:
    """Raise ValueError or TypeError unless these are names of initial values."""
    _checks.one_of("weights", weights, WEIGHTS)
    _checks.one_of("biases", biases, BIASES)


def some_rows(generator: np.random.Generator, rows: int) -> np.ndarray:
    """The rows to look at, int64, in ascending order: all of them, or a random part."""
    return np.sort(generator.permutation(rows)[:MOST_ROWS]).astype(np.int64)


def draw_layer(
    generator: np.random.Generator,
    inputs: np.ndarray,
    w: np.ndarray,
    b: np.ndarray,
    weights: str,
    biases: str,
) -> None:
    """Draw W (out, in) and b (out,) of a layer, in place, by its inputs (n, in)."""
    if weights == "std":
        _draw_weights(generator, inputs, w)
    if biases != "keep":
        b[...] = 0
    if biases == "he+5":
        _draw_biases(generator, inputs @ w.T, b)


def _inputs_of(core: Core, data: _core.Data, index: np.ndarray, l: int) -> np.ndarray:
    """The inputs of layer l in these rows (n, in), without dropout."""
    tape = _core.Tape(core.net)
    tape.forward(data, index, dropouts=np.zeros((1, len(core.settings.bias))))
    return tape.matrix("x", l)


def _draw_weights(generator: np.random.Generator, inputs: np.ndarray, w: np.ndarray) -> None:
    """Normal weights, so that each unit's sum over its inputs has the standard deviation 1 in the rows.

    The weights of a unit whose sum is the same in all rows are divided by the root of its inputs' number.
    """
    w[...] = generator.normal(0.0, 1.0, w.shape)
    deviations = (inputs @ w.T).std(axis=0, dtype=np.float64)
    deviations[deviations == 0] = np.sqrt(w.shape[1])
    w /= deviations[:, None].astype(w.dtype)
    if not np.isfinite(w).all():
        raise ValueError(f"the initial weights for these rows must be finite in {w.dtype.name}: scale X")


def _draw_biases(generator: np.random.Generator, sums: np.ndarray, b: np.ndarray) -> None:
    """Minus a random point in the convex hull of each unit's sums (n, out) in five rows."""
    rows = generator.integers(0, len(sums), (POINTS, len(b)))
    parts = generator.exponential(1.0, (POINTS, len(b)))
    b[...] = -(sums[rows, np.arange(len(b))] * (parts / parts.sum(axis=0))).sum(axis=0)
