"""What the tests of `bpkern.sklearn` share: data, pairs of estimators, and how far two fits may be apart."""

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
    """Targets that depend on X, and on chance."""
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
    """Our class for that task, and the parameters that the task needs."""
    if task in CLASSIFIED:
        return MLPClassifier, {}
    return MLPRegressor, {"loss": "poisson"} if task.startswith("poisson") else {}


def pair(task, **parameters):
    """Ours and theirs, of the same parameters."""
    ours, needed = estimator_of(task)
    return ours(**needed, **parameters), THEIRS[ours](**needed, **parameters)


def quietly(method, *args, **kwargs):
    """The result of a call that may stop before it has converged."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return method(*args, **kwargs)


# Agreement ----------------------------------------------------------------------------------------------

# What a step may add to the difference, in units of rounding of the largest element of an array. Sums of some
# tens of terms in another order differ by a few; training carries them on, and grows them.
GROWTH = 32


def assert_close(ours, theirs, units, dtype="float64"):
    """No element is further away than so many units of rounding of the largest one.

    Nothing is added to that bound, so arrays of zeros agree with zeros alone.
    """
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    bound = units * np.finfo(dtype).eps * np.abs(theirs).max(initial=0)
    assert np.abs(ours - theirs).max(initial=0) <= bound


def assert_same_training(ours, theirs, steps, growth=GROWTH, dtype="float64"):
    """The fitted attributes agree: counts and names exactly, numbers to what steps make of rounding."""
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
    """A loss is a mean of logarithms or squares whose arguments are rounded: a unit is one of 1, or of the
    loss where that is larger."""
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
    """Of the data for this kind, and `arguments` of fit."""
    return kind(**SMALL | parameters).fit(*data(kind), **(arguments or {}))


def same(one, other):
    """Whether they have the same parameters, bit by bit."""
    pairs = zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


def refused(error, match, kind=MLPClassifier, arguments=None, **parameters):
    """Fit raises that error, and leaves an estimator that is not fitted."""
    model = kind(**SMALL | parameters)
    with pytest.raises(error, match=match):
        model.fit(*data(kind), **(arguments or {}))
    assert not hasattr(model, "coefs_")


def validation(kind=MLPClassifier):
    X, y = data(kind, 100)
    return X[60:], y[60:]
