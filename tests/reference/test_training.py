"""The reference's updates: accumulation, sample weights, clipping, learning rates, averages."""

import numpy as np
import pytest
from helpers import distance

import bpkern
from bpkern import reference
from bpkern.reference.optimizers import STEPS, new_state
from bpkern.reference.update import clip_norm, clip_value

ROWS = 103


def data(loss="mse"):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((ROWS, 5))
    return X, rng.integers(0, 3, ROWS) if loss == "cross_entropy" else rng.standard_normal((ROWS, 3))


def make(name="Adam", loss="mse", settings=None, **given):
    chosen = getattr(bpkern, name)(**{"lr": 0.02} | (settings or {}))
    return reference.MLP([5, 12, 3], loss=loss, optimizer=chosen, dtype="float64", seed=3, **given)


def test_accumulation_is_one_large_batch():
    """With sample weights, penalties, clipping, shuffling, and an epoch that ends within a batch and a
    group."""
    X, y = data()
    weights = np.arange(ROWS) % 5
    arguments = dict(epochs=3, sample_weight=weights, clip_norm=0.3, clip_value=0.1, ema=0.5)
    large, small = (make(l1=0.01, l2=0.02) for _ in "ab")
    expected = large.fit(X, y, batch_size=30, **arguments)
    got = small.fit(X, y, batch_size=10, accumulate=3, **arguments)
    assert got["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert (got.iterations, expected.iterations) == (33, 12)
    assert distance(small.get_weights(), large.get_weights()) <= 1e-12
    assert np.abs(small.forward(X) - large.forward(X)).max() <= 1e-12


def test_weights_of_zero():
    """A batch of zero weight adds nothing to a gradient; a group of zero weight makes no update."""
    X, y = data()
    weights = np.ones(ROWS)
    weights[10:40] = 0
    rates = []
    lr = {"lr": lambda iteration: rates.append(iteration) or 0.01}
    model, expected = make(settings=lr, l2=0.1), make(settings={"lr": 0.01}, l2=0.1)
    model.fit(X[:60], y[:60], batch_size=10, sample_weight=weights[:60], shuffle=False, accumulate=2)
    assert rates == [0, 1]
    for rows in ([slice(0, 10)], [slice(40, 60)]):
        expected.fit(X[rows[0]], y[rows[0]], batch_size=60, shuffle=False)
    assert distance(model.get_weights(), expected.get_weights()) <= 1e-14


def test_the_rate_is_a_function_of_all_updates():
    X, y = data()
    asked = []
    model = make(settings={"lr": lambda iteration: asked.append(iteration) or 0.01})
    model.fit(X, y, batch_size=25, epochs=2)
    model.fit(X, y, batch_size=25, accumulate=2)
    assert asked == list(range(13))


def test_average_by_hand():
    X, y = data()
    model, plain = make(), make()
    average = [np.array(w) for pair in plain.get_weights() for w in pair]
    for _ in range(4):
        model.fit(X, y, batch_size=ROWS, shuffle=False, ema=0.8)
        plain.fit(X, y, batch_size=ROWS, shuffle=False)
        current = [w for pair in plain.get_weights() for w in pair]
        average = [0.8 * a + 0.2 * w for a, w in zip(average, current, strict=True)]
    averaged = list(zip(average[0::2], average[1::2], strict=True))
    assert distance(model.get_weights(), averaged) < 1e-13
    plain.set_weights(averaged)
    assert model.forward(X) == pytest.approx(plain.forward(X), rel=1e-13)
    assert model.evaluate(X, y)["loss"] == pytest.approx(plain.evaluate(X, y)["loss"], rel=1e-13)


def test_validation_is_by_the_average():
    X, y = data()
    model = make()
    history = model.fit(X, y, epochs=2, validation_data=(X, y), ema=0.99)
    assert model.evaluate(X, y)["loss"] == history["val_loss"][-1]
    assert history["val_loss"][-1] != pytest.approx(model.gradients(X, y)[0], rel=1e-3)


def test_an_average_ends_with_weights_of_another_kind():
    X, y = data()
    for end in (lambda m: m.set_weights(make().get_weights()), lambda m: m.fit(X, y, epochs=1)):
        model = make()
        model.fit(X, y, epochs=2, ema=0.99)
        averaged = model.evaluate(X, y)["loss"]
        end(model)
        assert model.evaluate(X, y)["loss"] == pytest.approx(model.gradients(X, y)[0], rel=1e-14)
        assert model.evaluate(X, y)["loss"] != pytest.approx(averaged, rel=1e-3)


@pytest.mark.parametrize("class_weight", [{0: 3.0, 2: 0.5}, "balanced"])
def test_class_weights_multiply_those_of_the_rows(class_weight):
    X, y = data("cross_entropy")
    rows = np.arange(ROWS) % 3 + 1.0
    factors = np.array([3.0, 1.0, 0.5])
    if class_weight == "balanced":
        factors = rows.sum() / (3 * np.bincount(y, rows))
    one, other = make(loss="cross_entropy"), make(loss="cross_entropy")
    got = one.fit(X, y, epochs=2, sample_weight=rows, class_weight=class_weight)
    expected = other.fit(X, y, epochs=2, sample_weight=rows * factors[y])
    assert got["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert got["accuracy"] == pytest.approx(expected["accuracy"], rel=1e-12)


def test_clipping():
    gradients = [np.array([[3.0, -4.0]]), np.array([12.0])]
    clip_norm(gradients, 26.0)
    assert [g.tolist() for g in gradients] == [[[3.0, -4.0]], [12.0]]
    clip_norm(gradients, 6.5)
    assert np.concatenate([g.ravel() for g in gradients]) == pytest.approx([1.5, -2, 6], rel=1e-6)
    clip_value(gradients, 1.75)
    assert np.concatenate([g.ravel() for g in gradients]) == pytest.approx([1.5, -1.75, 1.75], rel=1e-6)


def test_norms_beyond_the_range_of_float32():
    """The squares are added up in float64."""
    gradients = [np.full(4, 1e30, np.float32)]
    clip_norm(gradients, 1.0)
    assert gradients[0] == pytest.approx([0.5] * 4, rel=1e-6)


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "Adam", "AdamW"])
def test_two_fits_are_one(name):
    """Optimiser state, mini-batch count and average continue, to the bit."""
    X, y = data()
    arguments = dict(batch_size=20, ema=0.9, accumulate=2, clip_norm=0.5)
    settings = {"weight_decay": 0.1, "lr": lambda iteration: 0.05 / (1 + iteration)}
    whole, parts = (make(name, settings=settings, dropout=0.3, activation="gelu") for _ in "ab")
    whole.fit(X, y, epochs=5, **arguments)
    parts.fit(X, y, epochs=2, **arguments)
    parts.fit(X, y, epochs=3, **arguments)
    assert distance(whole.get_weights(), parts.get_weights()) == 0
    assert np.array_equal(whole.forward(X), parts.forward(X))


def test_centred_rmsprop_of_equal_gradients():
    """Their variance is zero, but usually rounding makes it negative, whose square root would be NaN."""
    settings = bpkern.RMSprop(centered=True, alpha=0.5)
    numbers = np.random.default_rng(0).random(100)
    w, spare = np.zeros(100), np.empty(100)
    state = new_state(w, settings)
    for t in range(60):
        STEPS["rmsprop"](w, numbers.copy(), state, t + 1, 1e-9, settings, spare)
    assert (state["square"] < state["mean"] ** 2).any()
    assert np.isfinite(w).all()
