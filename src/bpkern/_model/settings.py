"""The constructor's arguments, checked once for the kernels and the reference."""

from collections.abc import Callable, Sequence
from operator import is_
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from .._core import ACTIVATIONS, LOSSES
from ..activations import Activation, Parametric
from ..losses import BY_NAME, Loss
from ..optimizers import OPTIMIZERS, SGD, Optimizer
from ..schedules import SCHEDULES, Schedule
from .activation_texts import parsed, parts_of
from .conventions import Conventions
from .groups import plain_groups
from .initializers import AUTO, checked_init, has_arrays

if TYPE_CHECKING:
    from .input_stage import InputStage
    from .named import Named

DTYPES = ("float32", "float64")

# Of dropout.
Probability = float | Schedule


class Settings:
    """The checked arguments of `MLP`.

    Attributes
    ----------
    layers : list of int
        Sizes, input first: the number of columns of X.
    stage : InputStage or None
        What stands in front of layer 0.
    sizes : list of int
        As `layers`, with the number of inputs of layer 0 first, which the weights have. It differs from the
        number of columns if embeddings stand in front.
    activations : list of str
        One per weight matrix: those of the hidden layers, then that of the output. A text of
        `bpkern.activations`: a name, with a parameter that is not the default in parentheses. For a
        parametric activation, that of its function.
    parametric : list of (Parametric or None)
        One per hidden layer.
    extra : Named or None
        The parameters besides weights and biases: those of `stage`, and of `parametric`.
    loss : str
        The name of the loss; "custom" for a Python callable.
    given_loss : str, Loss or callable
        The loss as the constructor received it; a copy of a Loss.
    loss_parameters : ndarray of float64, shape (out,), or None
        The parameter of a loss that has one, for each output.
    custom_loss : callable or None
        The loss, if it is a Python callable.
    optimizer : Optimizer
    dtype : numpy.dtype
    init : str, list of (name, gain) or list of (W, b)
    l2, l1 : float
    dropout : list of (float or Schedule)
        One probability per hidden layer.
    input_dropout : float or Schedule
        The probability of the inputs.
    scheduled : bool
        Whether the learning rate, the weight decay or a probability changes from update to update; as of the
        last `current_optimizer`.
    label_smoothing : float
    bias : list of bool
        Whether each layer has biases.
    groups : Groups
        Not an argument; `MLP.freeze` and `MLP.set_factors` set them.
    conventions : Conventions
        Not an argument; a subclass of `MLP` that follows another library sets it.
    compressed : str or None
        Not an argument; "bfloat16" in a model made by `MLP.compress`.

    Raises
    ------
    ValueError, TypeError
        For sizes, names and numbers that are not allowed.
    """

    def __init__(
        self,
        layers: Sequence[int],
        activation: str | Activation | Sequence[str | Activation],
        output_activation: str | Activation,
        loss: "str | Loss | Callable[..., Any]",
        optimizer: Optimizer | str | None,
        dtype: Any,
        init: Any,
        l2: float,
        dropout: Probability | Sequence[Probability],
        l1: float,
        label_smoothing: float,
        bias: bool | Sequence[bool] = True,
        inputs: Any = (),
        input_dropout: Probability = 0.0,
    ) -> None:
        self.layers = _layers(layers)
        self.stage = _stage(inputs, self.layers[0])
        self.sizes = self.layers if self.stage is None else [self.stage.width, *self.layers[1:]]
        self.activations, self.parametric = _activations(activation, len(self.layers) - 2)
        self.extra = _extra(self.stage, self.parametric, self.layers)
        self.activations.append(checked_activation("output_activation", output_activation))
        self.loss, self.loss_parameters, self.custom_loss = _loss(loss, self.layers[-1])
        # A copy: the network keeps its loss parameters even if the caller changes the Loss object later.
        self.given_loss = _copied(loss) if isinstance(loss, Loss) else checked_loss(loss)
        self.optimizer = SGD() if optimizer is None else checked_optimizer(optimizer)
        self.dtype = _dtype(dtype)
        self.bias = _bias(bias, len(self.layers) - 1)
        self.groups = plain_groups(len(self.layers) - 1)
        self.init = checked_init(init, self.sizes, self.dtype, self.bias)
        for text in self.activations:
            _check_parameter(text, self.dtype)
        if self.loss_parameters is not None:
            _check_range(self.dtype, self.loss_parameters)
        self.l2 = _checks.real("l2", l2)
        self.dropout = _dropout(dropout, len(self.layers) - 2)
        self.input_dropout = _probability("input_dropout", input_dropout)
        if self.input_dropout:
            refuse_extra(self, "input_dropout", with_parametric=False)
        self.l1 = _checks.real("l1", l1)
        self.label_smoothing = _checks.real("label_smoothing", label_smoothing, 0.0, 1.0)
        if self.label_smoothing and not self.has_accuracy:
            raise ValueError(
                f"label_smoothing is for cross_entropy and binary_cross_entropy, not {self.loss}"
            )
        self.conventions = Conventions()
        self.compressed: str | None = None
        self.scheduled = False
        # The class and the settings of the optimiser at its last check, and the checked copy.
        self._checked: tuple[type, tuple[Any, ...], Optimizer] | None = None

    def __setstate__(self, state: dict[str, Any]) -> None:
        count = len(state["layers"]) - 1
        later = {  # what old pickles do not have
            "stage": None,
            "sizes": state["layers"],
            "bias": [True] * count,
            "groups": plain_groups(count),
            "input_dropout": 0.0,
            "parametric": [None] * (count - 1),
            "scheduled": False,
            "extra": state.get("stage"),
        }
        # Without a checked optimiser, the next `current_optimizer` sets `scheduled`.
        vars(self).update(later | state | {"_checked": None})

    @property
    def has_dropout(self) -> bool:
        """Whether training drops inputs or hidden activations."""
        return any(self.dropout) or bool(self.input_dropout)

    @property
    def activation_texts(self) -> list[str]:
        """As `activations`, with the texts of parametric activations."""
        given = zip(self.activations[:-1], self.parametric, strict=True)
        return [*(str(each) if each else text for text, each in given), self.activations[-1]]

    @property
    def nominal_dropout(self) -> tuple[list[float], float]:
        """As `dropout` and `input_dropout`, with a number above 0 for each schedule: for the network in C,
        whose passes get the probabilities of schedules."""
        *hidden, inputs = (
            each if isinstance(each, float) else 0.5 for each in (*self.dropout, self.input_dropout)
        )
        return hidden, inputs

    def current_optimizer(self) -> Optimizer:
        """A checked copy of the optimiser with its settings as they are now.

        Raises
        ------
        ValueError, TypeError
            For settings that are not allowed, or too large for the dtype.
        """
        kind, values = type(self.optimizer), self.optimizer.values()
        # Settings that are the same objects as last time are not checked again: a check takes longer than a
        # small training step.
        if self._checked is not None:
            kind_before, before, checked = self._checked
            if kind is kind_before and all(map(is_, values, before)):
                return checked
        checked = self.optimizer.checked_copy()
        scheduled = any(map(callable, (*self.dropout, self.input_dropout)))
        for name in ("lr", "weight_decay"):
            value = getattr(checked, name)
            if callable(value):
                scheduled = True
            else:
                _checks.real(name, value, 0.0, float(np.finfo(self.dtype).max))
        self.scheduled = scheduled
        self._checked = kind, values, checked
        return checked

    @property
    def penalised(self) -> bool:
        """Whether the loss includes a penalty on the weights."""
        return self.l1 != 0 or self.l2 != 0

    def penalty_factor(self, weight: float) -> float:
        """The factor of l1 and l2 for a batch whose rows have sample weights that sum to `weight`."""
        return 1 / weight if self.conventions.penalty_per_weight else 1.0

    @property
    def has_accuracy(self) -> bool:
        """Whether the loss is one of the two cross-entropies."""
        return self.loss in ("cross_entropy", "binary_cross_entropy")

    @property
    def has_second_sigmoid(self) -> bool:
        """Whether a sigmoid comes before the softmax or sigmoid that the loss contains."""
        return self.has_accuracy and self.activations[-1] == "sigmoid"

    def __repr__(self) -> str:
        *hidden, output = self.activation_texts
        activation: str | list[str] = hidden[0] if len(set(hidden)) == 1 else hidden
        return (
            f"MLP({self.layers}, activation={activation!r}, output_activation={output!r}, "
            f"loss={self.given_loss!r}, optimizer={self.optimizer}, dtype={self.dtype.name!r}"
            f"{self._others()})" + (f".compress({self.compressed!r})" if self.compressed else "")
        )

    def _others(self) -> str:
        """The other arguments that differ from their defaults."""
        dropout = self.dropout[0] if len(set(self.dropout)) == 1 else self.dropout
        init = "'(arrays)'" if has_arrays(self.init) else repr(self.init)
        others = {
            "init": "auto" if self.init == AUTO else init,
            "l2": self.l2,
            "dropout": dropout if any(self.dropout) else 0.0,
            "input_dropout": self.input_dropout,
            "l1": self.l1,
            "label_smoothing": self.label_smoothing,
            "inputs": 0.0 if self.stage is None else self.stage,
        }
        text = "".join(f", {name}={value}" for name, value in others.items() if value not in ("auto", 0.0))
        if not all(self.bias):
            text += f", bias={self.bias if any(self.bias) else False}"
        return text


