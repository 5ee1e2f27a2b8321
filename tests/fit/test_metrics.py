"""Metrics compared with scikit-learn's, with and without weights."""

import functools

import numpy as np
import pytest

from bpkern._fit.metrics import CLASSES, VALUES, make_metrics

sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")

RNG = np.random.default_rng(0)
N = 60
WEIGHTS = RNG.integers(0, 4, N) * RNG.random(N)


@pytest.fixture(params=[False, True], ids=["unweighted", "weighted"])
def weights(request):
    return WEIGHTS if request.param else None


def value(name, loss, outputs, true, predicted, weights=None):
    (metric,) = make_metrics(name, loss, outputs)
    assert metric.name == name
    got = metric(true, predicted, weights)
    assert type(got) is float
    return got


def sklearns(name, average):
    if name == "accuracy":
        return sklearn.accuracy_score
    return functools.partial(getattr(sklearn, f"{name}_score"), average=average, zero_division=0)


@pytest.mark.parametrize("name", CLASSES)
def test_many_classes(name, weights):
    true, predicted = RNG.integers(0, 5, N), RNG.integers(0, 5, N)
    expected = sklearns(name, "macro")(true, predicted, sample_weight=weights)
    assert value(name, "cross_entropy", 5, true, predicted, weights) == pytest.approx(expected, rel=1e-13)
    # Class 5 does not occur; class 0 occurs only among predictions; class 4 is never predicted.
    true, predicted = np.where(true == 0, 1, true), np.where(predicted == 4, 2, predicted)
    expected = sklearns(name, "macro")(true, predicted, sample_weight=weights)
    assert value(name, "cross_entropy", 6, true, predicted, weights) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize(("loss", "outputs"), [("cross_entropy", 2), ("binary_cross_entropy", 1)])
def test_two_classes(name, loss, outputs, weights):
    true, predicted = RNG.integers(0, 2, N), (RNG.random(N) < 0.3).astype(np.int64)
    expected = sklearns(name, "binary")(true, predicted, sample_weight=weights)
    assert expected != sklearn.f1_score(true, predicted, average="macro", sample_weight=weights)
    for y in (true, true.astype(float), true.astype(bool), list(true)):
        assert value(name, loss, outputs, y, predicted, weights) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
def test_many_labels(name, weights):
    true, predicted = RNG.integers(0, 2, (N, 4)), RNG.integers(0, 2, (N, 4))
    predicted[:, 2] = true[:, 3] = 0
    expected = sklearns(name, "macro")(true, predicted, sample_weight=weights)
    got = value(name, "binary_cross_entropy", 4, true, predicted, weights)
    assert got == pytest.approx(expected, rel=1e-13)


def test_accuracy_of_many_labels_is_that_of_all_outputs(weights):
    true, predicted = RNG.integers(0, 2, (N, 4)), RNG.integers(0, 2, (N, 4))
    expected = np.average((true == predicted).mean(axis=1), weights=weights)
    got = value("accuracy", "binary_cross_entropy", 4, true, predicted, weights)
    assert got == pytest.approx(expected, rel=1e-13)


def test_probabilities_and_soft_targets_count_as_classes():
    true, predicted = RNG.integers(0, 3, N), RNG.integers(0, 3, N)
    rows = 0.8 * np.eye(3)[true] + 0.2 / 3
    assert value("f1", "cross_entropy", 3, rows, predicted) == value(
        "f1", "cross_entropy", 3, true, predicted
    )
    soft, hard = [0.5, 0.51, 1.0, 0.2], [0, 1, 1, 1]
    assert value("accuracy", "binary_cross_entropy", 1, soft, hard) == 0.75
    assert value("precision", "binary_cross_entropy", 1, np.reshape(soft, (4, 1)), np.array(hard)) == 2 / 3


@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
def test_nothing_of_nothing_is_zero(name):
    assert value(name, "binary_cross_entropy", 1, np.zeros(3), np.zeros(3, np.int64)) == 0
    # Only class 0 occurs. Of two classes it is the negative one, of three it is a class like the others.
    assert value(name, "cross_entropy", 2, np.zeros(3), np.zeros(3, np.int64)) == 0
    assert value(name, "cross_entropy", 3, np.zeros(3), np.zeros(3, np.int64)) == 1


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "quantile", "my_loss"])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("name", VALUES)
def test_values(name, outputs, loss, weights):
    true = 3 + RNG.standard_normal((N, outputs)) * [1, 10, 0.1][:outputs]
    predicted = (true + RNG.standard_normal((N, outputs))).astype(np.float32)
    scores = {
        "mae": sklearn.mean_absolute_error,
        "mse": sklearn.mean_squared_error,
        "rmse": sklearn.root_mean_squared_error,
        "r2": sklearn.r2_score,
    }
    expected = scores[name](true, predicted.astype(float), sample_weight=weights)
    assert value(name, loss, outputs, true, predicted, weights) == pytest.approx(expected, rel=1e-12)
    if outputs == 1:
        for y, p in ((true[:, 0], predicted), (true, predicted[:, 0]), (true[:, 0], predicted[:, 0])):
            assert value(name, loss, 1, y, p, weights) == pytest.approx(expected, rel=1e-12)


