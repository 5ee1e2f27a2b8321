"""Expressions of scalars, and backpropagation through them node by node.

>>> from bpkern.graph import variables
>>> x, y, w = variables(x=-2, y=5, w=-4)
>>> z = (x + y) * w
>>> z.value
-12.0
>>> z.backward()
>>> x.gradient, y.gradient, w.gradient
(-4.0, -4.0, 3.0)

An operation makes a node. Its edges lead to its operands, and each edge has a local derivative: that of the
operation by this operand, with the other operand constant. `backward` applies the chain rule: the gradient of
a node is the sum, over all paths from the result to the node, of the products of the local derivatives along
the path. Branches add, layers multiply.

A node's value and edges never change, and its operands exist before it does, so no expression contains a
cycle. All numbers are float64.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple

from ._checks import as_str, real, whole
from ._seeing.graph_rows import Row, rows
from ._seeing.operations import OPERATIONS, Operation, activation_of, power_of

if TYPE_CHECKING:
    from .trace import Step

# Without max: `from bpkern.graph import *` would hide Python's own.
__all__ = [
    "Edge",
    "Node",
    "cos",
    "exp",
    "from_trace",
    "log",
    "relu",
    "sigmoid",
    "sin",
    "tanh",
    "variables",
]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


class Edge(NamedTuple):
    """From an operation to one of its operands.

    Attributes
    ----------
    operand : Node
    derivative : float
        The local derivative.
    formula : str
        The local derivative as a formula of the operands, ``{a}`` and ``{b}``, and of the result, ``{r}``.
    """

    operand: Node
    derivative: float
    formula: str


class Node:
    """A variable, a constant, or the result of an operation.

    The operators ``+ - * / **`` and the functions of this module make new nodes from nodes and numbers.
    Nodes are compared by identity.

    Parameters
    ----------
    value : float
        Finite.
    edges : sequence of Edge
        To the operands, at most two; empty for variables and constants.
    name : str, optional
        For tables and drawings. A node without edges is a variable if it has a name, a constant otherwise.
    formula : str
        The operation as a formula of the operands, ``{a}`` and ``{b}``; "" for variables and constants.

    Attributes
    ----------
    value : float
    edges : tuple of Edge
    name : str or None
    formula : str
    gradient : float or None
        The derivative of a result by this node, set by the result's `backward`; None before.
    """

    __slots__ = ("_edges", "_formula", "_name", "_value", "gradient")
    # NumPy's scalars leave the operators to this class.
    __array_ufunc__ = None

    def __init__(
        self, value: float, edges: tuple[Edge, ...] = (), *, name: str | None = None, formula: str = ""
    ) -> None:
        self._value, self._edges = real("value", value, -math.inf), tuple(edges)
        if not all(isinstance(edge, Edge) for edge in self._edges):
            raise TypeError(f"edges must be a sequence of Edge, not {edges!r}")
        if len(self._edges) > 2:
            raise ValueError(f"a node has at most two edges, not {len(self._edges)}")
        self._name = None if name is None else _checked_name(name)
        self._formula = formula
        self.gradient: float | None = None

    @property
    def value(self) -> float:
        return self._value

    @property
    def edges(self) -> tuple[Edge, ...]:
        return self._edges

    @property
    def name(self) -> str | None:
        return self._name

    @property
    def formula(self) -> str:
        return self._formula

    def named(self, name: str) -> Node:
        """Give this node a name for tables and drawings.

        Parameters
        ----------
        name : str
            Printable and not empty.

        Returns
        -------
        Node
            This node.
        """
        self._name = _checked_name(name)
        return self

    def order(self) -> list[Node]:
        """This node and all that it depends on.

        Returns
        -------
        list of Node
            Each once, after its operands.
        """
        ordered: list[Node] = []
        seen: set[Node] = set()
        stack = [(self, False)]
        while stack:
            node, operands_done = stack.pop()
            if operands_done:
                ordered.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((edge.operand, False) for edge in reversed(node.edges))
        return ordered

    def gradients(self) -> dict[Node, float]:
        """The derivatives of this node by each node of `order`, by the chain rule.

        Returns
        -------
        dict of Node to float
            In the order of `order`.

        Raises
        ------
        OverflowError
            If one is too large for float64.
        """
        order = self.order()
        gradients = dict.fromkeys(order, 0.0)
        gradients[self] = 1.0
        for node in reversed(order):
            for edge in node.edges:
                gradients[edge.operand] += gradients[node] * edge.derivative
        for node, gradient in gradients.items():
            if not math.isfinite(gradient):
                raise OverflowError(f"the gradient of {node!r} is too large for float64")
        return gradients

    def backward(self) -> None:
        """Set `gradient` of each node of `order` to the derivative of this node by it.

        A second call sets the same gradients: nothing is added to those of earlier calls. So after calls of
        several results, a node has the gradient of the last result that depends on it.

        Raises
        ------
        OverflowError
            If a gradient is too large for float64. All gradients are as before.
        """
        for node, gradient in self.gradients().items():
            node.gradient = gradient

    def table(self, digits: int = 4) -> str:
        """The nodes as aligned text: formulas, values, gradients and local derivatives.

        The gradients are those of this node, whether or not `backward` was called. Nodes without a name are
        v1, v2, ...; of several nodes with one name, all but the first get a number.

        Parameters
        ----------
        digits : int
            Significant digits of the numbers.

        Returns
        -------
        str
            A line per node.
        """
        from ._seeing.graph_text import table

        return table(self._rows(whole("digits", digits, 1, 17)))

    def save(self, path: str | PathLike[str]) -> None:
        """Write a drawing, a page that shows it step by step, or the table.

        The page is one file that needs no other. Of more than 150 nodes, drawing and page hold the table.

        Parameters
        ----------
        path : path-like
            Its suffix says what to write: ``.svg`` the drawing, ``.html`` the page, ``.txt`` the table.

        Raises
        ------
        ValueError
            For another suffix.
        """
        from ._seeing import graph_drawing, graph_text
        from ._seeing.saving import save

        forms = {
            ".svg": lambda: graph_drawing.picture(self._rows()),
            ".html": lambda: graph_drawing.page(self._rows()),
            ".txt": lambda: graph_text.table(self._rows()),
        }
        save(path, forms)

    def _repr_html_(self) -> str:
        from ._seeing import graph_drawing

        return graph_drawing.in_notebook(self._rows())

    def _rows(self, digits: int = 4) -> list[Row]:
        gradients = self.gradients()
        return rows(list(gradients), list(gradients.values()), digits)

    def __repr__(self) -> str:
        named = f", name={self.name!r}" if self.name else ""
        gradient = "" if self.gradient is None else f", gradient={self.gradient:.6g}"
        return f"Node({self.value:.6g}{named}{gradient})"

    def __add__(self, other: Node | float) -> Node:
        return _apply(OPERATIONS["add"], self, other)

    def __radd__(self, other: float) -> Node:
        return _apply(OPERATIONS["add"], other, self)

    def __sub__(self, other: Node | float) -> Node:
        return _apply(OPERATIONS["subtract"], self, other)

    def __rsub__(self, other: float) -> Node:
        return _apply(OPERATIONS["subtract"], other, self)

    def __mul__(self, other: Node | float) -> Node:
        return _apply(OPERATIONS["multiply"], self, other)

    def __rmul__(self, other: float) -> Node:
        return _apply(OPERATIONS["multiply"], other, self)

    def __truediv__(self, other: Node | float) -> Node:
        return _apply(OPERATIONS["divide"], self, other)

    def __rtruediv__(self, other: float) -> Node:
        return _apply(OPERATIONS["divide"], other, self)

    def __pow__(self, other: Node | float) -> Node:
        if isinstance(other, Node):
            return _apply(OPERATIONS["power"], self, other)
        return _apply(power_of(real("the exponent", other, -math.inf)), self)

    def __rpow__(self, other: float) -> Node:
        return _apply(OPERATIONS["power"], other, self)

    def __neg__(self) -> Node:
        return _apply(OPERATIONS["negative"], self)


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be a str, not {name!r}")
    if not name or not name.isprintable():
        raise ValueError(f"name must be printable and not empty, not {name!r}")
    return as_str(name)


def _apply(operation: Operation, *operands: Node | float) -> Node:
    """The node of an operation. ValueError where it or a local derivative is not defined, OverflowError where
    one is too large for float64."""
    nodes = [
        operand if isinstance(operand, Node) else Node(real("an operand", operand, -math.inf))
        for operand in operands
    ]
    values = [node.value for node in nodes]
    try:
        value = operation.compute(*values)
        derivatives = [derivative(*values, value) for derivative in operation.derivatives]
        if not all(map(math.isfinite, (value, *derivatives))):
            raise OverflowError
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{operation.with_numbers(values)} or its derivative is not defined") from None
    except OverflowError:
        shown = operation.with_numbers(values)
        raise OverflowError(f"{shown} or its derivative is too large for float64") from None
    return Node(value, tuple(map(Edge, nodes, derivatives, operation.shown)), formula=operation.formula)


def variables(**values: float) -> tuple[Node, ...]:
    """Variables with these names and values, in this order.

    Parameters
    ----------
    **values : float
        Finite.

    Returns
    -------
    tuple of Node
        One per name.
    """
    return tuple(Node(real(name, value, -math.inf), name=name) for name, value in values.items())


def exp(x: Node | float) -> Node:
    """e to the power x."""
    return _apply(OPERATIONS["exp"], x)


def log(x: Node | float) -> Node:
    """The natural logarithm of x, which must be above 0."""
    return _apply(OPERATIONS["log"], x)


def sin(x: Node | float) -> Node:
    """The sine of x, in radians."""
    return _apply(OPERATIONS["sin"], x)


def cos(x: Node | float) -> Node:
    """The cosine of x, in radians."""
    return _apply(OPERATIONS["cos"], x)


def tanh(x: Node | float) -> Node:
    """The hyperbolic tangent of x."""
    return _apply(OPERATIONS["tanh"], x)


def sigmoid(x: Node | float) -> Node:
    """1 / (1 + exp(-x))."""
    return _apply(OPERATIONS["sigmoid"], x)


def relu(x: Node | float) -> Node:
    """x if it is above 0, otherwise 0. The derivative at 0 is 0."""
    return _apply(OPERATIONS["relu"], x)


def max(x: Node | float, y: Node | float) -> Node:
    """The larger of x and y. If they are equal, the derivative by each is 1/2."""
    return _apply(OPERATIONS["max"], x, y)


def from_trace(step: Step) -> Node:
    """The loss of a training step as an expression of the inputs, targets, weights and biases.

    >>> import bpkern
    >>> model = bpkern.MLP([1, 1], loss="mse", dtype="float64", init=[([[2.0]], [0.0])])
    >>> loss = bpkern.graph.from_trace(model.trace([[3.0]], [[1.0]]).steps[0])
    >>> loss.value
    25.0

    Parameters
    ----------
    step : bpkern.trace.Step
        A step of a trace.

    Returns
    -------
    Node
        The loss, "E". The other nodes have the names of `Trace.explain`: W0[1,2] is ``layers[0].W[1, 2]``,
        x[0] an input, and z, a, b and y likewise; with several rows, the first index of x, z, a and y is the
        row. Values and gradients are computed in float64.

    Raises
    ------
    TypeError
        If `step` is not a Step.
    ValueError
        For a loss in Python, whose formula is not known, and for more than 100,000 nodes.
    OverflowError
        If a number is too large for float64.
    """
    from ._seeing.graph_of_step import loss_of

    def apply(name: str, *operands: Node | float) -> Node:
        return _apply(activation_of(name), *operands)

    loss: Node = loss_of(step, lambda name, value: Node(value, name=name), apply)
    return loss