def refuse_extra(settings: Settings, what: str, with_parametric: bool = True) -> None:
    """Raise ValueError if the model has inputs or, optionally, parametric activations, with which `what` does
    not work."""
    if with_parametric and any(settings.parametric):
        texts = ", ".join(dict.fromkeys(str(each) for each in settings.parametric if each))
        raise ValueError(f"{what} is not available for a model with parametric activations ({texts})")
    if settings.stage is not None:
        kinds = ", ".join(dict.fromkeys(type(given).__name__ for given in settings.stage.inputs))
        raise ValueError(f"{what} is not available for a model with inputs ({kinds})")


def _copied(loss: Loss) -> Loss:
    import copy  # few losses have parameters

    return copy.deepcopy(loss)


def _layers(layers: Sequence[int]) -> list[int]:
    if isinstance(layers, (str, bytes)) or not hasattr(layers, "__iter__"):
        raise TypeError(f"layers must be a sequence of sizes, input first, not {layers!r}")
    sizes = [_checks.whole("a layer's size", size, 1) for size in layers]
    if len(sizes) < 2:
        raise ValueError(f"layers must name an input and an output at least, not {sizes}")
    return sizes


def _stage(inputs: Any, columns: int) -> "InputStage | None":
    """The stage of the argument `inputs`. Raises ValueError or TypeError."""
    if isinstance(inputs, (list, tuple)) and not inputs:
        return None
    from .input_stage import checked_inputs  # few models have any

    return checked_inputs(inputs, columns)


