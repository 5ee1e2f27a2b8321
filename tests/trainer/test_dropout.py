"""Dropout in C applies the masks of bpkern.reference.dropout, to the bit, in training and nowhere else."""

import numpy as np
import pytest

import bpkern
from bpkern import reference
from bpkern._model.core import core_of
from bpkern.reference.dropout import mask

WIDTHS = (1, 2, 4, 5, 8, 9, 15, 16, 17, 33, 47, 48, 49, 63, 64, 65, 100, 129, 200)
ROWS = (1, 2, 5, 16, 33)


def copying(width, dtype, rates, **settings):
    """A net whose output is its input, except for dropout."""
    layers = [(np.eye(width), np.zeros(width))] * (len(rates) + 1)
    return bpkern.MLP(
        [width] * (len(rates) + 2),
        activation="identity",
        loss="mse",
        dtype=dtype,
        init=layers,
        dropout=rates,
        seed=width,
        **settings,
    )


def masks(model, dtype, batch, rows):
    """The reference's masks of the hidden layers."""
    settings = core_of(model).settings
    return [
        mask(p, np.dtype(dtype), core_of(model).random.dropout_key, batch, l, rows, settings.layers[l + 1])
        for l, p in enumerate(settings.dropout)
    ]


@pytest.mark.parametrize("rates", [[0.3, 0.0], [0.0, 0.75], [0.5, 0.01]])
def test_masks(isa, dtype, rates):
    rng = np.random.default_rng(0)
    for i, width in enumerate(WIDTHS):
        model = copying(width, dtype, rates)
        for batch, rows in enumerate((ROWS[i % 5], ROWS[(i + 2) % 5], ROWS[(i + 1) % 5])):
            X = rng.random((rows, width)).astype(dtype) + 1
            first, second = masks(model, dtype, batch, rows)
            assert np.array_equal(model.forward(X, train=True), X * first * second), (width, rows)
            assert np.array_equal(model.forward(X), X)


