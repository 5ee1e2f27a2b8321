"""`bpkern.MLP` against `bpkern.reference.MLP`: equal initial weights and shuffles, losses to rounding."""

import itertools

import numpy as np
import pytest
from helpers import fitting

import bpkern
from bpkern import reference
from bpkern._core import ACTIVATIONS, LOSSES


def data(loss, rows=101, features=7, width=3):
    rng = np.random.default_rng(8)
    X = rng.standard_normal((rows, features))
    if loss == "cross_entropy":
        return X, rng.integers(0, width, rows)
    y = rng.random((rows, width))
    return X, fitting(loss, y)


def both(loss, dtype="float64", layers=(7, 20, 13, 3), fit=None, **settings):
    X, y = data(loss)
    trained = []
    for trainer in (bpkern.MLP, reference.MLP):
        model = trainer(layers, loss=loss, dtype=dtype, seed=5, **settings)
        history = model.fit(X, y, **{"epochs": 4, "batch_size": 16} | (fit or {}))
        trained.append((model, history))
    return trained


def agree(trained, tolerance):
    (ours, history), (theirs, expected) = trained
    assert history.keys() == expected.keys()
    assert history.iterations == expected.iterations
    for name, values in expected.items():
        assert values == pytest.approx(history[name], rel=tolerance)
    for pair, expected_pair in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        for got, wanted in zip(pair, expected_pair, strict=True):
            assert got.dtype == wanted.dtype
            assert np.abs(got - wanted).max() <= tolerance * np.abs(wanted).max()
    ours.reset()
    moved = np.abs(ours.get_weights()[0][0] - theirs.get_weights()[0][0]).max()
    assert moved > 100 * tolerance


@pytest.mark.parametrize(("activation", "loss"), list(itertools.product(ACTIVATIONS, LOSSES)))
def test_activations_and_losses(isa, activation, loss):
    agree(both(loss, activation=activation, optimizer=bpkern.SGD(lr=0.2)), 1e-11)


@pytest.mark.parametrize(
    "sgd",
    [
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"weight_decay": 0.01},
        {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
    ],
)
def test_optimisers(isa, sgd):
    agree(both("mse", activation="tanh", optimizer=bpkern.SGD(lr=0.1, **sgd), l2=0.003), 1e-11)


@pytest.mark.parametrize("loss", LOSSES)
def test_float32(isa, loss):
    optimizer = bpkern.SGD(lr=0.1, momentum=0.9)
    agree(both(loss, dtype="float32", activation="tanh", optimizer=optimizer), 2e-4)


@pytest.mark.parametrize(
    "fit",
    [
        {"shuffle": False},
        {"batch_size": 1},
        {"batch_size": 1000},
        {"validation_split": 0.25},
        {"validation_data": data("cross_entropy", rows=33)},
        {"sample_weight": np.arange(101) % 4},
        {"sample_weight": np.arange(101) % 4, "validation_split": 0.25},
        {"validation_data": (*data("cross_entropy", rows=33), np.arange(33) % 3)},
        {"class_weight": {0: 5.0, 1: 0.5}, "validation_split": 0.25},
        {"class_weight": "balanced", "sample_weight": np.arange(101) % 4, "validation_split": 0.25},
        {"class_weight": {0: 5.0}, "validation_data": (*data("cross_entropy", rows=33), np.arange(33) % 3)},
    ],
)
def test_ways_to_fit(fit):
    agree(both("cross_entropy", fit=fit, optimizer=bpkern.SGD(lr=0.1)), 1e-11)


@pytest.mark.filterwarnings("ignore:the loss .* applies its own")
def test_output_activation_and_dense_targets():
    X, _ = data("mse")
    y = np.random.default_rng(0).random((101, 3))
    y /= y.sum(axis=1, keepdims=True)
    for loss in LOSSES:
        losses = [
            trainer([7, 9, 3], loss=loss, output_activation="sigmoid", dtype="float64", seed=1).fit(
                X, fitting(loss, y), epochs=3
            )["loss"]
            for trainer in (bpkern.MLP, reference.MLP)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-12)


def test_predictions(isa):
    X, y = data("cross_entropy")
    for loss, targets in (("cross_entropy", y), ("binary_cross_entropy", (y > 0) * 1.0), ("mse", y * 1.0)):
        width = 3 if loss == "cross_entropy" else 1
        models = [
            trainer([7, 9, width], loss=loss, dtype="float64", seed=1)
            for trainer in (bpkern.MLP, reference.MLP)
        ]
        for model in models:
            model.fit(X, targets, epochs=3)
        ours, theirs = (model.predict(X) for model in models)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape == (101,)
        assert ours == pytest.approx(theirs, rel=1e-11)
        assert models[0].evaluate(X, targets) == pytest.approx(models[1].evaluate(X, targets), rel=1e-11)
