"""`Imported`: a network of another library as arguments of `bpkern.MLP`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Imported:
    """The arguments of `bpkern.MLP` that a foreign network determines, beside its loss."""

    layers: list[int]
    activation: list[str]
    output_activation: str
    dtype: str
    init: list[tuple[np.ndarray, np.ndarray]]
    dropout: list[float]
    bias: list[bool]
    input_dropout: float = 0.0

    def arguments(self) -> dict[str, Any]:
        """The arguments by name."""
        return dict(vars(self))
