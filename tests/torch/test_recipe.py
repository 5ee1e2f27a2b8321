"""Steps of RealMLP's recipe "td" against PyTorch, and against pytabkit's layers, schedules and optimiser.

They contain all that changes from step to step, the learning rate by CosLog4, weight decay and dropout by
FlatCos, and the factors of each kind of parameter. docs/design-inputs.md has the table of the settings.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import bpkern
from bpkern import reference
from bpkern._model.core import core_of
from bpkern.activations import Parametric
from bpkern.inputs import Scale
from bpkern.reference.dropout import mask
from bpkern.schedules import CosLog4, FlatCos

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

SIZES = [5, 12, 7, 3]
ROWS, BATCH, EPOCHS = 48, 8, 3
STEPS = EPOCHS * ROWS // BATCH
LR, DECAY, DROPOUT = 0.04, 0.02, 0.15

rng = np.random.default_rng(0)
X = rng.normal(size=(ROWS, SIZES[0]))
LABELS = rng.integers(0, SIZES[-1], ROWS)


def recipe(kind=bpkern.MLP, function="selu", dropout=DROPOUT):
    """A model as the estimators make it for "td"; with an eps that is the same in both parametrisations."""
    optimizer = bpkern.AdamW(
        CosLog4(LR, STEPS), betas=(0.9, 0.95), eps=1e-30, weight_decay=FlatCos(DECAY, STEPS)
    )
    net = kind(
        SIZES,
        activation=Parametric(function, lr_factor=0.1, decay_factor=0.1),
        loss="cross_entropy",
        optimizer=optimizer,
        dtype="float64",
        dropout=FlatCos(dropout, STEPS) if dropout else 0.0,
        label_smoothing=0.1,
        inputs=[Scale(lr_factor=6.0, decay_factor=6.0)],
        seed=0,
    )
    net.set_ntk_factors()
    net.set_factors(weights=False, lr=0.1, weight_decay=0.0)
    return net


def parameters_of(net):
    state = net.state_dict() if isinstance(net, bpkern.MLP) else net.get_inputs()
    for l, (w, b) in enumerate(net.get_weights()):
        state |= {f"{l}.weight": w, f"{l}.bias": b}
    return state


FUNCTIONS = {"selu": torch.nn.functional.selu, "mish": torch.nn.functional.mish}


class Twin:
    """The network in PyTorch, with weights W sqrt(in) as NTK has them, and masks of dropout by Philox."""

    def __init__(self, net, function):
        self.function, self.key = FUNCTIONS[function], core_of(net).random.dropout_key
        self.values = {}
        for name, array in net.state_dict().items():
            v = array * np.sqrt(array.shape[1]) if name.endswith("weight") else array
            self.values[name] = torch.tensor(v, requires_grad=True)
        groups = [{"params": [value], "name": name} for name, value in self.values.items()]
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.95), eps=1e-30)

    def outputs(self, x, step=None):
        a = torch.from_numpy(x) * self.values["inputs.0.scale"]
        for l in range(len(SIZES) - 1):
            a = a @ self.values[f"{l}.weight"].T / np.sqrt(a.shape[1]) + self.values[f"{l}.bias"]
            if l == len(SIZES) - 2:
                return a
            a = a + self.values[f"activations.{l}.alpha"] * (self.function(a) - a)
            if step is not None:
                p = FlatCos(DROPOUT, STEPS)(step)
                a = a * torch.from_numpy(mask(p, np.dtype("float64"), self.key, step, l, *a.shape))
        raise AssertionError

    def step(self, x, labels, step):
        self.optimizer.zero_grad()
        outputs = self.outputs(x, step)
        torch.nn.functional.cross_entropy(outputs, torch.from_numpy(labels), label_smoothing=0.1).backward()
        lr, decay = CosLog4(LR, STEPS)(step), FlatCos(DECAY, STEPS)(step)
        for group in self.optimizer.param_groups:
            factor = {"scale": 6.0, "alpha": 0.1, "bias": 0.1, "weight": 1.0}[group["name"].split(".")[-1]]
            group["lr"] = lr * factor
            if not group["name"].endswith("bias"):
                with torch.no_grad():  # pytabkit has the factor of the learning rate twice
                    group["params"][0].mul_(1 - decay * lr * factor**2)
        self.optimizer.step()

    def parameters(self):
        found = {name: value.detach().numpy() for name, value in self.values.items()}
        return {name: v / np.sqrt(v.shape[1]) if name.endswith("weight") else v for name, v in found.items()}


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_recipe_agrees_with_torch(kind, function):
    net, twin = recipe(kind, function), Twin(recipe(function=function), function)
    net.fit(X, LABELS, epochs=EPOCHS, batch_size=BATCH, shuffle=False, verbose=0)
    for t in range(STEPS):
        rows = np.arange(t * BATCH, (t + 1) * BATCH) % ROWS
        twin.step(X[rows], LABELS[rows], t)
    np.testing.assert_allclose(net.forward(X), twin.outputs(X).detach(), atol=1e-9)
    expected = twin.parameters()
    for name, array in parameters_of(net).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-9, err_msg=name)


def test_the_recipe_agrees_with_pytabkit():
    """Its layers, its hyperparameter manager and its Adam, without dropout, whose masks are random."""
    pytest.importorskip("pytabkit", reason="pytabkit is not installed")
    from pytabkit.models.nn_models.activations import ParametricActivationLayer
    from pytabkit.models.nn_models.base import (
        BiasLayer,
        ScaleLayer,
        SequentialLayer,
        Variable,
        WeightLayer,
        set_hp_context,
    )
    from pytabkit.models.nn_models.nn import DropoutLayer
    from pytabkit.models.optim.optimizers import AdamOptimizer
    from pytabkit.models.training.coord import HyperparamManager

    net = recipe(dropout=0.0)
    state = net.state_dict()
    manager = HyperparamManager(
        lr=LR,
        lr_sched="coslog4",
        wd=DECAY,
        wd_sched="flat_cos",
        p_drop=DROPOUT,
        p_drop_sched="flat_cos",
        mom=0.9,
        sq_mom=0.95,
        opt_eps=1e-30,
    )

    def variable(array, lr=1.0, wd=1.0):
        return Variable(torch.tensor(array), trainable=True, hyper_factors={"lr": lr, "wd": wd})

    with set_hp_context(manager):
        layers = [ScaleLayer(variable(state["inputs.0.scale"][None, :], 6.0))]
        for l in range(len(SIZES) - 1):
            w, b = state[f"{l}.weight"].T, state[f"{l}.bias"][None, :]
            root = np.sqrt(len(w))
            layers.append(WeightLayer(variable(w * root), factor=1 / root))
            layers.append(BiasLayer(variable(b, 0.1, 0.0)))
            if l < len(SIZES) - 2:
                alpha = state[f"activations.{l}.alpha"][None, :]
                layers.append(ParametricActivationLayer(torch.selu, variable(alpha, 0.1)))
        dropout = DropoutLayer()
        module = SequentialLayer(layers)
        optimizer = AdamOptimizer([{"params": [p], "lr": 0.01} for p in module.parameters()], manager)
    learner = SimpleNamespace(progress=SimpleNamespace(get_fit_progress=lambda: t / STEPS))
    probabilities = []
    for t in range(STEPS):
        rows = np.arange(t * BATCH, (t + 1) * BATCH) % ROWS
        manager.update_hypers(learner)
        probabilities.append(dropout.hyper_getter())
        outputs = module.forward_cont(torch.from_numpy(X[rows]))
        loss = torch.nn.functional.cross_entropy(outputs, torch.from_numpy(LABELS[rows]), label_smoothing=0.1)
        optimizer.opt.zero_grad()
        loss.backward()
        optimizer.step(loss=loss)
    np.testing.assert_allclose(probabilities, FlatCos(DROPOUT, STEPS)(np.arange(STEPS)), rtol=1e-12)
    net.fit(X, LABELS, epochs=EPOCHS, batch_size=BATCH, shuffle=False, verbose=0)
    np.testing.assert_allclose(net.forward(X), module.forward_cont(torch.from_numpy(X)).detach(), atol=1e-9)
    shares = [layer.weight.detach().numpy()[0] for layer in layers if hasattr(layer, "f")]
    for l, alpha in enumerate(shares):
        np.testing.assert_allclose(net.state_dict()[f"activations.{l}.alpha"], alpha, atol=1e-10)
