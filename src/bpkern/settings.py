"""What a network is made of: the constructor's arguments, checked once for the kernels and the reference."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import checks
from ._core import ACTIVATIONS, LOSSES
from .losses import BY_NAME, Loss
from .optimizers import SGD

DTYPES = ("float32", "float64")


class FitArguments:
    """The checked arguments of `MLP.fit` that are no data."""

    def __init__(
        self,
        epochs: Any,
        batch_size: Any,
        shuffle: Any,
        validation_data: Any,
        validation_split: Any,
        n_threads: Any,
    ) -> None:
        self.epochs = checks.whole("epochs", epochs, 0)
        self.batch_size = checks.whole("batch_size", batch_size, 1)
        self.shuffle = checks.flag("shuffle", shuffle)
        self.validation_split = checks.real("validation_split", validation_split, 0.0, 1.0)
        self.n_threads = None if n_threads is None else checks.whole("n_threads", n_threads, 1)
        self.validation_data = validation_data
        if validation_data is not None:
            if self.validation_split:
                raise ValueError("give validation_data or validation_split, not both")
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("validation_data must be a pair (X, y)")


class Settings:
    """The checked arguments of `MLP`.

    Attributes
    ----------
    layers : list of int
        Sizes, input first.
    activations : list of str
        One a weight matrix: those of the hidden layers, then the output's.
    loss : str
        Its name; "custom" where it is a Python callable.
    given_loss : str, Loss or callable
        The loss as it was given.
    loss_parameters : ndarray or None
        float64 (out,), of the losses that have a parameter.
    custom_loss : callable or None
    optimizer : SGD
    dtype : numpy.dtype
    l2 : float
    label_smoothing : float
    """

    def __init__(
        self,
        layers: Sequence[int],
        activation: str | Sequence[str],
        output_activation: str,
        loss: "str | Loss | Callable[..., Any]",
        optimizer: SGD | None,
        dtype: Any,
        init: str,
        l2: float,
        label_smoothing: float = 0.0,
    ) -> None:
        self.layers = _layers(layers)
        self.activations = _activations(activation, len(self.layers) - 2)
        self.activations.append(checks.one_of("output_activation", output_activation, ACTIVATIONS))
        self.given_loss = loss
        self.loss, self.loss_parameters, self.custom_loss = _loss(loss, self.layers[-1])
        self.optimizer = SGD() if optimizer is None else optimizer
        if not isinstance(self.optimizer, SGD):
            raise TypeError(f"optimizer must be a bpkern.SGD or None, not {optimizer!r}")
        self.dtype = _dtype(dtype)
        checks.one_of("init", init, ("auto",))
        if self.loss_parameters is not None:
            _fit_in(self.dtype, self.loss_parameters)
        self.l2 = checks.real("l2", l2)
        self.label_smoothing = checks.real("label_smoothing", label_smoothing, 0.0, 1.0)
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(f"label_smoothing is for cross_entropy, not {self.loss}")
        self._checked: tuple[tuple[Any, ...], SGD] | None = None

    def step(self) -> SGD:
        """The optimiser's settings as they are now, checked and apart from the caller's."""
        given = self.optimizer
        values = given.lr, given.momentum, given.nesterov, given.weight_decay
        # The same objects as last time need no second look: checking takes longer than a small step.
        if self._checked is not None:
            before, checked = self._checked
            if all(new is old for new, old in zip(values, before, strict=True)):
                return checked
        checked = SGD(*values)
        for name in ("lr", "weight_decay"):
            checks.real(name, getattr(checked, name), 0.0, float(np.finfo(self.dtype).max))
        self._checked = values, checked
        return checked

    @property
    def has_accuracy(self) -> bool:
        """Whether the loss is one of the two cross-entropies."""
        return self.loss in ("cross_entropy", "binary_cross_entropy")

    def __repr__(self) -> str:
        hidden, output = self.activations[:-1], self.activations[-1]
        activation: str | list[str] = hidden[0] if len(set(hidden)) == 1 else hidden
        return (
            f"MLP({self.layers}, activation={activation!r}, output_activation={output!r}, "
            f"loss={self.given_loss!r}, optimizer={self.optimizer}, dtype={self.dtype.name!r}, l2={self.l2}, "
            f"label_smoothing={self.label_smoothing})"
        )


def _layers(layers: Sequence[int]) -> list[int]:
    if isinstance(layers, (str, bytes)) or not hasattr(layers, "__iter__"):
        raise TypeError(f"layers must be a sequence of sizes, input first, not {layers!r}")
    sizes = [checks.whole("a layer's size", size, 1) for size in layers]
    if len(sizes) < 2:
        raise ValueError(f"layers must name an input and an output at least, not {sizes}")
    return sizes


def _activations(activation: str | Sequence[str], hidden: int) -> list[str]:
    if isinstance(activation, str):
        return [checks.one_of("activation", activation, ACTIVATIONS)] * hidden
    if not isinstance(activation, (list, tuple)):
        raise TypeError(f"activation must be a name or a list of names, not {activation!r}")
    if len(activation) != hidden:
        raise ValueError(f"activation must name one a hidden layer, {hidden}, not {len(activation)}")
    return [checks.one_of("activation", name, ACTIVATIONS) for name in activation]


def _loss(loss: Any, outputs: int) -> tuple[str, np.ndarray | None, Callable[..., Any] | None]:
    """Name, parameters and callable of a loss, the latter two None where it has none."""
    if isinstance(loss, Loss):
        return loss.name, loss.parameters(outputs), None
    if callable(loss) and not isinstance(loss, type):
        return "custom", None, loss
    name = checks.one_of("loss", loss, LOSSES)
    return name, BY_NAME[name]().parameters(outputs) if name in BY_NAME else None, None


def _fit_in(dtype: "np.dtype[Any]", parameters: np.ndarray) -> None:
    info = np.finfo(dtype)
    for value in parameters:
        if not info.tiny <= value <= info.max:
            raise ValueError(f"the loss's parameter {value} is out of the range of {dtype.name}")


def _dtype(dtype: Any) -> "np.dtype[Any]":
    try:
        parsed: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        parsed = np.dtype(object)
    if dtype is None or parsed.name not in DTYPES or not parsed.isnative:
        raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
    return parsed
