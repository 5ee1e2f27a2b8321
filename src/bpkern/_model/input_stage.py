"""The inputs of a model, checked against its columns, and their parameters as arrays by name."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..inputs import BY_KIND, CategoryEmbedding, Input, NumericEmbedding, Scale
from .named import Named
from .parameters import INPUTS

# The largest number of parameters: what a file claims cannot overflow in C.
MOST_PARAMETERS = 1 << 48


class Place(NamedTuple):
    """One of the inputs, its columns of X, and the shapes of its parameters in their order."""

    given: Input
    columns: list[int]
    shapes: dict[str, tuple[int, ...]]


class InputStage(Named):
    """The checked `inputs` of a model.

    The parameters are one flat array, as the network in C keeps them; `named` gives views of it.

    Parameters
    ----------
    inputs : sequence of Input
        At least one.
    columns : int
        The number of columns of X.

    Attributes
    ----------
    inputs : list of Input
        Copies.
    places : list of Place
    columns, width, size : int
        The numbers of columns of X, of inputs of layer 0, and of parameters.
    shapes : dict of str to tuple of int
        Of the parameters, by their names in `MLP.state_dict`, in the order of the flat array.

    Raises
    ------
    ValueError, TypeError
        For inputs that are not allowed, or not together.
    """

    def __init__(self, inputs: Any, columns: int) -> None:
        self.inputs = [_checked(given) for given in inputs]
        self.columns = columns
        if any(isinstance(given, Scale) for given in self.inputs[:-1]):
            raise ValueError("inputs must have Scale() at their end, and once: it multiplies all of them")
        taken = _taken(self.inputs, columns)
        self.width = columns + sum(
            (int(given.dim) - 1) * len(found)
            for given, found in zip(self.inputs, taken, strict=True)
            if isinstance(given, (CategoryEmbedding, NumericEmbedding))
        )
        self.places = [
            Place(given, found, _shapes(given, len(found), self.width))
            for given, found in zip(self.inputs, taken, strict=True)
        ]
        super().__init__(
            {
                f"{INPUTS}{i}.{name}": shape
                for i, place in enumerate(self.places)
                for name, shape in place.shapes.items()
            }
        )
        if self.size > MOST_PARAMETERS or self.width > MOST_PARAMETERS:
            raise ValueError(f"inputs must have at most 2**48 parameters, not {self.size}")

    def plan(self) -> list[tuple[str, list[int], int, int, int, float, float]]:
        """For the network in C: (kind, columns, categories, hidden, dim, lr factor, decay factor) of each."""
        return [
            (
                given.kind,
                found,
                int(getattr(given, "categories", 0)),
                int(getattr(given, "hidden", 0)),
                int(getattr(given, "dim", 0)),
                float(given.lr_factor),
                float(given.decay_factor),
            )
            for given, found, _ in self.places
        ]

    def draw(self, generator: np.random.Generator, dtype: np.dtype[Any]) -> np.ndarray:
        """Initial parameters, flat, in this dtype.

        Raises
        ------
        ValueError
            For a subclass of Generator that draws other shapes, or numbers that are not finite in the dtype.
        """
        flat = np.empty(self.size, dtype)
        views = self.named(flat)
        for i, (given, _, shapes) in enumerate(self.places):
            for name, drawn in _initial(generator, given, shapes).items():
                view = views[f"{INPUTS}{i}.{name}"]
                if np.shape(drawn) != view.shape:
                    raise ValueError(
                        f"a generator must draw {name} in shape {view.shape}, not {np.shape(drawn)}"
                    )
                with np.errstate(over="ignore", under="ignore"):
                    view[...] = drawn
        if not np.isfinite(flat).all():
            raise ValueError(f"a generator must draw parameters that are finite in {dtype.name}")
        return flat

    def factors(self) -> list[tuple[float, float]]:
        """(lr_factor, decay_factor) of each array."""
        return [(given.lr_factor, given.decay_factor) for given, _, shapes in self.places for _ in shapes]

    @property
    def code_columns(self) -> list[int]:
        """The columns of X that hold codes of categories."""
        return [place.columns[0] for place in self.places if isinstance(place.given, CategoryEmbedding)]

    def wrong_code(self, row: np.ndarray) -> str | None:
        """What is wrong with the codes of a row of X, which is finite; None if nothing is."""
        for given, found, _ in self.places:
            if isinstance(given, CategoryEmbedding):
                code, highest = row[found[0]], int(given.categories) - 1
                if not (0 <= code <= highest and code == np.floor(code)):
                    return f"column {found[0]}: its categories are whole numbers from 0 to {highest}"
        return None

    def config(self) -> list[dict[str, Any]]:
        """The inputs in plain values, as a file holds them."""
        plain = []
        for given, found, _ in self.places:
            settings = {name: np.asarray(value).tolist() for name, value in given.settings().items()}
            if isinstance(given, NumericEmbedding):
                settings["columns"] = None if given.columns is None else found
            plain.append({"kind": given.kind, **settings})
        return plain

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InputStage) and (self.columns, self.plan()) == (other.columns, other.plan())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.inputs)


def checked_inputs(inputs: Any, columns: int) -> InputStage | None:
    """The stage of a model's argument `inputs`; None if there are none. Raises ValueError or TypeError."""
    if isinstance(inputs, Input):
        raise TypeError(f"inputs must be a list, such as [{inputs!r}]")
    if not isinstance(inputs, (list, tuple)):
        raise TypeError(f"inputs must be a list of inputs of bpkern.inputs, not {inputs!r}")
    return InputStage(inputs, columns) if inputs else None


