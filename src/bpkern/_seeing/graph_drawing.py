"""The drawing of an expression: boxes for nodes, curves for edges, and the steps forward and backward."""

from collections.abc import Iterable, Sequence

from .graph_rows import Part, Row
from .graph_text import html_table, table
from .layers import Box, Point, places
from .markup import Attributes, Markup, element
from .page import Frame, framed, shell
from .picture import (
    MARGIN,
    SIZE,
    cell,
    legend,
    legend_size,
    line_width,
    shortened,
    sign,
    spoken,
    svg,
    text_width,
)

# Of a drawing. Above it, the table says more.
MOST_NODES = 150
TOO_LARGE = "The expression has {} nodes. A drawing shows at most {}; this is the table."

ROW, PAD = 22.0, 10.0  # the height of a line in a box, and the room beside it
MOST_LABEL, MOST_FORMULA = 18, 34  # characters in a box; the panel has all of them
MOST_STARTS = 12  # variables in the sentence of the first step

EXPLANATION = (
    "Forward, each node gets its value from its operands. Backward, each gets its gradient: "
    "the sum, over its edges to the right, of the gradient there times the edge’s local derivative."
)


def picture(rows: Sequence[Row]) -> Markup:
    """The drawing as an SVG file; of a large expression, the table."""
    return _table_picture(rows) if len(rows) > MOST_NODES else _Drawing(rows).svg(alone=True)


def page(rows: Sequence[Row]) -> Markup:
    """A page with the drawing, step by step, and the table."""
    return _page(rows, None if len(rows) > MOST_NODES else _Drawing(rows))


def in_notebook(rows: Sequence[Row]) -> Markup:
    """The page as an element of a notebook."""
    drawing = None if len(rows) > MOST_NODES else _Drawing(rows)
    return framed(
        _page(rows, drawing), f"Backpropagation through {_title(rows)}", drawing.height if drawing else 0
    )


def _page(rows: Sequence[Row], drawing: "_Drawing | None") -> Markup:
    title = f"Backpropagation through {shortened(_title(rows), 80)}"
    scrolled = element("div", {"class": "scroll"}, html_table(rows))
    if drawing is None:
        note = element("p", {}, TOO_LARGE.format(len(rows), MOST_NODES))
        return shell(title, [], after=[note, scrolled])
    frame = Frame("", drawing.svg(alone=False), _sentences(rows))
    return shell(title, [frame], after=[element("p", {}, EXPLANATION), scrolled])


def _table_picture(rows: Sequence[Row]) -> Markup:
    lines = [TOO_LARGE.format(len(rows), MOST_NODES), "", *table(rows).splitlines()]
    texts = [
        element("text", {"x": MARGIN, "y": MARGIN + SIZE * (1 + 1.3 * place), "class": "lines"}, line)
        for place, line in enumerate(lines)
    ]
    width = 0.62 * 12 * max(map(len, lines)) + 2 * MARGIN
    return svg(width, 1.3 * SIZE * len(lines) + 2 * MARGIN, _title(rows), *texts, alone=True)


def _title(rows: Sequence[Row]) -> str:
    last = rows[-1]
    return f"{last.label} = {last.expression}" if last.formula else last.label


def _sentences(rows: Sequence[Row]) -> list[str]:
    """What happens in each step."""
    starts = [row.equation for row in rows if row.kind == "variable"]
    if len(starts) > MOST_STARTS:
        starts = [*starts[:MOST_STARTS], f"and {len(starts) - MOST_STARTS} more"]
    sentences = [f"Start: {', '.join(starts)}." if starts else "Start: there are no variables."]
    sentences += [f"Forward: {row.equation}." for row in rows if row.kind == "operation"]
    for row in reversed(rows):
        if row.kind != "constant":
            how = ", branches add" if len(row.users) > 1 else "" if row.users else ", from the result"
            sentences.append(f"Backward{how}: {row.chain}.")
    return sentences


def _largest(sizes: Iterable[float]) -> float:
    return max(map(abs, sizes), default=0.0)


