"""A trace as a picture and as a page: small networks unit by unit, all others as heat maps."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Protocol

from .. import _checks
from .heat_maps import MOST_SIDE, HeatMaps, scales_of_maps
from .markup import Markup, element
from .net_drawing import MOST_LAYERS, MOST_UNITS, MOST_WEIGHTS, NetDrawing, scales_of
from .numbers import spread
from .page import Frame, framed, shell
from .trace_data import Step, TraceData
from .trace_formulas import mean_name
from .trace_view import view_of

# Of a page, and of a notebook's cell, which is stored with the notebook.
MOST_FRAMES, MOST_IN_NOTEBOOK = 50, 10
MEAN = "mean"

LARGE = (
    f"Networks of up to {MOST_UNITS} units in a layer, {MOST_WEIGHTS} weights and {MOST_LAYERS} layers are "
    f"drawn unit by unit. This one is drawn as layers, with heat maps of all rows; a map has at most "
    f"{MOST_SIDE} × {MOST_SIDE} cells."
)


class Picture(Protocol):
    """What drawings and heat maps have in common."""

    height: float

    def svg(self, alone: bool) -> Markup: ...
    def sentences(self) -> list[str]: ...


def checked_row(trace: TraceData, row: object) -> int | None:
    """The row, or None for the means over all rows."""
    if isinstance(row, str):
        if row != MEAN:
            raise ValueError(f"row must be a row's number from 0 or {MEAN!r}, not {row!r}")
        return None
    return _checks.whole("row", row, 0, len(trace.row_weights) - 1)


def picture(trace: TraceData, step: int, row: int | None) -> Markup:
    """One step as an SVG file."""
    [drawn] = _pictures(trace, [trace.steps[step]], row)
    return drawn.svg(alone=True)


def page(trace: TraceData, row: int | None) -> Markup:
    """A page with all steps, or with some of many."""
    return _page(trace, MOST_FRAMES, row)[0]


def in_notebook(trace: TraceData) -> Markup:
    """The page of the first row as an element of a notebook."""
    made, height = _page(trace, MOST_IN_NOTEBOOK, 0)
    return framed(made, _title(trace), height)


def is_small(trace: TraceData) -> bool:
    """Whether the network is drawn unit by unit."""
    sizes = trace.sizes
    weights = sum(fan_in * out for fan_in, out in pairwise(sizes))
    return max(sizes) <= MOST_UNITS and weights <= MOST_WEIGHTS and len(sizes) - 1 <= MOST_LAYERS


def _pictures(trace: TraceData, steps: Sequence[Step], row: int | None) -> Iterator[Picture]:
    """The picture of each of these steps, all with the same scales."""
    if is_small(trace):
        views = [view_of(step, row) for step in steps]
        scales = scales_of(views)
        yield from (NetDrawing(view, scales) for view in views)
    else:
        largest = scales_of_maps(steps)
        yield from (HeatMaps(step, largest) for step in steps)


def _page(trace: TraceData, most: int, row: int | None) -> tuple[Markup, float]:
    """The page with so many steps, and the height of its pictures."""
    steps = [trace.steps[number] for number in spread(len(trace.steps), most)]
    frames, height = [], 0.0
    for step, drawn in zip(steps, _pictures(trace, steps, row), strict=True):
        title = f"Training step {step.number}: loss {step.loss:.6g}"
        frames.append(Frame(title, drawn.svg(alone=False), drawn.sentences()))
        height = max(height, drawn.height)
    about, *more = (element("p", {}, text) for text in _notes(trace, len(steps), row))
    return shell(_title(trace), frames, before=[about], after=more), height


def _title(trace: TraceData) -> str:
    sizes = "-".join(map(str, trace.sizes)) if len(trace.sizes) <= 8 else f"of {len(trace.sizes) - 1} layers"
    return f"Backpropagation through MLP {sizes}, step by step"


def _notes(trace: TraceData, shown: int, row: int | None) -> list[str]:
    """What the page shows, and what it leaves out."""
    rows, steps = len(trace.row_weights), len(trace.steps)
    small = is_small(trace)
    notes = [
        f"Loss {trace.loss}, {trace.dtype.name}, {rows} row{'s' if rows > 1 else ''}, "
        f"{steps} training step{'s' if steps > 1 else ''} by {trace.optimizer}."
    ]
    if rows > 1 and small and row is None:
        notes[0] += (
            f" Inputs, z and a are {mean_name(trace)}s over the rows, and δ and the derivatives by inputs "
            "and activations are sums over them."
        )
    elif rows > 1 and small:
        notes[0] += f" Inputs, z, a and δ are those of row {row}; dW and db are of all rows."
    if not small:
        notes.append(LARGE)
    if shown < steps:
        notes.append(f"Of the {steps:,} steps, {shown} are shown, from the first to the last.")
    return notes
