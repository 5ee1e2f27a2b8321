"""Learning curves as a drawing for notebooks, with a table of the values that matter."""

import math
import sys
from collections.abc import Mapping, Sequence

from .curves import Panel, panels_of
from .markup import Attributes, Markup, element
from .numbers import number, spread
from .page import framed, shell
from .picture import MARGIN, svg, text_width

# A panel, and the room around its axes.
WIDTH, HEIGHT = 330.0, 210.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 12.0, 30.0, 34.0
ACROSS = 3
KEY = 26.0  # the height of the line that explains the curves
MOST_POINTS = 400  # of a curve
TICKS = 5  # on an axis, about


def in_notebook(metrics: Mapping[str, Sequence[float]], rates: Sequence[float], iterations: int) -> Markup:
    """The curves and a table of a history as an element of a notebook."""
    epochs = len(rates)
    title = f"History: {_counted(epochs, 'epoch')}, {_counted(iterations, 'iteration')}"
    if not epochs:
        return element("p", {}, title)
    panels = panels_of(metrics, rates)
    drawn, height = picture(panels)
    page = shell(title, [], before=[element("div", {"class": "view"}, drawn), _table(panels)])
    curves = sum(bool(panel.training) + bool(panel.validation) for panel in panels)
    return framed(page, title, height, around=130 + 34.0 * (curves + 1))


