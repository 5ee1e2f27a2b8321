"""Outputs that overflow, of finite weights and finite X, give no class, no probability and no metric."""

import math
import warnings

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern.callbacks import Callback, EarlyStopping

ROWS = 6
RNG = np.random.default_rng(8)
# By loss: y and the number of outputs.
LOSSES = {
    "cross_entropy": (RNG.integers(0, 3, ROWS), 3),
    "cross_entropy, two classes": (RNG.integers(0, 2, ROWS), 2),
    "binary_cross_entropy": (RNG.integers(0, 2, ROWS), 1),
    "binary_cross_entropy, several": (RNG.integers(0, 2, (ROWS, 3)), 3),
    "mse": (RNG.standard_normal((ROWS, 2)), 2),
    "mae": (RNG.standard_normal(ROWS), 1),
    "poisson": (RNG.random((ROWS, 2)), 2),
}
CLASSIFIERS = [name for name in LOSSES if "cross" in name]
MOST = {"float32": 3e38, "float64": 1e308}


def make(loss, dtype, **settings):
    y, outputs = LOSSES[loss]
    return bpkern.MLP([2, 4, outputs], loss=loss.partition(",")[0], dtype=dtype, seed=0, **settings), y


def overflowing(model, at):
    """Finite weights with which the output `at` of each row is infinite, or NaN with a sign of 0."""
    sign, column = at
    (v, b), (w, c) = model.get_weights()
    v[...], b[...], w[...], c[...] = MOST[model.dtype.name], 0, 0, 0
    w[column] = sign or (1, -1, 1, -1)
    model.set_weights([(v, b), (w, c)])


X = np.ones((ROWS, 2))


@pytest.mark.parametrize("sign", [1, -1, 0], ids=["infinity", "minus infinity", "NaN"])
@pytest.mark.parametrize("rows", [slice(1), slice(None), slice(3, 5)])
@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_is_predicted(isa, dtype, loss, rows, sign):
    model, _ = make(loss, dtype)
    overflowing(model, (sign, 0))
    outputs = model.forward(X[rows])
    assert not np.isfinite(outputs[:, 0]).any()
    assert np.isnan(outputs[:, 0]).all() == (sign == 0)
    for x in (X[rows], X[rows].tolist(), X[rows].astype(dtype)):
        message = rf"the outputs of row 0 of X overflowed in {dtype}: scale X"
        with pytest.raises(ValueError, match=message):
            model.predict(x)
        if loss in CLASSIFIERS:
            with pytest.raises(ValueError, match=message):
                model.predict_proba(x)


