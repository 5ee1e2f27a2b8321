"""What a network is made of: the constructor's arguments, checked once for the kernels and the reference."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import _checks
from .._core import ACTIVATIONS, LOSSES
from ..losses import BY_NAME, Loss
from ..optimizers import OPTIMIZERS, SGD, Optimizer
from .conventions import Conventions
from .initializers import checked_init

DTYPES = ("float32", "float64")


class FitArguments:
    """The checked arguments of `MLP.fit` that are no data."""

    def __init__(
        self,
        *,
        epochs: Any = 1,
        batch_size: Any = 32,
        shuffle: Any = True,
        validation_data: Any = None,
        validation_split: Any = 0.0,
        clip_norm: Any = None,
        clip_value: Any = None,
        accumulate: Any = 1,
        ema: Any = None,
        checkpoint: Any = None,
        checkpoint_every: Any = 1,
        resume: Any = False,
        n_threads: Any = None,
    ) -> None:
        self.epochs = _checks.whole("epochs", epochs, 0)
        self.batch_size = _checks.whole("batch_size", batch_size, 1)
        self.shuffle = _checks.flag("shuffle", shuffle)
        self.validation_split = _checks.real("validation_split", validation_split, 0.0, 1.0)
        self.clip_norm = limit("clip_norm", clip_norm)
        self.clip_value = limit("clip_value", clip_value)
        # More mini-batches than anybody lives to see are as good as all of an epoch, and C counts them.
        self.accumulate = min(_checks.whole("accumulate", accumulate, 1), 2**62)
        self.ema = None if ema is None else _checks.real("ema", ema, 0.0, 1.0)
        self.checkpoint = None if checkpoint is None else _checks.path("checkpoint", checkpoint)
        self.checkpoint_every = _checks.whole("checkpoint_every", checkpoint_every, 1)
        self.resume = _checks.flag("resume", resume)
        if self.resume and checkpoint is None:
            raise ValueError("resume needs the checkpoint to resume from, and checkpoint is None")
        self.n_threads = None if n_threads is None else _checks.whole("n_threads", n_threads, 1)
        self.validation_data = validation_data
        if validation_data is not None:
            if self.validation_split:
                raise ValueError("give validation_data or validation_split, not both")
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
                given = type(validation_data).__name__
                if isinstance(validation_data, (tuple, list)):
                    given += f" of {len(validation_data)}"
                raise ValueError(f"validation_data must be (X, y) or (X, y, sample_weight), not a {given}")


def limit(name: str, value: Any) -> float | None:
    """`value` as a number above 0; None is no limit."""
    if value is None:
        return None
    number = _checks.real(name, value)
    if number == 0:
        raise ValueError(f"{name} must be above 0, not {value}")
    return number


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
        The loss as it was when it was given.
    loss_parameters : ndarray or None
        float64 (out,), of the losses that have a parameter.
    custom_loss : callable or None
    optimizer : Optimizer
    dtype : numpy.dtype
    init : str or list of (W, b)
    l2, l1 : float
    dropout : list of float
        One a hidden layer.
    label_smoothing : float
    conventions : Conventions
        Not an argument: what a subclass of `MLP` that follows another library has put there.
    """

    def __init__(
        self,
        layers: Sequence[int],
        activation: str | Sequence[str],
        output_activation: str,
        loss: "str | Loss | Callable[..., Any]",
        optimizer: Optimizer | None,
        dtype: Any,
        init: Any,
        l2: float,
        dropout: float | Sequence[float],
        l1: float,
        label_smoothing: float,
    ) -> None:
        self.layers = _layers(layers)
        self.activations = _activations(activation, len(self.layers) - 2)
        self.activations.append(_checks.one_of("output_activation", output_activation, ACTIVATIONS))
        self.loss, self.loss_parameters, self.custom_loss = _loss(loss, self.layers[-1])
        # The network has parameters of its own: a loss that is changed later is no longer this one.
        self.given_loss = copy.deepcopy(loss) if isinstance(loss, Loss) else loss
        self.optimizer = SGD() if optimizer is None else checked_optimizer(optimizer)
        self.dtype = _dtype(dtype)
        self.init = checked_init(init, self.layers, self.dtype)
        if self.loss_parameters is not None:
            _fit_in(self.dtype, self.loss_parameters)
        self.l2 = _checks.real("l2", l2)
        self.dropout = _dropout(dropout, len(self.layers) - 2)
        self.l1 = _checks.real("l1", l1)
        self.label_smoothing = _checks.real("label_smoothing", label_smoothing, 0.0, 1.0)
        if self.label_smoothing and self.loss != "cross_entropy":
            raise ValueError(f"label_smoothing is for cross_entropy, not {self.loss}")
        self.conventions = Conventions()
        self._checked: tuple[type, tuple[Any, ...], Optimizer] | None = None

    def step(self) -> Optimizer:
        """The optimiser's settings as they are now, checked and apart from the caller's."""
        kind, values = type(self.optimizer), self.optimizer.values()
        # The same objects as last time need no second look: checking takes longer than a small step.
        if self._checked is not None:
            kind_before, before, checked = self._checked
            if kind is kind_before and all(new is old for new, old in zip(values, before, strict=True)):
                return checked
        checked = self.optimizer.checked_copy()
        for name in ("lr", "weight_decay"):
            value = getattr(checked, name)
            if not callable(value):
                _checks.real(name, value, 0.0, float(np.finfo(self.dtype).max))
        self._checked = kind, values, checked
        return checked

    @property
    def penalised(self) -> bool:
        """Whether the loss has a penalty on the weights."""
        return self.l1 != 0 or self.l2 != 0

    def penalty_part(self, weight: float) -> float:
        """What the penalties are multiplied by where the rows have that weight in sum."""
        return 1 / weight if self.conventions.penalty_per_weight else 1.0

    @property
    def has_accuracy(self) -> bool:
        """Whether the loss is one of the two cross-entropies."""
        return self.loss in ("cross_entropy", "binary_cross_entropy")

    def __repr__(self) -> str:
        hidden, output = self.activations[:-1], self.activations[-1]
        activation: str | list[str] = hidden[0] if len(set(hidden)) == 1 else hidden
        return (
            f"MLP({self.layers}, activation={activation!r}, output_activation={output!r}, "
            f"loss={self.given_loss!r}, optimizer={self.optimizer}, dtype={self.dtype.name!r}"
            f"{self._others()})"
        )

    def _others(self) -> str:
        """The rest, where it is not as by default: most of it is nothing to most models."""
        dropout = self.dropout[0] if len(set(self.dropout)) == 1 else self.dropout
        init = self.init if isinstance(self.init, str) else "(arrays)"
        others = {
            "init": init if init == "auto" else repr(init),
            "l2": self.l2,
            "dropout": dropout if any(self.dropout) else 0.0,
            "l1": self.l1,
            "label_smoothing": self.label_smoothing,
        }
        return "".join(f", {name}={value}" for name, value in others.items() if value not in ("auto", 0.0))


