"""What ONNX nodes are appended to."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np


class Graph(Protocol):
    """What nodes are appended to: a model of `onnx_model.py`, a converter's container, or formulas."""

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node of one output; returns the output's name."""

    def constant(self, array: np.ndarray) -> str:
        """Append a constant, of any shape; returns its name."""
