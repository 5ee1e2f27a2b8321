"""The pictures of a report: bars of importance, and predicted values against true ones."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._seeing.curves_drawing import ticks
from .._seeing.markup import Attributes, Markup, element
from .._seeing.numbers import number, spread
from .._seeing.picture import MARGIN, shortened, svg, text_width
from .importance import Importance

ROW, BAR, LENGTH = 26.0, 14.0, 420.0
MOST_BARS, MOST_NAME = 20, 32
SIDE, LEFT, BOTTOM = 420.0, 76.0, 48.0
MOST_POINTS = 1000


def bars(found: Sequence[Importance], loss: str) -> Markup:
    """The most important columns as bars, each with its mean and its deviation."""
    found = found[:MOST_BARS]
    names = [shortened(each.name, MOST_NAME) for each in found]
    left = max(map(text_width, names), default=0.0) + MARGIN + 10
    largest = max([each.mean for each in found] + [1e-12])
    parts = []
    for place, (name, each) in enumerate(zip(names, found, strict=True)):
        y = MARGIN + place * ROW
        length = LENGTH * max(each.mean, 0.0) / largest
        at: Attributes = {"class": "number", "x": left - 10, "y": y + BAR - 2}
        text = f"{number(each.mean, 3)} ± {number(each.deviation, 2)}"
        bar: Attributes = {
            "class": "tint positive",
            "x": left,
            "y": y,
            "width": max(length, 1.0),
            "height": BAR,
        }
        described = f"{each.name}: {loss} rises by {text}"
        parts.append(
            element(
                "g",
                {"role": "img", "aria-label": described},
                element("title", {}, described),
                element("text", at, name),
                element("rect", bar),
                element("text", {"class": "small", "x": left + length + 8, "y": y + BAR - 2}, text),
            )
        )
    height = 2 * MARGIN + ROW * len(found)
    return svg(left + LENGTH + 150, height, "Importance of the columns", *parts, alone=False)


def scatter(true: np.ndarray, predicted: np.ndarray, name: str) -> Markup:
    """Predicted values against true ones, with the line where both are equal."""
    rows = spread(len(true), MOST_POINTS)
    points = np.stack([true[rows], predicted[rows]], axis=1)
    low, high = float(points.min()), float(points.max())
    room = 0.04 * (high - low) or 1.0
    low, high = low - room, high + room

    def across(value: float) -> float:
        return LEFT + SIDE * (value - low) / (high - low)

    def up(value: float) -> float:
        return MARGIN + SIDE * (high - value) / (high - low)

    parts = []
    for value in ticks(low, high, False):
        text = number(value, 3)
        parts.append(element("path", {"class": "grid", "d": f"M{LEFT:g} {up(value):.1f}h{SIDE:g}"}))
        parts.append(element("path", {"class": "grid", "d": f"M{across(value):.1f} {MARGIN:g}v{SIDE:g}"}))
        parts.append(element("text", {"class": "small number", "x": LEFT - 6, "y": up(value) + 4}, text))
        below: Attributes = {"class": "small middle", "x": across(value), "y": MARGIN + SIDE + 16}
        parts.append(element("text", below, text))
    parts.append(element("path", {"class": "axis", "d": f"M{LEFT:g} {MARGIN:g}v{SIDE:g}h{SIDE:g}"}))
    line = f"M{across(low):.1f} {up(low):.1f}L{across(high):.1f} {up(high):.1f}"
    parts.append(element("path", {"class": "best", "d": line}))
    for x, y in points.tolist():
        dot: Attributes = {"class": "dot training", "cx": across(x), "cy": up(y), "r": 3, "opacity": 0.6}
        parts.append(element("circle", dot))
    under: Attributes = {"class": "quiet middle", "x": LEFT + SIDE / 2, "y": MARGIN + SIDE + 36}
    parts.append(element("text", under, f"true {name}, across; predicted {name}, upwards"))
    label = f"Predicted against true values of {name}, {len(rows)} rows"
    return svg(LEFT + SIDE + 2 * MARGIN, MARGIN + SIDE + BOTTOM, label, *parts, alone=False)
