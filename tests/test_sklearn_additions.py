"""What the estimators have besides scikit-learn's: all by keyword, and nothing changes without it."""

import math
import pickle
import re
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.utils.class_weight import compute_sample_weight
from sklearn_helpers import THEIRS, assert_same_training, estimator_of, quietly, rows, targets
from threadpoolctl import threadpool_info

import bpkern
from bpkern.callbacks import Callback, EarlyStopping
from bpkern.sklearn import MLPClassifier, MLPRegressor, lbfgs

BOTH = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
STOCHASTIC = pytest.mark.parametrize("solver", ["adam", "sgd"])

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

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


# Between calls ------------------------------------------------------------------------------------------


def test_l_bfgs_side_by_side_leaves_blas_its_threads(monkeypatch):
    """The first to begin is the first to end: the second must not take its one thread for what there was."""
    first_in, second_in, first_out = (threading.Event() for _ in range(3))
    waits, minimize = iter([(first_in, second_in), (second_in, first_out)]), lbfgs.minimize

    def waiting(*arguments, **options):
        tell, other = next(waits)
        tell.set()
        assert other.wait(timeout=60)
        return minimize(*arguments, **options)

    def fit():
        fitted(solver="lbfgs")
        first_out.set()

    def blas_threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = blas_threads()
    if max(before, default=1) == 1:
        pytest.skip("BLAS has but one thread here")
    monkeypatch.setattr(lbfgs, "minimize", waiting)
    threads = [threading.Thread(target=fit) for _ in "ab"]
    threads[0].start()
    assert first_in.wait(timeout=60)
    threads[1].start()
    for thread in threads:
        thread.join(timeout=60)
    assert first_out.is_set()
    assert blas_threads() == before


def test_predictions_go_by_the_activation_that_is_set():
    """Also where it is set after the fit, as in scikit-learn."""
    X = data()[0]
    model = fitted(max_iter=1)
    model.predict_proba(X)
    model.set_params(activation="tanh")
    other = fitted(max_iter=1, activation="tanh")
    other.coefs_, other.intercepts_ = model.coefs_, model.intercepts_
    assert np.array_equal(model.predict_proba(X), other.predict_proba(X))


# Class weights ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("given", ["balanced", {0: 2.0, 1: 0.5, 2: 1.0}, {1: 3.0}], ids=str)
def test_class_weights_are_sample_weights(given, solver):
    X, y = data()
    X, y = X[y + np.arange(len(y)) % 3 > 0], y[y + np.arange(len(y)) % 3 > 0]  # fewer of class 0
    weights = compute_sample_weight(given, y)
    own = np.random.default_rng(2).random(len(y))
    for more in (None, own):
        model = MLPClassifier(**SMALL, class_weight=given, solver=solver).fit(X, y, sample_weight=more)
        product = weights if more is None else weights * more
        other = MLPClassifier(**SMALL, solver=solver).fit(X, y, sample_weight=product)
        assert_same_training(model, other, 20, 1e3)
        plain = MLPClassifier(**SMALL, solver=solver).fit(X, y, sample_weight=more)
        assert not np.allclose(model.coefs_[0], plain.coefs_[0])


def test_class_weights_by_label():
    X, y = data()
    names = np.array(["ash", "elm", "oak"])
    model = MLPClassifier(**SMALL, class_weight={"elm": 5.0}).fit(X, names[y])
    assert same(model, MLPClassifier(**SMALL, class_weight={1: 5.0}).fit(X, y))


def test_class_weights_of_two_classes_move_the_border():
    X, y = rows(), targets("binary", rows())
    parameters = SMALL | dict(max_iter=30, learning_rate_init=0.005, hidden_layer_sizes=20)
    plain = MLPClassifier(**parameters).fit(X, y)
    heavy = MLPClassifier(**parameters, class_weight={0: 1.0, 1: 20.0}).fit(X, y)
    assert heavy.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean() + 0.1


