"""The activations that have parameters, for ``MLP(activation=...)``. The kernels compute them.

A layer's activation is kept as a text: a name alone, or with a parameter that is not the default, as in
"leaky_relu(0.2)". `MLP` takes these texts, too; models show them, and files hold them.
"""

from typing import ClassVar

from . import _checks
from ._arguments import proposes_arguments
from ._model.groups import MOST_FACTOR
from ._slots import Slotted

__all__ = ["ELU", "Activation", "LeakyReLU", "Parametric"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


class Activation(Slotted):
    """The base class of activations with a parameter. ``__slots__`` of a subclass names the parameter.

    Parameters
    ----------
    parameter : float
        Under a name of its own in each subclass.

    Attributes
    ----------
    name : str
        The name of the activation with its default parameter, as for ``MLP(activation=...)``.
    """

    __slots__: tuple[str, ...] = ()

    name: ClassVar[str]
    _default: ClassVar[float]

    def __init__(self, parameter: float) -> None:
        """Every subclass has one parameter, of its own name."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ValueError or TypeError if the present parameter is not allowed."""
        [(argument, value)] = self.settings().items()
        _checks.real(argument, value)

    def __str__(self) -> str:
        """The text of the activation: "leaky_relu(0.2)", or "leaky_relu" for the default."""
        self.check()
        [value] = self.settings().values()
        return self.name if value == self._default else f"{self.name}({float(value)!r})"


class LeakyReLU(Activation):
    """The function z above 0 and ``slope * z`` below, as ``torch.nn.LeakyReLU``.

    The derivative at 0 is the slope. The activation named "leaky_relu" is ``LeakyReLU()``. Other slopes are
    computed after the product of the layer, not in it, and with the derivatives, which take memory as those
    of gelu do.

    Parameters
    ----------
    slope : float
        At least 0.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ("slope",)

    name = "leaky_relu"
    _default = 0.01

    @proposes_arguments("LeakyReLU")
    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope
        self.check()


class ELU(Activation):
    """The function z above 0 and ``alpha * (exp(z) - 1)`` below, as ``torch.nn.ELU``.

    The derivative at 0 is alpha. The activation named "elu" is ``ELU()``. Other values are computed as other
    slopes of `LeakyReLU`.

    Parameters
    ----------
    alpha : float
        At least 0.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ("alpha",)

    name = "elu"
    _default = 1.0

    @proposes_arguments("ELU")
    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha
        self.check()


class Parametric(Activation):
    """A trained share of an activation: ``z + alpha * (f(z) - z)``, with one alpha per unit, initially 1.

    It is RealMLP's activation (Holzmüller et al., 2024). The shares are trained with the weights, by the
    optimiser of the model, and without its penalties l1 and l2. They are "activations.0.alpha", of the shape
    (units,), and so on in `MLP.state_dict`. Only hidden layers have them, and `MLP.compress`, `MLP.trace`,
    exports to torch and safetensors, fits with `shards` or `comm`, and the estimators refuse them.

    Parameters
    ----------
    function : str or activation of `bpkern.activations`
        The activation f.
    lr_factor, decay_factor : float
        At least 0. They multiply the learning rate and the weight decay of the optimiser for the shares. With
        an `lr_factor` of 0, they stay as they are.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind. The model checks the name of the function.
    """

    names = ("function", "lr_factor", "decay_factor")
    __slots__ = names

    name = "parametric"

    @proposes_arguments("Parametric")
    def __init__(self, function: str | Activation, lr_factor: float = 1.0, decay_factor: float = 1.0) -> None:
        self.function = function
        self.lr_factor = lr_factor
        self.decay_factor = decay_factor
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present settings are not allowed."""
        given = self.function
        # Also as a text, such as "parametric(selu)".
        nested = isinstance(given, Parametric) or (
            isinstance(given, str) and given.partition("(")[0].strip() == self.name
        )
        if nested or not isinstance(given, (str, Activation)):
            raise TypeError(
                f"function must be a name or an activation with a constant parameter, not {given!r}"
            )
        _checks.real("lr_factor", self.lr_factor, 0.0, MOST_FACTOR)
        _checks.real("decay_factor", self.decay_factor, 0.0, MOST_FACTOR)

    def __str__(self) -> str:
        """The text of the activation, as in "parametric(mish, lr_factor=0.1)"."""
        self.check()
        factors = [
            f", {name}={float(value)!r}"
            for name, value in (("lr_factor", self.lr_factor), ("decay_factor", self.decay_factor))
            if value != 1
        ]
        return f"{self.name}({self.function}{''.join(factors)})"


# By the names that `MLP(activation=...)` takes. A name means the activation with its default parameter.
BY_NAME: dict[str, type[Activation]] = {kind.name: kind for kind in (LeakyReLU, ELU)}