def test_r2_of_targets_that_are_all_the_same():
    same, other = np.full((4, 1), 2.0), np.arange(4.0)
    for predicted, expected in ((same, 1), (other, 0)):
        assert value("r2", "mse", 1, same, predicted) == sklearn.r2_score(same, predicted) == expected


def test_poisson_is_judged_by_its_rates():
    counts, outputs = RNG.poisson(3, N), RNG.standard_normal(N)
    expected = sklearn.mean_absolute_error(counts, np.exp(outputs))
    assert value("mae", "poisson", 1, counts, outputs) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize(
    ("loss", "outputs", "true", "predicted"),
    [
        ("cross_entropy", 3, np.eye(3)[[0, 1, 2]], np.array([0, 2, 2])),
        ("binary_cross_entropy", 1, np.array([[0.0], [0.7], [1.0]]), np.array([0, 1, 1])),
        ("binary_cross_entropy", 2, np.array([[0.0, 1.0], [0.7, 0.2]]), np.array([[0, 1], [1, 1]])),
        ("mse", 1, np.array([1.0, 2.0]), np.array([[1.5], [2.5]])),
    ],
)
def test_a_callable_gets_both_in_the_form_of_predict(loss, outputs, true, predicted):
    def likeness(y_true, y_pred):
        assert y_true.shape == y_pred.shape
        if loss != "mse":
            assert y_true.dtype == np.int64
        return (y_true == y_pred).sum()

    (metric,) = make_metrics(likeness, loss, outputs)
    assert metric.name == "likeness"
    got = metric(true, predicted, np.ones(len(predicted)))
    assert type(got) is float
    assert got == {"cross_entropy": 2, "mse": 0}.get(loss, 3)


def test_what_may_be_asked_for():
    assert [metric.name for metric in make_metrics(None, "cross_entropy", 3)] == ["accuracy"]
    assert [metric.name for metric in make_metrics(None, "binary_cross_entropy", 3)] == ["accuracy"]
    assert make_metrics(None, "mse", 3) == []
    assert make_metrics((), "cross_entropy", 3) == []
    several = make_metrics(["f1", sklearn.balanced_accuracy_score, "accuracy"], "cross_entropy", 3)
    assert [metric.name for metric in several] == ["f1", "balanced_accuracy_score", "accuracy"]
    assert repr(several[0]) == "<metric f1>"


def val_mine(y_true, y_pred):
    return 0.0


def loss(y_true, y_pred):
    return 0.0


def accuracy(y_true, y_pred):
    return 0.0


@pytest.mark.parametrize(
    ("spec", "of", "error", "message"),
    [
        ("auc", "mse", ValueError, "unknown metric 'auc': allowed are accuracy, f1, precision, recall, mae,"),
        ("accuracy", "mse", ValueError, "'accuracy' does not suit the loss mse: mae, mse, rmse, r2 do"),
        ("r2", "cross_entropy", ValueError, "'r2' does not suit the loss cross_entropy: accuracy, f1, prec"),
        (["f1", "f1"], "cross_entropy", ValueError, "different names: 'f1' is there 2 times"),
        ([val_mine], "mse", ValueError, "must not be called 'val_mine'"),
        (loss, "mse", ValueError, "must not be called 'loss'"),
        (accuracy, "mse", ValueError, "must not be called 'accuracy'"),
        (functools.partial(val_mine), "mse", TypeError, "must have a __name__"),
        (5, "mse", TypeError, "metrics must be names and callables, or a sequence of them, not 5"),
        ({"mae"}, "mse", TypeError, "metrics must be names and callables"),
        (["mae", 5], "mse", TypeError, "a metric must be a name or a callable, not 5"),
    ],
)
def test_bad_metrics(spec, of, error, message):
    with pytest.raises(error, match=message):
        make_metrics(spec, of, 3)


def test_a_callable_that_returns_no_number():
    def wrong(y_true, y_pred):
        return y_true

    with pytest.raises(TypeError, match=r"metric wrong must return a number, not an array of shape"):
        make_metrics(wrong, "mse", 1)[0](np.ones(2), np.ones(2), None)
