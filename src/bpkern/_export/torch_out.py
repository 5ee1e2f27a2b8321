"""A network as a torch.nn.Sequential, and its parameters by the names that this Sequential has."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .._model.activation_texts import parts_of
from .._needs import needs
from .net import Net, layer_positions, unscaled

# The slope of leaky_relu for negative z.
SLOPE = 0.01


def sequential(net: Net, logits: bool) -> Any:
    """As `bpkern.export.to_torch`."""
    torch = needs("torch", "torch", "to_torch")
    net = unscaled(net)
    nn, modules = torch.nn, []
    dropout, of_inputs = net.probabilities()
    if of_inputs:
        modules.append(nn.Dropout(of_inputs))
    for l, (w, b) in enumerate(net.weights):
        # On "meta" nothing is allocated or drawn from torch's generator.
        kind, has_bias = getattr(torch, net.dtype.name), net.has_bias(l)
        linear = nn.Linear(w.shape[1], w.shape[0], bias=has_bias, dtype=kind, device="meta")
        linear.weight = nn.Parameter(torch.from_numpy(w.copy()))
        if has_bias:
            linear.bias = nn.Parameter(torch.from_numpy(b.copy()))
        last = l == len(net.weights) - 1
        modules.append(linear)
        if not (last and net.activations[l] == "identity"):
            modules.append(_activation(nn, net.activations[l]))
        if not last and dropout[l]:
            modules.append(nn.Dropout(dropout[l]))
    if not logits and net.final != "identity":
        modules.append(_final(nn, net.final))
    return nn.Sequential(*modules).eval()


def _activation(nn: Any, activation: str) -> Any:
    """The module of an activation, with the parameters of this package's definition."""
    name, parameter = parts_of(activation)
    if parameter is not None:
        return {"leaky_relu": nn.LeakyReLU, "elu": nn.ELU}[name](parameter)
    return {
        "identity": nn.Identity,
        "relu": nn.ReLU,
        "leaky_relu": lambda: nn.LeakyReLU(SLOPE),
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "elu": nn.ELU,
        "selu": nn.SELU,
        # From the threshold on torch returns z; its own threshold, 20, differs by 2e-9.
        "softplus": lambda: nn.Softplus(threshold=40),
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "silu": nn.SiLU,
        "mish": nn.Mish,
    }[name]()


def _final(nn: Any, name: str) -> Any:
    """The module of what follows the outputs."""
    if name == "exp":
        raise ValueError(
            "torch has no module for the exponential of the poisson loss: logits=True leaves it out, and "
            "the rates are then torch.exp(sequential(x))"
        )
    return nn.Softmax(dim=1) if name == "softmax" else nn.Sigmoid()


def named_parameters(net: Net) -> dict[str, np.ndarray]:
    """The parameters by the names of the state dict of `sequential(net)`."""
    net, found = unscaled(net), {}
    for l, (position, (w, b)) in enumerate(zip(layer_positions(net), net.weights, strict=True)):
        found[f"{position}.weight"] = w
        if net.has_bias(l):
            found[f"{position}.bias"] = b
    return found
