"""The four losses and their gradients by the outputs, against their definitions in long double."""

import numpy as np
import pytest

import bpkern

WIDTHS = (1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 33, 100)


def identity_net(width, loss, dtype):
    """A network that gives its input as its output."""
    model = bpkern.MLP([width, width], loss=loss, dtype=dtype, seed=0)
    model.set_weights([(np.eye(width), np.zeros(width))])
    return model


def definition(loss, a, y):
    """Losses of the rows and their derivative by a, both without the mean over the rows."""
    width = a.shape[1]
    if loss == "mse":
        return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / width
    if loss == "squared_error":
        return ((a - y) ** 2).sum(axis=1) / 2, a - y
    if loss == "cross_entropy":
        shifted = a - a.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return -(y * log_p).sum(axis=1), np.exp(log_p) - y
    p = np.where(a < 0, np.exp(np.minimum(a, 0)), 1) / (1 + np.exp(-np.abs(a)))
    losses = np.maximum(a, 0) - a * y + np.log1p(np.exp(-np.abs(a)))
    return losses.mean(axis=1), (p - y) / width


def targets(rng, loss, shape):
    if loss == "cross_entropy":
        y = rng.random(shape) + 0.01
        return y / y.sum(axis=1, keepdims=True)
    return rng.random(shape) if loss == "binary_cross_entropy" else rng.standard_normal(shape)


@pytest.mark.parametrize("loss", bpkern._core.LOSSES)
@pytest.mark.parametrize("scale", [1, 30])
def test_definitions(isa, dtype, loss, scale):
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for width in WIDTHS:
        a = (scale * rng.standard_normal((6, width))).astype(dtype)
        y = targets(rng, loss, a.shape).astype(dtype)
        losses, derivative = definition(loss, a.astype(np.longdouble), y.astype(np.longdouble))
        value, [(_, db)] = identity_net(width, loss, dtype).gradients(a, y)
        magnitude = (np.abs(a) + np.abs(y)).astype(np.longdouble)
        scale_of_loss = (magnitude**2).sum() if "squared" in loss or loss == "mse" else magnitude.sum() + 1
        assert abs(value - losses.mean()) <= 16 * eps * scale_of_loss
        expected = derivative.mean(axis=0)
        assert (np.abs(db - expected) <= 16 * eps * (magnitude.mean(axis=0) + 1)).all()


def test_a_confident_prediction_has_a_small_loss_and_not_none(isa, dtype):
    """To a few units in the last place of the loss itself: log1p(exp(-z))."""
    model, eps = identity_net(1, "binary_cross_entropy", dtype), float(np.finfo(dtype).eps)
    for z in (1.0, 5.0, 20.0, 60.0):
        for sign, y in ((1, 1.0), (-1, 0.0)):
            loss, [(_, db)] = model.gradients([[sign * z]], [y])
            assert loss == pytest.approx(np.log1p(np.exp(-z)), rel=8 * eps)
            if y == 0:
                assert db[0] == pytest.approx(1 / (1 + np.exp(z)), rel=8 * eps)


def test_labels_are_one_hot_rows(isa, dtype):
    rng = np.random.default_rng(1)
    for width in WIDTHS[1:]:
        a, labels = rng.standard_normal((9, width)).astype(dtype), rng.integers(0, width, 9)
        model = identity_net(width, "cross_entropy", dtype)
        by_label, [(dw, db)] = model.gradients(a, labels)
        by_row, [(dw_row, db_row)] = model.gradients(a, np.eye(width)[labels])
        eps = np.finfo(dtype).eps
        assert abs(by_label - by_row) <= 8 * eps * by_row
        assert np.abs(db - db_row).max() <= 8 * eps
        assert np.abs(dw - dw_row).max() <= 64 * eps
        assert model.evaluate(a, labels)["accuracy"] == (a.argmax(axis=1) == labels).mean()


def test_logits_of_ten_thousand(isa, dtype):
    model = identity_net(3, "cross_entropy", dtype)
    loss, [(_, db)] = model.gradients([[1e4, -1e4, 0.0]], [1])
    assert loss == 2e4
    assert np.array_equal(db, [1, -1, 0])
    loss, [(_, db)] = model.gradients([[1e4, -1e4, 0.0]], [0])
    assert loss == 0
    assert np.array_equal(db, [0, 0, 0])
    assert np.array_equal(model.predict_proba([[1e4, -1e4, 0.0]]), [[1, 0, 0]])

    model = identity_net(2, "binary_cross_entropy", dtype)
    loss, [(_, db)] = model.gradients([[1e4, -1e4]], [[0.0, 1.0]])
    assert loss == 1e4
    assert np.array_equal(db, [0.5, -0.5])
    loss, [(_, db)] = model.gradients([[1e4, -1e4]], [[1.0, 0.0]])
    assert loss == 0
    assert np.array_equal(db, [0, 0])
    assert np.array_equal(model.predict_proba([[1e4, -1e4]]), [[1, 0]])


def test_the_first_of_equal_outputs_is_the_class(isa, dtype):
    for width in (2, 9, 17, 40):
        model = identity_net(width, "cross_entropy", dtype)
        a = np.zeros((width, width))
        for i in range(width):
            a[i, i:] = 1
        assert model.evaluate(a, np.arange(width))["accuracy"] == 1
        assert np.array_equal(model.predict(a), np.arange(width))


def test_accuracy_of_binary_counts_outputs(isa, dtype):
    model = identity_net(3, "binary_cross_entropy", dtype)
    y = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    accuracy = model.evaluate([[2.0, -1.0, -3.0], [-1.0, 1.0, -1.0]], y)["accuracy"]
    assert accuracy == pytest.approx(4 / 6, rel=1e-12)


def test_a_loss_of_several_rows_and_outputs(isa, dtype):
    """mse and squared_error differ by the number of outputs: three here, in two rows."""
    a, y = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 4.0]]), np.array([[0.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    squares = np.array([5.0, 14.0])
    expected = (("mse", squares.sum() / 6, 2 / 6), ("squared_error", squares.sum() / 4, 1 / 2))
    for loss, value, factor in expected:
        got, [(_, db)] = identity_net(3, loss, dtype).gradients(a, y)
        assert got == pytest.approx(value, rel=4 * float(np.finfo(dtype).eps))
        assert db == pytest.approx(factor * (a - y).sum(axis=0), rel=8 * float(np.finfo(dtype).eps))
