"""The activations that have a parameter, for ``MLP(activation=...)``. The kernels compute them.

A layer's activation is kept as a text: a name alone, or with a parameter that is not the default, as in
"leaky_relu(0.2)". `MLP` takes these texts, too; models show them, and files hold them.
"""

from typing import ClassVar

from . import _checks
from ._arguments import proposes_arguments
from ._slots import Slotted

__all__ = ["ELU", "Activation", "LeakyReLU"]


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


# By the names that `MLP(activation=...)` takes. A name means the activation with its default parameter.
BY_NAME: dict[str, type[Activation]] = {kind.name: kind for kind in (LeakyReLU, ELU)}
