"""scikit-learn's fitted estimators as this package's and back: the same predictions, and training goes on."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn import neural_network
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn_helpers import (
    BOTH,
    CLASSIFIED,
    REGRESSED,
    THEIRS,
    assert_close,
    assert_same_predictions,
    assert_same_training,
    data,
    fitted,
    pair,
    quietly,
    rows,
    same,
    targets,
)

import bpkern
from bpkern.sklearn import MLPClassifier, MLPRegressor, from_sklearn

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ALL = pytest.mark.parametrize("task", [*CLASSIFIED, *REGRESSED])
SHORT = dict(hidden_layer_sizes=(6, 5), max_iter=4, batch_size=16, random_state=0)
SETTINGS = pytest.mark.parametrize(
    "settings",
    [
        {"activation": "logistic"},
        {"solver": "sgd", "learning_rate": "adaptive", "activation": "tanh"},
        {"solver": "lbfgs"},
        {"early_stopping": True, "validation_fraction": 0.3, "activation": "identity"},
    ],
    ids=lambda settings: " ".join(map(str, settings.values())),
)


def several_rows(X):
    return np.vstack([X, 3 * X, np.zeros((1, X.shape[1]))])


@ALL
@SETTINGS
def test_from_sklearn(settings, task):
    X = rows()
    _, theirs = pair(task, **SHORT | settings)
    quietly(theirs.fit, X, targets(task, X))
    before = {name: repr(value) for name, value in vars(theirs).items()}
    ours = from_sklearn(theirs)
    assert THEIRS[type(ours)] is type(theirs)
    assert_same_training(ours, theirs, 0)
    assert_same_predictions(ours, theirs, several_rows(X), 0)
    assert ours.get_params().items() >= theirs.get_params().items()
    ours.coefs_[0][:] = 0
    assert {name: repr(value) for name, value in vars(theirs).items()} == before


@ALL
@SETTINGS
def test_to_sklearn(settings, task):
    X = rows()
    ours, theirs = pair(task, **SHORT | settings)
    quietly(ours.fit, X, targets(task, X))
    made = ours.to_sklearn()
    assert type(made) is type(theirs)
    assert made.get_params() == theirs.get_params()
    assert_same_training(ours, made, 0)
    assert_same_predictions(ours, made, several_rows(X), 0)
    again = from_sklearn(made)
    assert same(again, ours)
    assert_same_predictions(again, ours, X, 0)
    made.coefs_[0][:] = 0
    assert not same(from_sklearn(made), ours)


@BOTH
@pytest.mark.parametrize("way", ["there", "back"])
def test_training_goes_on(way, kind):
    """A fit with warm_start continues from the weights, with a new optimiser, in both packages."""
    X, y = data(kind)
    settings = dict(**SHORT, warm_start=True)
    if way == "there":
        one = quietly(kind(**settings).fit, X, y)
        other = one.to_sklearn()
    else:
        other = quietly(THEIRS[kind](**settings).fit, X, y)
        one = from_sklearn(other)
    for each in (one, other):
        quietly(each.fit, X, y)
    assert_same_training(one, other, 16)
    quietly(from_sklearn(other).partial_fit, X, y)
    quietly(one.to_sklearn().partial_fit, X, y)


def test_names_of_features_go_along():
    pandas = pytest.importorskip("pandas", reason="pandas makes the tables")
    X, y = data()
    table = pandas.DataFrame(X, columns=list("abcdef"))
    ours = fitted().fit(table, y)
    for each in (ours.to_sklearn(), from_sklearn(ours.to_sklearn())):
        assert list(each.feature_names_in_) == list("abcdef")
        assert np.array_equal(each.predict(table), ours.predict(table))


@BOTH
def test_what_concerns_training_alone_is_left_out(kind):
    X, _ = data(kind)
    added = {"class_weight": "balanced"} if kind is MLPClassifier else {"loss": "mae"}
    ours = fitted(kind, dropout=0.2, optimizer=bpkern.AdamW(), activation=["relu", "relu"], **added)
    theirs = ours.to_sklearn()
    assert theirs.activation == "relu"
    if kind is MLPRegressor:
        assert getattr(theirs, "loss", "squared_error") == "squared_error"
    assert_same_predictions(ours, theirs, X, 0)


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        ("gelu", "no activation 'gelu', which hidden layer 0 has"),
        (["relu", "tanh"], "one activation for all"),
    ],
)
def test_activations_that_scikit_learn_lacks(activation, message):
    with pytest.raises(ValueError, match=message):
        fitted(activation=activation).to_sklearn()


def test_without_hidden_layers():
    X, y = data()
    ours = MLPClassifier(hidden_layer_sizes=(), max_iter=3, random_state=0).fit(X, y)
    assert_close(ours.to_sklearn().predict_proba(X), ours.predict_proba(X), 32)


@BOTH
def test_before_the_fit(kind):
    with pytest.raises(NotFittedError):
        kind().to_sklearn()
    with pytest.raises(NotFittedError):
        from_sklearn(THEIRS[kind]())


class OwnMLP(neural_network.MLPClassifier):
    """A subclass may predict in its own way."""


@pytest.mark.parametrize(
    "given", [Ridge(), make_pipeline(Ridge()), OwnMLP(), MLPClassifier(), MLPRegressor, None], ids=repr
)
def test_other_objects_are_refused(given):
    name = type(given).__qualname__
    with pytest.raises(TypeError, match=f"from_sklearn takes a fitted MLPClassifier .*{name}$"):
        from_sklearn(given)
