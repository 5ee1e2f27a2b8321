"""Refused calls leave the estimators unchanged."""

import math
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn_helpers import (
    BOTH,
    SMALL,
    data,
    fitted,
    quietly,
)

import bpkern
from bpkern.callbacks import Callback, EarlyStopping
from bpkern.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Refused ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "bad", [dict(dropout=[0.5]), dict(activation=["relu", "soft"]), dict(hidden_layer_sizes=[3, 0])], ids=str
)
def test_a_refused_fit_leaves_the_last_one(bad, kind):
    X, y = data(kind)
    model = fitted(kind)
    before = pickle.dumps((model.coefs_, model.loss_curve_, model.predict(X)))
    model.set_params(**bad)
    with pytest.raises(ValueError, match=next(iter(bad))):
        model.fit(X, y)
    model.set_params(dropout=0.0, activation="relu")
    assert pickle.dumps((model.coefs_, model.loss_curve_, model.predict(X))) == before


@pytest.mark.parametrize(
    ("bad", "arguments", "match"),
    [
        (dict(callbacks="stop"), {}, "callbacks must be"),
        (dict(callbacks=[EarlyStopping]), {}, "a callback must be"),
        (dict(early_stopping=True, validation_fraction=0.001), {}, "validation set is too small"),
        (dict(early_stopping=True), dict(sample_weight=np.eye(60)[0]), "sample_weight must not be 0"),
        ({}, dict(sample_weight_val=np.zeros(20)), "[sS]ample.weight"),
    ],
    ids=str,
)
@BOTH
def test_what_a_fit_refuses_late_leaves_the_last_one(bad, arguments, match, kind):
    X, y = data(kind)
    if "sample_weight_val" in arguments:
        arguments = {"X_val": X[:20], "y_val": y[:20]} | arguments
    model = fitted(kind)
    before = pickle.dumps((model.coefs_, model.loss_curve_, model.n_iter_, model.predict(X)))
    model.set_params(**bad)
    with pytest.raises((ValueError, TypeError), match=match):
        model.fit(X, y, **arguments)
    assert pickle.dumps((model.coefs_, model.loss_curve_, model.n_iter_, model.predict(X))) == before


class Raise(Callback):
    def on_epoch_end(self, model, epoch, logs):
        raise RuntimeError("in training")


@pytest.mark.parametrize(
    ("match", "bad", "arguments"),
    [
        ("dropout", dict(dropout=[0.5]), {}),
        ("callback", dict(callbacks=[3]), {}),
        ("validation set is too small", dict(early_stopping=True, validation_fraction=1e-9), {}),
        ("sample_weight", {}, dict(sample_weight=-np.ones(60))),
        ("features", {}, dict(X_val=np.zeros((2, 7)), y_val=["elm", "oak"])),
        ("not in `self.classes_`", {}, dict(X_val=np.zeros((2, 2)), y_val=["elm", "yew"])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("fitted_before", [True, False])
def test_a_fit_refused_for_other_classes_and_columns_leaves_the_last_one(
    match, bad, arguments, fitted_before
):
    X, y = data()
    model = fitted() if fitted_before else MLPClassifier(**SMALL)
    model.set_params(**bad)
    before = vars(model).copy()
    names = np.array(["ash", "elm", "oak"])[y]
    with pytest.raises((ValueError, TypeError), match=match):
        model.fit(X[:, :2], names, **arguments)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())


def test_values_to_validate_on_that_are_no_numbers():
    X, y = data(MLPRegressor)
    model = fitted(MLPRegressor)
    before = vars(model).copy()
    with pytest.raises(ValueError, match="y_val contains NaN"):
        model.fit(X, y, X_val=X[:2], y_val=[1.0, math.nan])
    with pytest.raises(ValueError, match=r"y must have shape \(2, 1\) or \(2,\)"):
        model.fit(X, y, X_val=X[:2], y_val=np.ones((2, 2)))
    assert all(vars(model)[name] is value for name, value in before.items())


def test_an_error_in_training_leaves_what_was_trained():
    model = fitted()
    first = model.coefs_[0]
    with pytest.raises(RuntimeError, match="in training"):
        model.set_params(callbacks=Raise()).fit(*data())
    assert model.n_iter_ == 1
    assert not np.array_equal(model.coefs_[0], first)


def test_a_search_over_settings_of_an_optimizer():
    X, y = data()
    model = MLPClassifier(**SMALL | {"optimizer": bpkern.AdamW(betas=(0.8, 0.9))})
    search = GridSearchCV(model, {"optimizer__lr": [1e-3, 1e-1]}, cv=2)
    quietly(search.fit, X, y)
    best = search.best_estimator_.optimizer
    assert best.lr in (1e-3, 1e-1)
    assert best.betas == (0.8, 0.9)
    assert model.optimizer.lr == 0.001
    twin = clone(model)
    assert twin.optimizer is not model.optimizer
    assert twin.optimizer.settings() == model.optimizer.settings()


def test_callbacks_of_scikit_learn_have_a_place_of_their_own():
    class Theirs:
        def on_fit_task_end(self, estimator, context):
            raise AssertionError

    with pytest.raises(TypeError, match="set_callbacks takes those"):
        MLPClassifier(**SMALL | {"callbacks": [Theirs()]}).fit(*data())


# What was meant -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"solver": "Adam"}, "Got 'Adam' instead. Did you mean 'adam'?"),
        ({"solver": "adamw"}, "Give optimizer=bpkern.AdamW(), which replaces the solver"),
        ({"activation": "Relu"}, "Got 'Relu' instead. Did you mean 'relu'?"),
        ({"activation": "zigzag"}, "Got 'zigzag' instead."),
        ({"learning_rate": "adaptiv"}, "Did you mean 'adaptive'?"),
    ],
)
def test_a_parameter_is_proposed(settings, words):
    with pytest.raises(ValueError, match="parameter of MLPClassifier must be") as error:
        MLPClassifier(**settings).fit([[0.0], [1.0]], [0, 1])
    assert str(error.value).endswith(words)


def test_sizes_by_position():
    with pytest.raises(ValueError, match=r"The first argument is the loss: .* hidden_layer_sizes=\(64,\)$"):
        MLPRegressor((64,)).fit([[0.0], [1.0]], [0.0, 1.0])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"eval_set": []}, "X_val and y_val"),
        ({"epochs": 3}, "max_iter of the estimator is"),
        ({"sample_weights": [1]}, "did you mean 'sample_weight'?"),
    ],
)
@pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])
def test_an_argument_of_fit_is_proposed(estimator, given, words):
    [name] = given
    with pytest.raises(
        TypeError, match=f"unknown argument '{name}' of {estimator.__name__}.fit: al"
    ) as error:
        estimator().fit([[0.0], [1.0]], [0, 1], **given)
    assert words in str(error.value)


def test_values_that_are_no_classes():
    """In one line: scikit-learn's own estimator shows all of y."""
    with pytest.raises(ValueError, match=r"^Unknown label type: continuous\. .*$"):
        MLPClassifier().fit(np.eye(9), np.linspace(0, 1, 9))
