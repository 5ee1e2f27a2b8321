"""The losses and their gradients with respect to the outputs, against their definitions in long double."""

import numpy as np
import pytest

import bpkern
from bpkern._model.settings import Settings
from bpkern.losses import Huber, Quantile

WIDTHS = (1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 33, 100)


def identity_net(width, loss, dtype, **settings):
    """A network whose output is its input."""
    model = bpkern.MLP([width, width], loss=loss, dtype=dtype, seed=0, **settings)
    model.set_weights([(np.eye(width), np.zeros(width))])
    return model


def definition(loss, a, y, parameter=None):
    """The loss of each row, and its derivative with respect to a; both before the mean over the rows."""
    width = a.shape[1]
    if loss == "mae":
        return np.abs(a - y).mean(axis=1), np.sign(a - y) / width
    if loss == "huber":
        delta, size = 1 if parameter is None else parameter, np.abs(a - y)
        losses = np.where(size <= delta, size**2 / 2, delta * (size - delta / np.longdouble(2)))
        return losses.mean(axis=1), np.where(size <= delta, a - y, delta * np.sign(a - y)) / width
    if loss == "quantile":
        q = np.longdouble(0.5) if parameter is None else parameter
        losses = np.maximum(q * (y - a), (q - 1) * (y - a))
        return losses.mean(axis=1), np.where(y == a, 0, np.where(y > a, -q, 1 - q)) / width
    if loss == "poisson":
        return (np.exp(a) - y * a).mean(axis=1), (np.exp(a) - y) / width
    if loss == "log_cosh":
        size = np.abs(a - y)
        near = np.log1p(np.sinh(np.minimum(size, 1)) ** 2) / 2
        far = size + np.log1p(np.exp(-2 * size)) - np.log(np.longdouble(2))
        return np.where(size < 1, near, far).mean(axis=1), np.tanh(a - y) / width
    if loss == "hinge":
        return np.maximum(0, 1 - y * a).mean(axis=1), np.where(y * a < 1, -y, 0) / width
    if loss == "squared_hinge":
        below = np.maximum(0, 1 - y * a)
        return (below**2).mean(axis=1), -2 * y * below / width
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
    if loss == "poisson":
        return rng.poisson(3, shape).astype(float)
    if "hinge" in loss:
        return rng.choice([-1.0, 1.0], shape)
    return rng.random(shape) if loss == "binary_cross_entropy" else rng.standard_normal(shape)


@pytest.mark.parametrize("loss", bpkern._core.LOSSES)
@pytest.mark.parametrize("scale", [1, 30])
def test_definitions(isa, dtype, loss, scale):
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    for width in WIDTHS:
        a = (scale * rng.standard_normal((6, width))).astype(dtype)
        if loss == "poisson":
            a = np.minimum(a, 40)  # e^a is finite
        y = targets(rng, loss, a.shape).astype(dtype)
        losses, derivative = definition(loss, a.astype(np.longdouble), y.astype(np.longdouble))
        value, [(_, db)] = identity_net(width, loss, dtype).gradients(a, y)
        magnitude = (np.abs(a) + np.abs(y)).astype(np.longdouble)
        if loss == "poisson":
            magnitude = np.exp(a.astype(np.longdouble)) * (1 + np.abs(a)) + y * (np.abs(a) + 1)
        scale_of_loss = (magnitude**2).sum() if "squared" in loss or loss == "mse" else magnitude.sum() + 1
        assert abs(value - losses.mean()) <= 16 * eps * scale_of_loss
        expected = derivative.mean(axis=0)
        assert (np.abs(db - expected) <= 16 * eps * (magnitude.mean(axis=0) + 1)).all()


def test_a_confident_prediction_has_a_small_loss_and_not_none(isa, dtype):
    """The loss, log1p(exp(-z)), is right to a few units in its own last place."""
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


