"""Shared by the tests of `bpkern.sklearn`: data, pairs of estimators, bounds on how far two fits differ."""

import warnings

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.exceptions import ConvergenceWarning

from bpkern.sklearn import MLPClassifier, MLPRegressor

THEIRS = {MLPClassifier: neural_network.MLPClassifier, MLPRegressor: neural_network.MLPRegressor}

ROWS, FEATURES = 60, 6


def rows(count=ROWS, features=FEATURES):
    return np.random.default_rng(7).standard_normal((count, features))


def targets(task, X):
    """Targets that depend on X and on noise."""
    rng = np.random.default_rng(11)
    linear = X @ rng.standard_normal((X.shape[1], 3)) + 0.3 * rng.standard_normal((len(X), 3))
    return {
        "binary": lambda: (linear[:, 0] > 0).astype(int),
        "multiclass": lambda: linear.argmax(axis=1),
        "labels": lambda: np.array(["ash", "elm", "oak"])[linear.argmax(axis=1)],
        "multilabel": lambda: (linear > 0).astype(int),
        "regression": lambda: linear[:, 0],
        "multioutput": lambda: linear,
        "poisson": lambda: rng.poisson(np.exp(0.3 * linear[:, 0])).astype(float),
        "poisson of several": lambda: rng.poisson(np.exp(0.3 * linear)).astype(float),
    }[task]()


CLASSIFIED = ("binary", "multiclass", "labels", "multilabel")
REGRESSED = ("regression", "multioutput", "poisson", "poisson of several")


def estimator_of(task):
    """This package's class for the task, and the parameters that the task needs."""
    if task in CLASSIFIED:
        return MLPClassifier, {}
    return MLPRegressor, {"loss": "poisson"} if task.startswith("poisson") else {}


def pair(task, **parameters):
    """This package's estimator and scikit-learn's, with the same parameters."""
    ours, needed = estimator_of(task)
    return ours(**needed, **parameters), THEIRS[ours](**needed, **parameters)


def quietly(method, *args, **kwargs):
    """The result of a call that may stop before it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return method(*args, **kwargs)


# Agreement ----------------------------------------------------------------------------------------------

# How much a step may add to the difference, in units of rounding (eps times the largest element of the
# array). Sums of a few dozen terms in another order differ by a few units, which training amplifies.
GROWTH = 32


def assert_close(ours, theirs, units, dtype="float64"):
    """Every element differs by at most `units` units of rounding of the largest element.

    The bound has no absolute term, so an array of zeros agrees only with zeros.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    bound = units * np.finfo(dtype).eps * np.abs(theirs).max(initial=0)
    assert np.abs(ours - theirs).max(initial=0) <= bound


def assert_same_training(ours, theirs, steps, growth=GROWTH, dtype="float64"):
    """The fitted attributes agree: counts and names exactly, numbers up to the rounding of `steps` steps."""
    units = growth * (1 + steps)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours.coefs_) == len(theirs.coefs_)
    for name in ("coefs_", "intercepts_"):
        for our, their in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            assert_close(our, their, units, dtype)
    assert_close_losses(ours.loss_, theirs.loss_, units, dtype)
    if hasattr(theirs, "loss_curve_"):
        assert len(ours.loss_curve_) == len(theirs.loss_curve_)
        assert_close_losses(ours.loss_curve_, theirs.loss_curve_, units, dtype)
        for name in ("best_loss_", "best_validation_score_"):
            assert (getattr(ours, name) is None) == (getattr(theirs, name) is None), name
            if getattr(theirs, name) is not None:
                assert_close_losses(getattr(ours, name), getattr(theirs, name), units, dtype)
        assert (ours.validation_scores_ is None) == (theirs.validation_scores_ is None)
        if theirs.validation_scores_ is not None:
            assert_close_losses(ours.validation_scores_, theirs.validation_scores_, units, dtype)


def assert_close_losses(ours, theirs, units, dtype="float64"):
    """Every loss differs by at most `units` units. A loss is a mean of logarithms or squares of rounded
    arguments, so a unit is eps times the larger of 1 and the largest loss."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    bound = units * np.finfo(dtype).eps * np.maximum(1, np.abs(theirs).max(initial=0))
    assert np.abs(ours - theirs).max(initial=0) <= bound


def assert_same_predictions(ours, theirs, X, steps, growth=GROWTH, dtype="float64"):
    units = growth * (1 + steps)
    if hasattr(theirs, "predict_proba"):
        assert np.array_equal(ours.predict(X), theirs.predict(X))
        assert ours.predict(X).dtype == theirs.predict(X).dtype
        assert_close(ours.predict_proba(X), theirs.predict_proba(X), units, dtype)
    else:
        assert_close(ours.predict(X), theirs.predict(X), units, dtype)


# Small fits of both kinds -------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
STOCHASTIC = pytest.mark.parametrize("solver", ["adam", "sgd"])

SMALL = dict(hidden_layer_sizes=(6, 5), max_iter=4, batch_size=16, random_state=0)


def data(kind=MLPClassifier, count=60):
    X = rows(count)
    return X, targets("multiclass" if kind is MLPClassifier else "regression", X)


def fitted(kind=MLPClassifier, arguments=None, **parameters):
    """An estimator of this kind, fitted to its data with `arguments` of fit."""
    return kind(**SMALL | parameters).fit(*data(kind), **(arguments or {}))


def same(one, other):
    """Whether two estimators have the same weights and biases, bit by bit."""
    pairs = zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


def refused(error, match, kind=MLPClassifier, arguments=None, **parameters):
    """Fit raises this error and leaves the estimator unfitted."""
    model = kind(**SMALL | parameters)
    with pytest.raises(error, match=match):
        model.fit(*data(kind), **(arguments or {}))
    assert not hasattr(model, "coefs_")


def validation(kind=MLPClassifier):
    X, y = data(kind, 100)
    return X[60:], y[60:]
