"""`model_`: the fitted network as a `bpkern.MLP` of its own."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn.exceptions import NotFittedError
from sklearn_helpers import BOTH, data, estimator_of, fitted, quietly, rows, same, targets

import bpkern
from bpkern.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SHORT = dict(hidden_layer_sizes=(6, 5), max_iter=4, batch_size=16, random_state=0)


def of_task(task, **parameters):
    kind, needed = estimator_of(task)
    return quietly(kind(**SHORT, **needed, **parameters).fit, rows(), targets(task, rows()))


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("task", ["binary", "labels", "multilabel", "regression", "multioutput", "poisson"])
def test_predictions(task, solver, tmp_path):
    X, estimator = rows(), of_task(task, solver=solver)
    model = estimator.model_
    model.save(tmp_path / "net.npz")
    for each in (model, bpkern.MLP.load(tmp_path / "net.npz"), pickle.loads(pickle.dumps(estimator)).model_):
        assert type(each) is bpkern.MLP
        if isinstance(estimator, MLPClassifier):
            chances = estimator.predict_proba(X)
            assert np.array_equal(each.predict_proba(X), chances[:, 1:] if task == "binary" else chances)
            numbers = each.predict(X)
            classes = numbers if task == "multilabel" else estimator.classes_[numbers]
            assert np.array_equal(classes, estimator.predict(X))
        else:
            found = each.predict(X)
            assert np.array_equal(np.exp(found) if task == "poisson" else found, estimator.predict(X))
    assert model.history_ == estimator.history_


@BOTH
def test_training_it_goes_on_and_leaves_the_estimator(kind):
    """With full batches of equal weights, a step of the model is one of the estimator."""
    X, y = data(kind)
    settings = dict(hidden_layer_sizes=6, alpha=0.5, max_iter=3, random_state=0, shuffle=False)
    estimator, twin = (kind(**settings).fit(X, y) for _ in range(2))
    model = estimator.model_
    model.fit(X, y if y.ndim == 1 else y.argmax(1), epochs=1, batch_size=len(X), shuffle=False, verbose=0)
    assert same(estimator, twin)
    assert estimator.model_ is model
    twin.partial_fit(X, y)
    for (w, b), coef, intercept in zip(model.get_weights(), twin.coefs_, twin.intercepts_, strict=True):
        for found, expected in ((w.T, coef), (b, intercept)):
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    model.reset()
    assert np.array_equal(model.get_weights()[0][0].T, estimator.coefs_[0])


def test_it_follows_the_estimator():
    X, y = data()
    estimator = fitted()
    first = estimator.model_
    estimator.coefs_[0][0, 0] += 1
    assert estimator.model_ is not first
    assert estimator.model_.get_weights()[0][0][0, 0] == estimator.coefs_[0][0, 0]
    second = estimator.model_
    estimator.partial_fit(X, y)
    assert estimator.model_ is not second
    assert np.array_equal(estimator.model_.predict_proba(X), estimator.predict_proba(X))


def test_settings_of_the_fit():
    optimizer = bpkern.AdamW(0.01)
    estimator = fitted(
        MLPRegressor,
        optimizer=optimizer,
        dropout=0.25,
        activation=["silu", "tanh"],
        dtype="float32",
        alpha=0.8,
    )
    model = estimator.model_
    assert (model.layers, model.dtype) == ([6, 6, 5, 1], np.float32)
    assert "activation=['silu', 'tanh']" in repr(model)
    assert "dropout=0.25" in repr(model)
    assert "l2=0.025" in repr(model)  # alpha / 2 over 16 rows
    assert repr(model.optimizer) == repr(optimizer)
    assert model.optimizer is not optimizer


def test_a_step_is_shown():
    X, _ = data()
    assert "loss" in str(fitted().model_.trace(X[:1], [0]))


@BOTH
def test_before_the_fit(kind):
    with pytest.raises(NotFittedError):
        _ = kind().model_
    assert not hasattr(kind(), "model_")
