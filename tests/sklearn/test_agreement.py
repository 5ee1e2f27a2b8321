"""Equal parameters, data and random_state give the same training as scikit-learn's, to rounding.

Weights, losses, counts and predictions are compared after a few epochs in float64, because every step of
training amplifies rounding errors. The comparison also needs random numbers drawn in the same order.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", minversion="1.9", reason="scikit-learn 1.9 is what the estimators agree with")

from scipy import sparse
from sklearn.datasets import load_digits
from sklearn_helpers import (
    CLASSIFIED,
    REGRESSED,
    THEIRS,
    assert_close,
    assert_close_losses,
    assert_same_predictions,
    assert_same_training,
    pair,
    quietly,
    rows,
    targets,
)

from bpkern.sklearn import MLPClassifier, MLPRegressor

TASKS = CLASSIFIED + REGRESSED

EPOCHS, BATCH = 4, 16
BASE = dict(hidden_layer_sizes=(7, 5), max_iter=EPOCHS, batch_size=BATCH, random_state=3)

# The line searches and differences of L-BFGS amplify rounding errors more than steps of SGD or Adam.
LBFGS_GROWTH = 1e5

SGD = dict(solver="sgd", learning_rate_init=0.05)
SOLVERS = {
    "adam": {},
    "adam, large settings": dict(learning_rate_init=0.02, beta_1=0.5, beta_2=0.9, epsilon=1e-2),
    "adam without averages": dict(beta_1=0.0, beta_2=0.0, epsilon=0.1),
    "sgd": SGD,
    "sgd, momentum of old": SGD | dict(nesterovs_momentum=False),
    "sgd without momentum": SGD | dict(momentum=0.0),
    "sgd that never slows": SGD | dict(momentum=1.0, learning_rate_init=0.005),
    "sgd, invscaling": SGD | dict(learning_rate="invscaling", power_t=0.3),
    "sgd, invscaling, momentum of old": SGD | dict(learning_rate="invscaling", nesterovs_momentum=False),
    "sgd, adaptive": SGD | dict(learning_rate="adaptive", tol=10.0, n_iter_no_change=1, max_iter=6),
    "sgd, adaptive, momentum of old": SGD
    | dict(learning_rate="adaptive", tol=10.0, n_iter_no_change=1, max_iter=6, nesterovs_momentum=False),
    "lbfgs": dict(solver="lbfgs"),
}


def compare(task, X=None, y=None, sample_weight=None, growth=None, predict=True, **parameters):
    """Fit both and compare them; returns both."""
    X = rows() if X is None else X
    dense = X.toarray() if sparse.issparse(X) else X
    y = targets(task, dense) if y is None else y
    parameters = BASE | parameters
    ours, theirs = pair(task, **parameters)
    quietly(ours.fit, X, y, sample_weight=sample_weight)
    quietly(theirs.fit, X, y, sample_weight=sample_weight)
    batch = parameters["batch_size"]
    steps = theirs.n_iter_ * (1 if batch == "auto" else -(-len(dense) // batch))
    if growth is None:
        growth = {"growth": LBFGS_GROWTH} if parameters.get("solver") == "lbfgs" else {}
    else:
        growth = {"growth": growth}
    assert_same_training(ours, theirs, steps, **growth)
    if predict:
        assert_same_predictions(ours, theirs, X, steps, **growth)
    return ours, theirs


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_solvers(solver, task):
    compare(task, **SOLVERS[solver])


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_activations(activation, solver):
    for task in ("multiclass", "regression"):
        compare(task, activation=activation, **SOLVERS[solver])


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("sizes", [(), 1, [4], np.array([3, 2]), (9, 8, 7, 6)], ids=str)
def test_depths(sizes, solver):
    compare("multiclass", hidden_layer_sizes=sizes, **SOLVERS[solver])


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("alpha", [0.0, 5.0])
def test_penalties(alpha, solver):
    """The penalty is divided by the batch's rows, so short last batches and batches of one row get more."""
    for task in ("binary", "multioutput"):
        compare(task, alpha=alpha, **SOLVERS[solver])
        compare(task, alpha=alpha, max_iter=1, **{**SOLVERS[solver], "batch_size": 1})


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch", [1, 7, 59, 60, "auto"])
def test_batches(batch, solver):
    for task in ("multiclass", "regression"):
        compare(task, batch_size=batch, max_iter=2, **SOLVERS[solver])


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_rows_in_their_order(solver, task):
    compare(task, shuffle=False, **SOLVERS[solver])


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("form", ["csr_matrix", "csc_matrix", "csr_array", "csc_array"])
def test_sparse(form, solver):
    X = rows()
    X[np.random.default_rng(1).random(X.shape) < 0.6] = 0
    for task in ("multiclass", "regression"):
        compare(task, getattr(sparse, form)(X), **SOLVERS[solver])
    compare("multilabel", getattr(sparse, form)(X), early_stopping=solver != "lbfgs", **SOLVERS[solver])


