"""`MLP.gradients` against finite differences of the loss, in float64."""

import itertools

import numpy as np
import pytest
from helpers import fitting

import bpkern

ACTIVATIONS, LOSSES = bpkern._core.ACTIVATIONS, bpkern._core.LOSSES
STEP = 1e-6


def problem(rng, loss, rows, width):
    if loss == "cross_entropy":
        return rng.integers(0, width, rows)
    return fitting(loss, rng.random((rows, width)))


def numeric(model, X, y, names):
    """Central differences of the loss along the given coordinates of the parameters."""
    state = model.state_dict()
    for name, index in names:
        value = state[name][index]
        losses = []
        for step in (STEP, -STEP):
            state[name][index] = value + step
            model.load_state_dict(state)
            losses.append(model.evaluate(X, y)["loss"])
        state[name][index] = value
        yield (losses[0] - losses[1]) / (2 * STEP)
    model.load_state_dict(state)


def check(layers, activation, output, loss, penalties, seed):
    rng = np.random.default_rng(seed)
    model = bpkern.MLP(
        layers,
        activation=activation,
        output_activation=output,
        loss=loss,
        dtype="float64",
        seed=seed,
        **penalties,
    )
    # Biases away from zero, so that few rectifiers are near their corner.
    model.set_weights([(w, rng.standard_normal(b.shape) / 2) for w, b in model.get_weights()])
    X, y = rng.standard_normal((7, layers[0])), problem(rng, loss, 7, layers[-1])
    value, gradients = model.gradients(X, y)
    assert value == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-14)
    coordinates, analytic = [], []
    for l, pair in enumerate(gradients):
        for kind, gradient in zip(("weight", "bias"), pair, strict=True):
            for index in rng.permutation(np.array(list(np.ndindex(gradient.shape))))[:4]:
                coordinates.append((f"{l}.{kind}", tuple(index)))
                analytic.append(gradient[tuple(index)])
    differences = np.array(list(numeric(model, X, y, coordinates)))
    scale = max(np.abs(analytic).max(), 1e-3)
    assert np.abs(differences - analytic).max() <= 1e-6 * scale
    assert np.abs(analytic).max() > 0


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_loss_and_depth(activation, loss, depth):
    layers = [*[5, 9, 17, 8][:depth], 4]
    check(layers, activation, "identity", loss, {}, 10 * depth)


@pytest.mark.parametrize(("output", "loss"), list(itertools.product(ACTIVATIONS, LOSSES)))
@pytest.mark.filterwarnings("ignore:the loss .* applies its own")
def test_every_output_activation_with_penalties(isa, output, loss):
    check([6, 11, 3], "tanh", output, loss, {"l1": 0.02, "l2": 0.01}, 3)


def test_mixed_activations():
    check([4, 6, 7, 5, 2], ["relu", "sigmoid", "tanh"], "leaky_relu", "mse", {}, 5)


def test_gradients_change_nothing():
    model = bpkern.MLP([3, 4, 2], loss="mse", seed=0)
    before = model.get_weights()
    model.gradients(np.ones((2, 3)), np.ones((2, 2)))
    for (w, b), (w_before, b_before) in zip(model.get_weights(), before, strict=True):
        assert np.array_equal(w, w_before)
        assert np.array_equal(b, b_before)
