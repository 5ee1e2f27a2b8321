"""Freezing, factors and layers without biases as in PyTorch: requires_grad, parameter groups, bias=False."""

import copy

import numpy as np
import pytest

import bpkern

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

WIDTHS, ROWS, BATCH = [6, 11, 8, 4], 60, 10
FROZEN = [0, 3, 4]  # by the numbers of W0, b0, W1, b1, ...
FACTORS = [(1.0, 1.0), (1.0, 1.0), (0.3, 0.0), (1.0, 1.0), (1.0, 1.0), (2.0, 3.0)]

OPTIMIZERS = {
    "sgd": (bpkern.SGD(0.1, 0.9, weight_decay=0.05), torch.optim.SGD, {"momentum": 0.9}),
    "rmsprop": (bpkern.RMSprop(0.01, weight_decay=0.05), torch.optim.RMSprop, {}),
    "adagrad": (bpkern.Adagrad(0.1, weight_decay=0.05), torch.optim.Adagrad, {}),
    "adam": (bpkern.Adam(0.01, weight_decay=0.05), torch.optim.Adam, {}),
    "adamw": (bpkern.AdamW(0.01, weight_decay=0.05), torch.optim.AdamW, {}),
}


def rows():
    rng = np.random.default_rng(5)
    return rng.standard_normal((ROWS, WIDTHS[0])), rng.standard_normal((ROWS, WIDTHS[-1]))


def flat(weights):
    return [array for pair in weights for array in pair]


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_frozen_and_scaled_groups_train_as_in_torch(name, clip):
    own, kind, options = OPTIMIZERS[name]
    x, y = rows()
    model = bpkern.MLP(
        WIDTHS, activation="tanh", loss="mse", optimizer=copy.copy(own), dtype="float64", seed=0
    )
    twin = bpkern.export.to_torch(model)
    for i, parameter in enumerate(twin.parameters()):
        if i in FROZEN:
            parameter.requires_grad_(False)
            model.freeze(i // 2, weights=i % 2 == 0, biases=i % 2 == 1)
        lr, decay = FACTORS[i]
        model.set_factors(i // 2, lr=lr, weight_decay=decay, weights=i % 2 == 0, biases=i % 2 == 1)
    groups = [
        {"params": [p], "lr": own.lr * lr, "weight_decay": own.weight_decay * decay}
        for p, (lr, decay) in zip(twin.parameters(), FACTORS, strict=True)
    ]
    optimizer = kind(groups, **options)
    model.fit(x, y, epochs=3, batch_size=BATCH, shuffle=False, clip_norm=clip)
    for _ in range(3):
        for start in range(0, ROWS, BATCH):
            part = slice(start, start + BATCH)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(
                twin(torch.from_numpy(x[part])), torch.from_numpy(y[part])
            ).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(twin.parameters(), clip)
            optimizer.step()
    for new, other in zip(flat(model.get_weights()), twin.parameters(), strict=True):
        np.testing.assert_allclose(new, other.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_layers_without_biases_go_out_and_come_back():
    x, _ = rows()
    model = bpkern.MLP(WIDTHS, bias=[False, True, False], loss="mse", dtype="float64", seed=0)
    sequential = bpkern.export.to_torch(model)
    assert [module.bias is not None for module in sequential if isinstance(module, torch.nn.Linear)] == [
        False,
        True,
        False,
    ]
    np.testing.assert_allclose(
        sequential(torch.from_numpy(x)).detach().numpy(), model.forward(x), rtol=1e-12, atol=1e-13
    )
    model.load_state_dict(sequential.state_dict())
    again = bpkern.MLP.from_torch(sequential, loss="mse")
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(map(np.array_equal, flat(again.get_weights()), flat(model.get_weights())))