def test_the_first_of_equal_targets_is_the_class(isa, dtype):
    rng = np.random.default_rng(4)
    for width in WIDTHS:
        a = rng.integers(0, 3, (30, width)).astype(dtype)
        y = rng.integers(1, 4, (30, width))
        y = (y / y.sum(axis=1, keepdims=True)).astype(dtype)
        accuracy = identity_net(width, "cross_entropy", dtype).evaluate(a, y)["accuracy"]
        assert accuracy == pytest.approx((a.argmax(axis=1) == y.argmax(axis=1)).mean()), width


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


@pytest.mark.parametrize("loss", [Huber, Quantile])
def test_a_parameter_an_output(isa, dtype, loss):
    rng, eps = np.random.default_rng(3), np.finfo(dtype).eps
    for width in WIDTHS:
        a, y = (3 * rng.standard_normal((6, width)).astype(dtype) for _ in "ay")
        for parameter in (0.25, rng.uniform(0.1, 0.9, width)):
            rounded = np.asarray(parameter).astype(dtype).astype(np.longdouble)
            losses, derivative = definition(loss.name, a.astype(np.longdouble), y, rounded)
            value, [(_, db)] = identity_net(width, loss(parameter), dtype).gradients(a, y)
            assert abs(value - losses.mean()) <= 16 * eps * (np.abs(a) + np.abs(y)).mean()
            assert (np.abs(db - derivative.mean(axis=0)) <= 16 * eps).all()


@pytest.mark.parametrize(
    "loss",
    ["mae", "huber", "quantile", "poisson", "log_cosh", Huber(0.3), Quantile([0.1, 0.5, 0.9])],
)
def test_gradients_are_the_differences_of_the_loss(isa, loss):
    rng, h = np.random.default_rng(4), 1e-5
    model = identity_net(3, loss, "float64")
    a, y = rng.standard_normal((5, 3)), rng.random((5, 3))
    _, [(_, db)] = model.gradients(a, y)
    for j in range(3):
        step = h * np.eye(3)[j]
        difference = model.evaluate(a + step, y)["loss"] - model.evaluate(a - step, y)["loss"]
        assert db[j] == pytest.approx(difference / (2 * h), abs=1e-8)


def test_small_errors_of_log_cosh(isa, dtype):
    """No digits cancel: d^2 / 2 for a small d, and |d| for a large one, to a few units in the last place."""
    eps = float(np.finfo(dtype).eps)
    for width in (1, 5, 16, 19):
        model = identity_net(width, "log_cosh", dtype)
        for d in (1e-8, 1e-4, 0.01, 0.5, 0.85, 0.9, 3.0, 40.0, 1e6):
            d = float(np.dtype(dtype).type(d))
            exact, _ = definition("log_cosh", np.full((1, 1), d, np.longdouble), np.longdouble(0))
            for sign in (-1, 1):
                loss, [(_, db)] = model.gradients(np.full((1, width), sign * d), np.zeros((1, width)))
                assert loss == pytest.approx(float(exact[0]), rel=8 * eps), d
                assert db == pytest.approx(np.full(width, sign * np.tanh(d) / width), rel=8 * eps)


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_smoothing_of_two_classes(isa, dtype, smoothing):
    """The loss of the targets (1 - e) t + e / 2; the accuracy is that of t."""
    rng, eps = np.random.default_rng(5), float(np.finfo(dtype).eps)
    for width in WIDTHS:
        a, y = rng.standard_normal((6, width)).astype(dtype), rng.integers(0, 2, (6, width)).astype(dtype)
        smoothed = (1 - np.longdouble(smoothing)) * y + np.longdouble(smoothing) / 2
        losses, derivative = definition("binary_cross_entropy", a.astype(np.longdouble), smoothed)
        model = identity_net(width, "binary_cross_entropy", dtype, label_smoothing=smoothing)
        value, [(_, db)] = model.gradients(a, y)
        assert abs(value - losses.mean()) <= 16 * eps
        assert (np.abs(db - derivative.mean(axis=0)) <= 16 * eps).all()
        assert model.evaluate(a, y)["accuracy"] == pytest.approx(((a > 0) == (y > 0.5)).mean())