def _activations(
    activation: str | Activation | Sequence[str | Activation], hidden: int
) -> "tuple[list[str], list[Parametric | None]]":
    """The texts of the hidden layers' functions, and the parametric activations or None."""
    if isinstance(activation, (str, Activation, type)):
        found = [_hidden_activation(activation)] * hidden
        if not hidden:
            _hidden_activation(activation)
    elif not isinstance(activation, (list, tuple)):
        raise TypeError(f"activation must be a name or a list of names, not {activation!r}")
    elif len(activation) != hidden:
        raise ValueError(f"activation must have one name per hidden layer, {hidden}, not {len(activation)}")
    else:
        found = [_hidden_activation(each) for each in activation]
    return [text for text, _ in found], [parametric for _, parametric in found]


def _hidden_activation(given: Any) -> "tuple[str, Parametric | None]":
    """The text of the function of an activation, and the activation itself if it is parametric."""
    if isinstance(given, str):
        given = parsed(_checks.as_str(given)) or given
    if not isinstance(given, Parametric):
        return checked_activation("activation", given), None
    given.check()
    text = checked_activation("activation", given.function)
    return text, Parametric(text, float(given.lr_factor), float(given.decay_factor))


def _extra(
    stage: "InputStage | None", parametric: "Sequence[Parametric | None]", layers: list[int]
) -> "Named | None":
    if not any(parametric):
        return stage
    from .extra import Shares  # few models have any

    return Shares(stage, parametric, layers)


def checked_activation(argument: str, given: Any) -> str:
    """The text of an activation: a name, or a name with its parameter (`bpkern.activations`).

    Raises ValueError or TypeError for anything else.
    """
    if isinstance(given, type) and issubclass(given, Activation):
        raise TypeError(f"{argument} must be an instance, as in {given.__name__}(), not {given!r}")
    if isinstance(given, str) and "(" in given:
        given = parsed(_checks.as_str(given)) or given
    if isinstance(given, Parametric):
        raise ValueError(f"{argument} must not be parametric here, only in the hidden layers of MLP: {given}")
    if isinstance(given, Activation):
        given = str(given)
        return _checks.one_of(argument, parts_of(given)[0], ACTIVATIONS) and given
    return _checks.one_of(argument, given, ACTIVATIONS)


def _check_parameter(activation: str, dtype: "np.dtype[Any]") -> None:
    """Raise ValueError unless the parameter of an activation, if any, is 0 or normal in this dtype."""
    value = parts_of(activation)[1]
    if not value:
        return
    info = np.finfo(dtype)
    if not float(info.tiny) <= value <= float(info.max):  # NumPy's float32 would overflow
        raise ValueError(f"the parameter of {activation} is out of the range of {dtype.name}")