def test_class_weights_of_partial_fit():
    X, y = data()
    weights = {0: 1.0, 1: 4.0, 2: 2.0}
    model = MLPClassifier(**SMALL, class_weight=weights)
    other = MLPClassifier(**SMALL)
    for _ in range(2):
        model.partial_fit(X, y, classes=[0, 1, 2])
        other.partial_fit(X, y, classes=[0, 1, 2], sample_weight=compute_sample_weight(weights, y))
    assert_same_training(model, other, 8)


def test_bad_class_weights():
    refused(ValueError, "class_weight", class_weight="even")
    refused(ValueError, "class_weight", class_weight=3.0)
    refused(ValueError, "class_weight must hold finite weights", class_weight={0: -1.0})
    refused(ValueError, "class_weight must hold finite weights", class_weight={0: np.inf})


@pytest.mark.parametrize("count", [2, 3])
def test_class_weights_of_a_stream_whose_parts_lack_classes(count):
    X, y = data()
    y %= count
    model, other = MLPClassifier(**SMALL, class_weight={0: 5.0}), MLPClassifier(**SMALL)
    for part in (y == 0, y == 1, y > 0):
        model.partial_fit(X[part], y[part], classes=range(count))
        weights = np.where(y[part] == 0, 5.0, 1.0)
        other.partial_fit(X[part], y[part], classes=range(count), sample_weight=weights)
    assert same(model, other)


def test_balanced_weights_need_all_rows():
    model = MLPClassifier(**SMALL, class_weight="balanced")
    with pytest.raises(ValueError, match="'balanced' is not for partial_fit"):
        model.partial_fit(*data(), classes=[0, 1, 2])
    assert not hasattr(model, "coefs_")


# Dropout ------------------------------------------------------------------------------------------------


@BOTH
@STOCHASTIC
def test_dropout(solver, kind):
    plain = fitted(kind, solver=solver)
    assert same(plain, fitted(kind, solver=solver, dropout=0.0))
    dropped = fitted(kind, solver=solver, dropout=0.5)
    assert not np.allclose(plain.coefs_[0], dropped.coefs_[0])
    assert same(dropped, fitted(kind, solver=solver, dropout=0.5))
    assert not same(dropped, fitted(kind, solver=solver, dropout=0.5, random_state=1))
    assert same(dropped, fitted(kind, solver=solver, dropout=[0.5, 0.5]))
    assert not same(dropped, fitted(kind, solver=solver, dropout=[0.5, 0.0]))
    # Nothing is dropped where it predicts.
    X, _ = data(kind)
    assert np.array_equal(dropped.predict(X), dropped.predict(X))


def test_dropout_starts_from_the_same_weights():
    still = dict(solver="sgd", learning_rate_init=1e-300)
    assert same(fitted(**still), fitted(**still, dropout=0.5))


def test_dropout_is_drawn_by_the_random_state():
    """What is dropped differs where everything else is the same."""
    still = SMALL | dict(solver="sgd", learning_rate_init=1e-300, shuffle=False, warm_start=True, max_iter=1)
    model = MLPClassifier(**still, dropout=0.5).fit(*data())
    losses = [model.set_params(random_state=seed).fit(*data()).loss_ for seed in (1, 2, 1)]
    assert losses[0] == losses[2] != losses[1]


def test_dropout_differs_from_call_to_call_of_partial_fit():
    X, y = data()
    still = SMALL | dict(solver="sgd", learning_rate_init=1e-300, shuffle=False)
    model = MLPClassifier(**still, dropout=0.5)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
    assert len(set(model.loss_curve_)) == 3


@BOTH
def test_dropout_by_an_array(kind):
    X, y = data(kind)
    given = fitted(kind, dropout=np.array([0.5, 0.25])).partial_fit(X, y)
    assert same(given, fitted(kind, dropout=[0.5, 0.25]).partial_fit(X, y))
    assert isinstance(given.dropout, np.ndarray)


@pytest.mark.parametrize("bad", [1.0, -0.1, [0.5], [0.5, 1.0], "half", None], ids=str)
def test_bad_dropout(bad):
    refused((ValueError, TypeError), "dropout", dropout=bad)


