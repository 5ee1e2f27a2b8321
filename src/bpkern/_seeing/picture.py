"""What all pictures share: the scale of colours and widths, its legend, the widths of texts, the SVG around.

Sign is shown by colour, blue above zero and orange below, and size by tint or width. Both grow with the
square root of the size, so that small numbers stay visible. Numbers stand beside; no colour is needed.

Pages show a picture step by step. Its elements say in attributes what each step shows:

- `data-from="3"`: shown from step 3 on.
- `data-until="5"`: shown up to step 5; so it is no part of the final picture.
- `data-step="3 7"`: highlighted in steps 3 and 7.
"""

import math
import unicodedata
from collections.abc import Sequence
from importlib.resources import files

from .markup import Attributes, Markup, element
from .numbers import number

SIZE = 14.0  # of the font, in pixels
MARGIN = 16.0

# Widths of characters as parts of the font's size, for DejaVu Sans: most other fonts are narrower.
NARROW, WIDE = "ijlt.,:;!'|()[] ·", "mwMW%@∂"

LEGEND_ROW, LEGEND_TITLE, SWATCH = 24.0, 190.0, 66.0
CELL = 20.0  # the height of a number on its tint
SHADES = 6  # levels of the colours of cells without numbers


def text_width(text: str, bold: bool = False) -> float:
    """An upper bound of the width of a text in pixels, for usual fonts."""
    widths = (
        1.0
        if character in WIDE or unicodedata.east_asian_width(character) in "WF"
        else 0.42
        if character in NARROW
        else 0.76
        if character.isupper()
        else 0.0
        if unicodedata.combining(character)
        else 0.65
        for character in text
    )
    return SIZE * sum(widths) * (1.1 if bold else 1.0)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis where it has more characters than this."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def sign(value: float) -> str:
    """The class of an element that shows this number."""
    return "positive" if value > 0 else "negative" if value < 0 else "zero"


def strength(value: float, largest: float) -> float:
    """The size of a number from 0 to 1, which is that of the largest. Infinities have 1, and NaN has 0."""
    return math.sqrt(min(abs(value) / largest, 1.0)) if largest and not math.isnan(value) else 0.0


def tint(value: float, largest: float) -> float:
    """The opacity of the colour behind a number."""
    return 0.4 * strength(value, largest)


def line_width(value: float, largest: float) -> float:
    """The width of a line that shows a number."""
    return 1.5 + 4.5 * strength(value, largest)


def spoken(kind: str, text: str, steps: Sequence[int], children: Sequence[Markup]) -> Markup:
    """A part of a picture with its text, for the panel, for screen readers, and as a tooltip.

    Parameters
    ----------
    kind : str
        Its class.
    text : str
    steps : sequence of int
        Those in which it is highlighted.
    children : sequence of Markup
    """
    attributes = {
        "class": kind,
        "tabindex": "0",
        "role": "img",
        "aria-label": text,
        "data-step": " ".join(map(str, steps)),
    }
    return element("g", attributes, element("title", {}, text), *children)


def cell(
    left: float,
    top: float,
    width: float,
    value: float,
    shown: str,
    largest: float,
    since: int,
    title: str = "",
) -> list[Markup]:
    """A number on its tint.

    Parameters
    ----------
    left, top, width : float
        Its place; CELL is the height.
    value, shown : float, str
        The number, and its text.
    largest : float
        The largest size of such numbers.
    since : int
        The step from which on it is shown.
    title : str
        Shown at its left, from the first step on.
    """
    revealed = {"data-from": str(since)} if since > 1 else {}
    ground: Attributes = {"x": left, "y": top, "width": width, "height": CELL, "rx": 3, **revealed}
    opacity = tint(value, largest)
    return [
        element("rect", {"class": "cell", **ground}),
        element("rect", {"class": f"tint {sign(value)}", "fill-opacity": opacity, **ground}),
        *([element("text", {"class": "quiet", "x": left + 6, "y": top + 15}, title)] if title else []),
        element("text", {"class": "number", "x": left + width - 6, "y": top + 15, **revealed}, shown),
    ]


def shade(value: float, largest: float) -> int:
    """The level of the colour of a cell without text: 0 for zero, SHADES for the largest."""
    return math.ceil(SHADES * strength(value, largest))


def legend(y: float, scales: Sequence[tuple[str, str, float]]) -> Markup:
    """What colours, tints and widths mean.

    Parameters
    ----------
    y : float
        Its upper edge.
    scales : sequence of (str, str, float)
        Title; "tint" behind numbers, "line" or "shade" of cells without numbers; and the largest size.
    """
    rows = []
    samples = {"tint": _swatch, "line": _line, "shade": _shaded}
    for index, (title, kind, largest) in enumerate(scales):
        top = y + index * LEGEND_ROW
        base = top + LEGEND_ROW - 8
        rows.append(element("text", {"x": MARGIN, "y": base, "class": "quiet"}, title))
        values = (-largest, -largest / 4, 0.0, largest / 4, largest) if largest else (0.0,)
        for place, value in enumerate(values):
            x = MARGIN + LEGEND_TITLE + place * SWATCH
            rows.append(samples[kind](x, top, value, largest))
            middle: Attributes = {
                "x": x + SWATCH / 2,
                "y": base - (0 if kind == "tint" else 6),
                "class": "small middle",
            }
            rows.append(element("text", middle, number(value, 2)))
    label = f"Legend: blue is above zero, orange below; {'; '.join(title for title, _, _ in scales)}"
    return element("g", {"class": "legend", "role": "img", "aria-label": label}, *rows)


def legend_size(scales: int) -> tuple[float, float]:
    """Width and height of a legend of so many scales."""
    return LEGEND_TITLE + 5 * SWATCH, scales * LEGEND_ROW


def _swatch(x: float, top: float, value: float, largest: float) -> Markup:
    place: Attributes = {"x": x + 2, "y": top + 2, "width": SWATCH - 4, "height": LEGEND_ROW - 4, "rx": 3}
    return element("rect", {**place, "class": f"tint {sign(value)}", "fill-opacity": tint(value, largest)})


def _line(x: float, top: float, value: float, largest: float) -> Markup:
    path = f"M{x + 6:g} {top + 17:g}h{SWATCH - 12:g}"
    width = line_width(value, largest)
    return element("path", {"d": path, "class": f"strength {sign(value)}", "stroke-width": width})


def _shaded(x: float, top: float, value: float, largest: float) -> Markup:
    path = f"M{x + 6:g} {top + 16:g}h{SWATCH - 12:g}"
    opacity = shade(value, largest) / SHADES
    return element(
        "path",
        {"d": path, "class": f"shade {sign(value)}", "stroke-opacity": opacity, "stroke-width": 6.0},
    )


def svg(width: float, height: float, label: str, *children: Markup, alone: bool) -> Markup:
    """A picture.

    Parameters
    ----------
    width, height : float
        In pixels.
    label : str
        Its name for screen readers.
    *children : Markup
    alone : bool
        Whether it is a file of its own, with the styles in it.
    """
    attributes = {
        "xmlns": "http://www.w3.org/2000/svg",
        "class": "picture",
        "viewBox": f"0 0 {width:.0f} {height:.0f}",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "role": "group",
        "aria-label": label,
        "style": None if alone else f"--width: {width:.0f}px",
    }
    head = [element("style", {}, resource("picture.css"))] if alone else []
    ground = element("rect", {"class": "ground", "width": "100%", "height": "100%"})
    return element("svg", attributes, *head, ground, *children)


def resource(name: str) -> Markup:
    """A file of this package, as it is."""
    return Markup((files(__package__) / name).read_text("utf-8"))
