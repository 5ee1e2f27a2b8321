"""The state of fitted estimators: plain values and arrays, from which they predict and train as before."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from sklearn.preprocessing import LabelBinarizer
from sklearn_helpers import BOTH, data, fitted, quietly, same

import bpkern
from bpkern import losses, schedules
from bpkern.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

KINDS = {
    "adam": {},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling"},
    "lbfgs": {"solver": "lbfgs"},
    "early": {"early_stopping": True, "validation_fraction": 0.3},
    "dropout": {"dropout": [0.2, 0.1], "dtype": "float32"},
    "optimizer": {"optimizer": bpkern.Adam(schedules.Step(0.01, 5), amsgrad=True)},
}
PLAIN = (dict, list, tuple, str, int, float, bool, type(None), np.ndarray, np.generic, LabelBinarizer)


class OwnSGD(bpkern.SGD):
    """An optimiser that no configuration describes."""


def parts(value):
    """An object of a state and all that it holds."""
    yield value
    if type(value) in (dict, list, tuple):
        for each in value.values() if type(value) is dict else value:
            yield from parts(each)


@BOTH
@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_the_state_is_plain(settings, kind):
    model = fitted(kind, **settings)
    model.predict(data(kind)[0])
    assert model.model_ is not None
    state = {**model.__getstate__(), "optimizer": None}  # the parameter, an object of the user
    assert {type(each).__name__ for each in parts(state) if not isinstance(each, PLAIN)} == set()
    assert not any(type(each) is bpkern.History for each in parts(state))


@BOTH
@pytest.mark.parametrize("protocol", [0, 1, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_copies_of_every_protocol_train_on_to_the_same_bits(settings, protocol, kind):
    X, y = data(kind)
    model = fitted(kind, **settings)
    made = pickle.loads(pickle.dumps(model, protocol))
    again = pickle.loads(pickle.dumps(made, protocol))  # nothing has used the trainer of `made`
    assert np.array_equal(made.predict(X), model.predict(X))
    assert (made.history_, made.loss_) == (model.history_, model.loss_)
    if model.history_ is not None:
        assert type(made.history_) is bpkern.History
        assert (made.history_.lr, made.history_.iterations) == (model.history_.lr, model.history_.iterations)
    if settings not in (KINDS["lbfgs"], KINDS["early"]):
        for each in (model, made, again):
            each.partial_fit(X, y)
        assert same(made, model)
        assert same(again, model)
        assert made.t_ == model.t_ == 5 * len(X)


def test_an_optimizer_of_ones_own_goes_along():
    X, y = data()
    model = fitted(optimizer=OwnSGD(0.1, 0.9))
    made = pickle.loads(pickle.dumps(model))
    for each in (model, made):
        each.partial_fit(X, y)
    assert same(made, model)


def test_changed_parameters_are_those_of_the_copy():
    X, y = data()
    model = fitted()
    for coef in model.coefs_:
        coef *= 2
    made = pickle.loads(pickle.dumps(model))
    assert np.array_equal(made.predict_proba(X), model.predict_proba(X))
    assert same(made.partial_fit(X, y), model.partial_fit(X, y))


def test_parameters_of_other_layers_are_refused_when_training_goes_on():
    X, y = data()
    made = pickle.loads(pickle.dumps(fitted()))
    made.coefs_[0], made.coefs_[1] = made.coefs_[0][:, :4].copy(), made.coefs_[1][:4].copy()
    made.intercepts_[0] = made.intercepts_[0][:4].copy()
    made.hidden_layer_sizes = (4, 5)
    made.predict(X)
    with pytest.raises(ValueError, match=r"states belong to the layers \[6, 6, 5, 3\]"):
        made.partial_fit(X, y)
    made.fit(X, y)


@BOTH
def test_arrays_are_held_once(kind):
    """coefs_, and the two states of Adam: no copy of the weights besides, and no initial ones."""
    X = np.random.default_rng(0).standard_normal((20, 50))
    model = kind(hidden_layer_sizes=(200, 100), max_iter=1)
    quietly(model.fit, X, np.arange(20) % 2)
    size = sum(parameter.nbytes for parameter in model.coefs_ + model.intercepts_)
    assert 3 * size < len(pickle.dumps(model)) < 3.1 * size


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", {}), ("training", {}), ("states", {"m.0.weight": np.ones(2)}), ("rate_mode", 5)],
)
def test_a_damaged_state_predicts_and_does_not_train(name, value):
    X, y = data()
    model = fitted(solver="sgd")
    state = model.__getstate__()
    state["_trainer"] = {**state["_trainer"], name: value}
    made = MLPClassifier()
    made.__setstate__(state)
    assert np.array_equal(made.predict(X), model.predict(X))
    with pytest.raises(ValueError, match="training cannot continue from the state of this estimator"):
        made.partial_fit(X, y)
    assert same(made, model)


def test_losses_in_the_state():
    X, y = data(MLPRegressor)
    model = MLPRegressor(loss=losses.Huber(0.5), max_iter=2, random_state=0).fit(X, y)
    made = pickle.loads(pickle.dumps(model))
    assert same(made.partial_fit(X, y), model.partial_fit(X, y))