# A validation set ---------------------------------------------------------------------------------------


def validation(kind=MLPClassifier):
    X, y = data(kind, 100)
    return X[60:], y[60:]


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
    """scikit-learn's loss of these rows, without the penalty."""
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
        # A step later the loss of the training rows is below that before it.
        assert same_rows.validation_loss_curve_[-1] < same_rows.loss_curve_[-1]


@BOTH
@STOCHASTIC
def test_early_stopping_by_a_validation_set(solver, kind):
    """All rows are trained on, and the scores are of the others."""
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
    # The parameters are those of the best epoch, the first of several equal ones.
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


# Activations --------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_activations_by_layer(solver, kind):
    two = fitted(kind, solver=solver, activation=["relu", "tanh"])
    assert same(fitted(kind, solver=solver), fitted(kind, solver=solver, activation=["relu", "relu"]))
    assert not same(two, fitted(kind, solver=solver))
    X, _ = data(kind)
    (w0, w1, w2), (b0, b1, b2) = two.coefs_, two.intercepts_
    outputs = np.tanh(np.maximum(X @ w0 + b0, 0) @ w1 + b1) @ w2 + b2
    if kind is MLPClassifier:
        odds = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        assert np.allclose(two.predict_proba(X), odds / odds.sum(axis=1, keepdims=True), 1e-12, 1e-15)
    else:
        assert np.allclose(two.predict(X), outputs.ravel(), 1e-12, 1e-14)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_name_of_the_core_for_logistic(solver):
    assert same(fitted(activation="logistic", solver=solver), fitted(activation="sigmoid", solver=solver))


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "leaky_relu", "softplus", "gelu_tanh"])
def test_activations_of_the_core(name):
    X, y = data()
    model = fitted(activation=name, max_iter=60, learning_rate_init=0.01)
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
    network = bpkern.MLP([6, 6, 5, 3], activation=name, loss="cross_entropy", dtype="float64")
    network.set_weights([(w.T, b) for w, b in zip(model.coefs_, model.intercepts_, strict=True)])
    assert np.allclose(model.predict_proba(X), network.predict_proba(X), 1e-12, 1e-15)
    assert model.score(X, y) > 0.6


@pytest.mark.parametrize(
    "bad", [["relu"], ["relu", "relu", "relu"], ["relu", "soft"], [], ["relu", 3]], ids=str
)
def test_bad_activations(bad):
    refused((ValueError, TypeError), "activation", activation=bad)


@BOTH
def test_an_activation_that_is_set_after_the_fit_predicts(kind):
    """As scikit-learn has it: whether it has predicted before, and whether it was pickled, does not count."""
    X, y = data(kind)
    fresh, used = fitted(kind), fitted(kind)
    before = used.predict(X), used.transform(X)
    for model in (fresh, used):
        model.set_params(activation="tanh")
    assert not np.array_equal(used.transform(X), before[1])
    for model in (fresh, pickle.loads(pickle.dumps(used))):
        assert np.array_equal(used.predict(X), model.predict(X))
        assert np.array_equal(used.transform(X), model.transform(X))
    theirs = THEIRS[kind](**SMALL).fit(X, y).set_params(activation="tanh")
    assert np.allclose(used.predict(X), theirs.predict(X))
    used.set_params(activation="relu")
    assert np.array_equal(used.predict(X), before[0])


# Optimisers ---------------------------------------------------------------------------------------------


@BOTH
def test_an_optimiser_of_the_core_in_place_of_the_solver(kind):
    """The same settings, given as an object, make the same steps."""
    for solver, optimizer in {
        "adam": bpkern.Adam(0.002, (0.8, 0.99), 1e-5, eps_hat=True),
        "sgd": bpkern.SGD(0.002, 0.7, nesterov=True),
    }.items():
        parameters = dict(learning_rate_init=0.002, beta_1=0.8, beta_2=0.99, epsilon=1e-5, momentum=0.7)
        told = fitted(kind, solver=solver, **parameters)
        model = fitted(kind, optimizer=optimizer)
        assert_same_training(model, told, 16)
        # The solver, and what belongs to it, does not count then.
        assert same(
            model, fitted(kind, optimizer=optimizer, solver="sgd", learning_rate_init=9.0, momentum=0.1)
        )


