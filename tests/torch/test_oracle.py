"""Gradients and SGD against PyTorch's, if PyTorch is installed."""

import itertools

import numpy as np
import pytest
from helpers import fitting

import bpkern
from bpkern._core import ACTIVATIONS, LOSSES

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch
from torch_helpers import FUNCTIONS, LOSS_FUNCTIONS, pinball


def twin(model, activations):
    """The same network in PyTorch."""
    layers = []
    for (w, b), activation in zip(model.get_weights(), activations, strict=True):
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        linear.weight.data, linear.bias.data = torch.from_numpy(w), torch.from_numpy(b)
        layers += [linear, FUNCTIONS[activation]]
    return torch.nn.Sequential(*layers)


def problem(rng, loss, rows, features, width):
    X = rng.standard_normal((rows, features))
    if loss == "cross_entropy":
        return X, rng.integers(0, width, rows)
    return X, fitting(loss, rng.random((rows, width)))


@pytest.mark.parametrize(("activation", "loss"), list(itertools.product(ACTIVATIONS, LOSSES)))
def test_gradients(activation, loss):
    rng = np.random.default_rng(0)
    X, y = problem(rng, loss, 9, 6, 4)
    names = [activation, "tanh", "identity"]
    model = bpkern.MLP([6, 11, 8, 4], activation=names[:2], loss=loss, dtype="float64", seed=1)
    net = twin(model, names)
    value = LOSS_FUNCTIONS[loss](net(torch.from_numpy(X)), torch.from_numpy(y))
    value.backward()
    got, gradients = model.gradients(X, y)
    assert got == pytest.approx(value.item(), rel=1e-13)
    for gradient, parameter in zip(itertools.chain(*gradients), net.parameters(), strict=True):
        expected = parameter.grad.numpy()
        assert np.abs(gradient - expected).max() <= 1e-13 * max(np.abs(expected).max(), 1e-3)


@pytest.mark.parametrize(
    "sgd",
    [
        {},
        {"momentum": 0.9},
        {"momentum": 0.9, "nesterov": True},
        {"weight_decay": 0.02},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.02},
    ],
)
@pytest.mark.parametrize("loss", LOSSES)
def test_twenty_steps_of_sgd(sgd, loss):
    rng = np.random.default_rng(0)
    X, y = problem(rng, loss, 200, 6, 4)
    model = bpkern.MLP(
        [6, 11, 4], activation="tanh", loss=loss, optimizer=bpkern.SGD(lr=0.1, **sgd), dtype="float64", seed=1
    )
    net = twin(model, ["tanh", "identity"])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, **sgd)
    for start in range(0, 200, 10):
        optimizer.zero_grad()
        batch = slice(start, start + 10)
        LOSS_FUNCTIONS[loss](net(torch.from_numpy(X[batch])), torch.from_numpy(y[batch])).backward()
        optimizer.step()
    model.fit(X, y, batch_size=10, shuffle=False)
    for got, parameter in zip(itertools.chain(*model.get_weights()), net.parameters(), strict=True):
        expected = parameter.detach().numpy()
        assert np.linalg.norm(got - expected) <= 1e-12 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("loss", "settings", "function"),
    [
        (bpkern.losses.Huber(0.3), {}, torch.nn.HuberLoss(delta=0.3)),
        (bpkern.losses.Quantile(0.9), {}, lambda outputs, y: pinball(outputs, y, 0.9)),
        ("cross_entropy", {"label_smoothing": 0.2}, torch.nn.CrossEntropyLoss(label_smoothing=0.2)),
    ],
)
def test_losses_with_a_parameter(loss, settings, function):
    rng = np.random.default_rng(0)
    model = bpkern.MLP([6, 11, 4], activation="tanh", loss=loss, dtype="float64", seed=1, **settings)
    X, y = problem(rng, model.loss, 20, 6, 4)
    net = twin(model, ["tanh", "identity"])
    value = function(net(torch.from_numpy(X)), torch.from_numpy(y))
    value.backward()
    got, gradients = model.gradients(X, y)
    assert got == pytest.approx(value.item(), rel=1e-13)
    for gradient, parameter in zip(itertools.chain(*gradients), net.parameters(), strict=True):
        assert np.abs(gradient - parameter.grad.numpy()).max() <= 1e-14
