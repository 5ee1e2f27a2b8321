"""Networks out to ONNX, run by onnxruntime, and back; foreign and hostile files: docs/export.md."""

import contextlib
import itertools
import os
import re

import numpy as np
import pytest

from bpkern._core import ACTIVATIONS

onnx = pytest.importorskip("onnx")

from export_helpers import assert_agree, predictions, random_model  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import bpkern  # noqa: E402
from bpkern import export  # noqa: E402

RNG = np.random.default_rng(0)


def run(model, X):
    """All outputs by onnxruntime, by name."""
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(3)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"X": X}), strict=True))


@pytest.mark.parametrize("number", range(100))
@pytest.mark.filterwarnings("ignore:the loss .* applies its own")
def test_out_and_back(number, tmp_path):
    """Predictions within the bound; back again the same bits, with the same settings."""
    model, X = random_model(number)
    made = export.to_onnx(model, tmp_path / "net.onnx")
    [(name, found)] = run(made, X).items()
    assert found.dtype == model.dtype
    assert name == ("probabilities" if model.loss.endswith("cross_entropy") else "outputs")
    assert_agree(model, X, found)
    again = bpkern.MLP.from_onnx(tmp_path / "net.onnx", loss=model.loss)
    settings = re.sub(", (input_)?dropout=[^,)]*", "", repr(model))
    assert repr(again).replace(", init='(arrays)'", "") == settings
    assert np.array_equal(predictions(again, X), predictions(model, X))


def test_the_model_is_portable(tmp_path):
    """Low versions, a symbolic batch, and only basic operators."""
    for dtype in ("float32", "float64"):
        activations = list(ACTIVATIONS)
        model = bpkern.MLP(
            [2] * (len(activations) + 2), activation=activations, loss="cross_entropy", dtype=dtype, seed=0
        )
        made = export.to_onnx(model, tmp_path / "net.onnx")
        assert onnx.load(tmp_path / "net.onnx") == made
        assert [(each.domain, each.version) for each in made.opset_import] == [("", 13)]
        (given,), (found,) = made.graph.input, made.graph.output
        assert given.type.tensor_type.shape.dim[0].dim_param == found.type.tensor_type.shape.dim[0].dim_param
        kinds = {node.op_type for node in made.graph.node}
        assert not kinds & {"Gelu", "Softplus", "Swish", "Mish"}
        if dtype == "float64":
            assert not kinds & {"Erf", "Elu", "Selu", "LeakyRelu"}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    "labels", [["a", "b", "é"], [3, 5, -1], [1.0, 2.0, 3.0], [False, True], ["x", "y"]], ids=str
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classifiers_and_pipelines(labels, dtype):
    """Labels and probabilities, as scikit-learn's converters name them; the scaling inside."""
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bpkern.sklearn import MLPClassifier

    X = np.random.default_rng(0).normal(5, 3, (60, 4)).astype(dtype)
    y = np.array(labels)[(X[:, 0] > 5).astype(int) + ((X[:, 1] > 5) & (len(labels) == 3))]
    for scalers in ([], [StandardScaler()]):
        model = make_pipeline(*scalers, MLPClassifier((7,), max_iter=5, random_state=0)).fit(X, y)
        found = run(export.to_onnx(model), X)
        assert list(found) == ["label", "probabilities"]
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=2e-6)
        assert found["probabilities"].dtype == dtype
        assert np.array_equal(found["label"], model.predict(X))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_regressors_and_several_labels(tmp_path):
    pytest.importorskip("sklearn")
    from bpkern.sklearn import MLPClassifier, MLPRegressor

    X = np.random.default_rng(0).normal(size=(40, 3))
    several = MLPClassifier((5,), max_iter=5).fit(X, X > 0)
    found = run(export.to_onnx(several), X)
    np.testing.assert_allclose(found["probabilities"], several.predict_proba(X), atol=1e-14)
    assert np.array_equal(found["label"], several.predict(X))
    for model in (
        MLPRegressor("poisson", (5,), max_iter=5).fit(X, np.exp(X[:, 0])),
        MLPRegressor(hidden_layer_sizes=(5,), max_iter=5).fit(X, X),
    ):
        [(name, values)] = run(export.to_onnx(model), X).items()
        assert name == "variable"
        np.testing.assert_allclose(values.squeeze(), model.predict(X), rtol=1e-12)
    classes = MLPClassifier((5,), max_iter=5).fit(X, X.argmax(axis=1))
    export.to_onnx(classes, tmp_path / "net.onnx")
    again = bpkern.MLP.from_onnx(tmp_path / "net.onnx", loss="cross_entropy")
    np.testing.assert_allclose(again.predict_proba(X), classes.predict_proba(X), rtol=1e-12)
    odd = MLPClassifier((5,), max_iter=5).fit(X, X.argmax(axis=1))
    odd.classes_ = np.array([(), (1,), (2,)], object)
    with pytest.raises(TypeError, match="numbers or strings"):
        export.to_onnx(odd)