def _layers(layers: Sequence[int]) -> list[int]:
    if isinstance(layers, (str, bytes)) or not hasattr(layers, "__iter__"):
        raise TypeError(f"layers must be a sequence of sizes, input first, not {layers!r}")
    sizes = [_checks.whole("a layer's size", size, 1) for size in layers]
    if len(sizes) < 2:
        raise ValueError(f"layers must name an input and an output at least, not {sizes}")
    return sizes


def _activations(activation: str | Sequence[str], hidden: int) -> list[str]:
    if isinstance(activation, str):
        return [_checks.one_of("activation", activation, ACTIVATIONS)] * hidden
    if not isinstance(activation, (list, tuple)):
        raise TypeError(f"activation must be a name or a list of names, not {activation!r}")
    if len(activation) != hidden:
        raise ValueError(f"activation must name one a hidden layer, {hidden}, not {len(activation)}")
    return [_checks.one_of("activation", name, ACTIVATIONS) for name in activation]


def _loss(loss: Any, outputs: int) -> tuple[str, np.ndarray | None, Callable[..., Any] | None]:
    """Name, parameters and callable of a loss, the latter two None where it has none."""
    checked_loss(loss)
    if isinstance(loss, Loss):
        return loss.name, loss.parameters(outputs), None
    if not isinstance(loss, str):
        return "custom", None, loss
    return loss, BY_NAME[loss]().parameters(outputs) if loss in BY_NAME else None, None


def _fit_in(dtype: "np.dtype[Any]", parameters: np.ndarray) -> None:
    info = np.finfo(dtype)
    for value in parameters:
        if not info.tiny <= value <= info.max:
            raise ValueError(f"the loss's parameter {value} is out of the range of {dtype.name}")


def _dropout(dropout: float | Sequence[float], hidden: int) -> list[float]:
    if isinstance(dropout, (list, tuple)):
        if len(dropout) != hidden:
            raise ValueError(f"dropout must name one a hidden layer, {hidden}, not {len(dropout)}")
        return [_checks.fraction("dropout", each) for each in dropout]
    return [_checks.fraction("dropout", dropout)] * hidden


def checked_loss(loss: Any) -> Any:
    """`loss`, where it is one for some number of outputs."""
    if isinstance(loss, Loss) or (callable(loss) and not isinstance(loss, type)):
        return loss
    if not isinstance(loss, str):
        raise TypeError(
            f"loss must be a name, one of {', '.join(LOSSES)}, a loss of bpkern.losses, or a function of "
            f"(outputs, y), not {loss!r}"
        )
    return _checks.one_of("loss", loss, LOSSES)


def checked_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer`, where it is one."""
    if not isinstance(optimizer, Optimizer):
        kinds = ", ".join(kind.__name__ for kind in OPTIMIZERS.values())
        raise TypeError(f"optimizer must be None or one of bpkern's {kinds}, not {optimizer!r}")
    return optimizer


def _dtype(dtype: Any) -> "np.dtype[Any]":
    try:
        parsed: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        parsed = np.dtype(object)
    if dtype is None or parsed.name not in DTYPES or not parsed.isnative:
        raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
    return parsed
