"""The nodes of an expression with all texts that tables and drawings show of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from .numbers import filled, in_formula, number

# The most characters of an expression that is written out.
MOST_WRITTEN = 60
# How strongly a formula binds its operands together, and how strongly each operand must do so itself to need
# no parentheses. Negatives get them everywhere. What is not listed is a call, with parentheses of its own.
BINDING = {
    "{a} + {b}": (1, 1, 1),
    "{a} − {b}": (1, 1, 2),
    "{a} × {b}": (2, 2, 3),
    "{a} ÷ {b}": (2, 2, 3),
    "−{a}": (0, 4, 4),
}
POWER, CALL, ATOM = (3, 4, 4), (4, 0, 0), 4
# Of a sum over paths, the most terms that are written out.
MOST_TERMS = 8


class EdgeOf(Protocol):
    """What is read of `bpkern.graph.Edge`."""

    @property
    def operand(self) -> "NodeOf": ...
    @property
    def derivative(self) -> float: ...
    @property
    def formula(self) -> str: ...


class NodeOf(Protocol):
    """What is read of `bpkern.graph.Node`."""

    @property
    def value(self) -> float: ...
    @property
    def edges(self) -> Sequence[EdgeOf]: ...
    @property
    def name(self) -> str | None: ...
    @property
    def formula(self) -> str: ...


@dataclass(frozen=True)
class Part:
    """An edge.

    Attributes
    ----------
    operand : int
        The operand's row.
    symbol : str
        "∂z/∂w".
    derivative : float
    shown : str
        The derivative as a number.
    equation : str
        "∂z/∂w = v1 = 3": symbol, formula with labels and with numbers, and the number, without repetitions.
    constant : bool
        Whether the operand is a constant.
    """

    operand: int
    symbol: str
    derivative: float
    shown: str
    equation: str
    constant: bool


@dataclass(frozen=True)
class Row:
    """A node.

    Attributes
    ----------
    label : str
    kind : str
        "variable", "constant" or "operation".
    formula : str
        Of an operation, with labels: "v1 × w".
    expression : str
        Of an operation, with unnamed operands written out where they are short: "(x + y) × w".
    equation : str
        "z = v1 × w = 3 × (−4) = −12"; of variables, "x = −2"; of constants, "2".
    value : float
    value_shown : str
    gradient : float
    gradient_shown : str
    gradient_symbol : str
        "∂z/∂w", z being the result.
    chain : str
        How the gradient comes about: "∂z/∂x = ∂z/∂v1 · ∂v1/∂x = (−4) · 1 = −4".
    parts : tuple of Part
        One per operand.
    users : tuple of (int, int)
        Row and part of each edge that leads here.
    """

    label: str
    kind: str
    formula: str
    expression: str
    equation: str
    value: float
    value_shown: str
    gradient: float
    gradient_shown: str
    gradient_symbol: str
    chain: str
    parts: tuple[Part, ...]
    users: tuple[tuple[int, int], ...]


def rows(order: Sequence[NodeOf], gradients: Sequence[float], digits: int = 4) -> list[Row]:
    """The rows of nodes in this order, each after its operands and the result last.

    Parameters
    ----------
    order : sequence of nodes
    gradients : sequence of float
        Of the result by each of them.
    digits : int
        Significant digits of all numbers.
    """
    at = {id(node): index for index, node in enumerate(order)}
    labels = list(_labels(order, digits))
    values = [number(node.value, digits) for node in order]
    shown = [number(gradient, digits) for gradient in gradients]
    constant = [not node.edges and node.name is None for node in order]
    parts = []
    users: list[list[tuple[int, int]]] = [[] for _ in order]
    for index, node in enumerate(order):
        operands = [at[id(edge.operand)] for edge in node.edges]
        for place, operand in enumerate(operands):
            users[operand].append((index, place))
        parts.append(tuple(_parts(node, index, operands, labels, values, constant, digits)))
    described: list[Row] = []
    # What stands for a node in the expressions of its users, and how strongly that binds.
    written: list[tuple[str, int]] = []
    for index, node in enumerate(order):
        symbol = f"∂{labels[-1]}/∂{labels[index]}"
        operands = [part.operand for part in parts[index]]
        formula = _filled(node.formula, operands, index, labels)
        expression, binding = _expression(node.formula, [written[operand] for operand in operands])
        if len(expression) > MOST_WRITTEN:
            expression = formula
        if node.edges and node.name is None:
            written.append((expression, binding))
        else:
            written.append((labels[index], 0 if constant[index] and node.value < 0 else ATOM))
        terms = [labels[index]] if not constant[index] else []
        terms += [formula, _filled(node.formula, operands, index, values)] if node.edges else []
        described.append(
            Row(
                label=labels[index],
                kind="operation" if node.edges else "constant" if constant[index] else "variable",
                formula=formula,
                expression=expression,
                equation=_equation(*terms, values[index]),
                value=node.value,
                value_shown=values[index],
                gradient=gradients[index],
                gradient_shown=shown[index],
                gradient_symbol=symbol,
                chain=_chain(symbol, shown, index, users, parts, labels),
                parts=parts[index],
                users=tuple(users[index]),
            )
        )
    return described


def _labels(order: Sequence[NodeOf], digits: int) -> Iterator[str]:
    """Names, numbered from the second node with the same name on; numbers of constants; v1, v2, ... for other
    nodes."""
    taken = {node.name for node in order}
    fresh = (f"v{index}" for index in count(1) if f"v{index}" not in taken)
    again: dict[str, Iterator[str]] = {}
    for node in order:
        if node.name is None:
            yield next(fresh) if node.edges else number(node.value, max(digits, 6))
        elif node.name in again:
            label = next(again[node.name])
            taken.add(label)
            yield label
        else:
            again[node.name] = _numbered(node.name, taken)
            yield node.name


def _numbered(name: str, taken: set[str | None]) -> Iterator[str]:
    """name_2, name_3, ..., without the labels that are taken."""
    return (f"{name}_{index}" for index in count(2) if f"{name}_{index}" not in taken)


def _parts(
    node: NodeOf,
    index: int,
    operands: list[int],
    labels: list[str],
    values: list[str],
    constant: list[bool],
    digits: int,
) -> Iterator[Part]:
    for place, (edge, operand) in enumerate(zip(node.edges, operands, strict=True)):
        symbol = f"∂{labels[index]}/∂{labels[operand]}"
        if operands.count(operand) > 1:
            symbol += (" (left)", " (right)")[place]
        shown = number(edge.derivative, digits)
        formula = _filled(edge.formula, operands, index, labels)
        numbers = _filled(edge.formula, operands, index, values)
        if " if " in edge.formula:  # a choice between numbers
            equation = f"{symbol} = {shown} ({formula})"
        else:
            equation = _equation(symbol, formula, numbers, shown)
        yield Part(
            operand,
            symbol,
            edge.derivative,
            shown,
            equation,
            constant[operand],
        )


def _filled(formula: str, operands: Sequence[int], result: int, texts: Sequence[str]) -> str:
    """A formula with these texts, by row, for {a}, {b} and {r}."""
    places = (*zip("ab", operands, strict=False), ("r", result))
    return filled(formula, {letter: texts[row] for letter, row in places})


def _expression(formula: str, operands: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """A formula of operands, given with how strongly they bind, and how strongly it binds."""
    is_power = formula.startswith("{a}") and formula not in BINDING
    own, *needed = POWER if is_power else BINDING.get(formula, CALL)
    texts = [
        text if binding >= least else f"({text})"
        for (text, binding), least in zip(operands, needed, strict=False)
    ]
    return formula.format(**dict(zip("ab", texts, strict=False))), own


def _equation(*terms: str) -> str:
    """The terms with = between them, each once."""
    return " = ".join(dict.fromkeys(terms))


def _chain(
    symbol: str,
    shown: list[str],
    index: int,
    users: list[list[tuple[int, int]]],
    parts: list[tuple[Part, ...]],
    labels: list[str],
) -> str:
    """The gradient of a row: over the edges that lead here, the sum of gradient times local derivative."""
    if not users[index]:
        return f"{symbol} = 1"
    result = len(labels) - 1
    if users[index] == [(result, 0)] or users[index] == [(result, 1)]:
        return parts[result][users[index][0][1]].equation
    edges = [(user, parts[user][place]) for user, place in users[index][:MOST_TERMS]]
    rest = len(users[index]) - len(edges)
    more = f" + … ({rest} more)" if rest else ""
    # The derivative of the result by its own operand, along this edge alone, has the symbol of the gradient.
    symbols = " + ".join(
        f"∂{labels[-1]}/∂{labels[user]} · {part.symbol}{' (direct)' if part.symbol == symbol else ''}"
        for user, part in edges
    )
    numbers = " + ".join(f"{in_formula(shown[user])} · {in_formula(part.shown)}" for user, part in edges)
    return f"{symbol} = {symbols}{more} = {numbers}{more} = {shown[index]}"