def test_refused_models(tmp_path):
    for model in (None, bpkern.MLP, "net.npz"):
        with pytest.raises(TypeError, match="model must be"):
            export.to_onnx(model)
    with pytest.raises(TypeError, match="path must be"):
        export.to_onnx(bpkern.MLP([1, 1], loss="mse"), 3)
    with pytest.raises(FileNotFoundError):
        export.to_onnx(bpkern.MLP([1, 1], loss="mse"), tmp_path / "none" / "net.onnx")


# Foreign files -------------------------------------------------------------------------------------------

W, B = RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=2).astype(np.float32)


def foreign(*nodes, output="y", constants=(), dtype=np.float32, inputs=("x",)):
    """A model of these nodes (kind, inputs, output, attributes) from "x", with the constants "w" and "b"."""
    made = [
        node
        if isinstance(node, onnx.NodeProto)
        else helper.make_node(
            node[0], node[1].split(), [node[2]], name=f"n{i}", **(node[3] if node[3:] else {})
        )
        for i, node in enumerate(nodes)
    ]
    arrays = {"w": W, "b": B, "v": W[:2, :1], "half": np.array(0.5), "one": np.array(1.0), **dict(constants)}
    real = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_model(
        helper.make_graph(
            made,
            "g",
            [helper.make_tensor_value_info(name, real, ["N", 3]) for name in inputs],
            [helper.make_tensor_value_info(output, real, ["N", None])],
            [
                array
                if isinstance(array, onnx.TensorProto)
                else numpy_helper.from_array(
                    np.asarray(array, dtype if array.dtype.kind == "f" else None), name
                )
                for name, array in arrays.items()
            ],
        )
    )


def read(model, tmp_path, loss="mse"):
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString() if isinstance(model, onnx.ModelProto) else model)
    return bpkern.MLP.from_onnx(path, loss=loss)


GEMM = ("Gemm", "x w b", "z")
ACCEPTED = {
    "identity": [("MatMul", "x w", "m"), ("Add", "b m", "z"), ("Identity", "z", "y")],
    "relu": [GEMM, ("Max", "z zero", "y")],
    "leaky_relu": [GEMM, ("LeakyRelu", "z", "y")],
    "sigmoid": [GEMM, ("Neg", "z", "n"), ("Exp", "n", "e"), ("Add", "one e", "s"), ("Reciprocal", "s", "y")],
    "elu": [GEMM, ("Elu", "z", "y", {"alpha": 1.0})],
    "selu": [GEMM, ("Selu", "z", "y")],
    "selu ": [GEMM, ("Elu", "z", "e", {"alpha": 1.6732632}), ("Mul", "gamma e", "y")],
    "mish": [GEMM, ("Softplus", "z", "s"), ("Tanh", "s", "t"), ("Mul", "t z", "y")],
    "mish ": [GEMM, ("Mish", "z", "y")],
    "softplus": [GEMM, ("Softplus", "z", "y")],
    "softplus ": [GEMM, ("Exp", "z", "e"), ("Add", "e one", "s"), ("Log", "s", "y")],
    "silu": [GEMM, ("Sigmoid", "z", "s"), ("Mul", "s z", "y")],
    "silu ": [GEMM, ("Neg", "z", "n"), ("Exp", "n", "e"), ("Add", "one e", "s"), ("Div", "z s", "y")],
    "gelu": [
        GEMM,
        ("Mul", "z root", "r"),
        ("Erf", "r", "e"),
        ("Add", "e one", "g"),
        ("Mul", "half z", "h"),
        ("Mul", "h g", "y"),
    ],
    "gelu ": [GEMM, ("Gelu", "z", "y")],
    "gelu_tanh ": [GEMM, ("Gelu", "z", "y", {"approximate": "tanh"})],
    "gelu_tanh": [
        GEMM,
        ("Pow", "z three", "c"),
        ("Mul", "cubic c", "k"),
        ("Add", "k z", "a"),
        ("Mul", "a rho", "v"),
        ("Tanh", "v", "t"),
        ("Add", "one t", "g"),
        ("Mul", "z half", "h"),
        ("Mul", "h g", "y"),
    ],
}
CONSTANTS = {
    "zero": np.array([0.0]),
    "gamma": np.array(1.050701),
    "root": np.array(0.70710677),
    "three": np.array(3.0),
    "cubic": np.array(0.044715),
    "rho": np.array([[0.7978845608]]),
}


