"""The reference alone: activations against exact values, gradients against finite differences, in float64."""

import itertools
import math

import numpy as np
import pytest
from helpers import fitting

from bpkern import reference
from bpkern.reference.activations import ACTIVATIONS, FROM_Z
from bpkern.reference.losses import LOSSES
from bpkern.reference.network import Batch, Network
from bpkern.reference.normal import density, distribution

STEP = 1e-6
EXACT = {
    "elu": lambda z: z if z > 0 else math.expm1(z),
    "gelu": lambda z: z * math.erfc(-z / math.sqrt(2)) / 2,
    "gelu_tanh": lambda z: z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2,
    "mish": lambda z: z * math.tanh(math.log1p(math.exp(z))) if z < 700 else z,
    "selu": lambda z: 1.0507009873554805 * (z if z > 0 else 1.6732632423543772 * math.expm1(z)),
    "silu": lambda z: z / (1 + math.exp(-z)),
    "softplus": lambda z: max(z, 0) + math.log1p(math.exp(-abs(z))),
}
GRID = np.concatenate([np.linspace(-12, 12, 4001), [-37.0, -1e-300, 0.0, 1e-300, 30.0, 37.0, 200.0]])


def apply(name, z):
    a = z.copy()
    ACTIVATIONS[name][0](a, np.empty_like(a))
    return a


def slope(name, z):
    delta = np.ones_like(z)
    ACTIVATIONS[name][1](delta, z if name in FROM_Z else apply(name, z), np.empty_like(z))
    return delta


def test_the_normal_distribution():
    u = np.linspace(-37, 37, 3001)
    exact = np.array([math.erfc(-v / math.sqrt(2)) / 2 for v in u])
    got = distribution(u)
    assert np.abs(got - exact).max() <= 3e-16
    # In the far tail exp(-u^2 / 2) magnifies the rounding of u^2.
    assert (np.abs(got / exact - 1) <= 2e-15 * (1 + u * u)).all()
    assert distribution(np.array([-1e300, -0.0, 1e300])).tolist() == [0, 0.5, 1]
    assert np.isnan(distribution(np.array([np.nan]))).all()
    assert density(np.array([0.0, 1e300])) == pytest.approx([1 / math.sqrt(2 * math.pi), 0], rel=1e-15)
    single = distribution(u.astype(np.float32))
    assert single.dtype == np.float32
    assert np.abs(single - distribution(u.astype(np.float32).astype(float))).max() <= 2e-7


@pytest.mark.parametrize("name", EXACT)
def test_activations(name):
    exact = np.array([EXACT[name](z) for z in GRID])
    scale = np.abs(GRID) + np.abs(exact)
    assert (np.abs(apply(name, GRID) - exact) <= 2e-15 * scale).all()
    single = apply(name, GRID.astype(np.float32))
    assert single.dtype == np.float32
    assert (np.abs(single - exact) <= 1e-6 * scale + np.finfo(np.float32).tiny).all()


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives(name):
    z = np.random.default_rng(0).uniform(-8, 8, 2000)
    z = z[np.abs(z) > 10 * STEP]
    numeric = (apply(name, z + STEP) - apply(name, z - STEP)) / (2 * STEP)
    assert np.abs(slope(name, z) - numeric).max() <= 5e-9


@pytest.mark.parametrize("name", EXACT)
def test_far_from_zero(name):
    """No overflow, and the limits of the formulas."""
    far = np.array([-700.0, 700.0])
    below = {"elu": -1, "selu": -1.7580993408473769}.get(name, 0)
    above = 1.0507009873554805 if name == "selu" else 1
    assert apply(name, far) == pytest.approx([below, 700 * above], abs=1e-290)
    assert slope(name, far) == pytest.approx([0, above], abs=1e-290)
    single = far.astype(np.float32)
    assert slope(name, single) == pytest.approx([0, above], rel=1e-7, abs=1e-30)


@pytest.mark.parametrize("name", FROM_Z)
def test_z_is_required_where_a_does_not_tell_it(name):
    delta, w, a = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4))
    with pytest.raises(ValueError, match=f"'{name}' needs z: its derivative is no function of a"):
        reference.delta_backward(delta, w, a, name)
    z = np.linspace(-2, 2, 8).reshape(2, 4)
    got = reference.delta_backward(delta, w, a, name, z=z)
    assert got == pytest.approx(3 * slope(name, z), rel=1e-14)


def targets(rng, loss, rows, width, dense=False):
    if loss == "cross_entropy" and not dense:
        return rng.integers(0, width, rows)
    y = rng.random((rows, width))
    return y / y.sum(axis=1, keepdims=True) if loss == "cross_entropy" else fitting(loss, y)


def check(model, y, seed=0):
    """`gradients` against central differences of `evaluate` along a few coordinates of each array."""
    rng = np.random.default_rng(seed)
    weights = [(w, rng.standard_normal(b.shape) / 2) for w, b in model.get_weights()]
    model.set_weights(weights)
    X = rng.standard_normal((len(y), weights[0][0].shape[1]))
    loss, gradients = model.gradients(X, y)
    assert loss == pytest.approx(model.evaluate(X, y)["loss"], rel=1e-14)
    scale = max(np.abs(g).max() for pair in gradients for g in pair)
    assert scale > 1e-3
    for array, gradient in zip(itertools.chain(*weights), itertools.chain(*gradients), strict=True):
        for place in map(tuple, rng.permutation(list(np.ndindex(array.shape)))[:4]):
            value, losses = array[place], []
            for step in (STEP, -STEP):
                array[place] = value + step
                model.set_weights(weights)
                losses.append(model.evaluate(X, y)["loss"])
            array[place] = value
            assert abs((losses[0] - losses[1]) / (2 * STEP) - gradient[place]) <= 1e-6 * scale


