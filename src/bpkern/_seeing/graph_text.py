"""The nodes of an expression as a table of aligned text, or of HTML."""

from collections.abc import Sequence

from .graph_rows import Row
from .markup import element

# Columns of numbers, which are aligned to the right.
NUMBERS = (2, 3)


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text."""
    lines = _cells(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = (
        [
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    )
    return "\n".join("  ".join(line).rstrip() for line in padded)


def html_table(rows: Sequence[Row]) -> str:
    """The rows as a table of HTML."""
    head, *body = _cells(rows)
    lines = []
    for line in body:
        cells = [
            element("td", {"class": "number" if column in NUMBERS else None}, cell)
            for column, cell in enumerate(line[1:], 1)
        ]
        lines.append(element("tr", {}, element("th", {"scope": "row"}, line[0]), *cells))
    heads = [element("th", {"scope": "col"}, cell) for cell in head]
    caption = element("caption", {}, "All nodes, each after its operands")
    return element(
        "table",
        {},
        caption,
        element("thead", {}, element("tr", {}, *heads)),
        element("tbody", {}, *lines),
    )


def _cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    head = ("node", "formula", "value", f"∂{rows[-1].label}/∂node", "local derivatives")
    return [
        head,
        *(
            (
                row.label,
                row.formula,
                row.value_shown,
                row.gradient_shown,
                "; ".join(part.equation for part in row.parts),
            )
            for row in rows
        ),
    ]
