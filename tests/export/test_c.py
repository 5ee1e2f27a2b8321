"""One C file: docs/export.md. Predictions are compared with those by NumPy in float64."""

import re

import numpy as np
import pytest
from export_helpers import TEXTS, assert_c_agrees, compiled, predicted_by_c, predictions, random_model

import bpkern
from bpkern import export

NUMBERS = range(0, 100, 9)
KINDS = ("float32", "int8")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The C files of all networks of `test_predictions`, under different names, as one."""
    texts = []
    for number in NUMBERS:
        model, X = random_model(number)
        texts += [export.to_c(model, name=f"{kind}_{number}", weights=kind, data=X) for kind in KINDS]
    names = [f"{kind}_{number}" for number in NUMBERS for kind in KINDS]
    defined = [f"-D{name.upper()}_TEST" for name in names]
    return compiled("\n".join(texts), tmp_path_factory.mktemp("c"), options=defined)


@pytest.mark.parametrize("weights", KINDS)
@pytest.mark.parametrize("number", NUMBERS)
def test_predictions(number, weights, library):
    """Within the bound; tests/attacks/exports.py compiles 100 networks by more compilers."""
    model, X = random_model(number)
    name = f"{weights}_{number}"
    found, classes = predicted_by_c(library, X, model.layers[-1], name)
    assert_c_agrees(model, X, found, weights)
    assert getattr(library, f"{name}_test")() == 0
    if model.loss == "cross_entropy" and weights == "float32":
        assert np.array_equal(classes, model.predict(X))


def test_the_self_test_fails_after_a_change(tmp_path):
    model, _ = random_model(2)
    text = export.to_c(model)
    changed = re.sub(r"(net_b0\[\d+\] = \{\n +)", r"\g<1>9 + ", text)
    assert compiled(changed, tmp_path).net_test() > 0


def test_functions_at_the_ends_of_the_number_line(tmp_path):
    """Nothing overflows; small results keep their digits where bpkern's own do."""
    z = np.array([[-1e30, -100.0, -20.0, -5.0, -1e-3, -1e-30, 0.0, 1e-30, 1e-3, 5.0, 20.0, 100.0, 1e30]]).T
    models = {
        re.sub(r"\W", "_", text): bpkern.MLP(
            [1, 1, 1], activation=text, loss="mse", init=[([[1.0]], [0.0])] * 2
        )
        for text in TEXTS
    }
    library = compiled("\n".join(export.to_c(model, name=name) for name, model in models.items()), tmp_path)
    for name, model in models.items():
        found, _ = predicted_by_c(library, z, 1, name)
        np.testing.assert_allclose(found, model.forward(z.astype(np.float32)), rtol=2e-6, atol=1e-7)


def test_softmax_of_large_outputs(tmp_path):
    model = bpkern.MLP([1, 3], loss="cross_entropy", init=[([[1.0], [0.0], [-1.0]], [0, 0, 0])])
    found, classes = predicted_by_c(compiled(export.to_c(model), tmp_path), [[3e38], [-3e38], [0.0]], 3)
    assert np.array_equal(found[:2], [[1, 0, 0], [0, 0, 1]])
    assert np.array_equal(classes, [0, 2, 0])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("case", range(4))
def test_pipelines_of_classifiers(case, tmp_path):
    """Scaling inside; the labels of the classes; both probabilities of two classes."""
    pytest.importorskip("sklearn")
    import ctypes

    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

    from bpkern.sklearn import MLPClassifier

    labels, scalers = [
        (["net_a", 'q"\\', "??=é"], [StandardScaler()]),
        ([1.0, 2.0, -3.0], [MinMaxScaler((-1, 3)), RobustScaler()]),
        ([-5, 7, 1 << 40], [MaxAbsScaler()]),
        ([False, True], []),
    ][case]
    X = np.random.default_rng(0).normal(5, 3, (60, 4)).astype(np.float32)
    y = np.array(labels)[(X[:, 0] > 5).astype(int) + ((X[:, 1] > 5) & (len(labels) == 3))]
    model = make_pipeline(*scalers, MLPClassifier((7,), max_iter=5, random_state=0)).fit(X, y)
    library = compiled(export.to_c(model, data=X), tmp_path)
    found, classes = predicted_by_c(library, X, len(labels))
    np.testing.assert_allclose(found, model.predict_proba(X), atol=2e-6)
    assert np.array_equal(model.classes_[classes], model.predict(X))
    assert library.net_test() == 0
    kind = {"U": ctypes.c_char_p, "f": ctypes.c_double, "i": ctypes.c_longlong, "b": ctypes.c_long}[
        y.dtype.kind
    ]
    stored = list((kind * len(labels)).in_dll(library, "net_classes"))
    assert [each.decode() if isinstance(each, bytes) else each for each in stored] == model.classes_.tolist()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_regressors_and_several_labels(tmp_path):
    pytest.importorskip("sklearn")
    from bpkern.sklearn import MLPClassifier, MLPRegressor

    X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    rates = MLPRegressor("poisson", (5,), max_iter=5).fit(X, np.exp(X[:, 0]))
    found, classes = predicted_by_c(compiled(export.to_c(rates), tmp_path, "a"), X, 1)
    np.testing.assert_allclose(found[:, 0], rates.predict(X), rtol=2e-6)
    assert classes is None
    several = MLPClassifier((5,), max_iter=5).fit(X, X > 0)
    found, classes = predicted_by_c(compiled(export.to_c(several), tmp_path, "b"), X, 3)
    np.testing.assert_allclose(found, several.predict_proba(X), atol=2e-6)
    assert classes is None