def test_at_the_corners(isa, dtype):
    """The slope is zero if the output equals the target; huber's slope is the same on both sides of delta."""
    for width in (1, 3, 9, 17):
        a = np.linspace(-1, 1, width, dtype=dtype)[None]
        for loss in ("mae", "huber", "quantile", Quantile(0.9)):
            value, [(_, db)] = identity_net(width, loss, dtype).gradients(a, a)
            assert value == 0
            assert (db == 0).all()
        for sign in (-1, 1):
            value, [(_, db)] = identity_net(width, Huber(0.5), dtype).gradients(
                np.full_like(a, 0.5 * sign), 0 * a
            )
            assert value == pytest.approx(0.125, rel=1e-15)
            assert db == pytest.approx(np.full(width, 0.5 * sign / width), rel=4 * float(np.finfo(dtype).eps))


def test_far_from_the_target(isa, dtype):
    """A difference whose square overflows has a finite loss; an infinite Poisson rate has an infinite one."""
    far = np.sqrt(np.finfo(dtype).max) * 16
    for loss, value, slope in (("mae", far, 1), ("huber", far, 1), (Quantile(0.25), 0.75 * far, 0.75)):
        got, [(_, db)] = identity_net(1, loss, dtype).gradients([[far]], [[0.0]])
        assert got == pytest.approx(value, rel=8 * float(np.finfo(dtype).eps))
        assert db[0] == slope
    model = identity_net(2, "poisson", dtype)
    before = model.get_weights()
    assert model.gradients([[1000.0, 0.0]], [[1.0, 2.0]])[0] == np.inf
    with pytest.raises(bpkern.DivergedError):
        model.fit([[1000.0, 0.0]], [[1.0, 2.0]])
    assert all(np.array_equal(w, old) for w, old in zip(model.get_weights()[0], before[0], strict=True))
    assert model.gradients([[-1000.0, 0.0]], [[0.0, 1.0]])[0] == 0.5


@pytest.mark.parametrize("smoothing", [0.1, 0.5, 1.0])
def test_label_smoothing(isa, dtype, smoothing):
    """Smoothing labels or rows equals using smoothed rows of probabilities; accuracy counts the labels."""
    rng, eps = np.random.default_rng(5), np.finfo(dtype).eps
    for width in WIDTHS:
        a, labels = 4 * rng.standard_normal((9, width)).astype(dtype), rng.integers(0, width, 9)
        rows = targets(rng, "cross_entropy", a.shape)
        model = identity_net(width, "cross_entropy", dtype, label_smoothing=smoothing)
        for y in (labels, rows):
            t = (1 - smoothing) * (np.eye(width)[y] if y is labels else rows) + smoothing / width
            losses, derivative = definition("cross_entropy", a.astype(np.longdouble), t)
            value, [(_, db)] = model.gradients(a, y)
            assert abs(value - losses.mean()) <= 32 * eps * (np.abs(a).max() + 1)
            assert (np.abs(db - derivative.mean(axis=0)) <= 16 * eps).all()
        assert model.evaluate(a, labels)["accuracy"] == (a.argmax(axis=1) == labels).mean()


def test_one_row_at_a_time_is_the_same_loss(isa, dtype):
    """Narrow nets train on batches of one row by a separate code path."""
    rng = np.random.default_rng(6)
    a = rng.standard_normal((20, 3)).astype(dtype)
    y, labels = rng.random((20, 3)).astype(dtype), rng.integers(0, 3, 20)
    cases = [(loss, y, {}) for loss in ("mae", "poisson", Huber([0.1, 0.5, 2.0]), Quantile([0.1, 0.5, 0.9]))]
    cases.append(("cross_entropy", labels, {"label_smoothing": 0.2}))
    for loss, targets_, settings in cases:
        one, other = (identity_net(3, loss, dtype, optimizer=bpkern.SGD(lr=0.1), **settings) for _ in "ab")
        history = one.fit(a, targets_, batch_size=1, shuffle=False, verbose=0)
        losses = [other.train_on_batch(a[i : i + 1], targets_[i : i + 1]) for i in range(20)]
        assert history["loss"][0] == pytest.approx(np.mean(losses), rel=100 * float(np.finfo(dtype).eps))
        for got, wanted in zip(one.get_weights()[0], other.get_weights()[0], strict=True):
            assert np.allclose(got, wanted, rtol=0, atol=100 * np.finfo(dtype).eps)


