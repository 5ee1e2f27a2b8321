"""A validation set, early stopping by it, and criteria that change between fits that stop early."""

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from scipy import sparse
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn_helpers import (
    BOTH,
    SMALL,
    STOCHASTIC,
    data,
    estimator_of,
    fitted,
    refused,
    rows,
    same,
    targets,
    validation,
)

from bpkern.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# A validation set ---------------------------------------------------------------------------------------


@BOTH
@STOCHASTIC
def test_a_validation_set_changes_nothing_but_what_is_known(solver, kind):
    X_val, y_val = validation(kind)
    model = fitted(kind, dict(X_val=X_val, y_val=y_val), solver=solver)
    assert same(model, fitted(kind, solver=solver))
    assert len(model.validation_loss_curve_) == model.n_iter_
    assert all(isinstance(loss, float) for loss in model.validation_loss_curve_)
    assert fitted(kind, solver=solver).validation_loss_curve_ is None
    assert model.validation_scores_ is None


def definition(model, X, y, sample_weight=None):
    """The loss by scikit-learn's definition, without the penalty."""
    if isinstance(model, MLPClassifier):
        return log_loss(y, model.predict_proba(X), sample_weight=sample_weight)
    return np.average((y - model.predict(X)) ** 2, weights=sample_weight) / 2


@BOTH
@pytest.mark.parametrize("weighted", [False, True])
def test_the_validation_loss_is_scikit_learns_of_these_rows(weighted, kind):
    X_val, y_val = validation(kind)
    weights = np.random.default_rng(1).random(len(X_val)) if weighted else None
    model = fitted(kind, dict(X_val=X_val, y_val=y_val, sample_weight_val=weights), alpha=0.0)
    expected = definition(model, X_val, y_val, weights)
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-12)
    if weighted:
        assert expected != pytest.approx(definition(model, X_val, y_val), rel=1e-3)


def test_validation_losses_of_many_labels_and_counts():
    X, X_val = rows(), rows(100)[60:]
    for task in ("multilabel", "poisson"):
        y, y_val = targets(task, X), targets(task, X_val)
        kind, needed = estimator_of(task)
        model = kind(**SMALL, **needed, alpha=0.0).fit(X, y, X_val=X_val, y_val=y_val)
        same_rows = kind(**SMALL, **needed, alpha=0.0).fit(X, y, X_val=X, y_val=y)
        if task == "multilabel":
            p = model.predict_proba(X_val)
            expected = -np.where(y_val == 1, np.log(p), np.log(1 - p)).sum(axis=1).mean()
        else:
            rate = model.predict(X_val)
            own = np.where(y_val > 0, y_val * np.log(np.maximum(y_val, 1)), 0)
            expected = (rate - y_val * np.log(rate) + own - y_val).mean()
        assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=1e-12)
        # The validation loss on the same rows comes one step later and so is lower.
        assert same_rows.validation_loss_curve_[-1] < same_rows.loss_curve_[-1]


@BOTH
@STOCHASTIC
def test_early_stopping_by_a_validation_set(solver, kind):
    """All of X trains, and the scores are those of the validation set."""
    X_val, y_val = validation(kind)
    arguments = dict(X_val=X_val, y_val=y_val)
    parameters = dict(solver=solver, early_stopping=True, learning_rate_init=0.1, max_iter=12)
    model = fitted(kind, arguments, **parameters, n_iter_no_change=100)
    assert model.t_ == model.n_iter_ * 60
    assert model.loss_curve_ == fitted(kind, solver=solver, learning_rate_init=0.1, max_iter=12).loss_curve_
    scores = model.validation_scores_
    score = accuracy_score if kind is MLPClassifier else r2_score
    assert score(y_val, model.predict(X_val)) == pytest.approx(max(scores), rel=1e-9)
    assert model.best_validation_score_ == max(scores)
    assert model.best_loss_ is None
    # The parameters are those of the best epoch, or of the first of equally good ones.
    best = fitted(kind, **parameters | dict(early_stopping=False, max_iter=int(np.argmax(scores)) + 1))
    assert same(model, best)
    assert len(model.validation_loss_curve_) == len(scores) == 12
    stopped = fitted(kind, arguments, **parameters, tol=10.0, n_iter_no_change=2)
    assert stopped.n_iter_ < 12


def test_weighted_scores_of_a_validation_set():
    X_val, y_val = validation()
    weights = np.random.default_rng(1).random(len(X_val))
    arguments = dict(X_val=X_val, y_val=y_val, sample_weight_val=weights)
    model = fitted(arguments=arguments, early_stopping=True, max_iter=1)
    expected = accuracy_score(y_val, model.predict(X_val), sample_weight=weights)
    assert model.validation_scores_ == [pytest.approx(expected)]


def test_forms_of_a_validation_set():
    X_val, y_val = validation()
    expected = fitted(arguments=dict(X_val=X_val, y_val=y_val)).validation_loss_curve_
    for form in (sparse.csr_matrix(X_val), X_val.tolist(), np.asfortranarray(X_val)):
        found = fitted(arguments=dict(X_val=form, y_val=y_val.tolist())).validation_loss_curve_
        assert found == pytest.approx(expected, rel=1e-12)
    names = np.array(["ash", "elm", "oak"])
    X, y = data()
    model = MLPClassifier(**SMALL).fit(X, names[y], X_val=X_val, y_val=names[y_val])
    assert model.validation_loss_curve_ == expected


def test_bad_validation_sets():
    X_val, y_val = validation()
    refused(ValueError, "X_val", arguments=dict(X_val=X_val))
    refused(ValueError, "X_val", arguments=dict(y_val=y_val))
    refused(ValueError, "X_val", arguments=dict(sample_weight_val=np.ones(40)))
    refused(ValueError, "features", arguments=dict(X_val=X_val[:, :4], y_val=y_val))
    refused(ValueError, "NaN", arguments=dict(X_val=np.full_like(X_val, np.nan), y_val=y_val))
    refused(ValueError, r"(?i)samples|rows", arguments=dict(X_val=X_val, y_val=y_val[:-1]))
    refused(ValueError, r"classes|labels", arguments=dict(X_val=X_val, y_val=y_val + 1))
    refused(
        ValueError, "sample_weight", arguments=dict(X_val=X_val, y_val=y_val, sample_weight_val=np.ones(3))
    )
    refused(ValueError, "lbfgs", arguments=dict(X_val=X_val, y_val=y_val), solver="lbfgs")


# The stopping criterion may change between fits ---------------------------------------------------------


@BOTH
@pytest.mark.parametrize("then", ["fit", "partial_fit"])
def test_going_on_by_another_criterion(then, kind):
    X, y = data(kind)
    model = fitted(kind, warm_start=True, early_stopping=True).set_params(early_stopping=False)
    getattr(model, then)(X, y)
    assert len(model.loss_curve_) == (8 if then == "fit" else 5)
    assert model.validation_scores_ is None
    assert model.best_loss_ == min(model.loss_curve_[4:])
    model.set_params(early_stopping=True).fit(X, y)
    assert model.best_loss_ is None
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == 4


@pytest.mark.parametrize("early_stopping", [False, True])
def test_going_on_from_lbfgs(early_stopping):
    model = fitted(solver="lbfgs", warm_start=True)
    model.set_params(solver="adam", early_stopping=early_stopping).fit(*data())
    assert len(model.loss_curve_) == 4
    assert (model.validation_scores_ is None) != early_stopping