@pytest.mark.parametrize("activation", ACCEPTED)
def test_activations_of_others(activation, tmp_path):
    """By their own operators, and in other orders of basic ones."""
    model = read(foreign(*ACCEPTED[activation], constants=CONSTANTS), tmp_path)
    expected = bpkern.MLP([3, 2], output_activation=activation.strip(), loss="mse", init=[(W.T, B)])
    X = RNG.normal(size=(5, 3))
    assert np.array_equal(model.forward(X), expected.forward(X))


def test_details_of_gemm_and_what_changes_nothing(tmp_path):
    """alpha, beta, transB, a bias of one number; Dropout, Cast, Flatten, Reshape, Transpose, Constant."""
    bias = helper.make_node("Constant", [], ["c"], value_float=0.25)
    model = foreign(
        bias,
        ("Flatten", "x", "f"),
        ("Cast", "f", "x1", {"to": TensorProto.FLOAT}),
        ("Gemm", "x1 t c", "z", {"alpha": 2.0, "beta": 3.0, "transB": 1}),
        ("Tanh", "z", "a"),
        ("Dropout", "a", "d"),
        ("Transpose", "v", "vt"),
        ("Gemm", "d vt", "u", {"transB": 1}),
        ("Reshape", "u shape", "p"),
        ("Sigmoid", "p", "y"),
        constants={"t": W.T, "shape": np.array([-1, 1])},
    )
    X = RNG.normal(size=(5, 3)).astype(np.float32)
    z = np.tanh(2 * X @ W + 0.75) @ W[:2, :1]
    np.testing.assert_allclose(read(model, tmp_path).forward(X), 1 / (1 + np.exp(-z)), rtol=1e-5)
    two = read(model, tmp_path, loss="binary_cross_entropy")
    np.testing.assert_allclose(two.forward(X), z, rtol=1e-4, atol=1e-6)
    assert two.layers == [3, 2, 1]


def other(kind, inputs, **attributes):
    return foreign(GEMM, (kind, inputs, "y", attributes), constants=CONSTANTS)


