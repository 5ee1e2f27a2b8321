"""RealMLP's recipe "td" against PyTorch in float64, by the formulas of its paper and of pytabkit.

Weights are in the NTK parametrisation, rates and decays are those of docs/design-inputs.md, and dropout is 0,
because its masks are random.
"""

import math

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch
from torch.nn import functional

from bpkern._table import recipes
from bpkern._table.recipes import OF_CLASSES, OF_VALUES, Shape, new_network

UPDATES, ROWS = 14, 50
NUMBERS, CODES = 2, {3: 12}  # columns 0 and 1 are numbers, 2 is one-hot, 3 holds codes


def factors_of(name):
    """The factors of the learning rate and of the decay, as pytabkit's fitters have them."""
    if name.endswith(".bias"):
        return 0.1, 0.0
    if name.endswith(".alpha") or ".weight_" in name or ".bias_" in name:
        return 0.1, 1.0
    return (6.0, 1.0) if name.endswith(".scale") else (1.0, 1.0)


class Published:
    def __init__(self, state, activation):
        self.activation = activation
        self.layers = sum(name.endswith(".bias") for name in state)
        self.p = {}
        for name, array in state.items():
            value = torch.tensor(np.asarray(array, np.float64))
            if name.endswith(".weight") and not name.startswith("inputs"):
                value *= math.sqrt(value.shape[1])
            self.p[name] = value.requires_grad_()

    def __call__(self, x):
        p, numbers = self.p, x[:, :NUMBERS]
        z = torch.cos(2 * torch.pi * numbers[:, :, None] * p["inputs.0.weight_1"] + p["inputs.0.bias_1"])
        e = torch.einsum("nch,chd->ncd", z, p["inputs.0.weight_2"]) + p["inputs.0.bias_2"]
        dense = torch.cat([e, numbers[:, :, None]], dim=2).flatten(1)
        category = p["inputs.1.weight"][x[:, 3].long()]
        a = torch.cat([dense, x[:, 2:3], category], dim=1) * p["inputs.2.scale"]
        for l in range(self.layers):
            v = p[f"{l}.weight"]
            a = a @ v.T / math.sqrt(v.shape[1]) + p[f"{l}.bias"]
            if l < self.layers - 1:
                a = a + p[f"activations.{l}.alpha"] * (self.activation(a) - a)
        return a

    def state(self):
        found = {name: value.detach().numpy().copy() for name, value in self.p.items()}
        for l in range(self.layers):
            found[f"{l}.weight"] = found[f"{l}.weight"] / math.sqrt(found[f"{l}.weight"].shape[1])
        return found

    def train(self, x, y, loss, highest):
        groups = [{"params": [value], "name": name} for name, value in self.p.items()]
        adam = torch.optim.Adam(groups, lr=0.0, betas=(0.9, 0.95))
        for update in range(UPDATES):
            t = update / UPDATES
            lr = highest * (1 - math.cos(2 * math.pi * math.log2(1 + 15 * t))) / 2
            decay = 0.02 * (1 if t < 0.5 else (1 + math.cos(math.pi * (2 * t - 1))) / 2)
            adam.zero_grad()
            loss(self(x), y).backward()
            for group in adam.param_groups:
                factor, of_decay = factors_of(group["name"])
                group["lr"] = lr * factor
                with torch.no_grad():
                    group["params"][0] *= 1 - decay * lr * of_decay**2 * factor**2
            adam.step()


@pytest.mark.parametrize(
    ("recipe", "name", "highest", "activation", "loss"),
    [
        (
            OF_CLASSES["td"],
            "cross_entropy",
            0.04,
            functional.selu,
            lambda z, y: functional.cross_entropy(z, y, label_smoothing=0.1),
        ),
        (OF_VALUES["td"], "mse", 0.2, functional.mish, lambda z, y: functional.mse_loss(z[:, 0], y)),
    ],
    ids=["classes", "values"],
)
def test_td_trains_as_published(monkeypatch, recipe, name, highest, activation, loss):
    monkeypatch.setattr(recipes, "DROPOUT", 0.0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 4))
    x[:, 2], x[:, 3] = rng.integers(0, 2, ROWS), rng.integers(0, 12, ROWS)
    classes = name == "cross_entropy"
    y = rng.integers(0, 3, ROWS) if classes else rng.normal(size=ROWS)
    shape = Shape(4, 3 if classes else 1, (7, 6, 8), name, NUMBERS, CODES)
    model = new_network(recipe, shape, UPDATES, rng, x)
    published = Published(model.state_dict(), activation)
    before = published.state()
    model.fit(x, y, epochs=UPDATES, batch_size=ROWS, verbose=0, n_threads=1)
    published.train(torch.tensor(x), torch.tensor(y), loss, highest)
    expected = published.state()
    for key, value in model.state_dict().items():
        assert np.abs(expected[key] - before[key]).max() > 1e-3
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=5e-3, err_msg=key)


def test_initial_weights_of_td():
    """Units have the deviation 1, and bend among the rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)) * [1, 5, 1, 0] + [0, 3, 0, 0]
    x[:, 3] = rng.integers(0, 12, 400)
    model = new_network(OF_VALUES["td"], Shape(4, 1, (64, 64), "mse", NUMBERS, CODES), 9, rng, x)
    state = model.state_dict()
    assert all((state[f"activations.{l}.alpha"] == 1).all() for l in range(2))
    x = torch.tensor(x)
    published = Published(state, functional.mish)
    published.layers = 1  # the sums of the first layer
    sums = published(x).detach().numpy()
    np.testing.assert_allclose(sums.std(axis=0), 1, rtol=1e-3)
    assert ((sums > 0).any(axis=0) & (sums < 0).any(axis=0)).all()
