"""The names of numbers in a trace, as `Trace.explain` takes them."""

import re
from typing import NamedTuple

from .trace_data import Step

# Each quantity by the names that stand for it: the quantity itself, or its derivative.
QUANTITIES = {
    "W": "W",
    "b": "b",
    "x": "x",
    "z": "z",
    "a": "a",
    "dW": "W",
    "db": "b",
    "dx": "x",
    "delta": "z",
}

_FORM = re.compile(
    r"\s*layers\[\s*(\d{1,18})\s*\]\s*\.\s*(\w+)\s*\[\s*(\d{1,18})\s*(?:,\s*(\d{1,18})\s*)?\]\s*", re.A
)


class Place(NamedTuple):
    """One number of a step.

    Attributes
    ----------
    layer : int
    quantity : str
        "W", "b", "x", "z" or "a".
    row : int
        Of x, z and a; 0 for W and b.
    unit : int
        The column of x, the unit of the others.
    input : int
        The column of W; 0 for the others.
    """

    layer: int
    quantity: str
    row: int
    unit: int
    input: int

    def __str__(self) -> str:
        indices = {"W": f"{self.unit}, {self.input}", "b": f"{self.unit}"}
        return (
            f"layers[{self.layer}].{self.quantity}[{indices.get(self.quantity, f'{self.row}, {self.unit}')}]"
        )


def place_of(name: object, step: Step) -> Place:
    """The place that a name means in a step. TypeError unless it is a str, ValueError for a wrong one."""
    if not isinstance(name, str):
        raise TypeError(f"name must be a text like 'layers[0].W[0, 0]', not {name!r}")
    found = _FORM.fullmatch(name)
    if not found:
        raise ValueError(
            f"name must be like 'layers[0].W[0, 0]': a layer, one of {', '.join(QUANTITIES)}, and "
            f"indices from 0, not {name!r}"
        )
    l, given = int(found[1]), found[2]
    if l >= len(step.layers):
        raise ValueError(f"the layers are from layers[0] to layers[{len(step.layers) - 1}], not {name!r}")
    if given not in QUANTITIES:
        raise ValueError(f"unknown name {given!r} in {name!r}: allowed are {', '.join(QUANTITIES)}")
    quantity = QUANTITIES[given]
    if quantity == "b" and not step.setting.bias[l]:
        raise ValueError(f"layers[{l}] has no biases: there is no {name!r}")
    indices = [int(index) for index in found.group(3, 4) if index is not None]
    shape = getattr(step.layers[l], quantity).shape
    if quantity != "W" and len(shape) == 2 and shape[0] == 1 and len(indices) == 1:
        indices = [0, *indices]
    if len(indices) != len(shape) or any(index >= size for index, size in zip(indices, shape, strict=True)):
        raise ValueError(f"layers[{l}].{given} has the shape {shape}, indices from 0: there is no {name!r}")
    if quantity == "W":
        return Place(l, quantity, 0, *indices)
    return Place(l, quantity, indices[0] if len(indices) == 2 else 0, indices[-1], 0)
