"""Formulas of one variable z in a canonical form, by which activations made of several nodes are recognised.

A formula is a polynomial in z and in functions of formulas, such as ``0.5*z + 0.5*z*Erf(0.707107*z)`` for
gelu. Two formulas that differ only in the order of sums and products have the same text. Numbers count to six
digits.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..activations import ELU, LeakyReLU
from .onnx_nodes import SELU_ALPHA, SELU_GAMMA, add_activation

# Longer formulas are no activations. That of gelu in float64 has about 1,000 characters.
MOST_TERMS, MOST_TEXT = 64, 4096

# A product of powers of z and of functions, by their texts: (("z", 2), ("Tanh(1*z)", 1)).
Product = tuple[tuple[str, int], ...]


class TooLongError(ValueError):
    """A formula beyond the limits."""


class Form(NamedTuple):
    """A formula.

    Attributes
    ----------
    terms : dict of Product to float
    inner : Form or None
        The formula of which this one is the Sigmoid, if it is one.
    """

    terms: dict[Product, float]
    inner: Form | None = None

    def text(self) -> str:
        """The canonical text."""
        parts = []
        for product, factor in sorted(self.terms.items()):
            powers = [atom if power == 1 else f"{atom}^{power}" for atom, power in product]
            parts.append("*".join([f"{factor:.6g}", *powers]))
        text = " + ".join(parts) or "0"
        if len(text) > MOST_TEXT:
            raise TooLongError("the formula is too long for an activation")
        return text

    def constant(self) -> float | None:
        """The value of a formula without z, or None."""
        if not self.terms:
            return 0.0
        return self.terms[()] if set(self.terms) == {()} else None


def number(value: float) -> Form:
    """A constant as a formula."""
    return Form({(): float(value)}) if value else Form({})


Z = Form({(("z", 1),): 1.0})


def _function(name: str, *arguments: Form) -> Form:
    """A function that stays one; the order of its arguments does not matter."""
    texts = sorted(argument.text() for argument in arguments)
    return Form({((f"{name}({', '.join(texts)})", 1),): 1.0})


def _kept(terms: dict[Product, float]) -> Form:
    if len(terms) > MOST_TERMS:
        raise TooLongError("the formula has too many terms for an activation")
    return Form({product: factor for product, factor in terms.items() if abs(factor) > 1e-30})


def add(a: Form, b: Form) -> Form:
    """a + b."""
    terms = dict(a.terms)
    for product, factor in b.terms.items():
        terms[product] = terms.get(product, 0.0) + factor
    return _kept(terms)


def multiply(a: Form, b: Form) -> Form:
    """a b."""
    terms: dict[Product, float] = {}
    for left, first in a.terms.items():
        for right, second in b.terms.items():
            powers = dict(left)
            for atom, power in right:
                powers[atom] = powers.get(atom, 0) + power
            product = tuple(sorted(powers.items()))
            terms[product] = terms.get(product, 0.0) + first * second
            if len(terms) > MOST_TERMS:
                raise TooLongError("the formula has too many terms for an activation")
    return _kept(terms)


def subtract(a: Form, b: Form) -> Form:
    """a - b."""
    return add(a, multiply(number(-1), b))


def divide(a: Form, b: Form) -> Form:
    """a / b. Raises ValueError for b = 0."""
    value = b.constant()
    if value is None:
        return multiply(a, _function("Reciprocal", b))
    if value == 0:
        raise ValueError("division by 0")
    return multiply(a, number(1 / value))


def power(a: Form, b: Form) -> Form:
    """a to a whole power from 1 to 4."""
    exponent = b.constant()
    if exponent not in (1.0, 2.0, 3.0, 4.0):
        raise ValueError("only the powers 1 to 4 occur in activations")
    result = a
    for _ in range(int(exponent) - 1):
        result = multiply(result, a)
    return result


def sigmoid(a: Form) -> Form:
    """The sigmoid, which remembers a."""
    return Form(_function("Sigmoid", a).terms, a)


def relu(a: Form) -> Form:
    """max(a, 0)."""
    return _function("Max", a, number(0))


def leaky_relu(a: Form, alpha: float = 0.01) -> Form:
    """max(a, 0) + alpha min(a, 0)."""
    if not alpha >= 0:
        raise ValueError(f"alpha must be at least 0, not {alpha}")
    return add(relu(a), multiply(number(alpha), _function("Min", a, number(0))))


def elu(a: Form, alpha: float = 1.0) -> Form:
    """max(a, 0) + alpha (exp(min(a, 0)) - 1)."""
    below = subtract(_function("Exp", _function("Min", a, number(0))), number(1))
    return add(relu(a), multiply(number(alpha), below))


def selu(a: Form, alpha: float = SELU_ALPHA, gamma: float = SELU_GAMMA) -> Form:
    """gamma elu(a, alpha)."""
    return multiply(number(gamma), elu(a, alpha))


def softplus(a: Form) -> Form:
    """max(a, 0) + log(1 + exp(-|a|))."""
    e = _function("Exp", multiply(number(-1), _function("Abs", a)))
    return add(relu(a), _function("Log", add(number(1), e)))


def mish(a: Form) -> Form:
    """a tanh(softplus(a))."""
    return multiply(a, _function("Tanh", softplus(a)))


def gelu(a: Form, approximate: str = "none") -> Form:
    """a times the cumulative normal distribution, or its approximation by tanh."""
    if approximate not in ("none", "tanh"):
        raise ValueError(f"approximate must be none or tanh, not {approximate!r}")
    if approximate == "none":
        gate = _function("Erf", divide(a, number(math.sqrt(2))))
    else:
        cubic = add(a, multiply(number(0.044715), power(a, number(3))))
        gate = _function("Tanh", multiply(number(math.sqrt(2 / math.pi)), cubic))
    return multiply(number(0.5), multiply(a, add(number(1), gate)))


def _unary(name: str) -> Callable[[Form], Form]:
    return lambda a: _function(name, a)


def _several(combine: Callable[[Form, Form], Form]) -> Callable[..., Form]:
    """An operator of one or more arguments."""

    def combined(first: Form, *others: Form) -> Form:
        for other in others:
            first = combine(first, other)
        return first

    return combined


class Operator(NamedTuple):
    """An operator on formulas: its function, fewest and most inputs, and attributes with their defaults."""

    function: Callable[..., Form]
    fewest: int = 1
    most: int = 1
    attributes: dict[str, Any] = {}  # noqa: RUF012  (never changed)


OPERATORS = {
    **{name: Operator(_unary(name)) for name in ("Abs", "Erf", "Exp", "Log", "Tanh")},
    **{name: Operator(_several(function), 2, 2) for name, function in (("Add", add), ("Sub", subtract))},
    **{name: Operator(_several(function), 2, 2) for name, function in (("Mul", multiply), ("Div", divide))},
    "Pow": Operator(power, 2, 2),
    "Max": Operator(lambda a, b: _function("Max", a, b), 2, 2),
    "Min": Operator(lambda a, b: _function("Min", a, b), 2, 2),
    "Neg": Operator(lambda a: multiply(number(-1), a)),
    "Reciprocal": Operator(lambda a: divide(number(1), a)),
    "Relu": Operator(relu),
    "LeakyRelu": Operator(leaky_relu, attributes={"alpha": 0.01}),
    "Elu": Operator(elu, attributes={"alpha": 1.0}),
    "Selu": Operator(selu, attributes={"alpha": SELU_ALPHA, "gamma": SELU_GAMMA}),
    "Softplus": Operator(softplus),
    "Mish": Operator(mish),
    "Sigmoid": Operator(sigmoid),
    "Gelu": Operator(gelu, attributes={"approximate": "none"}),
}


def with_parameter(form: Form, dtype: np.dtype[Any]) -> str | None:
    """The text of leaky_relu or elu with a parameter; None for a form that these do not have here."""
    (above,) = relu(Z).terms
    (below,) = _function("Min", Z, number(0)).terms
    (exponential,) = _function("Exp", _function("Min", Z, number(0))).terms
    terms = dict(form.terms)
    if terms.pop(above, None) != 1:
        return None
    if set(terms) <= {below}:
        return str(LeakyReLU(_shortest(terms.get(below, 0.0), dtype)))
    alpha = terms.get(exponential, 0.0)
    if set(terms) != {exponential, ()} or terms[()] != -alpha:
        return None
    return str(ELU(_shortest(alpha, dtype)))


def _shortest(value: float, dtype: np.dtype[Any]) -> float:
    """The number of fewest digits that is this one in the dtype: 0.2 for what 0.2 is in float32."""
    rounded = dtype.type(value)
    return float(str(rounded)) if rounded == value else value


class FormGraph:
    """A graph of formulas: its nodes are computed, so that what `onnx_nodes` appends has a canonical form."""

    def __init__(self) -> None:
        self.values: dict[str, Form] = {"z": Z}

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """As `onnx_graph.Graph.node`."""
        form = OPERATORS[kind].function(*(self.values[name] for name in inputs), **attributes)
        return self._named(form)

    def constant(self, array: np.ndarray) -> str:
        """As `onnx_graph.Graph.constant`, for one number."""
        return self._named(number(array.item()))

    def _named(self, form: Form) -> str:
        name = str(len(self.values))
        self.values[name] = form
        return name


def known_forms(names: Sequence[str]) -> dict[str, str]:
    """The activations by the texts of their formulas: as this package writes them, and as others do."""
    found = {}
    for dtype in (np.dtype(np.float32), np.dtype(np.float64)):
        for name in names:
            graph = FormGraph()
            found[graph.values[add_activation(graph, name, "z", dtype)].text()] = name
    e = _function("Exp", multiply(number(-1), Z))
    gate = divide(number(1), add(number(1), e))
    others = {
        "sigmoid": gate,
        "silu": multiply(Z, gate),
        "softplus": _function("Log", add(number(1), _function("Exp", Z))),
        "leaky_relu": _function("Max", Z, multiply(number(0.01), Z)),
        "mish": multiply(Z, _function("Tanh", _function("Log", add(number(1), _function("Exp", Z))))),
        "gelu": gelu(Z),
        "gelu_tanh": gelu(Z, "tanh"),
    }
    return found | {form.text(): name for name, form in others.items()}