REFUSED = {
    "operator": (lambda: other("Sin", "z"), r"node 'n1' \(Sin\): it is not a Gemm"),
    "convolution": (lambda: other("Conv", "z w"), "node 'n1'"),
    "loop": (lambda: other("Loop", "z"), "node 'n1'"),
    "domain": (lambda: other("Relu", "z", domain="com.microsoft"), "domain"),
    "function": (
        lambda: foreign(GEMM, ("Erf", "z", "y")),
        "what comes after the last layer is no activation",
    ),
    "inner": (
        lambda: foreign(GEMM, ("Exp", "z", "a"), ("Gemm", "a v", "y")),
        "node 'n2' .*what comes before",
    ),
    "slopes": (lambda: other("LeakyRelu", "z", alpha=-3.0), "node 'n1' .*alpha"),
    "elu": (lambda: other("Elu", "z", alpha=-2.0), "no activation"),
    "gelu": (lambda: other("Gelu", "z", approximate="fast"), "node 'n1' .*approximate"),
    "residual": (
        lambda: foreign(GEMM, ("Gemm", "z v", "u"), ("Add", "u z", "y")),
        "node 'n2' .*earlier layer",
    ),
    "two heads": (
        lambda: foreign(GEMM, ("Gemm", "z v", "u"), ("Gemm", "z v", "t"), ("Mul", "u t", "y")),
        "node 'n2' .*earlier layer",
    ),
    "vector": (lambda: other("Mul", "z b"), "node 'n1' .*one real number"),
    "division": (lambda: other("Div", "z zero"), "node 'n1' .*division by 0"),
    "power": (lambda: other("Pow", "z root"), "node 'n1' .*powers"),
    "powers": (lambda: other("Pow", "z z"), "node 'n1' .*powers"),
    "scaled input": (
        lambda: foreign(("Mul", "x half", "s"), ("Gemm", "s w", "y")),
        "node 'n1' .*as they are",
    ),
    "input bias": (lambda: foreign(("Add", "x one", "s"), ("Gemm", "s w", "y")), "node 'n1' .*as they are"),
    "no layer": (lambda: foreign(("Relu", "x", "y")), "at least one Gemm"),
    "unknown input": (lambda: other("Relu", "q"), "node 'n1' .*'q' is not known"),
    "itself": (lambda: foreign(GEMM, ("Relu", "y", "y")), "node 'n1' .*'y' is not known"),
    "order": (lambda: foreign(("Relu", "z", "y"), GEMM), "node 'n0' .*'z' is not known"),
    "twice": (lambda: foreign(GEMM, GEMM, ("Relu", "z", "y")), "node 'n1' .*computed before"),
    "no output": (lambda: foreign(GEMM), "no node computes the output 'y'"),
    "two inputs": (lambda: foreign(GEMM, ("Relu", "z", "y"), inputs=("x", "x2")), "one input, not 2"),
    "no graph": (lambda: b"", "one input, not 0"),
    "no file of ONNX": (lambda: b"PK\x03\x04" + bytes(100), "net.onnx"),
    "too few": (lambda: foreign(("Gemm", "x", "y")), "node 'n0' .*inputs, not 1"),
    "too many": (lambda: other("Relu", "z one"), "node 'n1' .*inputs, not 2"),
    "transA": (lambda: foreign(("Gemm", "x w", "y", {"transA": 1})), "transA must be 0"),
    "type of attribute": (lambda: foreign(("Gemm", "x w", "y", {"alpha": 1})), "alpha must be of type float"),
    "weights by an input": (lambda: foreign(("MatMul", "x x", "y")), "a constant matrix"),
    "weights of 3 dimensions": (
        lambda: foreign(("MatMul", "x q", "y"), constants={"q": np.ones((1, 3, 2))}),
        "a constant matrix",
    ),
    "empty weights": (lambda: foreign(("Gemm", "x q", "y"), constants={"q": empty()}), "not empty"),
    "overflow": (
        lambda: foreign(("Gemm", "x q", "y", {"alpha": 3e38}), constants={"q": 1e3 * W}),
        "W of layer 0 must be finite",
    ),
    "width": (lambda: foreign(GEMM, ("Gemm", "z w", "y")), "node 'n1' .*weights are for 3 inputs"),
    "bias": (lambda: foreign(("Gemm", "x w q", "y"), constants={"q": np.ones(3)}), r"must have shape \(2,\)"),
    "bias of rows": (
        lambda: foreign(("Gemm", "x w q", "y"), constants={"q": np.ones((2, 1))}),
        "must have shape",
    ),
    "bias of integers": (
        lambda: foreign(("Gemm", "x w q", "y"), constants={"q": np.ones(2, int)}),
        "constant of",
    ),
    "float16": (
        lambda: foreign(("Gemm", "x q", "y"), constants={"q": numpy_helper.from_array(W.astype("f2"), "q")}),
        "'q' must be float32",
    ),
    "mixed": (
        lambda: foreign(
            GEMM, ("Gemm", "z q", "y"), constants={"q": numpy_helper.from_array(np.ones((2, 1)), "q")}
        ),
        "the same dtype",
    ),
    "not finite": (lambda: foreign(("Gemm", "x q", "y"), constants={"q": W * np.inf}), "'q' must be finite"),
    "softmax over rows": (lambda: other("Softmax", "z", axis=0), "axis must be 1"),
    "softmax for values": (lambda: other("Softmax", "z", axis=1), "for the loss 'cross_entropy', not 'mse'"),
    "after softmax": (
        lambda: foreign(GEMM, ("Softmax", "z", "s"), ("Gemm", "s v", "y")),
        "node 'n2' .*values of a layer",
    ),
    "flatten": (lambda: foreign(("Flatten", "x", "f", {"axis": 0}), ("Gemm", "f w", "y")), "axis must be 1"),
    "reshape": (lambda: other("Reshape", "z zero"), "keep the shape"),
    "dropout in training": (
        lambda: foreign(GEMM, ("Dropout", "z half t", "y"), constants={"t": np.array(True)}),
        "mode of training",
    ),
    "cast": (lambda: other("Cast", "z", to=TensorProto.DOUBLE), "node 'n1' .*dtype of the weights"),
    "cast to integers": (lambda: other("Cast", "z", to=TensorProto.INT32), "node 'n1' .*float32 or float64"),
    "transpose": (lambda: other("Transpose", "z"), "node 'n1'"),
    "constant": (
        lambda: foreign(helper.make_node("Constant", [], ["q"], value_string="s"), ("Gemm", "x q", "y")),
        r"node 0 \(Constant\): a constant by value_string",
    ),
    "constants": (lambda: foreign(("Add", "one half", "q"), ("Gemm", "x q", "y")), "node 'n0' .*of a layer"),
    "other file": (lambda: foreign(("Gemm", "x q", "y"), constants={"q": external()}), "another file"),
    "damaged tensor": (lambda: foreign(("Gemm", "x q", "y"), constants={"q": damaged()}), "'q' is damaged"),
    "doubling": (lambda: foreign(GEMM, *doubling("Add"), output="d39"), "too long"),
    "squaring": (lambda: foreign(GEMM, *doubling("Mul"), output="d39"), "no activation"),
}


