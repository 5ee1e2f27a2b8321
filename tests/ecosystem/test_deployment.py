"""skl2onnx, hummingbird-ml and emlearn convert the estimators; what they make predicts the same."""

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from ecosystem_data import TASKS, X, fitted, new
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bpkern.sklearn import MLPClassifier, register_hummingbird, register_skl2onnx

# The other packages warn of many things, and small fits need not converge.
pytestmark = pytest.mark.filterwarnings("ignore")


def both_forms(task):
    """The estimator, and a Pipeline of a scaler and it, fitted."""
    return [fitted(task), make_pipeline(StandardScaler(), new(task)).fit(X, TASKS[task][2])]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", TASKS)
def test_skl2onnx(task, dtype):
    skl2onnx = pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    register_skl2onnx()
    bound = 1e-5 if dtype == "float32" else 1e-12
    for model in both_forms(task):
        classifies = hasattr(model, "predict_proba")
        last = model if not hasattr(model, "steps") else model[-1]
        converted = skl2onnx.to_onnx(
            model, X[:1].astype(dtype), options={id(last): {"zipmap": False}} if classifies else None
        )
        session = runtime.InferenceSession(converted.SerializeToString(), providers=["CPUExecutionProvider"])
        found = session.run(None, {"X": X.astype(dtype)})
        expected = [model.predict(X), *([model.predict_proba(X)] if classifies else [])]
        assert len(found) == len(expected)
        if classifies:
            assert np.array_equal(found[0], expected[0])
            assert [output.name for output in session.get_outputs()] == ["label", "probabilities"]
        values = expected[-1].reshape(len(X), -1)
        assert found[-1].dtype == dtype
        assert found[-1] == pytest.approx(values, rel=bound, abs=bound)


def test_registration_by_the_import():
    pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    code = """
import numpy as np, skl2onnx
from bpkern.sklearn import MLPRegressor
X = np.eye(2)
assert skl2onnx.to_onnx(MLPRegressor(max_iter=1).fit(X, [0, 1]), X).graph.node
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@pytest.mark.parametrize("task", ["binary", "classes", "values", "several values", "rates"])
def test_hummingbird(task):
    hummingbird = pytest.importorskip("hummingbird.ml", reason="hummingbird-ml is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    register_hummingbird()
    for model in both_forms(task):
        converted = hummingbird.convert(model, "torch")
        rows = X.astype(np.float32)
        if hasattr(model, "predict_proba"):
            assert np.array_equal(converted.predict(rows), model.predict(X))
            assert converted.predict_proba(rows) == pytest.approx(model.predict_proba(X), rel=1e-5, abs=1e-5)
        else:
            assert converted.predict(rows) == pytest.approx(model.predict(X), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("task", "message"), [("strings", "whole numbers"), ("several labels", "several")])
def test_what_hummingbird_lacks(task, message):
    hummingbird = pytest.importorskip("hummingbird.ml", reason="hummingbird-ml is not installed")
    pytest.importorskip("torch", reason="torch is not installed")
    register_hummingbird()
    with pytest.raises(TypeError, match=message):
        hummingbird.convert(fitted(task), "torch")


def test_emlearn(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # it compiles in the current folder
    emlearn = pytest.importorskip("emlearn", reason="emlearn is not installed")
    model = MLPClassifier(hidden_layer_sizes=(7,), max_iter=20, random_state=0).fit(X, TASKS["binary"][2])
    for each in (model, model.to_sklearn()):
        assert np.array_equal(emlearn.convert(each, method="inline").predict(X), model.predict(X))