# Weights of rows ----------------------------------------------------------------------------------------


def row_weights():
    """Weights with zeros, a mean other than 1, and sums that differ between batches."""
    weights = np.random.default_rng(5).gamma(0.8, 3.0, ROWS_WEIGHED)
    weights[::7] = 0
    return weights


ROWS_WEIGHED = len(rows())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_sample_weights(solver, task):
    compare(task, sample_weight=row_weights(), alpha=0.5, **SOLVERS[solver])


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_sample_weights_counts_against_the_penalty(scale):
    """Against the penalty only."""
    ours, _ = compare("multiclass", sample_weight=scale * row_weights(), alpha=0.5, **SGD)
    same, _ = compare("multiclass", sample_weight=row_weights(), alpha=0.5 / scale, **SGD)
    assert_close(ours.coefs_[0], same.coefs_[0], 1e4)
    other, _ = compare("multiclass", sample_weight=row_weights(), alpha=0.5, **SGD)
    assert not np.allclose(ours.coefs_[0], other.coefs_[0])


@pytest.mark.parametrize("weights", [[1] * ROWS_WEIGHED, np.arange(1, ROWS_WEIGHED + 1)], ids=["list", "int"])
def test_other_kinds_of_sample_weights(weights):
    compare("regression", sample_weight=weights)


def test_sample_weights_of_float32_rows():
    X = rows().astype(np.float32)
    ours, theirs = pair("multiclass", **BASE, **SGD)
    for each in (ours, theirs):
        quietly(each.fit, X, targets("multiclass", X), sample_weight=row_weights())
    assert_same_training(ours, theirs, 4 * EPOCHS, dtype="float32")


# Stopping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["adam", "sgd", "sgd, adaptive"])
def test_early_stopping(solver, task):
    """The same rows held out, the same scores, and the weights of the best epoch."""
    # At this learning rate scores go up and down, so that the best epoch is not the last.
    rate = 0.02 if task.startswith("poisson") else 0.1
    parameters = SOLVERS[solver] | dict(learning_rate_init=rate, max_iter=6, tol=1e-4, n_iter_no_change=2)
    ours, theirs = compare(task, early_stopping=True, validation_fraction=0.3, growth=1e4, **parameters)
    assert len(theirs.validation_scores_) == theirs.n_iter_
    assert isinstance(ours.validation_scores_, list)
    assert ours.best_validation_score_ == max(ours.validation_scores_)


def test_early_stopping_with_sample_weights():
    for task in ("binary", "regression"):
        compare(task, sample_weight=row_weights(), early_stopping=True, validation_fraction=0.3, **SGD)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("n_iter_no_change", [1, 3])
def test_no_improvement(n_iter_no_change, early_stopping):
    ours, _ = compare(
        "multiclass",
        tol=0.1,
        n_iter_no_change=n_iter_no_change,
        early_stopping=early_stopping,
        max_iter=50,
        growth=1e4,
        **SGD,
    )
    assert ours.n_iter_ < 50


def test_a_tolerance_that_no_epoch_meets_and_endless_patience():
    ours, _ = compare("multiclass", tol=1e9, n_iter_no_change=np.inf, **SGD)
    assert ours.n_iter_ == EPOCHS


@pytest.mark.parametrize("task", ["multiclass", "multioutput"])
def test_lbfgs_ends_where_the_gradients_are_small(task):
    ours, _ = compare(task, solver="lbfgs", tol=0.05, max_iter=200, alpha=1.0, growth=1e8)
    assert 2 < ours.n_iter_ < 100


def test_adaptive_ends_where_the_rate_is_too_small():
    parameters = dict(solver="sgd", learning_rate="adaptive", learning_rate_init=1e-4, tol=10.0)
    ours, theirs = compare("binary", n_iter_no_change=1, max_iter=30, **parameters)
    assert ours.n_iter_ == theirs.n_iter_ < 30