def test_sizes_and_the_error_of_int8():
    """The comment's numbers: of the constants, and of the difference from float32 on these rows."""
    model = bpkern.MLP([6, 5, 3], loss="cross_entropy", seed=0)
    X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    text = export.to_c(model, weights="int8", data=X)
    assert f"{5 * 6 + 3 * 5 + 2 * 4 * (5 + 3)} bytes of constants" in text
    assert "20 bytes on the stack" in text
    largest, mean = re.search(r"differ by at most (\S+), (\S+) in the mean", text).groups()
    weights = []
    for w, b in model.get_weights():
        scale = np.abs(w).max(axis=1, keepdims=True) / 127
        weights.append((np.round(w / scale) * scale, b))
    rounded = bpkern.MLP([6, 5, 3], loss="cross_entropy", init=weights)
    error = np.abs(predictions(rounded, X) - predictions(model, X))
    assert float(largest) == pytest.approx(error.max(), rel=0.06)
    assert float(mean) == pytest.approx(error.mean(), rel=0.06)


def test_names(tmp_path):
    model = bpkern.MLP([2, 3, 2], loss="cross_entropy", seed=0)
    text = export.to_c(model, name="motor2_x")
    assert not re.search(r"\b(net|NET)_", text)
    source = text.replace("MOTOR2_X_TEST", "NET_TEST")
    found, _ = predicted_by_c(compiled(source, tmp_path), np.ones((1, 2)), 2, "motor2_x")
    np.testing.assert_allclose(found, model.predict_proba(np.ones((1, 2))), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_names_are_replaced_once_and_labels_never(tmp_path):
    """The prefix may itself begin like a prefix; the label of a class is no name."""
    pytest.importorskip("sklearn")
    import ctypes

    from bpkern.sklearn import MLPClassifier

    X = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    labels = ["a", 'NET_"net_\\', "net_b"]
    model = MLPClassifier((2,), max_iter=1, random_state=0).fit(X, np.array(labels)[np.arange(30) % 3])
    text = export.to_c(model, name="NET_net")
    assert "void NET_net_predict(" in text
    stored = (ctypes.c_char_p * 3).in_dll(compiled(text, tmp_path), "NET_net_classes")
    assert [each.decode() for each in stored] == model.classes_.tolist()


@pytest.mark.parametrize("name", ["", "2x", "a b", "a-b", "int", "_x", "é", "x" * 41, "x;", "x\n"])
def test_refused_names(name):
    with pytest.raises(ValueError, match="C identifier"):
        export.to_c(bpkern.MLP([2, 1], loss="mse"), name=name)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": 3}, TypeError, "C identifier"),
        ({"weights": "int4"}, ValueError, "float32, int8"),
        ({"data": np.ones((2, 3))}, ValueError, r"shape \(n, 2\)"),
        ({"data": np.ones(2)}, ValueError, r"shape \(n, 2\)"),
        ({"data": np.ones((0, 2))}, ValueError, "n of at least 1"),
        ({"data": [[np.nan, 1]]}, ValueError, "finite"),
        ({"data": [["a", "b"]]}, TypeError, "data must hold"),
    ],
)
def test_refused_arguments(options, error, message):
    with pytest.raises(error, match=message):
        export.to_c(bpkern.MLP([2, 1], loss="mse"), **options)


def test_a_path_is_not_taken_for_a_name():
    with pytest.raises(TypeError, match=r"to_c takes model by position, .* returns the text"):
        export.to_c(bpkern.MLP([2, 1], loss="mse"), "net")


def test_refused_models():
    for model in (None, bpkern.MLP, "net.npz"):
        with pytest.raises(TypeError, match="model must be"):
            export.to_c(model)
    large = bpkern.MLP([1, 1], loss="mse", dtype="float64", init=[([[1e200]], [0.0])])
    with pytest.raises(ValueError, match="W of layer 0 must be finite in float32"):
        export.to_c(large)


def test_refused_pipelines():
    pytest.importorskip("sklearn")
    from sklearn.exceptions import NotFittedError
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures

    from bpkern.sklearn import MLPRegressor

    X, y = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20.0)
    with pytest.raises(NotFittedError):
        export.to_c(MLPRegressor())
    with pytest.raises(TypeError, match="not LinearRegression"):
        export.to_c(LinearRegression().fit(X, y))
    for step, name in ((PolynomialFeatures(), "polynomialfeatures"), (MinMaxScaler(clip=True), "clip=True")):
        model = make_pipeline(step, MLPRegressor(hidden_layer_sizes=(2,), solver="lbfgs", tol=1e9)).fit(X, y)
        with pytest.raises(TypeError, match=name):
            export.to_c(model)


def test_on_the_command_line(tmp_path, capsys):
    from bpkern._cli import main

    model = bpkern.MLP([2, 3, 2], loss="cross_entropy", seed=0)
    model.save(tmp_path / "net.npz")
    (tmp_path / "rows.csv").write_text("1,2,0\n3,4,1\n")
    options = [
        "export",
        str(tmp_path / "net.npz"),
        "--c",
        str(tmp_path / "net.c"),
        "--data",
        str(tmp_path / "rows.csv"),
    ]
    assert main(options) == 0
    assert (tmp_path / "net.c").read_text() == export.to_c(model, data=[[1, 2], [3, 4]])
    assert main([*options, "--weights", "int8", "--name", "two"]) == 0
    assert (tmp_path / "net.c").read_text() == export.to_c(
        model, name="two", weights="int8", data=[[1, 2], [3, 4]]
    )
    assert main([*options, "--name", "2"]) == 1
    assert main(["export", str(tmp_path / "net.npz")]) == 1
    assert main(["export", str(tmp_path / "none.npz"), "--c", str(tmp_path / "x.c")]) == 1
    errors = capsys.readouterr().err
    for part in ("C identifier", "at least one of --c", "none.npz"):
        assert part in errors
    assert not (tmp_path / "x.c").exists()
