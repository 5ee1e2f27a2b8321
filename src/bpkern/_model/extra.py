"""The shares of parametric activations, behind the parameters in front of layer 0.

Both are the extra parameters of a model, those that are no layer's weights or biases.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..activations import Parametric
from .named import Named
from .parameters import ACTIVATIONS

if TYPE_CHECKING:
    from .input_stage import InputStage


class Shares(Named):
    """The shares of parametric activations: "activations.0.alpha", ..., by hidden layer.

    Parameters
    ----------
    stage : InputStage or None
        Its parameters come first.
    given : sequence of (Parametric or None)
        One per hidden layer.
    sizes : sequence of int
        Of the layers.
    """

    def __init__(
        self, stage: InputStage | None, given: Sequence[Parametric | None], sizes: Sequence[int]
    ) -> None:
        self._stage = stage
        self._given = [each for each in given if each is not None]
        shares = {f"{ACTIVATIONS}{l}.alpha": (sizes[l + 1],) for l, each in enumerate(given) if each}
        super().__init__((stage.shapes if stage else {}) | shares)

    def draw(self, generator: np.random.Generator, dtype: np.dtype[Any]) -> np.ndarray:
        """Initial parameters, flat, in this dtype: shares are 1."""
        flat = np.ones(self.size, dtype)
        if self._stage is not None:
            flat[: self._stage.size] = self._stage.draw(generator, dtype)
        return flat

    def factors(self) -> list[tuple[float, float]]:
        """(lr_factor, decay_factor) of each array."""
        own = [(each.lr_factor, each.decay_factor) for each in self._given]
        return own if self._stage is None else [*self._stage.factors(), *own]