# Going on -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "sgd, invscaling", "sgd, adaptive", "lbfgs"])
@pytest.mark.parametrize("task", ["multiclass", "multilabel", "multioutput"])
def test_warm_start(task, solver):
    """The second fit continues from the weights, with a new optimiser and new random draws."""
    X = rows()
    y = targets(task, X)
    ours, theirs = pair(task, **(BASE | SOLVERS[solver]), warm_start=True)
    growth = 1e9 if solver == "lbfgs" else 1e3
    for count in (1, 2, 3):
        for each in (ours, theirs):
            each.set_params(max_iter=count)
            quietly(each.fit, X, y)
        assert_same_training(ours, theirs, 4 * 6, growth)


def test_warm_start_with_early_stopping():
    """The second fit has to beat the best score of the first."""
    X = rows()
    y = targets("regression", X)
    ours, theirs = pair("regression", **BASE, warm_start=True, early_stopping=True, learning_rate_init=0.02)
    best = []
    for _ in range(2):
        for each in (ours, theirs):
            quietly(each.fit, X, y)
        best.append(ours.best_validation_score_)
        assert_same_training(ours, theirs, 4 * 8, 1e3)
    assert best[0] < best[1]


def test_a_warm_start_that_finds_no_better_score_keeps_the_best_parameters():
    """scikit-learn's own keeps its best parameters in the arrays that it trains, and so ends with the
    last."""
    X = rows()
    y = targets("multiclass", X)
    ours, theirs = pair("multiclass", **BASE, **SGD, warm_start=True, early_stopping=True)
    for each in (ours, theirs):
        quietly(each.fit, X, y)
    before = ours.coefs_
    for each in (ours, theirs):
        quietly(each.fit, X, y)
    assert ours.validation_scores_ == theirs.validation_scores_
    assert max(ours.validation_scores_[EPOCHS:]) < ours.best_validation_score_
    assert all(np.array_equal(now, then) for now, then in zip(ours.coefs_, before, strict=True))


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_may_be_changed(method, solver):
    """In place, or by assigning other arrays: prediction and training use the current ones."""
    X = rows()
    y = targets("regression", X)
    ours, theirs = pair("regression", **(BASE | SOLVERS[solver]), warm_start=True)
    for each in (ours, theirs):
        quietly(each.fit, X, y)
    assert_same_predictions(ours, theirs, X, 4 * EPOCHS)
    for each in (ours, theirs):
        each.coefs_[0][:3] *= 0.5
        each.intercepts_[1] = np.full(5, 0.25)
    assert_same_predictions(ours, theirs, X, 4 * EPOCHS)
    for each in (ours, theirs):
        quietly(getattr(each, method), X, y)
    assert_same_training(ours, theirs, 8 * EPOCHS)
    assert_same_predictions(ours, theirs, X, 8 * EPOCHS)


@pytest.mark.parametrize("solver", ["adam", "sgd", "sgd, invscaling"])
def test_settings_changed_between_partial_fits(solver):
    """The optimiser keeps the settings of the first call; other changes count from the next call."""
    X = rows()
    y = targets("multiclass", X)
    ours, theirs = pair("multiclass", **(BASE | SOLVERS[solver]))
    changes = [
        {},
        dict(alpha=2.0, batch_size=10),
        dict(learning_rate_init=0.3, momentum=0.2),
        dict(shuffle=False),
    ]
    for change in changes:
        for each in (ours, theirs):
            each.set_params(**change).partial_fit(X, y, classes=[0, 1, 2])
        assert_same_training(ours, theirs, 30)


def test_settings_changed_between_warm_starts():
    """Every fit makes a new optimiser."""
    X = rows()
    y = targets("multiclass", X)
    ours, theirs = pair("multiclass", **BASE, **SGD, warm_start=True)
    for change in ({}, dict(learning_rate_init=0.01), dict(solver="adam"), dict(solver="sgd", momentum=0.2)):
        for each in (ours, theirs):
            quietly(each.set_params(**change).fit, X, y)
        assert_same_training(ours, theirs, 64)


@pytest.mark.parametrize(
    "solver", ["adam", "adam, large settings", "sgd", "sgd, invscaling", "sgd, adaptive"]
)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
def test_partial_fit(task, solver):
    """The optimiser's state persists between calls, which may have any number of rows."""
    X = rows()
    y = targets(task, X)
    ours, theirs = pair(task, **(BASE | SOLVERS[solver]))
    first = {}
    if task in CLASSIFIED:
        first["classes"] = [0, 1, 2] if task == "multilabel" else np.unique(y)
    for part in (slice(0, 40), slice(40, 60), slice(0, 25), slice(10, 13)):
        for each in (ours, theirs):
            each.partial_fit(X[part], y[part], **first)
        first = {}
        assert_same_training(ours, theirs, 4 * EPOCHS, 1e3)