@pytest.mark.parametrize(
    "optimizer",
    [bpkern.RMSprop(0.01), bpkern.Adagrad(0.05), bpkern.AdamW(0.01, weight_decay=0.1), bpkern.SGD(0.1)],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_optimisers_of_the_core(optimizer):
    model = fitted(optimizer=optimizer, max_iter=40)
    assert model.loss_curve_[-1] < 0.8 * model.loss_curve_[0]


def test_an_optimiser_with_a_schedule():
    schedule = bpkern.schedules.Cosine(0.1, iterations=16)
    optimizer = bpkern.SGD(schedule, momentum=0.5)
    model = fitted(optimizer=optimizer)
    assert model.history_.lr == pytest.approx([schedule(4 * epoch + 3) for epoch in range(4)])
    assert optimizer.lr is schedule


def test_an_optimiser_is_not_changed_by_a_fit_and_can_be_shared():
    optimizer = bpkern.Adam(0.01)
    before = optimizer.settings()
    callbacks = [bpkern.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=10.0)]
    first = fitted(optimizer=optimizer, callbacks=callbacks, max_iter=8)
    assert min(first.history_.lr) < 0.01
    assert optimizer.settings() == before
    assert same(fitted(optimizer=optimizer), fitted(optimizer=clone(first).optimizer))


def test_an_optimiser_in_partial_fit():
    X, y = data()
    model = MLPClassifier(**SMALL, optimizer=bpkern.Adam(0.002, eps_hat=True))
    other = MLPClassifier(**SMALL, learning_rate_init=0.002)
    for _ in range(3):
        model.partial_fit(X, y, classes=[0, 1, 2])
        other.partial_fit(X, y, classes=[0, 1, 2])
    assert_same_training(model, other, 12)


@pytest.mark.parametrize("bad", ["adam", bpkern.SGD, 0.1], ids=str)
def test_bad_optimisers(bad):
    refused((ValueError, TypeError), "optimizer", optimizer=bad)


# Callbacks of bpkern ------------------------------------------------------------------------------------


class Watch(Callback):
    def __init__(self):
        self.losses, self.begun, self.ended = [], 0, 0

    def on_fit_begin(self, model):
        self.begun += 1

    def on_epoch_end(self, model, epoch, logs):
        assert epoch == len(self.losses)
        self.losses.append(logs["loss"])

    def on_fit_end(self, model):
        self.ended += 1


@BOTH
@STOCHASTIC
def test_callbacks(solver, kind):
    one, other = Watch(), Watch()
    model = fitted(kind, solver=solver, callbacks=[one, other])
    assert (one.begun, one.ended) == (1, 1)
    assert one.losses == other.losses == model.loss_curve_
    alone = Watch()
    assert same(fitted(kind, solver=solver, callbacks=alone), model)
    assert alone.losses == model.loss_curve_


