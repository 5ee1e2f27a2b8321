"""Parameters in one flat array, as the network in C keeps them, by their names."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .parameters import checked_array


class Named:
    """Parameters in one flat array, as arrays by name.

    Attributes
    ----------
    shapes : dict of str to tuple of int
        By the names in `MLP.state_dict`, in the order of the flat array.
    size : int
        The number of parameters.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.size = sum(math.prod(shape) for shape in shapes.values())

    def draw(self, generator: np.random.Generator, dtype: np.dtype[Any]) -> np.ndarray:
        """Initial parameters, flat, in this dtype."""
        raise NotImplementedError

    def factors(self) -> list[tuple[float, float]]:
        """(lr_factor, decay_factor) of each array."""
        raise NotImplementedError

    def named(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Views of a flat array by name."""
        views, at = {}, 0
        for name, shape in self.shapes.items():
            size = math.prod(shape)
            views[name] = flat[at : at + size].reshape(shape)
            at += size
        return views

    def flat(self, named: Mapping[str, Any], dtype: np.dtype[Any]) -> np.ndarray:
        """A new flat array from arrays by name.

        Raises
        ------
        ValueError, TypeError
            For missing and unknown names, and for arrays that do not fit or are not finite.
        """
        if set(named) != set(self.shapes):
            missing = sorted(set(self.shapes) - set(named))
            unknown = sorted(map(str, set(named) - set(self.shapes)))
            raise ValueError(f"state must hold just the model's names: missing {missing}, unknown {unknown}")
        flat = np.empty(self.size, dtype)
        for name, view in self.named(flat).items():
            view[...] = checked_array(name, named[name], view.shape, dtype, copy=False)
        return flat
