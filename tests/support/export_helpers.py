"""Random networks for the tests of exports, and what their predictions are compared by."""

import ctypes
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

import bpkern
from bpkern._core import ACTIVATIONS, LOSSES
from bpkern._export.c_arrays import as_computed
from bpkern._export.evaluate import evaluated
from bpkern.export import net_of

EPS = {"float32": float(np.finfo(np.float32).eps), "float64": float(np.finfo(np.float64).eps)}


# All names, and some with their parameters.
TEXTS = (*ACTIVATIONS, "leaky_relu(0.2)", "elu(2.5)", "leaky_relu(1e-06)")


def random_model(number, dtype=None):
    """A network of random sizes; by their numbers they take all activations, losses, dtypes and depths."""
    rng = np.random.default_rng(number)
    layers = rng.integers(1, 24, 2 + number % 4).tolist()
    loss = LOSSES[number % len(LOSSES)]
    if loss == "cross_entropy":
        layers[-1] += 1
    hidden = [TEXTS[(number + l) % len(TEXTS)] for l in range(len(layers) - 2)]
    output = TEXTS[(number // 3) % len(TEXTS)] if number % 3 == 0 else "identity"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "the loss .* applies its own")
        model = bpkern.MLP(
            layers,
            activation=hidden,
            output_activation=output,
            loss=loss,
            dtype=dtype or ("float32", "float64")[number // len(LOSSES) % 2],
            dropout=0.25 * (number % 5 == 0) if hidden else 0.0,
            input_dropout=0.125 * (number % 7 == 0),
            seed=number,
        )
    spread = rng.choice([0.3, 1.0, 2.0])
    model.set_weights(
        [
            (spread * rng.standard_normal(w.shape), rng.standard_normal(b.shape))
            for w, b in model.get_weights()
        ]
    )
    return model, rng.standard_normal((17, layers[0])).astype(model.dtype)


def predictions(model, X):
    """What an exported network computes: probabilities, or the values of `forward`."""
    return model.predict_proba(X) if model.loss.endswith("cross_entropy") else model.forward(X)


def assert_agree(model, X, found, eps=None):
    """Two computations in the model's dtype (or of this eps), each within the bound of rounding."""
    exact = evaluated(net_of(model), X, eps or EPS[model.dtype.name])
    assert found.shape == exact.values.shape
    for each in (found, predictions(model, X)):
        assert (np.abs(each - exact.values) <= exact.bound).all()


# C -------------------------------------------------------------------------------------------------------

WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")


def compiler():
    """A C compiler of this machine; the test is skipped if there is none."""
    found = next(filter(None, map(shutil.which, ("gcc", "clang", "cc"))), None)
    if found is None or sys.platform == "win32":
        pytest.skip("there is no C compiler")
    return found


def compiled(text, folder, name="net", command=None, options=("-DNET_TEST",)):
    """The functions of an exported C file, as a library."""
    source, target = folder / "net.c", folder / f"{name}.so"
    source.write_text(text)
    tool = command or [compiler()]
    subprocess.run([*tool, *WARNINGS, *options, "-shared", "-fPIC", source, "-o", target, "-lm"], check=True)
    return ctypes.CDLL(target)


def predicted_by_c(library, X, outputs, name="net"):
    """The predictions (n, outputs) of the C functions, and its classes or None."""
    out, pointer = np.full((len(X), outputs), np.nan, np.float32), ctypes.POINTER(ctypes.c_float)
    x = np.ascontiguousarray(X, np.float32)
    for row in range(len(x)):
        getattr(library, f"{name}_predict")(x[row].ctypes.data_as(pointer), out[row].ctypes.data_as(pointer))
    if not hasattr(library, f"{name}_class"):
        return out, None
    find = getattr(library, f"{name}_class")
    return out, np.array([find(row.ctypes.data_as(pointer)) for row in out])


def assert_c_agrees(model, X, found, weights):
    """The predictions of a C file against those of the network that it says to compute, in float64."""
    exact = evaluated(as_computed(net_of(model), weights), X.astype(np.float32), EPS["float32"])
    assert found.shape == exact.values.shape
    assert (np.abs(found - exact.values) <= exact.bound).all()
    if weights == "float32" and model.dtype == np.float32:
        assert_agree(model, X, found)
