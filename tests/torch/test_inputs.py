"""The inputs in front of layer 0 against PyTorch: Embedding, and RealMLP's layers in its operations."""

import numpy as np
import pytest

import bpkern
from bpkern import reference
from bpkern.inputs import CategoryEmbedding, NumericEmbedding, Scale

pytest.importorskip("torch", reason="PyTorch is not installed")

import torch

ROWS, BATCH = 120, 12
INPUTS = [
    NumericEmbedding(lr_factor=0.1, decay_factor=0.5),
    CategoryEmbedding(2, 7, dim=5),
    Scale(lr_factor=6.0, decay_factor=2.0),
]

OPTIMIZERS = [
    (bpkern.SGD(0.05, momentum=0.9, weight_decay=0.1), torch.optim.SGD, {"momentum": 0.9}),
    (bpkern.RMSprop(0.01, weight_decay=0.1), torch.optim.RMSprop, {}),
    (bpkern.Adagrad(0.05, weight_decay=0.1), torch.optim.Adagrad, {}),
    (bpkern.Adam(0.01, betas=(0.9, 0.95), weight_decay=0.1), torch.optim.Adam, {"betas": (0.9, 0.95)}),
    (bpkern.AdamW(0.01, weight_decay=0.1), torch.optim.AdamW, {}),
]


class Twin(torch.nn.Module):
    """The same network in PyTorch: columns 0 and 1 are numbers, column 2 is a category."""

    def __init__(self, state):
        super().__init__()
        values = {name.replace(".", "_"): torch.from_numpy(a.copy()) for name, a in state.items()}
        self.table = torch.nn.Embedding.from_pretrained(values.pop("inputs_1_weight"), freeze=False)
        for name, value in values.items():
            self.register_parameter(f"p_{name}", torch.nn.Parameter(value))

    def forward(self, x):
        numbers = x[:, :2].T.unsqueeze(-1)  # (columns, n, 1)
        angle = 2 * torch.pi * numbers @ self.p_inputs_0_weight_1.unsqueeze(1)
        h = torch.cos(angle + self.p_inputs_0_bias_1.unsqueeze(1))
        linear = h @ self.p_inputs_0_weight_2 + self.p_inputs_0_bias_2.unsqueeze(1)
        dense = torch.cat([linear, numbers], dim=-1).transpose(0, 1).flatten(1)
        a = torch.cat([dense, self.table(x[:, 2].long())], dim=1) * self.p_inputs_2_scale
        a = torch.tanh(a @ self.p_0_weight.T + self.p_0_bias)
        return a @ self.p_1_weight.T + self.p_1_bias

    def groups(self, lr, decay):
        """Parameter groups with the factors of INPUTS."""
        for name, parameter in self.named_parameters():
            number = {"table": 1, "p_inputs_0": 0, "p_inputs_2": 2}
            found = [n for start, n in number.items() if name.startswith(start)]
            one = INPUTS[found[0]] if found else None
            yield {
                "params": [parameter],
                "lr": lr * (one.lr_factor if one else 1),
                "weight_decay": decay * (one.decay_factor if one else 1),
            }


@pytest.mark.parametrize("kind", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize(("optimizer", "theirs", "options"), OPTIMIZERS, ids=lambda value: str(value)[:12])
def test_training_agrees_with_torch(kind, optimizer, theirs, options):
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(ROWS, 2)), rng.integers(0, 7, ROWS)]
    y = rng.normal(size=(ROWS, 2))
    arguments = {"activation": "tanh", "loss": "mse", "optimizer": optimizer, "dtype": "float64", "seed": 0}
    initial = bpkern.MLP([3, 8, 2], inputs=INPUTS, **arguments).state_dict()
    net = kind([3, 8, 2], inputs=INPUTS, **arguments)
    twin = Twin(initial)
    torch_optimizer = theirs(list(twin.groups(optimizer.lr, optimizer.weight_decay)), **options)
    net.fit(X, y, epochs=2, batch_size=BATCH, shuffle=False, verbose=0)
    for _ in range(2):
        for start in range(0, ROWS, BATCH):
            rows = slice(start, start + BATCH)
            torch_optimizer.zero_grad()
            outputs = twin(torch.from_numpy(X[rows]))
            torch.nn.functional.mse_loss(outputs, torch.from_numpy(y[rows])).backward()
            torch_optimizer.step()
    np.testing.assert_allclose(net.forward(X), twin(torch.from_numpy(X)).detach(), atol=1e-11)
    found = net.state_dict() if kind is bpkern.MLP else net.get_inputs()
    expected = {name.removeprefix("p_"): p.detach().numpy() for name, p in twin.named_parameters()}
    for name, array in found.items():
        other = expected["table.weight" if name == "inputs.1.weight" else name.replace(".", "_")]
        np.testing.assert_allclose(array, other, atol=1e-11, err_msg=name)
