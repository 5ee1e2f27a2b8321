"""A Python function as the loss trains like the built-in loss that it computes, wherever a loss is used."""

import numpy as np
import pytest

import bpkern
from bpkern._model.core import core_of

RNG = np.random.default_rng(7)
ROWS = 70
X, Y = RNG.standard_normal((ROWS, 5)), RNG.standard_normal((ROWS, 3))
LABELS = RNG.integers(0, 3, ROWS)
WEIGHTS = np.where(np.arange(ROWS) // 10 == 2, 0.0, RNG.random(ROWS))


def rows_mse(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def mean_mse(a, y):
    return ((a - y) ** 2).mean(), 2 * (a - y) / a.size


def rows_cross_entropy(a, labels):
    shifted = a - a.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1, keepdims=True)
    rows = np.arange(len(a))
    gradient = np.exp(shifted) / total
    gradient[rows, labels] -= 1
    return np.log(total[:, 0]) - shifted[rows, labels], gradient


def mean_cross_entropy(a, labels):
    losses, gradient = rows_cross_entropy(a, labels)
    return losses.mean(), gradient / len(a)


CASES = {
    "mse by rows": (rows_mse, "mse", Y),
    "mse": (mean_mse, "mse", Y),
    "cross entropy by rows": (rows_cross_entropy, "cross_entropy", LABELS),
    "cross entropy": (mean_cross_entropy, "cross_entropy", LABELS),
}
EVERY = pytest.mark.parametrize(("function", "name", "y"), CASES.values(), ids=CASES)


def make(loss, dtype="float64", **settings):
    settings = dict(optimizer=bpkern.Adam(0.01), activation=["gelu", "tanh"], dropout=0.2) | settings
    return bpkern.MLP([5, 40, 17, 3], loss=loss, dtype=dtype, l1=1e-3, l2=1e-3, seed=1, **settings)


def assert_same(a, b, tolerance=1e-12):
    for pair, expected in zip(a.get_weights(), b.get_weights(), strict=True):
        for got, wanted in zip(pair, expected, strict=True):
            assert np.abs(got - wanted).max() <= tolerance
    assert core_of(a).net.counts == core_of(b).net.counts


FITS = {
    "plain": {},
    "one row": {"batch_size": 1},
    "accumulate": {"accumulate": 3},
    "clip": {"clip_norm": 0.1, "clip_value": 0.01, "accumulate": 2},
    "ema": {"ema": 0.8},
    "split": {"validation_split": 0.2},
    "validation": {"validation_data": (X[:20], 0)},
    "weights": {"sample_weight": WEIGHTS, "accumulate": 2, "validation_data": (X[:20], 0, WEIGHTS[:20] + 1)},
    "threads": {"n_threads": 3},
}


def fits():
    """All comparable pairs: a mean has no row losses to weight, and only the built-in cross_entropy
    stratifies its splits."""
    for case, (function, name, y) in CASES.items():
        for fit, arguments in FITS.items():
            if not (fit == "weights" and "rows" not in case) and not (
                fit == "split" and name == "cross_entropy"
            ):
                yield pytest.param(function, name, y, arguments, id=f"{case}-{fit}")


@pytest.mark.parametrize(("function", "name", "y", "arguments"), list(fits()))
def test_fit(function, name, y, arguments):
    if "validation_data" in arguments:
        held_out, _, *weights = arguments["validation_data"]
        arguments = arguments | {"validation_data": (held_out, y[:20], *weights)}
    ours, expected = make(function), make(name)
    history, wanted = (m.fit(X, y, **{"epochs": 2, "batch_size": 10} | arguments) for m in (ours, expected))
    assert_same(ours, expected)
    wanted.pop("accuracy", None)
    wanted.pop("val_accuracy", None)
    assert history.keys() == wanted.keys()
    for key, values in wanted.items():
        assert history[key] == pytest.approx(values, rel=1e-12)
    assert (history.iterations, history.lr) == (wanted.iterations, wanted.lr)


@EVERY
def test_other_calls(isa, dtype, function, name, y):
    ours, expected = make(function, dtype), make(name, dtype)
    tolerance = 1e3 * float(np.finfo(dtype).eps)
    got, wanted = ours.gradients(X, y), expected.gradients(X, y)
    assert got[0] == pytest.approx(wanted[0], rel=tolerance)
    for pair, expected_pair in zip(got[1], wanted[1], strict=True):
        for gradient, other in zip(pair, expected_pair, strict=True):
            assert gradient.dtype == other.dtype
            assert np.abs(gradient - other).max() <= tolerance
    assert ours.evaluate(X, y)["loss"] == pytest.approx(expected.evaluate(X, y)["loss"], rel=tolerance)
    for rows in (slice(0, 5), slice(5, 70), slice(0, 1)):
        loss = ours.train_on_batch(X[rows], y[rows])
        assert loss == pytest.approx(expected.train_on_batch(X[rows], y[rows]), rel=10 * tolerance)
    assert_same(ours, expected, 10 * tolerance)
    if "rows" in function.__name__:
        assert ours.losses(X, y) == pytest.approx(expected.losses(X, y), rel=10 * tolerance, abs=tolerance)
        weighed = ours.evaluate(X, y, sample_weight=WEIGHTS)["loss"]
        wanted = expected.evaluate(X, y, sample_weight=WEIGHTS)["loss"]
        assert weighed == pytest.approx(wanted, rel=10 * tolerance)


def test_streams():
    batches = [(X[i : i + size], Y[i : i + size]) for i, size in ((0, 3), (3, 20), (23, 7), (30, 40))]
    ours, expected = make(rows_mse), make("mse")
    history, wanted = (m.fit(batches, epochs=2, accumulate=3, ema=0.5) for m in (ours, expected))
    assert_same(ours, expected)
    assert history["loss"] == pytest.approx(wanted["loss"], rel=1e-12)


def test_metrics_are_of_the_outputs_before_each_update():
    ours, expected = make(rows_mse), make("mse")
    for m in (ours, expected):
        m.fit(X, Y, metrics=["mae", "r2"], validation_data=(X, Y), batch_size=20)
    for name, values in expected.history_.items():
        assert ours.history_[name] == pytest.approx(values, rel=1e-12)


def test_gradients_disturb_no_pass_by_hand():
    model, expected = make(rows_mse), make("mse")
    for m in (model, expected):
        outputs = m.forward(X, train=True)
        m.gradients(X[:7], Y[:7])
        m.backward(2 * (outputs - Y) / Y.size)
        m.step()
    assert_same(model, expected)


@pytest.mark.parametrize("train", [lambda m: m.fit(X, Y, batch_size=70), lambda m: m.train_on_batch(X, Y)])
def test_gradients_stored_by_hand_are_not_spent_with_others(train):
    ours, expected = (make(loss, optimizer=bpkern.SGD(0.1)) for loss in (rows_mse, "mse"))
    for m in (ours, expected):
        m.forward(X, train=True)
        m.backward(np.ones_like(Y))
        train(m)
    assert_same(ours, expected)


# What goes wrong ----------------------------------------------------------------------------------------


class Fails:
    """The mean squared error, except at one call, which calls `what` instead."""

    def __init__(self, call, what):
        self.call, self.what, self.calls = call, what, 0

    def __call__(self, a, y):
        self.calls += 1
        return self.what(a, y) if self.calls == self.call else rows_mse(a, y)


def raising(a, y):
    raise ZeroDivisionError("no loss today")


WRONG = {
    "raises": (raising, ZeroDivisionError, "no loss today"),
    "no pair": (lambda a, y: np.zeros(len(a)), TypeError, r"must return \(loss, gradient\)"),
    "three": (lambda a, y: (1, 2, 3), TypeError, r"must return \(loss, gradient\)"),
    "too few": (lambda a, y: (np.zeros(3), np.zeros_like(a)), ValueError, r"one per row, \(10,\), not"),
    "columns": (lambda a, y: (np.zeros((len(a), 1)), np.zeros_like(a)), ValueError, r"\(10, 1\)"),
    "gradient": (lambda a, y: (np.zeros(len(a)), np.zeros(len(a))), ValueError, "outputs' shape"),
}


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(("what", "error", "message"), WRONG.values(), ids=WRONG)
def test_errors_come_through_and_leave_a_usable_model(what, error, message, accumulate):
    """The model is as of the last update, and gradients accumulated for the next are gone."""
    arguments = dict(batch_size=10, shuffle=False, accumulate=accumulate)
    model, shorter = make(Fails(6, what)), make("mse")
    with pytest.raises(error, match=message):
        model.fit(X, Y, **arguments)
    shorter.fit(
        X[: 50 // (10 * accumulate) * 10 * accumulate],
        Y[: 50 // (10 * accumulate) * 10 * accumulate],
        **arguments,
    )
    assert core_of(model).net.counts == (5 // accumulate, 5)
    core_of(model).net.counts = core_of(shorter).net.counts
    assert_same(model, shorter)
    with pytest.raises(RuntimeError, match="there are none"):
        model.step()
    for m in (model, shorter):
        m.fit(X, Y, **arguments)
    assert_same(model, shorter)


@pytest.mark.parametrize(("what", "error", "message"), WRONG.values(), ids=WRONG)
def test_an_error_in_one_batch_changes_nothing(what, error, message):
    model = make(Fails(1, what))
    before = model.get_weights()
    with pytest.raises(error, match=message):
        model.train_on_batch(X[:10], Y[:10])
    assert core_of(model).net.counts == (0, 0)
    for pair, expected in zip(model.get_weights(), before, strict=True):
        assert all(np.array_equal(got, wanted) for got, wanted in zip(pair, expected, strict=True))


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_a_loss_that_is_no_number(value):
    model = make(Fails(4, lambda a, y: (np.full(len(a), value), a)))
    with pytest.raises(bpkern.DivergedError) as caught:
        model.fit(X, Y, batch_size=10)
    assert (caught.value.epoch, caught.value.iteration) == (0, 3)
    assert core_of(model).net.counts == (3, 3)
    assert np.isfinite(model.forward(X)).all()
    model.fit(X, Y, batch_size=10)


def test_a_batch_without_weight_does_not_ask_the_loss():
    """It is skipped whatever its loss would be, as with the built-in losses."""
    weights = np.where(np.arange(30) < 20, 1.0, 0.0)
    model = make(Fails(3, lambda a, y: (np.full(len(a), np.inf), a)))
    history = model.fit(X[:30], Y[:30], sample_weight=weights, batch_size=10, shuffle=False)
    assert np.isfinite(history["loss"]).all()
    assert core_of(model).net.counts == (2, 3)


def test_weights_and_losses_that_overflow_together():
    """The error is DivergedError, not one of NumPy's warnings."""
    model = make(lambda a, y: (np.full(len(a), 1e308), np.full_like(a, 1e300, dtype=np.float64)))
    with pytest.raises(bpkern.DivergedError, match="the loss is no longer finite in epoch 0, at iteration 0"):
        model.fit(X, Y, batch_size=10, sample_weight=np.full(len(X), 10.0))


def test_what_stops_a_batch_before_its_update_leaves_it_uncounted():
    """Ctrl-C may do so. The count selects the dropout masks: the next batch has to use those of this one."""
    calls = []

    def rate(step):
        calls.append(step)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return 0.01

    stopped, twin = make(rows_mse, optimizer=bpkern.SGD(rate)), make(rows_mse, optimizer=bpkern.SGD(0.01))
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(X, Y, batch_size=10, shuffle=False)
    assert core_of(stopped).net.counts == (2, 2)
    twin.fit(X[:20], Y[:20], batch_size=10, shuffle=False)
    assert_same(stopped, twin, tolerance=0)


def test_a_gradient_that_is_no_number():
    model = make(Fails(4, lambda a, y: (np.ones(len(a)), np.full_like(a, np.nan))))
    with pytest.raises(bpkern.DivergedError):
        model.fit(X, Y, batch_size=10)
    assert np.isfinite(model.forward(X)).all()
    assert all(np.isfinite(array).all() for pair in core_of(model).net.get_layers() for array in pair)
    model.fit(X, Y, batch_size=10)


def test_a_mean_with_weights():
    with pytest.raises(ValueError, match="the loss must return one number per row for weights"):
        make(mean_mse).fit(X, Y, sample_weight=WEIGHTS)


def test_the_function_sees_copies_and_any_targets():
    seen = []

    def loss(a, y):
        seen.append(y.shape)
        losses, gradient = rows_mse(a, y[:, :, 0])
        a[...] = np.nan
        return losses, gradient

    model = make(loss)
    model.fit(X, Y[:, :, None], batch_size=35)
    assert seen == [(35, 3, 1)] * 2
    assert np.isfinite(model.forward(X)).all()


def test_predictions_and_metrics_of_labels():
    """y is one-dimensional although there are several outputs."""

    def right(labels, outputs):
        assert labels.shape == (len(outputs),)
        return (outputs.argmax(axis=1) == labels).mean()

    own, builtin = make(rows_cross_entropy), make("cross_entropy")
    history = own.fit(X, LABELS, epochs=2, metrics=right)
    expected = builtin.fit(X, LABELS, epochs=2)
    assert history["right"] == pytest.approx(expected["accuracy"], abs=1e-12)
    assert own.evaluate(X, LABELS, metrics=right)["right"] == builtin.evaluate(X, LABELS)["accuracy"]
    assert own.predict(X).shape == (ROWS, 3)
    assert own.predict(X).tobytes() == own.forward(X).tobytes()
    reference = bpkern.reference.MLP([5, 3], loss=rows_cross_entropy, seed=0)
    reference.fit(X, LABELS)
    assert reference.predict(X).shape == (ROWS, 3)
    with pytest.raises(ValueError, match="y must have the predictions' shape"):
        own.evaluate(X, LABELS, metrics="mae")