def test_partial_fit_with_sample_weights():
    X = rows()
    y = targets("multiclass", X)
    ours, theirs = pair("multiclass", **BASE, **SGD)
    for each in (ours, theirs):
        each.partial_fit(X, y, sample_weight=row_weights(), classes=[0, 1, 2])
        each.partial_fit(X, y)
    assert_same_training(ours, theirs, 8)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_and_fit_in_turns(solver, warm_start):
    X = rows()
    y = targets("multiclass", X)
    ours, theirs = pair("multiclass", **(BASE | SOLVERS[solver]), warm_start=warm_start)
    for each in (ours, theirs):
        each.partial_fit(X, y, classes=[0, 1, 2])
        quietly(each.fit, X, y)
        each.partial_fit(X[:20], y[:20])
        each.partial_fit(X[20:], y[20:])
    assert_same_training(ours, theirs, 40, 1e3)


def test_sparse_partial_fit():
    X = rows()
    y = targets("regression", X)
    ours, theirs = pair("regression", **BASE, **SGD)
    for each in (ours, theirs):
        each.partial_fit(sparse.csr_matrix(X), y)
        each.partial_fit(X, y)
    assert_same_training(ours, theirs, 8)


# Draws --------------------------------------------------------------------------------------------------


def state(random_state):
    name, keys, *rest = random_state.get_state()
    return name, keys.tolist(), *rest


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_generator_is_left_as_theirs_leaves_it(early_stopping, solver):
    """Two fits draw from it in turn: the second differs if the first draws too much or too little."""
    X = rows()
    y = targets("multiclass", X)
    ours, theirs = pair("multiclass", **(BASE | SOLVERS[solver]), early_stopping=early_stopping)
    for each in (ours, theirs):
        each.set_params(random_state=np.random.RandomState(12))
        quietly(each.fit, X, y)
        quietly(each.fit, X, y)
    assert state(ours.random_state) == state(theirs.random_state)
    assert state(ours.random_state) != state(np.random.RandomState(12))
    assert_same_training(ours, theirs, 4 * EPOCHS, LBFGS_GROWTH if solver == "lbfgs" else 1e3)


def test_without_a_seed_the_global_generator_is_drawn_from():
    X = rows()
    y = targets("regression", X)
    ours, theirs = pair("regression", **(BASE | {"random_state": None}))
    before = np.random.get_state()  # noqa: NPY002
    try:
        for each in (ours, theirs):
            np.random.seed(5)  # noqa: NPY002
            quietly(each.fit, X, y)
    finally:
        np.random.set_state(before)  # noqa: NPY002
    assert_same_training(ours, theirs, 4 * EPOCHS)


def test_partial_fits_draw_from_a_generator_in_turn():
    X = rows()
    y = targets("regression", X)
    ours, theirs = pair("regression", **(BASE | {"random_state": None}))
    for each in (ours, theirs):
        each.set_params(random_state=np.random.RandomState(4))
        each.partial_fit(X, y).partial_fit(X, y)
    assert state(ours.random_state) == state(theirs.random_state)
    assert_same_training(ours, theirs, 8)


# Numbers at their limits --------------------------------------------------------------------------------


