"""scikit-learn's digits, breast cancer and diabetes, trained with features combined as users combine them.

The thresholds are somewhat below the scores of ten seeds: a change that costs real quality fails, another
order of additions does not.
"""

import pickle

import numpy as np
import pytest

import bpkern
from bpkern.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from bpkern.losses import Huber, Quantile
from bpkern.schedules import Cosine, OneCycle

datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn's data sets are not installed")

SEEDS = [0, 1, 2]


def parts(X, y, seed):
    """Three quarters of the rows for training, one quarter for testing."""
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = np.split(order, [3 * len(X) // 4])
    return (X[train], y[train]), (X[test], y[test])


def standardised(train, test):
    """Both standardised by the mean and standard deviation of the training data."""
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    return (train - mean) / deviation, (test - mean) / deviation


def digits(seed):
    X, y = datasets.load_digits(return_X_y=True)
    return parts(X / 16, y, seed)


def breast_cancer(seed):
    X, y = datasets.load_breast_cancer(return_X_y=True)
    (X, y), (X_test, y_test) = parts(X, y, seed)
    X, X_test = standardised(X, X_test)
    return (X, y), (X_test, y_test)


def diabetes(seed):
    X, y = datasets.load_diabetes(return_X_y=True)
    (X, y), (X_test, y_test) = parts(X, y, seed)
    X, X_test = standardised(X, X_test)
    y, y_test = standardised(y, y_test)
    return (X, y), (X_test, y_test)


# Classes ------------------------------------------------------------------------------------------------


DIGITS_EPOCHS, DIGITS_BATCH = 40, 32


def digits_model(rows, seed):
    iterations = DIGITS_EPOCHS * -(-rows // DIGITS_BATCH)
    return bpkern.MLP(
        [64, 128, 64, 10],
        loss="cross_entropy",
        optimizer=bpkern.Adam(lr=OneCycle(0.005, iterations)),
        dropout=[0.2, 0.1],
        label_smoothing=0.05,
        seed=seed,
    )


def fit_digits(model, X, y, stopping, *others, **arguments):
    return model.fit(
        X,
        y,
        epochs=DIGITS_EPOCHS,
        batch_size=DIGITS_BATCH,
        validation_split=0.1,
        class_weight="balanced",
        metrics=("accuracy", "f1"),
        callbacks=[stopping, *others],
        clip_norm=1.0,
        **arguments,
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_digits(seed):
    (X, y), (X_test, y_test) = digits(seed)
    # Some classes lose rows: unbalanced data need class weights.
    kept = (y % 2 == 0) | (np.random.default_rng(seed).random(len(y)) < 0.5)
    X, y = X[kept], y[kept]
    stopping = EarlyStopping(patience=15)
    model = digits_model(round(0.9 * len(X)), seed)
    history = fit_digits(model, X, y, stopping)

    names = ["loss", "accuracy", "f1"]
    assert list(history) == [*names, *(f"val_{name}" for name in names)]
    assert stopping.best_epoch_ == np.argmin(history["val_loss"])
    assert np.argmax(history.lr) in range(8, 16)  # the top of the cycle is at 0.3 of the epochs
    scores = model.evaluate(X_test, y_test, metrics=("accuracy", "f1"))
    assert scores["accuracy"] > 0.95
    assert scores["f1"] > 0.95
    # Smoothed targets make the network less confident than it is accurate.
    assert 0.5 < model.predict_proba(X_test).max(axis=1).mean() < scores["accuracy"]


def test_digits_of_many_labels():
    """Three yes-or-no questions about each digit, trained on a stream of batches."""
    (X, y), (X_test, y_test) = digits(0)

    def answers(y):
        return np.stack([y % 2 == 0, y > 4, np.isin(y, [2, 3, 5, 7])], axis=1).astype(float)

    batches = [(X[i : i + 32], answers(y[i : i + 32])) for i in range(0, len(X), 32)]
    model = bpkern.MLP(
        [64, 64, 3],
        activation="silu",
        loss="binary_cross_entropy",
        optimizer=bpkern.RMSprop(lr=0.002),
        dropout=0.1,
        seed=0,
    )
    history = model.fit(batches, epochs=20, validation_data=(X_test, answers(y_test)), metrics="f1")
    assert history.iterations == 20 * len(batches)
    assert history["val_f1"][-1] > 0.93
    assert np.mean(model.predict(X_test) == answers(y_test)) > 0.94


@pytest.mark.parametrize("seed", SEEDS)
def test_breast_cancer(seed, tmp_path):
    (X, y), (X_test, y_test) = breast_cancer(seed)
    model = bpkern.MLP(
        [30, 32, 1],
        activation="gelu",
        loss="binary_cross_entropy",
        optimizer=bpkern.AdamW(lr=Cosine(0.003, iterations=60 * 14, warmup=50), weight_decay=0.05),
        init="orthogonal",
        dropout=0.2,
        seed=seed,
    )
    path = tmp_path / "best.npz"
    history = model.fit(
        X,
        y,
        epochs=60,
        validation_data=(X_test, y_test),
        class_weight={0: 2.0},
        metrics=("accuracy", "precision", "recall"),
        callbacks=[ModelCheckpoint(path), CSVLogger(tmp_path / "log.csv")],
        ema=0.98,
    )
    scores = model.evaluate(X_test, y_test, metrics=("accuracy", "recall"))
    assert scores["accuracy"] > 0.94
    assert scores["recall"] > 0.93
    # Validation used the average, as prediction does.
    assert scores["loss"] == history["val_loss"][-1]
    best = bpkern.MLP.load(path)
    assert best.evaluate(X_test, y_test)["loss"] == min(history["val_loss"])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 61
    assert np.array_equal(
        pickle.loads(pickle.dumps(model)).predict_proba(X_test), model.predict_proba(X_test)
    )


# Values -------------------------------------------------------------------------------------------------


def r2(y, predicted):
    return 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)


def r2_of_least_squares(X, y, X_test, y_test):
    """The score of least squares. The data are nearly linear, so a network must come close to it."""
    coefficients, *_ = np.linalg.lstsq(X, y, rcond=None)
    return r2(y_test, X_test @ coefficients)


@pytest.mark.parametrize("seed", SEEDS)
def test_diabetes(seed):
    (X, y), (X_test, y_test) = diabetes(seed)
    model = bpkern.MLP(
        [10, 32, 16, 1],
        activation=["elu", "softplus"],
        loss=Huber(1.0),
        optimizer=bpkern.Adam(lr=0.005),
        dropout=[0.1, 0.0],
        l1=1e-4,
        l2=1e-3,
        seed=seed,
    )
    stopping = EarlyStopping(patience=30)
    history = model.fit(
        X,
        y,
        epochs=200,
        batch_size=16,
        validation_split=0.25,
        metrics=("r2", "mae"),
        callbacks=[ReduceLROnPlateau(factor=0.3), stopping],
        accumulate=2,
        clip_value=0.5,
    )
    assert stopping.stopped_epoch_ == len(history["loss"]) - 1 < 199
    assert min(history.lr) <= 0.3 * history.lr[0]
    scores = model.evaluate(X_test, y_test, metrics=("r2", "mae"))
    assert scores["r2"] == pytest.approx(r2(y_test, model.predict(X_test)), abs=1e-5)
    assert scores["r2"] > r2_of_least_squares(X, y, X_test, y_test) - 0.12
    assert scores["mae"] < 0.7


@pytest.mark.parametrize("seed", SEEDS)
def test_diabetes_by_quantiles(seed):
    """One network predicts the median and an interval that should hold eight of ten patients."""
    (X, y), (X_test, y_test) = diabetes(seed)
    model = bpkern.MLP(
        [10, 32, 3],
        loss=Quantile([0.1, 0.5, 0.9]),
        optimizer=bpkern.Adagrad(lr=0.03),
        l2=3e-3,
        seed=seed,
    )
    targets = np.repeat(y[:, None], 3, axis=1)
    model.fit(X, targets, epochs=80, validation_split=0.15, callbacks=EarlyStopping(patience=20))
    low, median, high = model.predict(X_test).T
    assert np.mean(low < high) > 0.98
    assert 0.58 < np.mean((low < y_test) & (y_test < high)) < 0.92
    assert 0.35 < np.mean(y_test < median) < 0.65
    assert r2(y_test, median) > r2_of_least_squares(X, y, X_test, y_test) - 0.12


# Everything at once, interrupted ------------------------------------------------------------------------


class Trip(Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_begin(self, model, epoch):
        if epoch == self.epoch:
            raise RuntimeError("tripped")


def test_a_broken_fit_of_digits_is_resumed_to_the_same_bits(tmp_path):
    (X, y), (X_test, _) = digits(0)
    models, stoppings, arguments = [], [], {"ema": 0.95, "accumulate": 2}
    for trip in (None, 7):
        path = tmp_path / f"{trip}.npz"
        model, stopping = digits_model(round(0.9 * len(X)), 3), EarlyStopping(patience=3, min_delta=0.05)
        if trip is not None:
            with pytest.raises(RuntimeError, match="tripped"):
                fit_digits(
                    model, X, y, stopping, Trip(trip), checkpoint=path, checkpoint_every=3, **arguments
                )
            assert len(bpkern.MLP.load(path).history_["loss"]) == 6
            model, stopping = digits_model(round(0.9 * len(X)), 3), EarlyStopping(patience=3, min_delta=0.05)
        fit_digits(model, X, y, stopping, Trip(None), checkpoint=path, resume=True, **arguments)
        models.append(model)
        stoppings.append(stopping)
    one, other = models
    assert stoppings[0].stopped_epoch_ == stoppings[1].stopped_epoch_ is not None
    assert dict(one.history_) == dict(other.history_)
    assert np.array_equal(one.predict_proba(X_test), other.predict_proba(X_test))
