"""skops and MLflow write and read fitted estimators; MLflow's autologging records their fits."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from ecosystem_data import SMALL, TASKS, X, fitted
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bpkern
from bpkern.sklearn import MLPClassifier, MLPRegressor

# The other packages warn of many things, and small fits need not converge.
pytestmark = pytest.mark.filterwarnings("ignore")

CLASS_NAMES = {kind: f"{kind.__module__}.{kind.__name__}" for kind in (MLPClassifier, MLPRegressor)}


@pytest.mark.parametrize("task", TASKS)
def test_skops(task):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model = fitted(task)
    data = skops.dumps(model)
    # No type of this package besides the estimator's own has to be trusted.
    assert skops.get_untrusted_types(data=data) == [CLASS_NAMES[type(model)]]
    found = skops.loads(data, trusted=[CLASS_NAMES[type(model)]])
    assert np.array_equal(found.predict(X), model.predict(X))
    assert found.history_ == model.history_
    if not model.early_stopping:
        for each in (found, model):
            each.partial_fit(X, TASKS[task][2])
        assert np.array_equal(found.coefs_[0], model.coefs_[0])


def test_skops_with_settings_that_are_objects():
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    optimizer = bpkern.AdamW(bpkern.schedules.Step(0.01, 5), weight_decay=0.1)
    model = MLPRegressor(bpkern.losses.Huber(0.5), optimizer=optimizer, **SMALL).fit(X, X[:, 0])
    data = skops.dumps(model)
    trusted = skops.get_untrusted_types(data=data)
    assert trusted == [
        "bpkern.losses.Huber",
        "bpkern.optimizers.AdamW",
        "bpkern.schedules.Step",
        CLASS_NAMES[MLPRegressor],
    ]
    found = skops.loads(data, trusted=trusted)
    assert repr(found) == repr(model)
    assert np.array_equal(found.partial_fit(X, X[:, 0]).coefs_[0], model.partial_fit(X, X[:, 0]).coefs_[0])


@pytest.fixture
def mlflow(tmp_path, monkeypatch):
    """MLflow with its records in the folder of the test."""
    found = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")  # asked for by skops files too
    found.set_tracking_uri(f"file://{tmp_path}/runs")
    yield found
    found.sklearn.autolog(disable=True)


def test_mlflow_log_model(mlflow):
    model = make_pipeline(StandardScaler(), fitted("classes")).fit(X, TASKS["classes"][2])
    logged = mlflow.sklearn.log_model(
        model, name="model", skops_trusted_types=[CLASS_NAMES[MLPClassifier]], pip_requirements=["bpkern"]
    )
    found = mlflow.sklearn.load_model(logged.model_uri)
    assert np.array_equal(found.predict_proba(X), model.predict_proba(X))


def test_mlflow_autolog(mlflow):
    def runs():
        return mlflow.search_runs(output_format="list")

    def fit(kind):
        return kind(max_iter=3, random_state=0).fit(X, TASKS["binary"][2])

    fit(MLPClassifier)
    assert runs() == []
    mlflow.sklearn.autolog(log_models=False, log_datasets=False)
    for number, kind in enumerate((MLPClassifier, MLPRegressor, MLPClassifier), 1):
        model = fit(kind)
        assert len(runs()) == number
        assert runs()[0].data.params["max_iter"] == "3"
        assert runs()[0].data.tags["estimator_class"] == CLASS_NAMES[kind]
        score = model.score(X, TASKS["binary"][2])
        assert runs()[0].data.metrics["training_score"] == pytest.approx(score)
    # One run for a Pipeline, none for the steps.
    make_pipeline(StandardScaler(), MLPClassifier(max_iter=3)).fit(X, TASKS["binary"][2])
    assert len(runs()) == 4
    mlflow.sklearn.autolog(disable=True)
    fit(MLPClassifier)
    assert len(runs()) == 4