def test_losses_of_rows_far_from_one():
    """Confident mistakes count at most -log(eps); their gradients are not capped."""
    X = 100 * rows()
    ours, theirs = compare("multiclass", X, learning_rate_init=0.01, growth=1e4)
    assert theirs.loss_curve_[0] > 5
    # In the first mini-batches, nearly all answers are certain, right or wrong.
    assert ours.loss_curve_[0] < -np.log(np.finfo(float).eps)


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_losses_of_certain_answers(task):
    """Without a step the loss follows from the probabilities.

    scikit-learn computes log(1 - p) of a rounded p, so its loss is only known to the effect of that rounding.
    """
    X = 100 * rows()
    y = targets(task, X)
    still = dict(solver="sgd", learning_rate_init=1e-300, alpha=0.0, batch_size=20, max_iter=2, shuffle=False)
    ours, theirs = pair(task, **(BASE | still))
    for each in (ours, theirs):
        quietly(each.fit, X, y)
    hidden = X
    for w, b in zip(theirs.coefs_[:-1], theirs.intercepts_[:-1], strict=True):
        hidden = np.maximum(hidden @ w + b, 0)
    z = np.asarray(hidden @ theirs.coefs_[-1] + theirs.intercepts_[-1], np.longdouble)
    wrong_by = np.where(y.reshape(z.shape) == 1, -z, z)
    eps = np.finfo(np.float64).eps
    losses = np.clip(np.logaddexp(0, wrong_by), -np.log1p(-np.longdouble(eps)), -np.log(np.longdouble(eps)))
    assert (wrong_by > 36.1).any()
    assert ((wrong_by > 1) & (wrong_by < 36)).any()
    # A rounding error in z, a sum of terms of this size, is an error of the same size in the loss.
    terms = np.abs(hidden) @ np.abs(theirs.coefs_[-1]) + np.abs(theirs.intercepts_[-1])
    units = 8 * terms.sum(axis=1).mean()
    assert_close_losses(ours.loss_curve_, [float(losses.sum(axis=1).mean())] * 2, units)
    rounded = np.minimum(eps * np.exp(np.minimum(wrong_by, 36)), 36).astype(float).sum(axis=1).mean()
    assert abs(ours.loss_ - theirs.loss_) <= 8 * rounded + units * eps * ours.loss_


def test_log_loss_in_float32_is_capped_at_its_own_rounding():
    X = (300 * rows()).astype(np.float32)
    still = dict(solver="sgd", learning_rate_init=1e-30, alpha=0.0, max_iter=1)
    ours, theirs = pair("multiclass", **(BASE | still))
    for each in (ours, theirs):
        quietly(each.fit, X, targets("multiclass", X))
    assert_close_losses(ours.loss_, theirs.loss_, 64, "float32")
    # Without the cap, losses would be in the hundreds.
    assert 1 < theirs.loss_ < 16


@pytest.mark.parametrize("task", ["multiclass", "multilabel", "multioutput", "poisson"])
@pytest.mark.parametrize("solver", ["sgd", "sgd, invscaling"])
def test_float32(solver, task):
    X = rows().astype(np.float32)
    y = targets(task, X)
    ours, theirs = pair(task, **(BASE | SOLVERS[solver]))
    for each in (ours, theirs):
        quietly(each.fit, X, y)
    assert ours.coefs_[0].dtype == ours.intercepts_[0].dtype == np.float32
    assert_same_training(ours, theirs, 4 * EPOCHS, dtype="float32")


# Any shape ----------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    task=st.sampled_from(TASKS),
    solver=st.sampled_from(
        ["adam", "adam, large settings", "sgd", "sgd, momentum of old", "sgd, invscaling"]
    ),
    activation=st.sampled_from(["identity", "logistic", "tanh", "relu"]),
    sizes=st.lists(st.integers(1, 40), max_size=3),
    features=st.integers(1, 20),
    count=st.integers(12, 80),
    batch=st.integers(1, 80),
    alpha=st.sampled_from([0.0, 1e-4, 0.5]),
    shuffle=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(task, solver, activation, sizes, features, count, batch, alpha, shuffle, weighted, seed):
    X = rows(count, features)
    y = targets(task, X)
    # Small learning rates: overlong steps amplify rounding errors, and make the exp of Poisson overflow.
    parameters = SOLVERS[solver] | dict(
        hidden_layer_sizes=sizes,
        activation=activation,
        batch_size=min(batch, count),
        alpha=alpha,
        shuffle=shuffle,
        random_state=seed,
        learning_rate_init=1e-5 if task == "poisson" else 1e-3,
        max_iter=2,
    )
    weights = np.random.default_rng(seed).uniform(0.1, 3, count) if weighted else None
    ours, theirs = pair(task, **parameters)
    for each in (ours, theirs):
        quietly(each.fit, X, y, sample_weight=weights)
    steps = 2 * -(-count // parameters["batch_size"])
    assert_same_training(ours, theirs, steps, 1e3)


@pytest.mark.parametrize("ours", [MLPClassifier, MLPRegressor])
def test_digits_with_the_defaults(ours):
    """A real data set: some pixels are the same in all rows."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:500] / 16, y[:500]
    models = [kind(max_iter=3, random_state=0) for kind in (ours, THEIRS[ours])]
    for model in models:
        quietly(model.fit, X, y)
    assert_same_training(*models, 9, 1e4)
    assert_same_predictions(*models, X, 9, 1e4)