@pytest.mark.parametrize(("activation", "loss"), list(itertools.product(ACTIVATIONS, LOSSES)))
def test_hidden_activations_and_losses(activation, loss):
    model = reference.MLP([5, 9, 7, 4], activation=activation, loss=loss, dtype="float64", seed=4)
    check(model, targets(np.random.default_rng(1), loss, 7, 4))


@pytest.mark.parametrize(("output", "loss"), list(itertools.product(ACTIVATIONS, LOSSES)))
def test_output_activations_and_penalties(output, loss):
    model = reference.MLP(
        [6, 11, 3], activation="tanh", output_activation=output, loss=loss, dtype="float64", l2=0.01, l1=0.003
    )
    check(model, targets(np.random.default_rng(2), loss, 7, 3))


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
@pytest.mark.parametrize("dense", [False, True])
def test_label_smoothing(smoothing, dense):
    rng = np.random.default_rng(3)
    model = reference.MLP([5, 6, 4], loss="cross_entropy", dtype="float64", label_smoothing=smoothing, seed=1)
    y = targets(rng, "cross_entropy", 8, 4, dense)
    check(model, y)
    # By hand: cross-entropy with smoothed targets.
    X = rng.standard_normal((8, 5))
    p = np.exp(model.forward(X))
    p /= p.sum(axis=1, keepdims=True)
    wanted = (1 - smoothing) * (y if dense else np.eye(4)[y]) + smoothing / 4
    assert model.evaluate(X, y)["loss"] == pytest.approx(-(wanted * np.log(p)).sum(axis=1).mean(), rel=1e-13)


def by_rows(outputs, y):
    """Row losses: the fourth power of the distance."""
    difference = outputs - y
    return (difference**4).sum(axis=1), 4 * difference**3


def by_mean(outputs, y):
    loss, gradient = by_rows(outputs, y)
    return loss.mean(), gradient / len(y)


@pytest.mark.parametrize("loss", [by_rows, by_mean])
def test_custom_losses(loss):
    model = reference.MLP([5, 6, 3], activation="silu", loss=loss, dtype="float64", seed=1)
    check(model, np.random.default_rng(0).random((9, 3)))


def test_custom_losses_agree():
    X, y = np.random.default_rng(0).standard_normal((2, 40, 3))
    models = [reference.MLP([3, 8, 3], loss=loss, dtype="float64", seed=1) for loss in (by_rows, by_mean)]
    rows, mean = (model.fit(X, y, epochs=3, batch_size=16)["loss"] for model in models)
    assert rows == pytest.approx(mean, rel=1e-12)


def test_custom_losses_and_weights():
    X, y = np.random.default_rng(0).standard_normal((2, 40, 3))
    weights = np.arange(40) % 3
    rows, mean = (reference.MLP([3, 8, 3], loss=loss, dtype="float64", seed=1) for loss in (by_rows, by_mean))
    repeated = reference.MLP([3, 8, 3], loss=by_mean, dtype="float64", seed=1)
    expected = repeated.fit(X.repeat(weights, axis=0), y.repeat(weights, axis=0), batch_size=100)["loss"]
    assert rows.fit(X, y, batch_size=40, sample_weight=weights)["loss"] == pytest.approx(expected, rel=1e-13)
    for (w, _), (other, _) in zip(rows.get_weights(), repeated.get_weights(), strict=True):
        assert np.abs(w - other).max() <= 1e-14
    with pytest.raises(ValueError, match="must return one value per row, not their mean"):
        mean.fit(X, y, sample_weight=weights)


LOSS_PARAMETERS = [
    ("huber", 0.3),
    ("huber", np.array([0.1, 1.0, 5.0])),
    ("quantile", 0.9),
    ("quantile", np.array([0.1, 0.5, 0.9])),
]


@pytest.mark.parametrize(("loss", "parameter"), LOSS_PARAMETERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_parameters(loss, parameter, dtype):
    """A row's loss and its derivative with respect to the outputs, element by element."""
    rng = np.random.default_rng(5)
    settings = reference.MLP([2, 3], loss=loss, dtype=dtype)._settings
    settings.loss_parameters = np.full(3, parameter)
    network = Network(settings, [np.eye(3, 2, dtype=dtype), np.zeros(3, dtype)])
    batch = Batch(20, settings, labels=False)
    batch.x[...], batch.y[...] = 2 * rng.standard_normal((20, 2)), rng.standard_normal((20, 3))
    loss_sum, _, total = network.loss(batch)
    assert total == 20
    d = batch.a[-1].astype(float) - batch.y
    p = np.broadcast_to(parameter, d.shape)
    if loss == "huber":
        expected = np.where(np.abs(d) <= p, d * d / 2, p * (np.abs(d) - p / 2))
        derivative = np.clip(d, -p, p)
    else:
        expected = np.maximum(-p * d, (1 - p) * d)
        derivative = np.where(d > 0, 1 - p, -p)
    eps = float(np.finfo(dtype).eps)
    assert loss_sum / 20 == pytest.approx(expected.mean(), rel=16 * eps)
    assert np.abs(batch.delta[-1] - derivative / 3).max() <= 16 * eps * np.abs(derivative).max()


@pytest.mark.parametrize("loss", ["mae", "quantile"])
def test_no_slope_where_the_target_is_met(loss):
    model = reference.MLP([2, 2], loss=loss, dtype="float64", seed=0)
    X = np.ones((3, 2))
    value, gradients = model.gradients(X, model.forward(X))
    assert value == 0
    assert all(not g.any() for pair in gradients for g in pair)
