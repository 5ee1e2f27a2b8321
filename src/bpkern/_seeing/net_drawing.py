"""The drawing of a small network in a training step: units in layers, a line and its numbers per weight.

Each unit has a table at its left with a row per weight and one for the bias: the number before the step, its
derivative, and the new number. The line of a weight ends at its row, so no number lies on another.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from .markup import Attributes, Markup, element
from .picture import (
    MARGIN,
    cell,
    legend,
    legend_size,
    line_width,
    sign,
    spoken,
    svg,
    text_width,
)
from .trace_equations import Equations
from .trace_formulas import number
from .trace_steps import Part, numbered
from .trace_view import View

# Up to these sizes, the network is drawn unit by unit.
MOST_UNITS, MOST_WEIGHTS, MOST_LAYERS = 8, 100, 8

ROW, PAD = 22.0, 8.0  # the height of a line of numbers, and the room beside it
HEAD = 30.0  # above all columns, for their titles
BETWEEN = 22.0  # units of a layer
NECK = 14.0  # between a unit and its table
TYPICAL = "−0.0000"  # columns of numbers are at least that wide, so that steps of training look alike


class Scales(NamedTuple):
    """The largest sizes, for colours and widths: of weights and biases; of values; of derivatives by values;
    of derivatives by weights and biases."""

    weights: float
    values: float
    deltas: float
    gradients: float


def scales_of(views: Sequence[View]) -> Scales:
    """One scale for all steps of a trace, so that their pictures can be compared."""
    layers = [layer for view in views for layer in view.step.layers]
    return Scales(
        largest(array for layer in layers for array in (layer.W, layer.b, layer.new_W, layer.new_b)),
        largest(
            array
            for view in views
            for array in (view.x, *view.z, *view.a, view.targets, view.probabilities)
            if array is not None
        ),
        largest(array for view in views for array in (view.dx, *view.da, *view.delta)),
        largest(array for layer in layers for array in (layer.dW, layer.db)),
    )


def largest(arrays: Iterable[np.ndarray]) -> float:
    """The largest size of all finite numbers; 0 without one."""
    finite = (array[np.isfinite(array)] for array in arrays)
    return max((float(np.abs(array).max(initial=0)) for array in finite), default=0.0)


class Field(NamedTuple):
    """A number in a box: its title, itself, the largest of its kind, and the step that reveals it."""

    title: str
    value: float
    most: float
    since: int


class Column(NamedTuple):
    """A layer, or the inputs, in the drawing.

    Attributes
    ----------
    title : str
    heads : list of (str, str)
        The first line of each box: the label and the rest.
    fields : list of list of Field
        The numbers of each box.
    across : int
        How many of them are in a line.
    tables : list of list of list of Field
        The rows of each box's table; empty for the inputs.
    """

    title: str
    heads: list[tuple[str, str]]
    fields: list[list[Field]]
    across: int
    tables: list[list[list[Field]]]


class NetDrawing:
    """The drawing of a view.

    Parameters
    ----------
    view : View
    scales : Scales
    """

    def __init__(self, view: View, scales: Scales) -> None:
        self.view, self.scales, self.equations = view, scales, Equations(view)
        self.layers = view.step.layers
        self.numbers = numbered(len(self.layers))
        self.columns = [self._inputs(), *(self._layer(l) for l in range(len(self.layers)))]
        self.loss_lines = self._loss_lines()
        self._measure()

    # What stands in the boxes ------------------------------------------------------------------------

    def _inputs(self) -> Column:
        units = range(len(self.view.x))
        back = self.numbers[Part("dx")]
        return Column(
            "inputs",
            [(self.equations.symbol("x", 0, i), "") for i in units],
            [
                [
                    Field("x", float(self.view.x[i]), self.scales.values, 1),
                    Field("∂E/∂x", float(self.view.dx[i]), self.scales.deltas, back),
                ]
                for i in units
            ],
            1,
            [],
        )

    def _layer(self, l: int) -> Column:
        layer, view, numbers, scales = self.layers[l], self.view, self.numbers, self.scales
        dropout = f", dropout {layer.dropout:g}" if layer.dropout else ""
        heads, fields, tables = [], [], []
        for j in range(len(layer.b)):
            a, z = self.equations.symbol("a", l, j), self.equations.symbol("z", l, j)
            function = z if layer.activation == "identity" else f"{layer.activation}({z})"
            heads.append((a, f" = {function}"))
            fields.append(
                [
                    Field("z", float(view.z[l][j]), scales.values, numbers[Part("z", l)]),
                    Field("δ", float(view.delta[l][j]), scales.deltas, numbers[Part("delta", l)]),
                    Field("a", float(view.a[l][j]), scales.values, numbers[Part("a", l)]),
                    Field("∂E/∂a", float(view.da[l][j]), scales.deltas, numbers[Part("da", l)]),
                ]
            )
            rows = [
                (self.equations.symbol("W", l, j, i), layer.W[j, i], layer.dW[j, i], layer.new_W[j, i])
                for i in range(layer.W.shape[1])
            ]
            rows.append((self.equations.symbol("b", l, j), layer.b[j], layer.db[j], layer.new_b[j]))
            tables.append(
                [
                    [
                        Field(name, float(old), scales.weights, 1),
                        Field("", float(by), scales.gradients, numbers[Part("dW", l)]),
                        Field("", float(new), scales.weights, numbers[Part("new", l)]),
                    ]
                    for name, old, by, new in rows
                ]
            )
        return Column(f"layers[{l}]: {layer.activation}{dropout}", heads, fields, 2, tables)

    def _loss_lines(self) -> list[tuple[list[Field], str]]:
        """Lines of the box of the loss: fields, and the text of a line without them."""
        view, since = self.view, self.numbers[Part("loss")]
        name, values = ("a", view.outputs) if view.probabilities is None else ("p", view.probabilities)
        last, lines = len(self.layers) - 1, []
        for k, value in enumerate(values):
            shown = since if name == "p" else self.numbers[Part("a", last)]
            fields = [Field(self.equations.symbol(name, last, k), float(value), self.scales.values, shown)]
            if view.targets is not None:
                target = float(view.targets[k])
                fields.append(Field(self.equations.symbol("y", 0, k), target, self.scales.values, 1))
            lines.append((fields, ""))
        return lines + [([], f"{equation.symbol} = {equation.value}") for equation in self.equations.loss()]

    # Places ------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        """Widths and heights, and the places of all columns."""
        x, self.places = 0.0, []
        for column in self.columns:
            fields = [field for box in column.fields for field in box]
            sides = [_field_width(fields[side :: column.across]) for side in range(column.across)]
            head = max(text_width(label, bold=True) + text_width(rest) for label, rest in column.heads)
            table = self._table_widths(column)
            box = max(sum(sides) + 6 * (column.across - 1), head) + 2 * PAD
            width = sum(table) + (NECK if table else 0) + box
            title = text_width(column.title, bold=True)
            self.places.append((x, table, sides, box))
            x += max(width, title) + self._gap(len(self.places))
        self.loss_x = x
        loss = [sum(map(_one_width, fields)) + 6 for fields, _ in self.loss_lines]
        loss += [text_width(text, bold=True) for _, text in self.loss_lines]
        self.loss_width = max(*loss, text_width(self._loss_title(), bold=True) - 2 * PAD) + 2 * PAD
        heights = [self._heights(column) for column in self.columns]
        self.loss_height = ROW * len(self.loss_lines) + 2 * PAD
        inner = max(self.loss_height, *(sum(each) + BETWEEN * (len(each) - 1) for each in heights))
        self.tops = []
        for each in heights:
            top, tops = HEAD + (inner - sum(each) - BETWEEN * (len(each) - 1)) / 2, []
            for height in each:
                tops.append((top, height))
                top += height + BETWEEN
            self.tops.append(tops)
        self.loss_top = HEAD + (inner - self.loss_height) / 2
        wide, tall = legend_size(len(self._legend()))
        self.width = max(self.loss_x + self.loss_width, wide) + 2 * MARGIN
        self.inner = HEAD + inner
        self.height = self.inner + tall + 3 * MARGIN

    def _gap(self, column: int) -> float:
        """The room right of a column for lines, which are steep where many units are above each other."""
        if column == len(self.columns):
            return 56.0
        return 56.0 + 8.0 * max(len(self.columns[column - 1].heads), len(self.columns[column].heads))

    def _table_widths(self, column: Column) -> list[float]:
        """Of the names, and of the three columns of numbers."""
        rows = [row for table in column.tables for row in table]
        if not rows:
            return []
        names = max(text_width(row[0].title) * 12 / 14 for row in rows) + 8
        return [names, *(_numbers_width([row[place] for row in rows]) + 2 for place in range(3))]

    def _heights(self, column: Column) -> list[float]:
        boxes = [ROW * (1 + len(fields) // column.across) + PAD for fields in column.fields]
        tables = [ROW * (1 + len(table)) for table in column.tables] or [0.0] * len(boxes)
        return [max(pair) for pair in zip(boxes, tables, strict=True)]

    # Drawing -----------------------------------------------------------------------------------------

    def svg(self, alone: bool) -> Markup:
        """The drawing, for a file of its own or for a page."""
        lines, boxes = [], []
        for place, column in enumerate(self.columns):
            x = self.places[place][0]
            boxes.append(element("text", {"class": "label", "x": x, "y": 14}, column.title))
            for unit in range(len(column.heads)):
                boxes.append(self._box(place, unit))
                if column.tables:
                    boxes.append(self._table_head(place, unit))
                    lines += [self._weight(place - 1, unit, row) for row in range(len(column.tables[unit]))]
        boxes.append(element("text", {"class": "label", "x": self.loss_x, "y": 14}, self._loss_title()))
        moved = element(
            "g",
            {"transform": f"translate({MARGIN:g} {MARGIN:g})"},
            *self._to_loss(),
            *lines,
            *boxes,
            self._loss_box(),
        )
        return svg(
            self.width, self.height, self._label(), moved,
            legend(self.inner + 2 * MARGIN, self._legend()), alone=alone,
        )  # fmt: skip

    def sentences(self) -> list[str]:
        """The sentence of each step of the drawing."""
        return self.equations.sentences()

    def _label(self) -> str:
        sizes = "-".join(map(str, self.view.step.setting.sizes))
        return f"Network {sizes} in a training step, from the inputs at the left to the loss at the right"

    def _loss_title(self) -> str:
        return f"loss: {self.view.step.setting.loss}"

    def _legend(self) -> list[tuple[str, str, float]]:
        return [
            ("w, as lines", "line", self.scales.weights),
            ("w, b, new w, new b", "tint", self.scales.weights),
            ("x, z, a, p, y", "tint", self.scales.values),
            ("δ, ∂E/∂a, ∂E/∂x", "tint", self.scales.deltas),
            ("dW, db", "tint", self.scales.gradients),
        ]

    def _box_at(self, place: int, unit: int) -> tuple[float, float, float, float]:
        """Left, top, width and height of a box."""
        x, table, _, width = self.places[place]
        top, height = self.tops[place][unit]
        column = self.columns[place]
        own = ROW * (1 + len(column.fields[unit]) // column.across) + PAD
        return x + sum(table) + (NECK if table else 0), top + (height - own) / 2, width, own

    def _row_at(self, place: int, unit: int, row: int) -> tuple[float, float]:
        """Left and top of a row of a table."""
        top, height = self.tops[place][unit]
        own = ROW * (1 + len(self.columns[place].tables[unit]))
        return self.places[place][0], top + (height - own) / 2 + ROW * (1 + row)

    def _box(self, place: int, unit: int) -> Markup:
        column, (x, y, width, height) = self.columns[place], self._box_at(place, unit)
        label, rest = column.heads[unit]
        head = [element("tspan", {"class": "label"}, label), element("tspan", {}, rest)]
        children = [_frame(x, y, width, height), element("text", {"x": x + PAD, "y": y + 17}, *head)]
        sides = self.places[place][2]
        spare = (width - 2 * PAD - 6 * (column.across - 1) - sum(sides)) / column.across
        for index, field in enumerate(column.fields[unit]):
            line, side = divmod(index, column.across)
            left = x + PAD + (sides[0] + spare + 6) * side
            children += _field(field, left, y + ROW * (1 + line) + 2, sides[side] + spare)
        if place == 0:
            steps = [1, self.numbers[Part("dx")]]
            return spoken("node", self.equations.of_input(unit), steps, children)
        l = place - 1
        steps = [self.numbers[Part(quantity, l)] for quantity in ("z", "a", "da", "delta")]
        return spoken("node", self.equations.of_unit(l, unit), steps, children)

    def _table_head(self, place: int, unit: int) -> Markup:
        """The titles of a table's columns, and the line from it to its unit."""
        x, y = self._row_at(place, unit, -1)
        _, widths, _, _ = self.places[place]
        box_x, box_y, _, box_height = self._box_at(place, unit)
        names, parts = ("w", "dW", "new w"), []
        right = x + widths[0]
        for name, width in zip(names, widths[1:], strict=True):
            right += width
            parts.append(element("text", {"class": "quiet number", "x": right - 8, "y": y + 16}, name))
        neck = f"M{box_x - NECK:.1f} {box_y + box_height / 2:.1f}h{NECK:.1f}"
        parts.append(element("path", {"class": "line", "d": neck}))
        return element("g", {"aria-hidden": "true"}, *parts)

    def _weight(self, l: int, unit: int, row: int) -> Markup:
        """A weight, or the bias: its line and its row of the table."""
        place = l + 1
        fields = self.columns[place].tables[unit][row]
        x, y = self._row_at(place, unit, row)
        _, widths, _, _ = self.places[place]
        bias = row == len(self.columns[place].tables[unit]) - 1
        children = [] if bias else self._line(place, row, (x, y + ROW / 2), fields[0])
        children += [
            _frame(x, y, sum(widths), ROW, around=2),
            element("text", {"class": "quiet", "x": x + 4, "y": y + 16}, fields[0].title),
        ]
        left = x + widths[0]
        for field, width in zip(fields, widths[1:], strict=True):
            children += cell(
                left, y + 1, width - 2, field.value, number(field.value), field.most, field.since
            )
            left += width
        steps = [self.numbers[Part(quantity, l)] for quantity in ("z", "dW", "new")]
        equations = self.equations
        text = equations.of_bias(l, unit) if bias else equations.of_weight(l, unit, row)
        return spoken("edge weight", text, steps, children)

    def _line(self, place: int, source: int, end: tuple[float, float], field: Field) -> list[Markup]:
        """From a box of the column before to the end."""
        path = self._path(place - 1, source, end)
        drawn = {"class": f"strength {sign(field.value)}", "d": path}
        return [
            element("path", {"class": "reach", "d": path}),
            element("path", {"class": "line", "d": path}),
            element("path", {**drawn, "stroke-width": line_width(field.value, field.most)}),
        ]

    def _path(self, place: int, unit: int, end: tuple[float, float]) -> str:
        x, y, width, height = self._box_at(place, unit)
        start, middle = (x + width, y + height / 2), (x + width + end[0]) / 2
        return (
            f"M{start[0]:.1f} {start[1]:.1f}"
            f"C{middle:.1f} {start[1]:.1f} {middle:.1f} {end[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
        )

    def _to_loss(self) -> list[Markup]:
        """The lines from the outputs to the loss."""
        paths = [
            self._path(len(self.columns) - 1, k, (self.loss_x, self.loss_top + PAD + ROW * (k + 0.5)))
            for k in range(len(self.view.outputs))
        ]
        return [element("path", {"class": "line", "d": path, "aria-hidden": "true"}) for path in paths]

    def _loss_box(self) -> Markup:
        x, y, width = self.loss_x, self.loss_top, self.loss_width
        since = self.numbers[Part("loss")]
        children = [_frame(x, y, width, self.loss_height)]
        for place, (fields, text) in enumerate(self.loss_lines):
            top = y + PAD + ROW * place
            each = (width - 2 * PAD - 6 * (len(fields) - 1)) / max(len(fields), 1)
            for side, field in enumerate(fields):
                children += _field(field, x + PAD + side * (each + 6), top + 1, each)
            if text:
                at: Attributes = {"class": "label", "x": x + PAD, "y": top + 16, "data-from": str(since)}
                children.append(element("text", at, text))
        return spoken("node", self.equations.of_loss(), [since], children)


def _frame(x: float, y: float, width: float, height: float, around: float = 6) -> Markup:
    at: Attributes = {"x": x, "y": y, "width": width, "height": height, "rx": around}
    return element("rect", {"class": "box", **at})


def _field(field: Field, left: float, top: float, width: float) -> list[Markup]:
    """A title and a number on its tint."""
    shown = number(field.value)
    return cell(left, top, width, field.value, shown, field.most, field.since, field.title)


def _numbers_width(fields: Sequence[Field]) -> float:
    return max(text_width(TYPICAL), *(text_width(number(field.value)) for field in fields)) + 8


def _one_width(field: Field) -> float:
    """The width of a field, whose title is in a smaller font."""
    return text_width(field.title) * 12 / 14 + 12 + _numbers_width([field])


def _field_width(fields: Sequence[Field]) -> float:
    return max(map(_one_width, fields))