def picture(panels: Sequence[Panel]) -> tuple[Markup, float]:
    """The panels side by side, and the height of the drawing."""
    across = 2 if len(panels) == 4 else min(len(panels), ACROSS)
    rows = -(-len(panels) // across)
    parts, key_width = _key(panels)
    for index, panel in enumerate(panels):
        row, column = divmod(index, across)
        place = f"translate({MARGIN + column * WIDTH:g} {MARGIN + KEY + row * HEIGHT:g})"
        text = _described(panel)
        around = {"transform": place, "role": "img", "aria-label": text}
        parts.append(element("g", around, element("title", {}, text), *_panel(panel)))
    width, height = max(across * WIDTH, key_width) + 2 * MARGIN, rows * HEIGHT + KEY + 2 * MARGIN
    label = f"Learning curves: {', '.join(panel.label for panel in panels)}"
    return svg(width, height, label, *parts, alone=False), height


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _key(panels: Sequence[Panel]) -> tuple[list[Markup], float]:
    """What the curves mean, and the width of that."""
    best = next((panel.best for panel in panels if panel.best is not None), None)
    entries = [("training", "training")]
    entries += [("validation", "validation")] * any(panel.validation for panel in panels)
    parts, x = [], MARGIN + LEFT
    for kind, text in entries:
        line: Attributes = {"class": f"curve {kind}", "d": f"M{x:g} {MARGIN + 8:g}h26"}
        parts.append(element("path", line))
        parts.append(element("text", {"class": "small", "x": x + 32, "y": MARGIN + 12}, text))
        x += 32 + text_width(text) + 20
    if best is not None:
        text = f"best epoch, {best + 1}: that of the lowest validation loss"
        parts.append(_dot(x + 6, MARGIN + 8, "validation"))
        parts.append(element("text", {"class": "small", "x": x + 18, "y": MARGIN + 12}, text))
        x += 18 + text_width(text)
    return [element("g", {"aria-hidden": "true"}, *parts)], x


def _described(panel: Panel) -> str:
    """A panel in words."""
    texts = []
    for name, values in (("training", panel.training), ("validation", panel.validation)):
        if values:
            named = "" if panel.name == "lr" else f"{name} "
            texts.append(f"{named}from {number(values[0])} to {number(values[-1])}")
    if panel.best is not None:
        texts.append(f"in the best epoch, {panel.best + 1}: {number(panel.validation[panel.best])}")
    return f"{panel.label}: {', '.join(texts)}"


def _panel(panel: Panel) -> list[Markup]:
    """The axes and the curves; the left upper corner is 0."""
    curves = [("training", panel.training), ("validation", panel.validation)]
    finite = [value for _, values in curves for value in values if math.isfinite(value)]
    low, high = _range(finite, panel.logarithmic)
    count = max(len(values) for _, values in curves)
    bottom, width, height = HEIGHT - BOTTOM, WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(epoch: float) -> float:
        return LEFT + width * (epoch - 1) / max(count - 1, 1)

    def up(value: float) -> float:
        scaled = math.log10(value) if panel.logarithmic else value
        # Halves, so that no difference overflows.
        return bottom - height * ((scaled / 2 - low / 2) / (high / 2 - low / 2))

    parts = [element("text", {"class": "label", "x": LEFT, "y": TOP - 12}, panel.label)]
    for value in ticks(low, high, panel.logarithmic):
        y = up(value)
        parts.append(element("path", {"class": "grid", "d": f"M{LEFT:g} {y:.1f}h{width:g}"}))
        shown: Attributes = {"class": "small number", "x": LEFT - 6, "y": y + 4}
        parts.append(element("text", shown, number(value, 3)))
    for epoch in _whole_ticks(count):
        at: Attributes = {"class": "small middle", "x": across(epoch), "y": bottom + 16}
        parts.append(element("text", at, f"{epoch}"))
    parts.append(element("path", {"class": "axis", "d": f"M{LEFT:g} {TOP:g}V{bottom:g}h{width:g}"}))
    below: Attributes = {"class": "quiet middle", "x": LEFT + width / 2, "y": bottom + 31}
    parts.append(element("text", below, "epoch"))
    if panel.best is not None:
        line = f"M{across(panel.best + 1):.1f} {TOP:g}V{bottom:g}"
        parts.append(element("path", {"class": "best", "d": line}))
    for kind, values in curves:
        points = [
            (across(epoch + 1), up(values[epoch]))
            for epoch in spread(len(values), MOST_POINTS)
            if math.isfinite(values[epoch])
        ]
        if points:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            parts.append(element("path", {"class": f"curve {kind}", "d": f"M{path}"}))
        if len(points) == 1:
            parts.append(_dot(*points[0], kind))
    if panel.best is not None and math.isfinite(panel.validation[panel.best]):
        parts.append(_dot(across(panel.best + 1), up(panel.validation[panel.best]), "validation"))
    return parts


def _dot(x: float, y: float, kind: str) -> Markup:
    return element("circle", {"class": f"dot {kind}", "cx": x, "cy": y, "r": 4.5})


def _range(finite: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    """The ends of the vertical axis, as logarithms if it is logarithmic."""
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if logarithmic:
        low, high = math.log10(low), math.log10(high)
    room = 0.1 * (high / 2 - low / 2) or 0.5 * abs(high) or 0.5
    most = sys.float_info.max
    return max(low - room, -most), min(high + room, most)


def ticks(low: float, high: float, logarithmic: bool) -> list[float]:
    """Round numbers on the vertical axis."""
    if logarithmic:
        decades = range(math.floor(low), math.ceil(high) + 1)
        every = max(1, len(decades) // TICKS)
        factors = (1, 2, 5) if len(decades) <= 3 else (1,)
        values = [factor * 10.0**decade for decade in decades[::every] for factor in factors]
        return [value for value in values if low <= math.log10(value) <= high]
    step = _round_step((high / 2 - low / 2) * 2 / TICKS)
    if not math.isfinite(step) or step == 0:
        return []
    first = math.ceil(low / step)
    return [step * place for place in range(first, math.floor(high / step) + 1)]


def _whole_ticks(count: int) -> list[int]:
    """Round epochs, from 1."""
    if count <= TICKS + 1:
        return list(range(1, count + 1))
    step = max(1, round(_round_step(count / TICKS)))
    return list(range(step, count + 1, step))


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least this."""
    if not 0 < step < math.inf:
        return 0.0
    unit = 10.0 ** math.floor(math.log10(step))
    return next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= step * (1 - 1e-9))


def _table(panels: Sequence[Panel]) -> Markup:
    """The first, last and best values."""
    heads = ("metric", "first epoch", "last epoch", "best epoch")
    lines = []
    for panel in panels:
        for kind, values in (("training", panel.training), ("validation", panel.validation)):
            if not values:
                continue
            name = panel.label if panel.name == "lr" else f"{panel.label}, {kind}"
            best = "" if panel.best is None or panel.name == "lr" else number(values[panel.best])
            cells = (number(values[0]), number(values[-1]), best)
            row = [element("td", {"class": "number"}, cell) for cell in cells]
            lines.append(element("tr", {}, element("th", {"scope": "row"}, name), *row))
    head = [element("th", {"scope": "col"}, text) for text in heads]
    body = element("tbody", {}, *lines)
    return element("table", {}, element("thead", {}, element("tr", {}, *head)), body)
