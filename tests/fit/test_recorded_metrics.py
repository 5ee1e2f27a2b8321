"""The metrics of a fit are computed from its outputs: on training data before each update, on validation data
after the epoch; weighted as the loss is."""

import numpy as np
import pytest

import bpkern
from bpkern._model.core import core_of

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

RNG = np.random.default_rng(12)
ROWS, BATCH = 300, 20
X = RNG.standard_normal((ROWS, 6))
WEIGHTS = np.where(np.arange(ROWS) // BATCH == 3, 0.0, RNG.random(ROWS))
VX, VWEIGHTS = RNG.standard_normal((90, 6)), RNG.random(90)


def targets(kind, rows, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "classes": lambda: rng.integers(0, 4, rows),
        "binary": lambda: rng.integers(0, 2, rows),
        "labels": lambda: rng.integers(0, 2, (rows, 4)),
        "value": lambda: rng.standard_normal(rows),
        "values": lambda: rng.standard_normal((rows, 4)),
    }[kind]()


CASES = {
    "classes": ("cross_entropy", 4, ["accuracy", "f1", "precision", "recall"], "macro"),
    "binary": ("binary_cross_entropy", 1, ["recall", "accuracy", "f1", "precision"], "binary"),
    "labels": ("binary_cross_entropy", 4, ["f1", "precision", "recall"], "macro"),
    "value": ("mse", 1, ["mae", "mse", "rmse", "r2"], None),
    "values": ("huber", 4, ["r2", "rmse", "mse", "mae"], None),
}
FUNCTIONS = {
    "accuracy": "accuracy_score",
    "f1": "f1_score",
    "precision": "precision_score",
    "recall": "recall_score",
    "mae": "mean_absolute_error",
    "mse": "mean_squared_error",
    "rmse": "root_mean_squared_error",
    "r2": "r2_score",
}


def sklearns(name, true, predicted, weights, average):
    more = {"average": average, "zero_division": 0} if name in ("f1", "precision", "recall") else {}
    return getattr(sklearn, FUNCTIONS[name])(true, predicted, sample_weight=weights, **more)


def make(loss, outputs, dtype="float64", **settings):
    settings = dict(optimizer=bpkern.SGD(0.05, momentum=0.9), l2=1e-3, seed=1) | settings
    return bpkern.MLP([6, 20, outputs], loss=loss, dtype=dtype, **settings)


def recorded(model, y, **arguments):
    """The predictions of an epoch without shuffling: those of each batch before its update."""
    twin, seen = model.copy(), []
    core_of(twin).fitted_1d = y.ndim == 1
    for start in range(0, len(y), BATCH):
        rows = slice(start, start + BATCH)
        seen.append(twin.predict(X[rows]))
        weight = arguments.get("sample_weight")
        weight = None if weight is None else weight[rows]
        if weight is None or weight.any():
            twin.fit(X[rows], y[rows], batch_size=BATCH, shuffle=False, sample_weight=weight)
    return np.concatenate(seen), twin


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("kind", CASES)
def test_scikit_learns(isa, kind, weighed):
    loss, outputs, names, average = CASES[kind]
    y, vy = targets(kind, ROWS), targets(kind, 90, seed=1)
    weights, vweights = (WEIGHTS, VWEIGHTS) if weighed else (None, None)
    validation = (VX, vy, VWEIGHTS) if weighed else (VX, vy)
    model = make(loss, outputs)
    predicted, after = recorded(model, y, sample_weight=weights)
    history = model.fit(
        X,
        y,
        batch_size=BATCH,
        shuffle=False,
        sample_weight=weights,
        validation_data=validation,
        metrics=names,
    )
    assert set(history) == {"loss", "val_loss", *names, *(f"val_{name}" for name in names)}
    core_of(after).fitted_1d = y.ndim == 1
    for name in names:
        assert history[name] == pytest.approx([sklearns(name, y, predicted, weights, average)], rel=1e-10)
        expected = sklearns(name, vy, after.predict(VX), vweights, average)
        assert history[f"val_{name}"] == pytest.approx([expected], rel=1e-10)
    got = model.evaluate(VX, vy, sample_weight=vweights, metrics=names)
    assert got == {"loss": history["val_loss"][0], **{name: history[f"val_{name}"][0] for name in names}}


@pytest.mark.parametrize("weighed", [False, True])
def test_shuffled_rows_keep_their_targets(weighed):
    """With learning rate 0 the metrics do not depend on the order, and the validation rows do not count."""
    weights = WEIGHTS if weighed else None
    y = targets("classes", ROWS)
    model = make("cross_entropy", 4, optimizer=bpkern.SGD(0.0))
    got = model.fit(X, y, metrics=["f1", "accuracy"], sample_weight=weights, batch_size=7)
    for name in ("f1", "accuracy"):
        assert got[name] == pytest.approx([sklearns(name, y, model.predict(X), weights, "macro")], rel=1e-12)
    got = model.fit(X, y, metrics="f1", sample_weight=weights, validation_split=0.3)
    _, held_out = core_of(model).random.split(ROWS, 0.3, y)
    train = np.setdiff1d(np.arange(ROWS), held_out)
    for name, rows in (("f1", train), ("val_f1", held_out)):
        part = None if weights is None else weights[rows]
        expected = sklearns("f1", y[rows], model.predict(X[rows]), part, "macro")
        assert got[name] == pytest.approx([expected], rel=1e-12)
    assert "accuracy" not in got


def test_a_callable_sees_all_rows(isa):
    """Also the rows of batches without weight, because it gets no weights."""
    seen = []

    def largest(true, predicted):
        seen.append((true.copy(), predicted.copy()))
        return np.abs(true - predicted).max()

    y, vy = targets("values", ROWS), targets("values", 600)
    many, no_weight = RNG.standard_normal((600, 6)), np.where(np.arange(600) // 256 == 1, 0.0, 1.0)
    model = make("mse", 4)
    predicted, _ = recorded(model, y, sample_weight=WEIGHTS)
    model.fit(
        X,
        y,
        batch_size=BATCH,
        shuffle=False,
        sample_weight=WEIGHTS,
        metrics=largest,
        validation_data=(many, vy, no_weight),
    )
    (true, got), (val_true, val_got) = seen
    assert np.array_equal(true, y)
    assert got == pytest.approx(predicted, rel=1e-10, abs=1e-12)
    assert np.array_equal(val_true, vy)
    assert val_got == pytest.approx(model.forward(many), rel=1e-12)


def test_metrics_change_no_bit_of_the_training(isa):
    y = targets("classes", ROWS)
    weights = []
    for metrics in (None, "f1", [lambda_metric, "accuracy"]):
        model = make("cross_entropy", 4, "float32", dropout=0.3)
        model.fit(X, y, metrics=metrics, sample_weight=WEIGHTS, accumulate=2, batch_size=BATCH, epochs=2)
        weights.append(b"".join(array.tobytes() for pair in model.get_weights() for array in pair))
    assert weights[0] == weights[1] == weights[2]


def lambda_metric(true, predicted):
    return (true != predicted).mean()


def test_small_nets_of_one_row():
    """Such nets then do not take the online path."""
    y = targets("value", ROWS)
    models = [bpkern.MLP([6, 4, 1], loss="mse", dtype="float64", seed=1) for _ in "ab"]
    got = models[0].fit(X, y, batch_size=1, metrics="mse", shuffle=False)
    expected = models[1].fit(X, y, batch_size=1, shuffle=False)
    assert got["mse"] == pytest.approx(expected["loss"], rel=1e-10)


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.25}, {1: 0.0}, "balanced"])
@pytest.mark.parametrize("sample_weight", [None, WEIGHTS])
def test_class_weight_is_the_sample_weight_that_it_stands_for(class_weight, sample_weight):
    y = targets("classes", ROWS)
    ones = np.ones(ROWS) if sample_weight is None else sample_weight
    if class_weight == "balanced":
        totals = np.bincount(y, ones)
        factors = totals.sum() / (4 * totals)
    else:
        factors = np.array([class_weight.get(label, 1.0) for label in range(4)])
    given, expected = make("cross_entropy", 4), make("cross_entropy", 4)
    common = dict(epochs=2, metrics=["f1", "accuracy"], validation_data=(VX, targets("classes", 90)))
    history = given.fit(X, y, class_weight=class_weight, sample_weight=sample_weight, **common)
    wanted = expected.fit(X, y, sample_weight=factors[y] * ones, **common)
    for pair, others in zip(given.get_weights(), expected.get_weights(), strict=True):
        for w, other in zip(pair, others, strict=True):
            assert np.abs(w - other).max() <= 1e-13
    for name, values in wanted.items():
        assert history[name] == pytest.approx(values, rel=1e-12)


def test_one_hot_and_binary_targets_have_classes():
    for y, loss, outputs in (
        (np.eye(4)[targets("classes", ROWS)], "cross_entropy", 4),
        (targets("binary", ROWS), "binary_cross_entropy", 1),
        (targets("binary", ROWS)[:, None] * 1.0, "binary_cross_entropy", 1),
    ):
        classes = y.argmax(axis=1) if outputs == 4 else y.reshape(-1).astype(int)
        factors = np.where(classes == 1, 4.0, 1.0)
        models = [make(loss, outputs) for _ in "ab"]
        models[0].fit(X, y, class_weight={1: 4})
        models[1].fit(X, y, sample_weight=factors)
        for pair, others in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
            assert all(np.abs(w - other).max() <= 1e-13 for w, other in zip(pair, others, strict=True))
