"""Embeddings, factors and trained shares of activations in ONNX and C: docs/export.md.

The oracle is `bpkern.reference` in float64, whose inputs and shares are written independently.
"""

import numpy as np
import pytest
from export_helpers import EPS, assert_agree, assert_c_agrees, compiled, predicted_by_c

import bpkern
from bpkern import export
from bpkern._export.evaluate import evaluated
from bpkern.activations import Parametric
from bpkern.inputs import CategoryEmbedding, NumericEmbedding, Scale

CODES = [CategoryEmbedding(1, 5, 3), CategoryEmbedding(5, 4)]
STAGES = {
    "all": [CODES[0], NumericEmbedding([6, 0, 3], 6, 3, 1.0), CODES[1], Scale()],
    "numbers": [NumericEmbedding(hidden=5, dim=2)],
    "codes": CODES[::-1],
    "factors": [Scale()],
    "none": [],
}
FUNCTIONS = ["selu", "mish", "leaky_relu(0.2)", "identity"]


def trained(stage, number, dtype, loss="cross_entropy"):
    """A network whose parameters are far from their initial values, and rows."""
    rng = np.random.default_rng(number)
    model = bpkern.MLP(
        [7, 9, 6, 3],
        activation=[Parametric(FUNCTIONS[number % 4]), "tanh" if number % 2 else Parametric("gelu")],
        loss=loss,
        dtype=dtype,
        seed=number,
        inputs=STAGES[stage],
    )
    model.load_state_dict(
        {
            name: array + 0.3 * rng.standard_normal(array.shape).astype(dtype)
            for name, array in model.state_dict().items()
        }
    )
    X = rng.normal(size=(20, 7))
    X[:, 1], X[:, 5] = rng.integers(0, 5, 20), rng.integers(0, 4, 20)
    return model, X.astype(dtype)


CASES = [(stage, number) for number, stage in enumerate(STAGES)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("stage", "number"), CASES)
def test_evaluated_is_what_the_reference_computes(stage, number, dtype):
    model, X = trained(stage, number, dtype)
    other = bpkern.reference.MLP(
        [7, 9, 6, 3],
        activation=[Parametric(FUNCTIONS[number % 4]), "tanh" if number % 2 else Parametric("gelu")],
        loss="cross_entropy",
        dtype="float64",
        inputs=STAGES[stage],
    )
    for mine, theirs in zip(other._parameters, model.state_dict().values(), strict=True):
        mine[...] = theirs
    found = evaluated(export.net_of(model), X, EPS[dtype])
    outputs = other.forward(X)
    expected = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    # 2 pi times the weights is rounded to the dtype.
    np.testing.assert_allclose(found.values, expected, rtol=1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("stage", "number"), CASES)
def test_onnx(stage, number, dtype):
    onnx = pytest.importorskip("onnx")
    model, X = trained(stage, number, dtype)
    made = export.to_onnx(model)
    onnx.checker.check_model(made, full_check=True)
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    [found] = session.run(["probabilities"], {"X": X})
    assert found.dtype == dtype
    assert_agree(model, X, found)
    assert session.run(None, {"X": X[:0]})[0].shape == (0, 3)


def test_c(tmp_path):
    """All stages by both kinds of weights, as one file; and the self-test."""
    made = {
        f"{stage}_{weights}": (*trained(stage, number, "float64" if number % 2 else "float32"), weights)
        for stage, number in CASES
        for weights in ("float32", "int8")
    }
    texts = [export.to_c(model, name=name, weights=kind, data=X) for name, (model, X, kind) in made.items()]
    library = compiled("\n".join(texts), tmp_path, options=[f"-D{name.upper()}_TEST" for name in made])
    for name, (model, X, kind) in made.items():
        found, classes = predicted_by_c(library, X, 3, name)
        assert_c_agrees(model, X, found, kind)
        assert getattr(library, f"{name}_test")() == 0
        if kind == "float32":
            assert np.array_equal(classes, model.predict(X))
        if name.startswith("codes"):  # what is no code is code 0
            rows = np.repeat(X[:1], 5, axis=0)
            rows[:, 1] = 0, 5, -1, np.nan, np.inf
            other, _ = predicted_by_c(library, rows, 3, name)
            assert (other == other[0]).all()


def test_averages_are_exported():
    model, X = trained("all", 0, "float32")
    model.fit(X, np.arange(20) % 3, epochs=2, ema=0.9, verbose=0)
    net = export.net_of(model)
    state = model.state_dict()
    assert np.array_equal(net.share(0), state["activations.0.alpha"])
    assert np.array_equal(net.front.scale, state["inputs.3.scale"])


def test_wrong_codes_are_refused():
    model, X = trained("all", 0, "float32")
    X[2, 1] = 7
    with pytest.raises(ValueError, match=r"data holds a wrong code at row 2, column 1: .* from 0 to 4"):
        export.to_c(model, data=X)
