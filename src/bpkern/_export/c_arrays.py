"""Arrays as C text, and weights in the order and the type in which the C functions read them."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._model.parameters import Weights
from .net import Net

# The longest line of numbers.
WIDTH = 100


class Int8(NamedTuple):
    """W of a layer as ``scale[:, None] * q``: q int8 of shape (out, in), scale float32 of shape (out,)."""

    q: np.ndarray
    scale: np.ndarray


def rounded_to_int8(w: np.ndarray) -> Int8:
    """Each row divided by its scale, which makes its largest number 127, and rounded."""
    wide = w.astype(np.float64)
    scale = (np.abs(wide).max(axis=1) / 127).astype(np.float32)
    # A row of numbers so small that the scale rounds to 0 is a row of zeros.
    divisor = np.where(scale > 0, scale, np.inf)[:, None]
    return Int8(np.clip(np.rint(wide / divisor), -127, 127).astype(np.int8), scale)


def as_computed(net: Net, weights: str) -> Net:
    """The network that the C file computes: its parameters in float32, or W as int8 times a scale.

    Raises
    ------
    ValueError
        For numbers beyond float32.
    """
    layers: Weights = []
    for l, (w, b) in enumerate(net.weights):
        narrow = _float32(f"W of layer {l}", w)
        if weights == "int8":
            q, scale = rounded_to_int8(narrow)
            layers.append((q * scale.astype(np.float64)[:, None], _float32(f"b of layer {l}", b)))
        else:
            layers.append((narrow, _float32(f"b of layer {l}", b)))
    scaling = net.scaling
    if scaling is not None:
        scaling = type(scaling)(*(_float32("the scaling", part) for part in scaling))
    front = None if net.front is None else net.front.changed(lambda array: _float32("the inputs", array))
    shares = tuple(None if each is None else _float32("the activations", each) for each in net.shares)
    return replace(net, weights=layers, scaling=scaling, front=front, shares=shares)


def _float32(name: str, array: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        narrow = array.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ValueError(f"{name} must be finite in float32, the type of the C file")
    return narrow


def interleaved(w: np.ndarray) -> np.ndarray:
    """The numbers of W (out, in) in the order of `net_layer`: four rows column by column, then the rest."""
    whole = len(w) // 4 * 4
    blocks = w[:whole].reshape(-1, 4, w.shape[1]).transpose(0, 2, 1)
    return np.concatenate([blocks.ravel(), w[whole:].ravel()])


def numbers(array: np.ndarray) -> list[str]:
    """Each number as a C constant: float32 by the shortest text that means the same number."""
    if array.dtype == np.float32:
        return [f"{text}f" for text in array.ravel().astype(str).tolist()]
    return [text if text != "nan" else "NAN" for text in map(str, array.ravel().tolist())]


def braces(items: Iterable[str], indent: str = "    ") -> str:
    """An initialiser of these items, in lines of limited length."""
    lines, line = [], ""
    for item in items:
        if line and len(line) + len(item) > WIDTH:
            lines.append(f"{indent}{line.rstrip()}")
            line = ""
        line += f"{item}, "
    lines.append(f"{indent}{line.rstrip(', ')}")
    return "{\n" + "\n".join(lines) + "\n}"


def rows(array: np.ndarray) -> str:
    """The initialiser of a matrix of float32, row by row."""
    inner = [braces(numbers(row), indent="        ").replace("\n}", "\n    }") for row in array]
    return "{\n    " + ",\n    ".join(inner) + "\n}"


def text_constant(text: str) -> str:
    """A string as a C constant of its UTF-8 bytes, in ASCII and without trigraphs."""
    plain = (
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return '"' + "".join(plain) + '"'