def _head(row: Row) -> tuple[str, str]:
    """The first line of a box: the label, and the rest."""
    formula = f" = {shortened(row.formula, MOST_FORMULA)}" if row.formula else ""
    return shortened(row.label, MOST_LABEL), formula


class _Drawing:
    """The drawing of an expression.

    The steps are the start, the operations forward, and all nodes but constants backward. Constants have no
    gradient in the drawing.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        operations = [index for index, row in enumerate(rows) if row.kind == "operation"]
        self.forward = dict.fromkeys(range(len(rows)), 1)
        self.forward.update({index: step for step, index in enumerate(operations, 2)})
        back = [index for index in reversed(range(len(rows))) if rows[index].kind != "constant"]
        self.backward = {index: step for step, index in enumerate(back, len(operations) + 2)}

        self.edges = [(part.operand, index) for index, row in enumerate(rows) for part in row.parts]
        laid = places([self._box_size(row) for row in rows], self.edges)
        self.boxes, self.routes = laid.boxes, laid.routes
        active = [rows[index] for index in back]
        parts = [part.derivative for row in rows for part in row.parts if not part.constant]
        self.most_value = _largest(row.value for row in active)
        self.most_gradient = _largest(row.gradient for row in active)
        self.most_derivative = _largest(parts)
        self.scales = [
            ("value", "tint", self.most_value),
            (f"gradient {self._symbol('…')}", "tint", self.most_gradient),
            ("local derivative, on edges", "line", self.most_derivative),
        ]
        wide, tall = legend_size(len(self.scales))
        self.width = max(laid.width, wide) + 2 * MARGIN
        self.height = laid.height + tall + 3 * MARGIN
        self.legend_at = laid.height + 2 * MARGIN
        self.left = MARGIN + max(0.0, (wide - laid.width) / 2)

    def svg(self, alone: bool) -> Markup:
        """The drawing, for a file of its own or for a page."""
        parts, numbers, taken = [], [], _Taken()
        routes = iter(self.routes)
        for index, row in enumerate(self.rows):
            for part in row.parts:
                route = next(routes)
                parts.append(self._edge(index, part, route))
                if not part.constant:
                    numbers += self._number(part, route, taken)
            parts.append(self._node(index, row, self.boxes[index]))
        # The numbers of edges lie above all lines. Edges have them in their texts.
        parts.append(element("g", {"class": "numbers", "aria-hidden": "true"}, *numbers))
        moved = element("g", {"transform": f"translate({self.left:g} {MARGIN:g})"}, *parts)
        label = f"Graph of {_title(self.rows)}, from the operands at the left to the result at the right"
        return svg(self.width, self.height, label, moved, legend(self.legend_at, self.scales), alone=alone)

    def _symbol(self, label: str) -> str:
        """The gradient by a node, short enough for a box."""
        return f"∂{shortened(self.rows[-1].label, MOST_LABEL)}/∂{shortened(label, MOST_LABEL)}"

    def _box_size(self, row: Row) -> Point:
        label, formula = _head(row)
        width = text_width(label, bold=True) + text_width(formula)
        if row.kind == "constant":
            return width + 2 * PAD, ROW + 6
        value = text_width(f"value   {row.value_shown}")
        gradient = text_width(f"{self._symbol(row.label)}   {row.gradient_shown}")
        return max(width, value, gradient, 80.0) + 2 * PAD, 3 * ROW + 10

    def _node(self, index: int, row: Row, box: Box) -> Markup:
        label, formula = _head(row)
        head = [element("tspan", {"class": "label"}, label), element("tspan", {}, formula)]
        around: Attributes = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
        children = [
            element("rect", {"class": "box", **around, "rx": 6}),
            element("text", {"x": box.x + PAD, "y": box.y + ROW - 4}, *head),
        ]
        text, steps = row.equation, [self.forward[index]]
        if row.kind != "constant":
            text += f"\n{row.chain}"
            steps.append(self.backward[index])
            value = ("value", row.value, row.value_shown, self.most_value, steps[0])
            gradient = (
                self._symbol(row.label),
                row.gradient,
                row.gradient_shown,
                self.most_gradient,
                steps[1],
            )
            children += [*_line(box, 1, *value), *_line(box, 2, *gradient)]
        return spoken(f"node {row.kind}", text, steps, children)

    def _edge(self, target: int, part: Part, route: Sequence[Point]) -> Markup:
        path, last = _curve(route)
        triangle = f"M{route[-1][0]:.1f} {route[-1][1]:.1f}l-8 -4.5v9z"
        children = [
            element("path", {"class": "reach", "d": last}),
            element("path", {"class": "line", "d": path}),
            element("path", {"class": "tip", "d": triangle}),
        ]
        steps = [self.forward[target]]
        if not part.constant:
            steps.append(self.backward[part.operand])
            colour, since = sign(part.derivative), {"data-from": str(steps[1])}
            width = line_width(part.derivative, self.most_derivative)
            children += [
                element("path", {"class": f"strength {colour}", "d": last, "stroke-width": width, **since}),
                element("path", {"class": f"tip {colour}", "d": triangle, **since}),
            ]
        text = f"Edge from {self.rows[part.operand].label} to {self.rows[target].label}: {part.equation}"
        return spoken("edge", text, steps, children)

    def _number(self, part: Part, route: Sequence[Point], taken: "_Taken") -> list[Markup]:
        """The local derivative of an edge."""
        since = {"data-from": str(self.backward[part.operand])}
        room = text_width(part.shown) + 6
        x, y = taken.place(route[-2], route[-1], room)
        pill = {"x": x - room / 2, "y": y - 9, "width": room, "height": 18, "rx": 9}
        return [
            element("rect", {"class": f"pill {sign(part.derivative)}", **pill, **since}),
            element("text", {"class": "on-edge", "x": x, "y": y + 5, **since}, part.shown),
        ]


def _line(
    box: Box, place: int, title: str, value: float, shown: str, largest: float, since: int
) -> list[Markup]:
    """A line of a box: what it is, and the number, tinted."""
    return cell(box.x + 4, box.y + place * ROW + 5, box.width - 8, value, shown, largest, since, title)


def _curve(route: Sequence[Point]) -> tuple[str, str]:
    """The path along a route, and its last curve. Both end in the tip of an arrow."""
    curves = []
    for (x, y), (right, end) in zip(route[::2], route[1::2], strict=True):
        right = right - 6 if right == route[-1][0] else right
        half = (x + right) / 2
        curves.append((x, y, f"C{half:.1f} {y:.1f} {half:.1f} {end:.1f} {right:.1f} {end:.1f}"))
    path = "".join(
        f"{'L' if place else 'M'}{x:.1f} {y:.1f}{curve}" for place, (x, y, curve) in enumerate(curves)
    )
    x, y, curve = curves[-1]
    return path, f"M{x:.1f} {y:.1f}{curve}"


class _Taken:
    """Places for the numbers on edges: along the curve, where no other is."""

    # Parts of the way, the best first.
    ALONG = (0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2)

    def __init__(self) -> None:
        self.taken: list[tuple[float, float, float]] = []

    def place(self, start: Point, end: Point, width: float) -> Point:
        """The middle of the number."""
        found = [_on_curve(start, end, along) for along in self.ALONG]
        x, y = next((point for point in found if self._is_free(*point, width)), found[0])
        self.taken.append((x, y, width))
        return x, y

    def _is_free(self, x: float, y: float, width: float) -> bool:
        return all(
            abs(x - other) > (width + room) / 2 or abs(y - level) > SIZE + 2
            for other, level, room in self.taken
        )


def _on_curve(start: Point, end: Point, along: float) -> Point:
    """A point of the cubic curve between two points that is level at both."""
    bend = 1.5 * along * (1 - along) ** 2 + 1.5 * along**2 * (1 - along) + along**3
    rise = along**2 * (3 - 2 * along)
    return start[0] + (end[0] - start[0]) * bend, start[1] + (end[1] - start[1]) * rise
