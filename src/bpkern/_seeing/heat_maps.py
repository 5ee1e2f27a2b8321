"""A network of any size in a training step: layers with heat maps of their matrices.

A map has at most so many cells. Each cell is the number of the largest size of its block of the matrix, so
that no number is hidden by its neighbours.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .markup import Attributes, Markup, element
from .picture import MARGIN, SHADES, legend, legend_size, spoken, svg
from .trace_data import Step
from .trace_formulas import loss_lines, number
from .trace_steps import Part, headings, numbered

# Cells along a side of a map, and of all maps of a picture: deep networks have coarser maps.
MOST_SIDE, MOST_CELLS = 40, 40_000

WIDTH, HEIGHT, CELL_HEIGHT = 150.0, 110.0, 14.0  # of a map, at most; of a cell, at most
BESIDE, PAD, CAPTION = 16.0, 12.0, 18.0
ACROSS = 2  # blocks beside each other


class Map(NamedTuple):
    """A matrix in a picture.

    Attributes
    ----------
    name : str
        "dW".
    meaning : str
        "dW of layers[0], ∂E/∂W".
    matrix : ndarray, 2-D
    scale : str
        Its key in the scales.
    parts : tuple of Part
        It is shown from the first on, and highlighted in all.
    vector : ndarray or None
        What belongs to it and has no map: the biases.
    """

    name: str
    meaning: str
    matrix: np.ndarray
    scale: str
    parts: tuple[Part, ...]
    vector: np.ndarray | None = None


class Block(NamedTuple):
    """A title, lines of maps, and lines of text below."""

    title: str
    lines: list[list[Map]]
    texts: list[str]


# The scales in the order of the legend, with their titles.
SCALES = {
    "weights": "W",
    "changes": "ΔW",
    "gradients": "dW",
    "values": "x, z, a, p, y",
    "deltas": "δ, ∂E/∂a, ∂E/∂x",
}


def scales_of_maps(steps: Sequence[Step]) -> dict[str, float]:
    """One scale for all steps of a trace, so that their pictures can be compared."""
    most = dict.fromkeys(SCALES, 0.0)
    for step in steps:
        for block in blocks_of(step):
            for line in block.lines:
                for each in line:
                    finite = each.matrix[np.isfinite(each.matrix)]
                    most[each.scale] = max(most[each.scale], float(np.abs(finite).max(initial=0)))
    return most


def blocks_of(step: Step) -> Iterator[Block]:
    """The inputs, the layers and the loss."""
    setting, last = step.setting, len(step.layers) - 1
    yield Block(
        f"inputs: {setting.sizes[0]}",
        [
            [
                Map("x", "x, the inputs", step.layers[0].x, "values", (Part("start"),)),
                Map("∂E/∂x", "∂E/∂x of the inputs", step.layers[0].dx, "deltas", (Part("dx"),)),
            ]
        ],
        [],
    )
    for l, layer in enumerate(step.layers):
        out, fan_in = layer.W.shape
        dropout = f", dropout {layer.dropout:g}" if layer.dropout else ""
        with np.errstate(all="ignore"):
            change = layer.new_W.astype(np.float64) - layer.W
            bias_change = layer.new_b.astype(np.float64) - layer.b
        of = f"of layers[{l}]"
        weights = [
            Map("W", f"W {of}", layer.W, "weights", (Part("start"), Part("z", l)), layer.b),
            Map("dW", f"dW {of}", layer.dW, "gradients", (Part("dW", l),), layer.db),
            Map("ΔW", f"ΔW = new W − W {of}", change, "changes", (Part("new", l),), bias_change),
        ]
        units = [
            Map("z", f"z {of}", layer.z, "values", (Part("z", l),)),
            Map("a", f"a {of}", layer.a, "values", (Part("a", l),)),
            Map("δ", f"δ {of}", layer.delta, "deltas", (Part("delta", l), Part("da", l))),
        ]
        yield Block(f"layers[{l}]: {fan_in} → {out}, {layer.activation}{dropout}", [weights, units], [])
    ends = []
    if step.probabilities is not None:
        ends.append(Map("p", "p, the probabilities", step.probabilities, "values", (Part("loss"),)))
    if setting.targets.shape == step.outputs.shape:
        ends.append(Map("y", "y, the targets", setting.targets, "values", (Part("start"), Part("loss"))))
    ends.append(Map("∂E/∂a", "∂E/∂a of the outputs", step.doutputs, "deltas", (Part("da", last),)))
    texts = [f"{symbol} = {value:.6g}" for symbol, _, value in loss_lines(step)]
    yield Block(f"loss: {setting.loss}", [ends], texts)


class HeatMaps:
    """The picture of a step.

    Parameters
    ----------
    step : Step
    scales : dict of str to float
        As `scales_of_maps` gives them.
    """

    def __init__(self, step: Step, scales: dict[str, float]) -> None:
        self.step, self.scales = step, scales
        self.numbers = numbered(len(step.layers))
        self.blocks = list(blocks_of(step))
        count = sum(len(line) for block in self.blocks for line in block.lines)
        self.side = max(4, min(MOST_SIDE, math.isqrt(MOST_CELLS // count)))
        heights = [_block_height(block) for block in self.blocks]
        self.rows = [max(heights[start : start + ACROSS]) for start in range(0, len(heights), ACROSS)]
        self.block_width = 3 * WIDTH + 2 * BESIDE + 2 * PAD
        wide, tall = legend_size(len(SCALES))
        self.width = max(ACROSS * (self.block_width + BESIDE) - BESIDE, wide) + 2 * MARGIN
        self.inner = sum(self.rows) + BESIDE * len(self.rows)
        self.height = self.inner + tall + 2 * MARGIN

    def svg(self, alone: bool) -> Markup:
        """The picture, for a file of its own or for a page."""
        parts, top = [], MARGIN
        for index, block in enumerate(self.blocks):
            row, column = divmod(index, ACROSS)
            left = MARGIN + column * (self.block_width + BESIDE)
            parts += self._block(block, left, top, self.rows[row])
            if column == ACROSS - 1:
                top += self.rows[row] + BESIDE
        scales = [(title, "shade", self.scales[key]) for key, title in SCALES.items()]
        sizes = "-".join(map(str, self.step.setting.sizes))
        label = f"Network {sizes} in a training step: heat maps of its matrices, from the inputs to the loss"
        return svg(self.width, self.height, label, *parts, legend(self.inner + MARGIN, scales), alone=alone)

    def sentences(self) -> list[str]:
        """The sentence of each step of the picture."""
        maps: dict[Part, list[Map]] = {}
        for block in self.blocks:
            for line in block.lines:
                for each in line:
                    maps.setdefault(each.parts[0], []).append(each)
        maps[Part("start")] = [each for each in maps[Part("start")] if each.name in "xy"]
        found = []
        for part, heading in headings(self.step):
            texts = [f"{each.name}: {statistics(each.matrix)}" for each in maps.get(part, [])]
            if part.quantity == "loss":
                texts = [", ".join(self.blocks[-1].texts)]
            found.append(f"{heading} {'; '.join(texts)}." if texts else heading)
        return found

    def _block(self, block: Block, left: float, top: float, height: float) -> list[Markup]:
        around: Attributes = {"x": left, "y": top, "width": self.block_width, "height": height, "rx": 6}
        parts = [
            element("rect", {"class": "around", **around}),
            element("text", {"class": "label", "x": left + PAD, "y": top + 22}, block.title),
        ]
        y = top + 30
        for line in block.lines:
            for place, each in enumerate(line):
                parts.append(self._map(each, left + PAD + place * (WIDTH + BESIDE), y))
            y += _line_height(line)
        if block.texts:
            parts.append(self._texts(block.texts, left + PAD, y))
        return parts

    def _texts(self, texts: Sequence[str], x: float, y: float) -> Markup:
        """The loss and the penalties."""
        since = self.numbers[Part("loss")]
        wide, tall = WIDTH + 10, CAPTION * len(texts) + 8
        box: Attributes = {"x": x - 6, "y": y, "width": wide, "height": tall, "rx": 6}
        lines = [element("rect", {"class": "box", **box})]
        for place, text in enumerate(texts):
            at: Attributes = {
                "class": "label",
                "x": x,
                "y": y + 17 + CAPTION * place,
                "data-from": str(since),
            }
            lines.append(element("text", at, text))
        return spoken("node", "\n".join(texts), [since], lines)

    def _map(self, each: Map, x: float, y: float) -> Markup:
        cells = reduced(each.matrix, self.side)
        rows, columns = each.matrix.shape
        height = _map_height(each)
        steps = [self.numbers[part] for part in each.parts]
        since = {"data-from": str(min(steps))} if min(steps) > 1 else {}
        largest = self.scales[each.scale]
        box: Attributes = {"x": x, "y": y + CAPTION, "width": WIDTH, "height": height}
        wide, tall = WIDTH / cells.shape[1], height / len(cells)
        place = f"translate({x:.1f} {y + CAPTION:.1f}) scale({wide:.4f} {tall:.4f})"
        drawn = [
            element("path", {"class": f"shade {kind}", "stroke-opacity": level / SHADES, "d": path})
            for kind, level, path in shades(cells, largest)
        ]
        children = [
            element("text", {"class": "small", "x": x, "y": y + 13}, f"{each.name}, {rows} × {columns}"),
            element("rect", {"class": "box", **box}),
            element("g", {"class": "cells", "transform": place, **since}, *drawn),
        ]
        return spoken("node map", self._text(each, cells.shape), steps, children)

    def _text(self, each: Map, cells: tuple[int, ...]) -> str:
        lines = [f"{each.meaning}: {rows_by_columns(each.matrix)}, {statistics(each.matrix)}"]
        if each.vector is not None:
            name = {"W": "b", "dW": "db", "ΔW": "Δb"}[each.name]
            lines.append(f"{name}: {statistics(each.vector)}")
        blocks = [math.ceil(size / count) for size, count in zip(each.matrix.shape, cells, strict=True)]
        if max(blocks) > 1:
            lines.append(
                f"Each cell is the number of the largest size among up to {blocks[0]} × {blocks[1]}."
            )
        return "\n".join(lines)


def rows_by_columns(matrix: np.ndarray) -> str:
    return f"{matrix.shape[0]} × {matrix.shape[1]}"


def statistics(array: np.ndarray) -> str:
    """The range and the root mean square of an array, and what is special in it."""
    finite = array[np.isfinite(array)].astype(np.float64)
    text = "no finite number"
    if finite.size:
        size = float(np.abs(finite).max())
        # Scaled, so that no square overflows.
        root = size * math.sqrt(float(np.mean((finite / size) ** 2))) if size else 0.0
        text = f"from {number(finite.min())} to {number(finite.max())}, root mean square {number(root)}"
    zeros = np.count_nonzero(array == 0) / array.size
    if zeros:
        text += f", {100 * zeros:.3g} % zeros"
    if finite.size < array.size:
        text += f", {array.size - finite.size:,} not finite"
    return text


def reduced(matrix: np.ndarray, side: int) -> np.ndarray:
    """A matrix of at most side × side cells: of each block, the number of the largest size."""
    for axis in (0, 1):
        size = matrix.shape[axis]
        if size > side:
            starts = np.linspace(0, size, side, endpoint=False).astype(int)
            high = np.fmax.reduceat(matrix, starts, axis=axis)
            low = np.fmin.reduceat(matrix, starts, axis=axis)
            matrix = np.where(high >= -low, high, low)
    return matrix


def shades(cells: np.ndarray, largest: float) -> Iterator[tuple[str, int, str]]:
    """The cells of each sign and level as strokes from left to right: (sign, level, path)."""
    with np.errstate(all="ignore"):
        size = np.minimum(np.abs(cells) / largest, 1.0) if largest else np.zeros(cells.shape)
    levels = np.ceil(SHADES * np.sqrt(np.nan_to_num(size))).astype(int) * np.where(cells < 0, -1, 1)
    # Zeros at both ends of a row, so that no run goes on in the next one.
    padded = np.pad(levels, ((0, 0), (1, 1)))
    flat = padded.ravel()
    bounds = np.flatnonzero(np.diff(flat)) + 1
    strokes: dict[int, list[str]] = {}
    for start, end in pairwise(bounds.tolist()):
        if level := int(flat[start]):
            row, column = divmod(start, padded.shape[1])
            strokes.setdefault(level, []).append(f"M{column - 1} {row}.5h{end - start}")
    for level in sorted(strokes):
        yield ("positive" if level > 0 else "negative"), abs(level), "".join(strokes[level])


def _map_height(each: Map) -> float:
    return min(HEIGHT, CELL_HEIGHT * len(each.matrix))


def _line_height(line: Iterable[Map]) -> float:
    return CAPTION + max(map(_map_height, line)) + 10


def _block_height(block: Block) -> float:
    return 30 + sum(map(_line_height, block.lines)) + CAPTION * len(block.texts) + 8 + PAD
