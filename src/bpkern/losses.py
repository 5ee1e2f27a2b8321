"""The losses that have a parameter, for ``MLP(loss=...)``. The kernels compute them."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from . import _checks
from ._arguments import proposes_arguments
from ._slots import Slotted

__all__ = ["Huber", "Loss", "Quantile"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


class Loss(Slotted):
    """The base class of losses with a parameter. ``__slots__`` of a subclass names the parameter.

    Attributes
    ----------
    name : str
        The name of the loss, as for ``MLP(loss=...)``.
    """

    __slots__: tuple[str, ...] = ()

    name: ClassVar[str]

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        raise NotImplementedError

    def parameters(self, outputs: int) -> np.ndarray:
        """The parameter for each output: float64, shape (outputs,).

        Raises
        ------
        ValueError, TypeError
            For a value that is not allowed, and for a sequence of another length.
        """
        self.check()
        [(name, value)] = self.settings().items()
        values = np.asarray(value, np.float64)
        if values.ndim and values.shape != (outputs,):
            raise ValueError(f"{name} must be one number, or one per output, {outputs}, not {values.size}")
        return np.full(outputs, values)


class Huber(Loss):
    """The Huber loss, quadratic near the target and linear far from it.

    It is the mean over all elements of ::

        d**2 / 2                         where abs(d) <= delta
        delta * (abs(d) - delta / 2)     elsewhere

    with ``d = output - target``. The loss named "huber" is ``Huber()``.

    Parameters
    ----------
    delta : float or sequence of float
        Above 0; one for all outputs, or one per output.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ("delta",)

    name = "huber"

    @proposes_arguments("Huber")
    def __init__(self, delta: float | Sequence[float] = 1.0) -> None:
        self.delta = delta
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present delta is not allowed."""
        for delta in _checks.one_or_several("delta", self.delta):
            if _checks.real("delta", delta) == 0:
                raise ValueError("delta must be above 0, not 0")


class Quantile(Loss):
    """The pinball loss, whose minimum is at a quantile of the targets.

    It is the mean over all elements of ::

        q * (y - output)             where output < y
        (1 - q) * (output - y)       where output >= y

    The loss named "quantile" is ``Quantile()``, the median.

    Parameters
    ----------
    q : float or sequence of float
        Between 0 and 1; one for all outputs, or one per output.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    __slots__ = ("q",)

    name = "quantile"

    @proposes_arguments("Quantile")
    def __init__(self, q: float | Sequence[float] = 0.5) -> None:
        self.q = q
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present q is not allowed."""
        for q in _checks.one_or_several("q", self.q):
            if _checks.fraction("q", q) == 0:
                raise ValueError("q must be above 0, not 0")


# By the names that `MLP(loss=...)` takes. A name means the loss with its default parameter.
BY_NAME: dict[str, type[Loss]] = {kind.name: kind for kind in (Huber, Quantile)}
