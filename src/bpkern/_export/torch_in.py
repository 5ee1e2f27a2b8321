"""A torch.nn.Sequential as the arguments of `bpkern.MLP`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .._needs import needs
from ..activations import ELU, Activation, LeakyReLU
from .imported import Imported
from .net import FINAL

# The types of parameters that a model can have.
DTYPES = ("float32", "float64")


def read_sequential(sequential: Any, loss: Any) -> Imported:
    """The layers of a Sequential of Linear, activations and Dropout.

    A last Softmax or LogSoftmax is left out for the loss "cross_entropy", and a last Sigmoid for
    "binary_cross_entropy": these losses contain them.

    Raises
    ------
    TypeError, ValueError
        For anything else; it names the module by its place in the Sequential.
    ModuleNotFoundError
        If torch is not installed.
    """
    torch = needs("torch", "torch", "MLP.from_torch")
    if not _is_sequential(torch, sequential):
        raise TypeError(f"sequential must be a torch.nn.Sequential, not {type(sequential).__name__}")
    reader = Reader(torch)
    for name, module in _flat(torch, sequential):
        reader.add(name, module)
    return reader.result(loss)


def _is_sequential(torch: Any, module: Any) -> bool:
    """Whether a module is a Sequential that calls its modules one after the other."""
    sequential = torch.nn.Sequential
    return isinstance(module, sequential) and type(module).forward is sequential.forward


def _flat(torch: Any, sequential: Any) -> Iterator[tuple[str, Any]]:
    """The modules of nested Sequentials in order, with their names; one that stands twice comes twice."""
    for name, module in sequential.named_modules(remove_duplicate=False):
        if not _is_sequential(torch, module):
            yield name, module


class Reader:
    """Collects layers, module by module.

    After a linear layer, one activation may follow, and then one Dropout.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._weights: list[tuple[np.ndarray, np.ndarray]] = []
        self._activations: list[str | None] = []  # None until a module has said it
        self._dropout: list[float] = []
        self._bias: list[bool] = []
        self._input_dropout = 0.0
        self._final: str | None = None  # "softmax" or "sigmoid", once the function of the loss has come
        self._last = ""  # the name of the last module

    def add(self, name: str, module: Any) -> None:
        """Take the next module. Raises TypeError or ValueError."""
        nn, kind = self._torch.nn, type(module)
        self._last = name
        if self._final:
            raise ValueError(f"module {name}: nothing can follow the last {self._final}, not {module}")
        if kind is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1) and not self._weights:
            return
        if kind is nn.Identity:
            if self._weights and self._activations[-1] is None:
                self._activations[-1] = "identity"
            return
        if kind is nn.Linear:
            self._add_linear(name, module)
        elif kind is nn.Dropout and not self._weights:
            self._input_dropout = _either(self._input_dropout, float(module.p))
        elif not self._weights:
            raise ValueError(f"module {name}: the first module must be a Linear or a Dropout, not {module}")
        elif kind in (nn.Softmax, nn.LogSoftmax):
            if module.dim not in (1, -1):
                raise ValueError(f"module {name}: a Softmax must be over dim 1, not {module.dim}")
            self._final = "softmax"
        elif kind in (nn.Dropout, nn.AlphaDropout):
            self._add_dropout(name, module)
        else:
            self._add_activation(name, module)

    def _add_linear(self, name: str, module: Any) -> None:
        w = self._array(f"{name}.weight", module.weight)
        self._bias.append(module.bias is not None)
        b = np.zeros(len(w), w.dtype) if module.bias is None else self._array(f"{name}.bias", module.bias)
        if self._weights:
            before = self._weights[-1][0]
            if w.shape[1] != len(before):
                raise ValueError(f"module {name}: {module} follows a layer of {len(before)} outputs")
            if w.dtype != before.dtype:
                raise ValueError(f"module {name}: {w.dtype} follows a layer of {before.dtype}")
        if b.dtype != w.dtype:
            raise ValueError(f"module {name}: weight and bias must have the same dtype")
        self._weights.append((w, b))
        self._activations.append(None)
        self._dropout.append(0.0)

    def _array(self, name: str, parameter: Any) -> np.ndarray:
        """A copy of a parameter as an array. Raises TypeError or ValueError."""
        torch = self._torch
        # Older forms of weight and spectral normalisation compute a plain tensor only when they are called.
        if not isinstance(parameter, torch.nn.Parameter):
            raise TypeError(f"{name} must be a torch.nn.Parameter, not {type(parameter).__name__}")
        dtype = str(parameter.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise ValueError(
                f"{name} must be float32 or float64, not {dtype}: convert the module by .float()"
            )
        if parameter.is_meta or parameter.layout != torch.strided:
            raise ValueError(f"{name} must be dense, not {parameter.layout} on {parameter.device}")
        array: np.ndarray = parameter.detach().cpu().numpy().copy()
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
        return array

    def _add_dropout(self, name: str, module: Any) -> None:
        if type(module) is self._torch.nn.AlphaDropout:
            raise ValueError(f"module {name}: AlphaDropout is not the dropout of bpkern")
        self._dropout[-1] = _either(self._dropout[-1], float(module.p))
        # What follows would be applied to dropped activations.
        self._activations[-1] = self._activations[-1] or "identity"

    def _add_activation(self, name: str, module: Any) -> None:
        activation = _activation_of(self._torch.nn, module)
        if activation is None:
            raise ValueError(
                f"module {name}: {module} is not a Linear, a Dropout, a Flatten at the start, a Softmax at "
                "the end, or an activation of bpkern: Identity, ReLU, LeakyReLU and ELU with parameters of "
                "at least 0, Sigmoid, Tanh, SELU, Softplus(1), GELU, SiLU, Mish"
            )
        if self._activations[-1] is not None:
            if activation == "sigmoid" and not self._dropout[-1]:
                self._final = "sigmoid"
                return
            raise ValueError(f"module {name}: {module} follows another activation or a Dropout")
        self._activations[-1] = activation

    def result(self, loss: Any) -> Imported:
        """The arguments. Raises ValueError if the end does not fit the loss."""
        if not self._weights:
            raise ValueError("sequential must have at least one Linear")
        if self._dropout[-1]:
            raise ValueError(f"module {self._last}: a Dropout of the outputs cannot be in a model")
        if self._final and (FINAL.get(loss) if isinstance(loss, str) else None) != self._final:
            needed = next(name for name, final in FINAL.items() if final == self._final)
            raise ValueError(
                f"module {self._last}: a {self._final} after the outputs is for the loss {needed!r}, not "
                f"{loss!r}"
            )
        activations = [name or "identity" for name in self._activations]
        if activations[-1] == "sigmoid" and not self._final and loss == "binary_cross_entropy":
            activations[-1] = "identity"
        first = self._weights[0][0]
        return Imported(
            [first.shape[1], *(len(b) for _, b in self._weights)],
            activations[:-1],
            activations[-1],
            first.dtype.name,
            self._weights,
            self._dropout[:-1],
            self._bias,
            self._input_dropout,
        )


def _either(p: float, q: float) -> float:
    """The probability that at least one of two Dropouts drops; q itself, without rounding, if p is 0."""
    return 1 - (1 - p) * (1 - q) if p else q


def _with_parameter(kind: type[Activation], value: Any) -> str | None:
    """The text of an activation with this parameter, or None if it cannot have that."""
    try:
        return str(kind(value))
    except (TypeError, ValueError):
        return None


def _activation_of(nn: Any, module: Any) -> str | None:
    """The name of the activation that a module computes, or None."""
    kind = type(module)
    if kind is nn.LeakyReLU:
        return _with_parameter(LeakyReLU, module.negative_slope)
    if kind is nn.ELU:
        return _with_parameter(ELU, module.alpha)
    if kind is nn.Softplus:
        # From the threshold on torch returns z; with its own threshold, 20, that differs by 2e-9.
        return "softplus" if module.beta == 1 and module.threshold >= 20 else None
    if kind is nn.GELU:
        return {"none": "gelu", "tanh": "gelu_tanh"}.get(module.approximate)
    return {
        nn.ReLU: "relu",
        nn.Sigmoid: "sigmoid",
        nn.Tanh: "tanh",
        nn.SELU: "selu",
        nn.SiLU: "silu",
        nn.Mish: "mish",
    }.get(kind)