def test_masks_of_the_inputs(isa, dtype):
    """By the last place of a layer in the counter, which no hidden layer has; backwards, the derivative by X
    goes through the same mask."""
    rng = np.random.default_rng(0)
    for i, width in enumerate(WIDTHS):
        model = copying(width, dtype, [0.0, 0.3], input_dropout=0.4)
        key = core_of(model).random.dropout_key
        for batch, rows in enumerate((ROWS[i % 5], ROWS[(i + 2) % 5])):
            X = rng.random((rows, width)).astype(dtype) + 1
            inputs = mask(0.4, np.dtype(dtype), key, batch, 2**16 - 1, rows, width)
            _, second = masks(model, dtype, batch, rows)
            assert np.array_equal(model.forward(X, train=True), X * inputs * second), (width, rows)
            assert np.array_equal(model.backward(X), X * second * inputs)
            assert np.array_equal(model.forward(X), X)
    with pytest.raises(ValueError, match="input_dropout must be at least 0 and below 1, not 1"):
        bpkern.MLP([2, 2], loss="mse", input_dropout=1)


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_training_with_dropout_of_the_inputs(isa, dtype, rows):
    """In mini-batches for the online path, for the pass ahead and for row tiles, which give way; saved."""
    rng = np.random.default_rng(3)
    for layers in ([3, 3, 2], [200, 90, 3], [9, 5, 2]):
        count = 2000 if rows == 64 else 40
        X, y = rng.standard_normal((count, layers[0])), rng.standard_normal((count, layers[-1]))
        ours, theirs = (
            trainer(layers, loss="mse", optimizer=bpkern.SGD(0.002), dtype=dtype, input_dropout=0.3, seed=4)
            for trainer in (bpkern.MLP, reference.MLP)
        )
        batch = count if rows == 64 else rows
        for model in (ours, theirs):
            model.fit(X, y, epochs=1, batch_size=batch, verbose=0)
        tolerance = 1e-11 if dtype == "float64" else 1e-4
        for (w, _), (expected, _) in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            assert np.abs(w - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("batch", [2**16, 2**32 - 1, 2**32, 2**40 + 12345])
def test_mini_batches_beyond_32_bits(isa, batch):
    model = copying(70, "float64", [0.5, 0.5])
    core_of(model).net.counts = 0, batch
    X = np.ones((3, 70))
    for number in (batch, batch + 1):
        first, second = masks(model, "float64", number, 3)
        assert np.array_equal(model.forward(X, train=True), first * second)
    assert core_of(model).net.counts == (0, batch + 2)


@pytest.mark.parametrize("p", [1e-9, 1e-3, 0.999, 1 - 1e-12])
def test_rates_near_the_ends(isa, dtype, p):
    model = copying(64, dtype, [p])
    (expected,) = masks(model, dtype, 0, 50)
    assert np.array_equal(model.forward(np.ones((50, 64)), train=True), expected)


def problem(activation, dtype, dropout=(0.2, 0.5), **settings):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((50, 9)), rng.standard_normal((50, 3))
    return (X, y), [
        trainer(
            [9, 70, 33, 3],
            activation=activation,
            loss="mse",
            optimizer=bpkern.SGD(0.1, 0.9),
            dtype=dtype,
            dropout=list(dropout),
            seed=4,
            **settings,
        )
        for trainer in (bpkern.MLP, reference.MLP)
    ]


@pytest.mark.parametrize("arguments", [dict(batch_size=16), dict(batch_size=8, accumulate=3, clip_norm=1.0)])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "elu"])
@pytest.mark.parametrize("dropout", [(0.2, 0.5), (0.0, 0.5), (0.6, 0.0)])
def test_training_is_the_references(isa, activation, dropout, arguments):
    """A mini-batch of zero sample weights makes no update, but counts: its masks are skipped."""
    weights = np.where(np.arange(50) // 16 == 1, 0, 1)
    (X, y), (ours, theirs) = problem(activation, "float64", dropout)
    for model in (ours, theirs):
        model.fit(X, y, epochs=2, shuffle=False, sample_weight=weights, verbose=0, **arguments)
    for (w, b), (expected_w, expected_b) in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert w == pytest.approx(expected_w, rel=1e-11, abs=1e-12)
        assert b == pytest.approx(expected_b, rel=1e-11, abs=1e-12)
    assert core_of(ours).net.counts[1] == theirs._batches


def test_nothing_is_dropped_outside_of_training(isa, dtype):
    (X, y), (model, _) = problem(["gelu", "relu"], dtype)
    (_, _), (plain, _) = problem(["gelu", "relu"], dtype, dropout=(0.0, 0.0))
    counts = core_of(model).net.counts
    for call in (
        lambda m: m.forward(X),
        lambda m: m.forward(X, layer=0),
        lambda m: m.forward(X, layer=1),
        lambda m: m.predict(X),
        lambda m: m.losses(X, y),
        lambda m: np.array(list(m.evaluate(X, y).values())),
        lambda m: m.gradients(X, y)[0],
    ):
        assert call(model) == pytest.approx(call(plain), rel=1e-6)
    for pair, expected in zip(model.gradients(X, y)[1], plain.gradients(X, y)[1], strict=True):
        for got, wanted in zip(pair, expected, strict=True):
            assert got == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert core_of(model).net.counts == counts
    assert model.forward(X, train=True) != pytest.approx(plain.forward(X), rel=1e-3)


def test_each_mini_batch_has_the_next_masks():
    """The count runs through fit, train_on_batch and forward; refused calls do not count."""
    (X, y), (model, _) = problem("tanh", "float64")
    model.fit(X, y, batch_size=20, verbose=0)
    assert core_of(model).net.counts == (3, 3)
    model.train_on_batch(X, y)
    assert core_of(model).net.counts == (4, 4)
    model.forward(X, train=True)
    assert core_of(model).net.counts == (4, 5)
    bad = X.copy()
    bad[3, 3] = np.nan
    for call in (
        lambda: model.fit(bad, y, batch_size=50),
        lambda: model.train_on_batch(bad, y),
        lambda: model.forward(bad, train=True),
        lambda: model.fit(X, np.full_like(y, 1e200)),
    ):
        with pytest.raises((ValueError, bpkern.DivergedError)):
            call()
        assert core_of(model).net.counts == (4, 5)


def test_masks_are_a_models_own_and_come_again_after_reset():
    (X, _), (model, _) = problem("tanh", "float64")
    (_, _), (other, _) = problem("tanh", "float64")
    first = [model.forward(X, train=True) for _ in range(3)]
    assert not np.array_equal(first[0], first[1])
    assert np.array_equal(other.forward(X, train=True), first[0])
    copied = other.copy()
    assert np.array_equal(copied.forward(X, train=True), first[1])
    assert np.array_equal(other.forward(X, train=True), first[1])
    model.reset()
    assert all(np.array_equal(model.forward(X, train=True), outputs) for outputs in first)


def test_backward_goes_through_what_was_kept(isa, dtype):
    model = copying(70, dtype, [0.5, 0.25])
    X = np.ones((6, 70))
    model.forward(X, train=True)
    first, second = masks(model, dtype, 0, 6)
    grad = np.random.default_rng(0).random((6, 70)).astype(dtype)
    assert np.array_equal(model.backward(grad), grad * second * first)
