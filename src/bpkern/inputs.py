"""What stands in front of the first layer, for ``MLP(inputs=[...])``: trained embeddings and factors.

>>> from bpkern.inputs import CategoryEmbedding, NumericEmbedding, Scale
>>> model = bpkern.MLP([3, 64, 1], inputs=[CategoryEmbedding(2, categories=12, dim=8), Scale()], loss="mse")

``layers[0]`` is the number of columns of X. An embedding replaces a column, at its place, by its outputs; the
other columns stay as they are. The inputs of layer 0 are the result.
"""

from collections.abc import Sequence
from typing import ClassVar

from . import _checks
from ._arguments import proposes_arguments
from ._model.groups import MOST_FACTOR
from ._slots import Slotted

__all__ = ["CategoryEmbedding", "Input", "NumericEmbedding", "Scale"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


# The codes of more categories would not be exact in float32.
MOST_CATEGORIES = 1 << 24

# The most outputs of a column: 64 bits leave room for the number of parameters.
MOST_OUTPUTS = 1 << 20


class Input(Slotted):
    """The base class: settings only. The model that it is given to keeps a copy.

    Attributes
    ----------
    kind : str
        The name in files.
    """

    __slots__: tuple[str, ...] = ()

    kind: ClassVar[str]

    # Subclasses have these as slots.
    lr_factor: float
    decay_factor: float

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        raise NotImplementedError

    def _check_factors(self) -> None:
        for name in ("lr_factor", "decay_factor"):
            _checks.real(name, getattr(self, name), 0.0, MOST_FACTOR)


class Scale(Input):
    """A factor for each input of layer 0, initially 1. It is the last of the inputs.

    RealMLP trains it with six times the learning rate (``lr_factor=6``).

    Parameters
    ----------
    lr_factor, decay_factor : float
        From 0 to 1e100; they multiply the learning rate and the optimiser's weight decay. An `lr_factor` of 0
        keeps the initial values.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("lr_factor", "decay_factor")
    __slots__ = names

    kind = "scale"

    @proposes_arguments("Scale")
    def __init__(self, lr_factor: float = 1.0, decay_factor: float = 1.0) -> None:
        self.lr_factor = lr_factor
        self.decay_factor = decay_factor
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        self._check_factors()


class CategoryEmbedding(Input):
    """The row of a table for each category: column `column` of X holds codes from 0 to ``categories - 1``.

    The table (categories, dim) is drawn from the standard normal distribution, as in PyTorch's Embedding and
    in RealMLP. All its rows take part in each update, as dense gradients do in PyTorch.

    Parameters
    ----------
    column : int
        Counted from 0.
    categories : int
        At most 2**24. Give unknown and missing values a code of their own.
    dim : int
        The outputs of the column, at least 1.
    lr_factor, decay_factor : float
        From 0 to 1e100; they multiply the learning rate and the optimiser's weight decay. An `lr_factor` of 0
        keeps the initial values.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("column", "categories", "dim", "lr_factor", "decay_factor")
    __slots__ = names

    kind = "category"

    @proposes_arguments("CategoryEmbedding")
    def __init__(
        self, column: int, categories: int, dim: int = 8, lr_factor: float = 1.0, decay_factor: float = 1.0
    ) -> None:
        self.column = column
        self.categories = categories
        self.dim = dim
        self.lr_factor = lr_factor
        self.decay_factor = decay_factor
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        _checks.whole("column", self.column, 0)
        _checks.whole("categories", self.categories, 1, MOST_CATEGORIES)
        _checks.whole("dim", self.dim, 1, MOST_OUTPUTS)
        self._check_factors()


class NumericEmbedding(Input):
    """RealMLP's embedding of numbers, PBLD: periodic, with biases, linear, dense.

    A column x becomes ``cos(2 * pi * x * weight_1 + bias_1) @ weight_2 + bias_2``, which are ``dim - 1``
    outputs, and after them x itself. Each column has parameters of its own: weight_1 (hidden,) from the
    normal distribution with the standard deviation `sigma`; bias_1 (hidden,) uniform from -pi to pi; weight_2
    (hidden, dim - 1) and bias_2 (dim - 1,) uniform from ``-1 / sqrt(hidden)`` to ``1 / sqrt(hidden)``.

    RealMLP trains it with a tenth of the learning rate (``lr_factor=0.1``). The columns should be scaled to
    about -3 to 3.

    Parameters
    ----------
    columns : sequence of int, optional
        Counted from 0; None for all columns that no other embedding of the model takes.
    hidden : int
        The number of cosines, at least 1.
    dim : int
        The outputs of each column, x itself included: at least 2.
    sigma : float
        Above 0.
    lr_factor, decay_factor : float
        From 0 to 1e100; they multiply the learning rate and the optimiser's weight decay. An `lr_factor` of 0
        keeps the initial values.

    Raises
    ------
    ValueError, TypeError
        For values out of range or of the wrong kind.
    """

    names = ("columns", "hidden", "dim", "sigma", "lr_factor", "decay_factor")
    __slots__ = names

    kind = "numeric"

    @proposes_arguments("NumericEmbedding")
    def __init__(
        self,
        columns: Sequence[int] | None = None,
        hidden: int = 16,
        dim: int = 4,
        sigma: float = 0.1,
        lr_factor: float = 1.0,
        decay_factor: float = 1.0,
    ) -> None:
        is_used_up = hasattr(columns, "__iter__") and not hasattr(columns, "__len__")
        self.columns = list(columns) if columns is not None and is_used_up else columns
        self.hidden = hidden
        self.dim = dim
        self.sigma = sigma
        self.lr_factor = lr_factor
        self.decay_factor = decay_factor
        self.check()

    def check(self) -> None:
        """Raise ValueError or TypeError if the present attributes are not allowed."""
        if self.columns is not None:
            if isinstance(self.columns, (str, bytes)) or not hasattr(self.columns, "__iter__"):
                raise TypeError(f"columns must be a sequence of numbers of columns, not {self.columns!r}")
            if not [_checks.whole("a column", column, 0) for column in self.columns]:
                raise ValueError("columns must name a column at least, or be None for all")
        _checks.whole("hidden", self.hidden, 1, MOST_OUTPUTS)
        _checks.whole("dim", self.dim, 2, MOST_OUTPUTS)
        _checks.positive("sigma", self.sigma)
        self._check_factors()


# By the names in files.
BY_KIND: dict[str, type[Input]] = {kind.kind: kind for kind in (Scale, CategoryEmbedding, NumericEmbedding)}