def inputs_of(config: Any) -> list[Input]:
    """The inputs of a configuration. Raises LookupError, ValueError or TypeError for any other object."""
    inputs = []
    for settings in config:
        given = dict(settings)
        inputs.append(BY_KIND[given.pop("kind")](**given))
    return inputs


def _checked(given: Any) -> Input:
    """A copy of one of the inputs. Raises ValueError or TypeError."""
    if not isinstance(given, Input):
        is_class = isinstance(given, type) and issubclass(given, Input)
        hint = f": give an instance, {given.__name__}(...)" if is_class else ""
        raise TypeError(f"inputs must hold inputs of bpkern.inputs, not {given!r}{hint}")
    if type(given) not in BY_KIND.values():
        raise TypeError(f"inputs must be of the classes of bpkern.inputs, not of {type(given).__name__}")
    own: Input = copy.deepcopy(given)
    own.check()
    return own


def _named_columns(given: Input) -> list[int] | None:
    """The columns of X that one of the inputs names; None for those that are left."""
    if isinstance(given, NumericEmbedding):
        return None if given.columns is None else [int(column) for column in given.columns]
    return [int(given.column)] if isinstance(given, CategoryEmbedding) else []


def _shapes(given: Input, columns: int, width: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters of one of the inputs by name, in the order in which they are drawn."""
    if isinstance(given, CategoryEmbedding):
        return {"weight": (int(given.categories), int(given.dim))}
    if isinstance(given, NumericEmbedding):
        hidden, linear = int(given.hidden), int(given.dim) - 1
        return {
            "weight_1": (columns, hidden),
            "bias_1": (columns, hidden),
            "weight_2": (columns, hidden, linear),
            "bias_2": (columns, linear),
        }
    return {"scale": (width,)}


def _initial(
    generator: np.random.Generator, given: Input, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """Initial parameters of one of the inputs by name, float64; the classes define the distributions."""
    if isinstance(given, CategoryEmbedding):
        return {"weight": generator.normal(0.0, 1.0, shapes["weight"])}
    if isinstance(given, NumericEmbedding):
        limit = 1 / math.sqrt(given.hidden)
        return {
            "weight_1": generator.normal(0.0, given.sigma, shapes["weight_1"]),
            "bias_1": generator.uniform(-math.pi, math.pi, shapes["bias_1"]),
            "weight_2": generator.uniform(-limit, limit, shapes["weight_2"]),
            "bias_2": generator.uniform(-limit, limit, shapes["bias_2"]),
        }
    return {"scale": np.ones(shapes["scale"])}


def _taken(inputs: list[Input], columns: int) -> list[list[int]]:
    """The columns of X that each of the inputs replaces. ValueError if two take the same."""
    named = [_named_columns(given) for given in inputs]
    owner: dict[int, Input] = {}
    for given, found in zip(inputs, named, strict=True):
        for column in found or ():
            if column >= columns:
                raise ValueError(f"{given!r} names column {column}, and X has columns 0 to {columns - 1}")
            if column in owner:
                raise ValueError(f"column {column} is embedded twice: by {owner[column]!r} and by {given!r}")
            owner[column] = given
    if sum(found is None for found in named) > 1:
        raise ValueError("only one NumericEmbedding may take all columns that are left (columns=None)")
    left = [column for column in range(columns) if column not in owner] if None in named else []
    if None in named and not left:
        raise ValueError("NumericEmbedding() takes the columns that no other embedding takes: there are none")
    return [left if found is None else found for found in named]