def test_a_callback_ends_a_fit():
    class Stop(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    model = quietly(fitted, callbacks=Stop())
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert same(model, fitted(max_iter=2))


def test_a_callback_that_ends_a_fit_is_no_warning_of_too_few_iterations(recwarn):
    class Stop(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    fitted(callbacks=Stop())
    assert not recwarn.list


def test_early_stopping_of_bpkern_by_the_validation_loss():
    X_val, y_val = validation()
    stopping = EarlyStopping(patience=2)
    arguments = dict(X_val=X_val, y_val=y_val)
    parameters = dict(max_iter=200, learning_rate_init=0.1)
    model = fitted(arguments=arguments, callbacks=stopping, **parameters, n_iter_no_change=np.inf)
    curve = model.validation_loss_curve_
    assert stopping.stopped_epoch_ == model.n_iter_ - 1 < 199
    assert stopping.best_ == min(curve)
    # The parameters of the best epoch are back.
    best = fitted(**parameters | dict(max_iter=int(np.argmin(curve)) + 1))
    assert same(model, best)


def test_an_interrupt_is_a_warning_and_leaves_an_estimator_that_predicts():
    class Interrupt(Callback):
        def on_epoch_begin(self, model, epoch):
            if epoch == 2:
                raise KeyboardInterrupt

    model = MLPClassifier(**SMALL, callbacks=Interrupt())
    X, y = data()
    with pytest.warns(UserWarning, match=re.escape("Training interrupted by user.")):
        model.fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == 2
    assert same(model, fitted(max_iter=2))
    assert model.predict(X).shape == y.shape


def test_an_interrupted_early_stopping_keeps_the_best():
    class Interrupt(Callback):
        def on_epoch_begin(self, model, epoch):
            if epoch == 8:
                raise KeyboardInterrupt

    X_val, y_val = validation()
    parameters = dict(learning_rate_init=0.1, max_iter=12, n_iter_no_change=100)
    with pytest.warns(UserWarning, match="interrupted"):
        model = fitted(
            arguments=dict(X_val=X_val, y_val=y_val), early_stopping=True, callbacks=Interrupt(), **parameters
        )
    best = int(np.argmax(model.validation_scores_))
    assert len(model.validation_scores_) == 8
    assert same(model, fitted(**parameters | dict(max_iter=best + 1)))


def test_an_error_in_a_callback_is_raised():
    class Trip(Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise RuntimeError("tripped")

    with pytest.raises(RuntimeError, match="tripped"):
        fitted(callbacks=Trip())


@pytest.mark.parametrize("bad", [3, "stop", EarlyStopping, [None]], ids=str)
def test_bad_callbacks(bad):
    with pytest.raises((ValueError, TypeError), match="callback"):
        fitted(callbacks=bad)


def test_what_lbfgs_has_no_use_for():
    refused(ValueError, "dropout", solver="lbfgs", dropout=0.5)
    refused(ValueError, "callbacks", solver="lbfgs", callbacks=[Watch()])


# Callbacks of scikit-learn ------------------------------------------------------------------------------


@pytest.fixture
def protocol():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn has callbacks since 1.9")


class Recorder:
    """A callback by scikit-learn's protocol."""

    max_iterations = math.inf

    def __init__(self):
        self.calls, self.copies, self.data = [], [], None

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.calls.append("begin fit" if context.parent is None else "begin iteration")
        self.data = X, y, metadata

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        if context.parent is None:
            self.calls.append("end fit")
            return False
        self.calls.append("end iteration")
        self.copies.append(fitted_estimator)
        return len(self.copies) >= self.max_iterations


@pytest.mark.usefixtures("protocol")
@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_the_protocol(solver, kind):
    recorder = Recorder()
    X, y = data(kind)
    weights = np.ones(len(y))
    model = kind(**SMALL, solver=solver).set_callbacks(recorder)
    model.fit(X, y, sample_weight=weights)
    tasks = ["begin iteration", "end iteration"] * model.n_iter_
    assert recorder.calls == ["setup", "begin fit", *tasks, "end fit", "teardown"]
    assert np.array_equal(recorder.data[0], X)
    assert recorder.data[2]["sample_weight"] is weights
    assert same(model, kind(**SMALL, solver=solver).fit(X, y, sample_weight=weights))


@pytest.mark.usefixtures("protocol")
@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_estimator_of_an_iteration(solver, kind):
    """It predicts as one that was fitted for so many iterations."""
    recorder = Recorder()
    X, y = data(kind)
    kind(**SMALL, solver=solver).set_callbacks(recorder).fit(X, y)
    for count, copied in enumerate(recorder.copies, 1):
        shorter = fitted(kind, solver=solver, max_iter=count)
        assert np.array_equal(copied.predict(X), shorter.predict(X))
        assert np.array_equal(copied.transform(X), shorter.transform(X))


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_of_scikit_learn_ends_a_fit(solver):
    recorder = Recorder()
    recorder.max_iterations = 2
    model = MLPClassifier(**SMALL, solver=solver).set_callbacks(recorder).fit(*data())
    assert model.n_iter_ == 2
    assert recorder.calls[-2:] == ["end fit", "teardown"]
    assert same(model, fitted(solver=solver, max_iter=2))


@pytest.mark.usefixtures("protocol")
def test_a_fit_that_fails_is_torn_down():
    recorder = Recorder()
    model = MLPClassifier(**SMALL, callbacks=3).set_callbacks(recorder)
    with pytest.raises((TypeError, ValueError)):
        model.fit(*data())
    assert recorder.calls.count("setup") == recorder.calls.count("teardown")
    model.set_params(callbacks=())
    model.fit(*data())
    assert recorder.calls[-1] == "teardown"


@pytest.mark.usefixtures("protocol")
def test_a_scoring_monitor(protocol):
    monitor = protocol.ScoringMonitor(scoring="accuracy")
    X, y = data()
    MLPClassifier(**SMALL).set_callbacks(monitor).fit(X, y)
    (log,) = monitor.get_logs() if isinstance(monitor.get_logs(), list) else [monitor.get_logs()]
    scores = [row["accuracy"] for row in log.data if len(row["task_id_path"]) == 2]
    assert scores == [fitted(max_iter=count).score(X, y) for count in (1, 2, 3, 4)]


def test_callbacks_in_a_search(protocol):
    """They are handed on by what estimators are part of, and to worker threads."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    class Propagated(Recorder):
        max_propagation_depth = None

        def on_fit_task_end(self, estimator, context, *, X=None, y=None):
            self.calls.append((type(estimator).__name__, context.task_name))

    recorder = Propagated()
    make_pipeline(StandardScaler(), MLPClassifier(**SMALL)).set_callbacks(recorder).fit(*data())
    assert sum(call[0] == "MLPClassifier" for call in recorder.calls if isinstance(call, tuple)) == 4 + 1


def test_what_is_no_callback_of_scikit_learn(protocol):
    with pytest.raises(TypeError, match="FitCallback protocol"):
        MLPClassifier().set_callbacks(Watch())


# Threads ------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_threads_change_no_bit(solver, kind):
    X, y = data(kind, 400)
    parameters = SMALL | dict(hidden_layer_sizes=(70, 40), batch_size=200, solver=solver)
    one, three, own = (kind(**parameters, n_threads=n).fit(X, y) for n in (1, 3, None))
    assert same(one, three)
    assert same(one, own)
    assert np.array_equal(one.predict(X), three.predict(X))


@pytest.mark.parametrize("bad", [0, -1, 1.5, "all"], ids=str)
def test_bad_numbers_of_threads(bad):
    refused((ValueError, TypeError), "n_threads", n_threads=bad)


# History ------------------------------------------------------------------------------------------------


@BOTH
@STOCHASTIC
def test_history(solver, kind):
    X_val, y_val = validation(kind)
    model = fitted(kind, dict(X_val=X_val, y_val=y_val), solver=solver, learning_rate_init=0.01)
    assert isinstance(model.history_, bpkern.History)
    assert model.history_["loss"] == model.loss_curve_
    assert model.history_["val_loss"] == model.validation_loss_curve_
    assert model.history_.iterations == 4 * 4
    assert model.history_.lr == [0.01] * 4


def test_history_of_poisson_is_the_loss_curve():
    X = rows()
    model = MLPRegressor(**SMALL, loss="poisson").fit(X, targets("poisson", X))
    assert model.history_["loss"] == model.loss_curve_


def test_history_shows_rates_that_change():
    parameters = dict(solver="sgd", learning_rate="invscaling", power_t=0.5, learning_rate_init=0.5)
    model = fitted(**parameters)
    assert model.history_.lr == pytest.approx([0.5] + [0.5 / math.sqrt(60 * n + 1) for n in (1, 2, 3)])


# Hidden activations -------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_transform(solver, kind):
    X, _ = data(kind)
    model = fitted(kind, activation="tanh", solver=solver)
    (w0, w1, _), (b0, b1, _) = model.coefs_, model.intercepts_
    expected = np.tanh(np.tanh(X @ w0 + b0) @ w1 + b1)
    found = model.transform(X)
    assert found.shape == (60, 5)
    assert np.allclose(found, expected, 1e-12, 1e-14)
    assert np.allclose(model.transform(sparse.csr_matrix(X)), expected, 1e-12, 1e-14)
    assert np.allclose(model.transform(X[:1]), expected[:1], 1e-12, 1e-14)
    assert model.transform(X.astype("float32")).dtype == np.float64
    names = model.get_feature_names_out()
    assert list(names) == [f"{kind.__name__.lower()}{i}" for i in range(5)]


@BOTH
def test_fit_transform(kind):
    X, y = data(kind)
    assert np.array_equal(kind(**SMALL).fit_transform(X, y), fitted(kind).transform(X))


def test_transform_of_what_does_not_fit():
    X, _ = data()
    model = fitted()
    with pytest.raises(ValueError, match="features"):
        model.transform(X[:, :3])
    with pytest.raises(ValueError, match="hidden"):
        fitted(hidden_layer_sizes=()).transform(X)


# Dtypes -------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("given", ["float32", "float64", "int64"])
@pytest.mark.parametrize("asked", [None, "float32", "float64"])
def test_dtypes(asked, given, solver, kind):
    """None goes by X; a name overrides it, in training and in predictions."""
    X, y = data(kind)
    X = (5 * X).astype(given)
    model = kind(**SMALL, dtype=asked, solver=solver).fit(X, y)
    expected = np.dtype(asked or ("float32" if given == "float32" else "float64"))
    assert {array.dtype for array in model.coefs_ + model.intercepts_} == {expected}
    real = model.predict_proba(X) if kind is MLPClassifier else model.predict(X)
    assert real.dtype == expected
    assert model.transform(X).dtype == expected
    assert math.isfinite(model.loss_)


def test_a_dtype_is_what_the_rows_are_taken_in():
    X, y = data()
    X = X.astype("float32")
    wide = MLPClassifier(**SMALL, dtype="float64").fit(X, y)
    assert same(wide, MLPClassifier(**SMALL).fit(X.astype("float64"), y))
    narrow = MLPClassifier(**SMALL, dtype="float32").fit(X.astype("float64"), y)
    assert same(narrow, MLPClassifier(**SMALL).fit(X, y))


@pytest.mark.parametrize("bad", ["float16", "double", int], ids=str)
def test_bad_dtypes(bad):
    refused((ValueError, TypeError), "dtype", dtype=bad)


def test_a_dtype_of_an_array():
    X, y = data()
    model = clone(MLPClassifier(**SMALL, dtype=X.astype("float32").dtype)).fit(X, y)
    assert same(model, MLPClassifier(**SMALL, dtype="float32").fit(X, y))


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


# What ends training may change between fits -------------------------------------------------------------


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


# All together -------------------------------------------------------------------------------------------


def test_all_at_once_in_a_copy():
    """Parameters that are objects are cloned and pickled with the estimator."""
    X_val, y_val = validation()
    parameters = dict(
        class_weight="balanced",
        dropout=[0.1, 0.2],
        optimizer=bpkern.AdamW(bpkern.schedules.Cosine(0.01, iterations=16)),
        callbacks=[EarlyStopping(patience=3)],
        dtype="float32",
        n_threads=2,
        activation=["gelu", "tanh"],
        early_stopping=True,
    )
    model = fitted(arguments=dict(X_val=X_val, y_val=y_val), **parameters)
    for made in (clone(model), pickle.loads(pickle.dumps(clone(model)))):
        made.fit(*data(), X_val=X_val, y_val=y_val)
        assert same(made, model)
        assert made.loss_curve_ == model.loss_curve_
    kept = pickle.loads(pickle.dumps(model))
    assert np.array_equal(kept.predict_proba(X_val), model.predict_proba(X_val))
    assert kept.history_ == model.history_