def test_the_first_such_row_is_named():
    model, _ = make("mse", "float32")
    overflowing(model, (1, 1))
    x = np.where(np.arange(ROWS)[:, None] == 4, X, 0)
    with pytest.raises(ValueError, match="row 4 of X"):
        model.predict(x)
    assert np.isfinite(model.predict(x[:4])).all()
    assert model.predict(x[:0]).shape == (0, 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_metrics_are_nan(isa, dtype, loss):
    model, y = make(loss, dtype)
    overflowing(model, (0, 0))
    called = []

    def own(y_true, y_pred):
        called.append(y_pred)
        return 1.0

    names = ["accuracy", "f1", "precision", "recall"] if loss in CLASSIFIERS else ["mae", "mse", "rmse", "r2"]
    for metrics in (names, [*names, own], own):
        values = model.evaluate(X, y, metrics=metrics)
        assert all(math.isnan(value) for value in values.values())
    assert called == []
    default = model.evaluate(X, y, sample_weight=np.ones(ROWS))
    assert set(default) == ({"loss", "accuracy"} if loss in CLASSIFIERS else {"loss"})
    assert all(math.isnan(value) for value in default.values())


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_an_overflow_to_the_right_side(isa, dtype, loss):
    """-inf for a wrong class has probability 0, as it should: still, neither loss nor accuracy is perfect."""
    model = bpkern.MLP([1, 2], loss=loss, dtype=dtype, seed=0)
    model.set_weights([([[float(np.finfo(dtype).max)], [0.0]], [0.0, 0.0])])
    x, y = [[-10.0]], [1] if loss == "cross_entropy" else [[0.0, 1.0]]
    assert model.forward(x).tolist() == [[-np.inf, 0.0]]
    assert all(math.isnan(value) for value in model.evaluate(x, y).values())
    with pytest.raises(bpkern.DivergedError):
        model.fit(x, y)


def test_one_row_is_enough():
    """An accuracy over the rows whose outputs are finite would be of another set."""
    model, _ = make("cross_entropy", "float32")
    overflowing(model, (0, 0))
    x = np.where(np.arange(ROWS)[:, None] == 4, X, 0)
    y = np.zeros(ROWS, int)
    assert all(math.isnan(value) for value in model.evaluate(x, y, metrics=["accuracy", "f1"]).values())
    assert model.evaluate(x[:4], y[:4])["accuracy"] == 1


def custom(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def test_a_loss_in_python(dtype):
    model, y = bpkern.MLP([2, 4, 2], loss=custom, dtype=dtype, seed=0), LOSSES["mse"][0]
    overflowing(model, (0, 1))
    with pytest.raises(ValueError, match="overflowed"):
        model.predict(X)
    values = model.evaluate(X, y, metrics=["mae", "r2"])
    assert all(math.isnan(value) for value in values.values())


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_validation_rows_that_overflow(loss):
    """The fit goes on: its history has NaN, which no callback takes for the best value."""
    model, y = make(loss, "float32", optimizer=bpkern.SGD(1e-3))
    metric = "f1" if loss == "cross_entropy" else "r2"
    stopping, seen = EarlyStopping(f"val_{metric}", patience=2), []

    class Sees(Callback):
        def on_epoch_end(self, model, epoch, logs):
            seen.append(logs)

    x = np.full((ROWS, 2), 3e38)
    x[:, 1] *= -1
    (_, b), output = model.get_weights()
    model.set_weights([(np.full((4, 2), 1.5), b), output])
    arguments = dict(epochs=9, validation_data=(x, y), metrics=metric, callbacks=[stopping, Sees()])
    history = model.fit(X, y, **arguments)
    assert len(history["loss"]) == 2
    assert all(math.isnan(value) for name in ("val_loss", f"val_{metric}") for value in history[name])
    assert np.isfinite(history["loss"]).all()
    assert stopping.best_ is None
    assert all(math.isnan(logs[f"val_{metric}"]) for logs in seen)


@pytest.mark.parametrize("loss", LOSSES)
def test_training_diverges_and_changes_nothing(loss, dtype):
    model, y = make(loss, dtype)
    overflowing(model, (0, 0))
    before = parameter_bits(model)
    with pytest.raises(bpkern.DivergedError):
        model.train_on_batch(X, y)
    with pytest.raises(bpkern.DivergedError):
        model.fit(X, y)
    assert parameter_bits(model) == before


@pytest.mark.parametrize("loss", LOSSES)
def test_the_largest_finite_outputs_predict(loss, dtype):
    """Squares or sums of them would overflow, and nothing of that is computed."""
    model, _ = make(loss, dtype)
    (v, b), (w, c) = model.get_weights()
    c[...] = np.finfo(dtype).max
    model.set_weights([(v * 0, b), (w * 0, c)])
    assert np.isfinite(model.predict(X)).all()
    if loss in CLASSIFIERS:
        assert np.isfinite(model.predict_proba(X)).all()


def test_the_estimators_predict_nothing():
    sklearn = pytest.importorskip("bpkern.sklearn", reason="scikit-learn is not installed")
    for estimator, y in (
        (sklearn.MLPClassifier, np.arange(ROWS) % 3),
        (sklearn.MLPRegressor, np.arange(ROWS)),
    ):
        model = estimator(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of scikit-learn, after one iteration
            model.fit(X, y)
        assert len(model.predict(X)) == ROWS
        model.coefs_[0][...] = model.coefs_[1][...] = 1e308
        for predict in (model.predict, getattr(model, "predict_proba", model.predict)):
            with pytest.raises(ValueError, match="the outputs of row 0 of X overflowed in float64"):
                predict(X)