def test_settings_and_names():
    assert repr(Huber()) == "Huber(delta=1.0)"
    assert repr(Quantile(q=[0.1, 0.9])) == "Quantile(q=[0.1, 0.9])"
    assert Huber(2).settings() == {"delta": 2}
    model = bpkern.MLP([2, 1], loss=Quantile(0.9))
    assert model.loss == "quantile"
    assert "loss=Quantile(q=0.9)" in repr(model)
    a, y = np.ones((4, 2)), np.zeros((4, 1))
    for name, loss in (("huber", Huber()), ("quantile", Quantile())):
        by_name, by_object = (bpkern.MLP([2, 1], loss=given, seed=0) for given in (name, loss))
        assert by_name.evaluate(a, y) == by_object.evaluate(a, y)
    with pytest.raises(AttributeError):
        Huber().q = 0.5


def test_a_callable_is_a_loss_of_its_own():
    def loss(outputs, y):
        return ((outputs - y) ** 2).mean(), 2 * (outputs - y) / outputs.size

    settings = Settings([2, 3], "relu", "identity", loss, None, "float32", "auto", 0.0, 0.0, 0.0, 0.0)
    assert settings.loss == "custom"
    assert settings.custom_loss is loss
    assert bpkern.MLP([2, 3], loss=loss).loss == "custom"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Huber(0), ValueError, "delta must be above 0, not 0"),
        (lambda: Huber(-1.0), ValueError, "delta must be finite and at least 0, not -1.0"),
        (lambda: Huber(np.inf), ValueError, "delta must be finite"),
        (lambda: Huber([1.0, np.nan]), ValueError, "delta must be finite"),
        (lambda: Huber([]), ValueError, "delta must be a number, or a sequence of them, not empty"),
        (lambda: Huber("1"), TypeError, "delta must be a number, not '1'"),
        (lambda: Huber([[1.0]]), TypeError, "delta must be a number"),
        (lambda: Quantile(0), ValueError, "q must be above 0, not 0"),
        (lambda: Quantile(1.0), ValueError, "q must be at least 0 and below 1, not 1.0"),
        (lambda: Quantile(1.5), ValueError, "q must be at least 0 and below 1, not 1.5"),
        (lambda: Quantile([0.5, True]), TypeError, "q must be a number, not True"),
        (lambda: bpkern.MLP([2, 3], loss=Huber([1.0, 2.0])), ValueError, "one per output, 3, not 2"),
        (lambda: bpkern.MLP([2, 3], loss=Huber(1e-50)), ValueError, "1e-50 is out of the range of float32"),
        (lambda: bpkern.MLP([2, 3], loss=Huber), TypeError, "loss must be a name"),
        (
            lambda: bpkern.MLP([2, 3], loss="mse", label_smoothing=0.1),
            ValueError,
            "label_smoothing is for cross_entropy and binary_cross_entropy, not mse",
        ),
        (
            lambda: bpkern.MLP([2, 3], loss="cross_entropy", label_smoothing=1.5),
            ValueError,
            "label_smoothing must be from 0 to 1, not 1.5",
        ),
        (
            lambda: bpkern.MLP([2, 1], loss="poisson").evaluate([[0.0, 0.0]], [-1.0]),
            ValueError,
            "y must hold values of at least 0, not from -1.0",
        ),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_attribute_that_went_wrong_is_found_when_it_is_used():
    loss = Huber()
    loss.delta = -1
    with pytest.raises(ValueError, match="delta must be finite and at least 0, not -1"):
        bpkern.MLP([2, 3], loss=loss)
