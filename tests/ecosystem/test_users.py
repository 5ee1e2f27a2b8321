"""shap, river and MAPIE take the estimators in place of scikit-learn's."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from ecosystem_data import BINARY, X, fitted
from sklearn import neural_network

from bpkern.sklearn import MLPClassifier, MLPRegressor

# The other packages warn of many things, and small fits need not converge.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("task", ["binary", "values"])
def test_shap(task, monkeypatch):
    """The contributions of the inputs add up to the prediction."""
    # Compiling its functions takes minutes, for calls of milliseconds.
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    shap = pytest.importorskip("shap", reason="shap is not installed")
    model = fitted(task)
    predict = model.predict_proba if task == "binary" else model.predict
    found = shap.Explainer(predict, X[:20], seed=0)(X[:2])
    assert found.values.sum(axis=1) + found.base_values == pytest.approx(predict(X[:2]))


def test_river():
    """Row by row as scikit-learn's estimator."""
    compat = pytest.importorskip("river.compat", reason="river is not installed")
    settings = dict(hidden_layer_sizes=(7,), random_state=0)
    ours, theirs = (
        compat.convert_sklearn_to_river(module(**settings), classes=[0, 1])
        for module in (MLPClassifier, neural_network.MLPClassifier)
    )
    for row, label in zip(X[:30].tolist(), BINARY[:30].tolist(), strict=True):
        features = dict(enumerate(row))
        for model in (ours, theirs):
            model.learn_one(features, label)
        expected = theirs.predict_proba_one(features)
        assert ours.predict_proba_one(features) == pytest.approx(expected, rel=1e-9)


def test_mapie():
    mapie = pytest.importorskip("mapie.regression", reason="MAPIE is not installed")
    from mapie.classification import SplitConformalClassifier

    values = X[:, 0] - X[:, 1]
    regressor = mapie.SplitConformalRegressor(fitted("values"), prefit=True, confidence_level=0.9)
    _, intervals = regressor.conformalize(X[:40], values[:40]).predict_interval(X[40:])
    inside = (intervals[:, 0, 0] <= values[40:]) & (values[40:] <= intervals[:, 1, 0])
    assert inside.mean() > 0.7
    crossed = mapie.CrossConformalRegressor(MLPRegressor(max_iter=5, random_state=0), cv=3)
    assert crossed.fit_conformalize(X, values).predict_interval(X)[1].shape == (80, 2, 1)
    classifier = SplitConformalClassifier(fitted("binary"), prefit=True).conformalize(X[:40], BINARY[:40])
    labels, sets = classifier.predict_set(X[40:])
    assert sets.shape == (40, 2, 1)
    assert np.array_equal(labels, fitted("binary").predict(X[40:]))
