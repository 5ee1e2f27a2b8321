"""What the estimators add to scikit-learn's: all by keyword, and each default changes nothing."""

import math
import pickle
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn is not installed")

from scipy import sparse
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight
from sklearn_helpers import (
    BOTH,
    SMALL,
    STOCHASTIC,
    THEIRS,
    assert_same_training,
    data,
    fitted,
    refused,
    rows,
    same,
    targets,
    validation,
)
from threadpoolctl import threadpool_info

import bpkern
from bpkern.callbacks import EarlyStopping
from bpkern.sklearn import MLPClassifier, MLPRegressor, lbfgs

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# Between calls ------------------------------------------------------------------------------------------


def test_l_bfgs_side_by_side_leaves_blas_its_threads(monkeypatch):
    """The first fit to begin ends first: the second must not mistake the one thread it found for the setting
    to restore."""
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
        pytest.skip("BLAS has only one thread here")
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
    """Also if it is set after the fit, as in scikit-learn."""
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
    X, y = X[y + np.arange(len(y)) % 3 > 0], y[y + np.arange(len(y)) % 3 > 0]  # fewer rows of class 0
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
    # Prediction drops nothing.
    X, _ = data(kind)
    assert np.array_equal(dropped.predict(X), dropped.predict(X))


def test_dropout_starts_from_the_same_weights():
    still = dict(solver="sgd", learning_rate_init=1e-300)
    assert same(fitted(**still), fitted(**still, dropout=0.5))


def test_dropout_is_drawn_by_the_random_state():
    """With another random_state only the dropped activations differ; everything else is the same."""
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


@pytest.mark.parametrize(
    "name", ["elu", "gelu", "silu", "leaky_relu", "softplus", "gelu_tanh", "selu", "mish"]
)
def test_activations_of_the_core(name):
    X, y = data()
    model = fitted(activation=name, max_iter=60, learning_rate_init=0.01)
    assert model.loss_curve_[-1] < 0.7 * model.loss_curve_[0]
    network = bpkern.MLP([6, 6, 5, 3], activation=name, loss="cross_entropy", dtype="float64")
    network.set_weights([(w.T, b) for w, b in zip(model.coefs_, model.intercepts_, strict=True)])
    assert np.allclose(model.predict_proba(X), network.predict_proba(X), 1e-12, 1e-15)
    assert model.score(X, y) > 0.6


def test_an_activation_with_a_parameter_as_a_text():
    named, made = (fitted(activation=each) for each in ("leaky_relu(0.2)", bpkern.activations.LeakyReLU(0.2)))
    assert all(map(np.array_equal, named.coefs_, made.coefs_))
    assert not np.array_equal(named.coefs_[0], fitted(activation="leaky_relu").coefs_[0])
    for bad in ("elu(-1)", "elu(x)"):
        refused(ValueError, "alpha", activation=bad)


@pytest.mark.parametrize(
    "bad",
    [["relu"], ["relu", "relu", "relu"], ["relu", "soft"], [], ["relu", 3], "relu(2)"],
    ids=str,
)
def test_bad_activations(bad):
    refused((ValueError, TypeError), "activation", activation=bad)


@BOTH
def test_an_activation_that_is_set_after_the_fit_predicts(kind):
    """As in scikit-learn, whether or not the estimator has predicted before or was pickled."""
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
        # The solver and its parameters are then ignored.
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


@pytest.mark.parametrize("kind", bpkern.optimizers.OPTIMIZERS.values())
def test_an_optimiser_by_its_name(kind):
    """With its own default settings, as in `bpkern.MLP`, and not with those of the estimator."""
    named = fitted(optimizer=kind.rule, learning_rate_init=0.5)
    assert named.optimizer == kind.rule
    assert same(named, fitted(optimizer=kind()))
    assert repr(named.model_.optimizer) == repr(kind())


@pytest.mark.parametrize("bad", ["adams", bpkern.SGD, 0.1], ids=str)
def test_bad_optimisers(bad):
    refused((ValueError, TypeError), "optimizer", optimizer=bad)


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
    """None takes the dtype of X; a name overrides it, in training and in predictions."""
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
