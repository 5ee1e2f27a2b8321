"""Weights in bfloat16, as files and pickles hold them: the numbers' 16 bits as uint16, with a marked name.

bfloat16 is the upper half of a float32. NumPy has no such type.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

BFLOAT16 = "bfloat16"

# Marks the name of an array of uint16 that are the bits of bfloat16.
MARK = f".{BFLOAT16}"


def narrowed(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A state of float32 (`state_of`) with its weights, which are numbers of bfloat16, as marked bits."""
    found = {}
    for name, array in state.items():
        if name.endswith(".weight"):
            found[f"{name}{MARK}"] = bits_of(array)
        else:
            found[name] = array
    return found


def widened(state: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `narrowed`. Raises ValueError if the weights are not marked bits."""
    found = {}
    for name, array in state.items():
        if name.endswith(MARK):
            found[name.removesuffix(MARK)] = floats_of(array)
        elif name.endswith(".weight"):
            raise ValueError(f"the weights of a compressed model must be {BFLOAT16}, not {name}")
        else:
            found[name] = array
    return found


def bits_of(numbers: np.ndarray) -> np.ndarray:
    """The upper 16 bits of float32."""
    return (numbers.view(np.uint32) >> 16).astype(np.uint16)


def floats_of(bits: Any) -> np.ndarray:
    """The float32 with these upper 16 bits. Raises ValueError for anything but uint16."""
    if not isinstance(bits, np.ndarray) or bits.dtype != np.uint16:
        raise ValueError(f"{BFLOAT16} must be stored as uint16")
    wide = bits.astype(np.uint32, order="C")
    wide <<= 16
    return wide.view(np.float32)