def _loss(loss: Any, outputs: int) -> tuple[str, np.ndarray | None, Callable[..., Any] | None]:
    """Name of the loss; its parameter (outputs,) or None; the callable or None."""
    loss = checked_loss(loss)
    if isinstance(loss, Loss):
        return _checks.one_of("loss", loss.name, tuple(BY_NAME)), _parameters(loss, outputs), None
    if not isinstance(loss, str):
        return "custom", None, loss
    return loss, BY_NAME[loss]().parameters(outputs) if loss in BY_NAME else None, None


def _parameters(loss: Loss, outputs: int) -> np.ndarray:
    """A copy of the loss's parameters, float64 (outputs,). ValueError for another shape: C reads one each."""
    parameters = np.array(loss.parameters(outputs), np.float64, order="C")
    if parameters.shape != (outputs,):
        raise ValueError(
            f"parameters of {loss!r} must return one number per output, ({outputs},), not shape "
            f"{parameters.shape}"
        )
    return parameters


def _check_range(dtype: "np.dtype[Any]", parameters: np.ndarray) -> None:
    """Raise ValueError unless each parameter of the loss is a finite normal number above 0 in this dtype."""
    info = np.finfo(dtype)
    for value in parameters:
        if not info.tiny <= value <= info.max:
            raise ValueError(f"the loss's parameter {value} is out of the range of {dtype.name}")


def _probability(name: str, value: Any) -> Probability:
    """A checked probability, or a schedule of one. Raises ValueError or TypeError."""
    if isinstance(value, Schedule) and type(value) in SCHEDULES.values():
        _checks.fraction(f"{name}={value!r}, at iteration 0,", value(0))
        return value
    if callable(value):
        raise TypeError(
            f"{name} must be a probability or a schedule, one of {', '.join(SCHEDULES)}, not {value!r}"
        )
    return _checks.fraction(name, value)


def _dropout(dropout: Probability | Sequence[Probability], hidden: int) -> list[Probability]:
    if isinstance(dropout, (list, tuple)):
        if len(dropout) != hidden:
            raise ValueError(
                f"dropout must have one probability per hidden layer, {hidden}, not {len(dropout)}"
            )
        return [_probability("dropout", each) for each in dropout]
    return [_probability("dropout", dropout)] * hidden


def _bias(bias: bool | Sequence[bool], count: int) -> list[bool]:
    if not isinstance(bias, (list, tuple)):
        return [_checks.flag("bias", bias)] * count
    if len(bias) != count:
        raise ValueError(f"bias must have one flag per layer, the output included, {count}, not {len(bias)}")
    return [_checks.flag("bias", each) for each in bias]


def checked_loss(loss: Any) -> Any:
    """`loss` itself, a name as a plain str. Raises ValueError or TypeError if it is not a loss.

    Whether a parameter of the loss fits the number of outputs is not checked here.
    """
    if isinstance(loss, Loss) or (callable(loss) and not isinstance(loss, type)):
        return loss
    if not isinstance(loss, str):
        raise TypeError(
            f"loss must be a name, one of {', '.join(LOSSES)}, a loss of bpkern.losses, or a function of "
            f"(outputs, y), not {loss!r}"
        )
    return _checks.one_of("loss", loss, LOSSES)


def checked_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer` itself, or a new one with default settings for the name of a rule, such as "adam".

    Raises TypeError if it is neither, and ValueError for an unknown name.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        kind: Any = OPTIMIZERS[_checks.one_of("optimizer", optimizer, tuple(OPTIMIZERS))]
        made: Optimizer = kind()
        return made
    kinds = ", ".join(kind.__name__ for kind in OPTIMIZERS.values())
    is_class = isinstance(optimizer, type) and issubclass(optimizer, Optimizer)
    hint = f": give an instance, as in {optimizer.__name__}()" if is_class else ""
    raise TypeError(
        f"optimizer must be one of bpkern's {kinds}, a name such as 'adam', or None, not {optimizer!r}{hint}"
    )


def _dtype(dtype: Any) -> "np.dtype[Any]":
    """float32 or float64 in native byte order. Raises ValueError for any other."""
    try:
        parsed: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        parsed = np.dtype(object)
    if dtype is None or parsed.name not in DTYPES or not parsed.isnative:
        raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
    return parsed
