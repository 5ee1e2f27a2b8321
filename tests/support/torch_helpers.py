"""PyTorch's functions for the activations and losses of bpkern, by name."""

import torch

FUNCTIONS = {
    "identity": torch.nn.Identity(),
    "relu": torch.nn.ReLU(),
    "leaky_relu": torch.nn.LeakyReLU(0.01),
    "sigmoid": torch.nn.Sigmoid(),
    "tanh": torch.nn.Tanh(),
    "elu": torch.nn.ELU(),
    "selu": torch.nn.SELU(),
    "softplus": torch.nn.Softplus(),
    "gelu": torch.nn.GELU(),
    "gelu_tanh": torch.nn.GELU(approximate="tanh"),
    "silu": torch.nn.SiLU(),
    "mish": torch.nn.Mish(),
}


def pinball(outputs, y, q=0.5):
    return torch.maximum(q * (y - outputs), (q - 1) * (y - outputs)).mean()


LOSS_FUNCTIONS = {
    "mse": torch.nn.functional.mse_loss,
    "squared_error": lambda outputs, y: 0.5 * ((outputs - y) ** 2).sum(dim=1).mean(),
    "cross_entropy": torch.nn.functional.cross_entropy,
    "binary_cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits,
    "mae": torch.nn.functional.l1_loss,
    "huber": torch.nn.functional.huber_loss,
    "quantile": pinball,
    "poisson": torch.nn.functional.poisson_nll_loss,
    "log_cosh": lambda outputs, y: torch.log(torch.cosh(outputs - y)).mean(),
    "hinge": lambda outputs, y: torch.relu(1 - y * outputs).mean(),
    "squared_hinge": lambda outputs, y: torch.relu(1 - y * outputs).square().mean(),
}