def external():
    tensor = TensorProto(
        name="q", data_type=TensorProto.FLOAT, dims=[3, 2], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def empty():
    return TensorProto(name="q", data_type=TensorProto.FLOAT, dims=[0, 1 << 60])


def damaged():
    return TensorProto(name="q", data_type=TensorProto.FLOAT, dims=[1 << 40, 2], raw_data=b"abcd")


def doubling(kind):
    """Formulas whose length doubles, or whose power does, with each node."""
    names = ["z", *(f"d{i}" for i in range(40))]
    for before, name in itertools.pairwise(names):
        if kind == "Add":
            yield "Exp", before, f"e{name}"
            yield "Mul", f"{before} e{name}", name
        else:
            yield "Mul", f"{before} {before}", name


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    make, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        read(make(), tmp_path)


def test_paths(tmp_path):
    for path, error in ((tmp_path / "none.onnx", FileNotFoundError), (tmp_path, OSError), (3, TypeError)):
        with pytest.raises(error):
            bpkern.MLP.from_onnx(path, loss="mse")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="pipe"):
            bpkern.MLP.from_onnx(tmp_path / "pipe", loss="mse")


def test_flipped_bytes(tmp_path):
    """Errors of the three kinds only, or a model."""
    raw = export.to_onnx(random_model(38)[0]).SerializeToString()
    for _ in range(300):
        changed = bytearray(raw)
        for place in RNG.integers(0, len(raw), RNG.integers(1, 4)):
            changed[place] = RNG.integers(0, 256)
        if RNG.random() < 0.2:
            del changed[RNG.integers(0, len(raw)) :]
        with contextlib.suppress(ValueError, TypeError, OSError):
            read(bytes(changed), tmp_path, loss="quantile")
