"""The operations of `bpkern.graph`: values, local derivatives, and both as formulas.

Formulas have places for names or numbers: {a} and {b} for the operands, {r} for the result.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .._model.activation_texts import parts_of
from .numbers import filled, in_formula, number


class Operation(NamedTuple):
    """An operation of one or two operands.

    Attributes
    ----------
    formula : str
    compute : callable
        The value, of the operands.
    derivatives : tuple of callable
        One per operand: the derivative by this operand, of the operands and the result.
    shown : tuple of str
        The same derivatives as formulas.
    """

    formula: str
    compute: Callable[..., float]
    derivatives: tuple[Callable[..., float], ...]
    shown: tuple[str, ...]

    def with_numbers(self, operands: Sequence[float]) -> str:
        """The formula with the operands' values."""
        shown = (number(value, 6) for value in operands)
        return filled(self.formula, dict(zip("ab", shown, strict=False)))


def _sigmoid(a: float) -> float:
    """1 / (1 + exp(-a)), without overflow."""
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


def _slope_of_sigmoid(a: float) -> float:
    """r (1 - r) with r = sigmoid(a), where 1 - r would lose its digits."""
    return _sigmoid(a) * _sigmoid(-a)


def _slope_of_tanh(a: float) -> float:
    """1 - tanh(a)², which would lose its digits where tanh is near 1."""
    e = math.exp(-2 * abs(a))
    return 4 * e / (1 + e) ** 2


def _softplus(a: float) -> float:
    """log(1 + exp(a)), without overflow."""
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


def _normal(a: float) -> float:
    """The cumulative normal distribution at a."""
    return math.erfc(-a / math.sqrt(2)) / 2


def _slope_of_gelu(a: float) -> float:
    return _normal(a) + a * math.exp(-a * a / 2) / math.sqrt(2 * math.pi)


# c and c A of selu.
SELU_ABOVE, SELU_BELOW = 1.0507009873554805, 1.7580993408473769


def _slope_of_mish(a: float) -> float:
    gate = math.tanh(_softplus(a))
    return gate + a * (1 - gate * gate) * _sigmoid(a)


# gelu_tanh is a σ(v) with v = ROOT (a + CUBIC a³).
ROOT, CUBIC = math.sqrt(8 / math.pi), 0.044715


def _gate(a: float) -> float:
    """v of gelu_tanh."""
    return ROOT * (a + CUBIC * a**3)


def _slope_of_gelu_tanh(a: float) -> float:
    v = _gate(a)
    return _sigmoid(v) + a * _slope_of_sigmoid(v) * ROOT * (1 + 3 * CUBIC * a * a)


def _share(a: float, b: float) -> float:
    """The derivative of max(a, b) by a. Equal operands share it."""
    return 0.5 if a == b else float(a > b)


def _by_exponent(a: float, b: float, r: float) -> float:
    """The derivative of r = a ^ b by b. It is 0 for a = 0, as that of the constant 0."""
    return 0.0 if a == 0 and b > 0 else r * math.log(a)


OPERATIONS = {
    "add": Operation("{a} + {b}", lambda a, b: a + b, (lambda a, b, r: 1.0, lambda a, b, r: 1.0), ("1", "1")),
    "subtract": Operation(
        "{a} − {b}", lambda a, b: a - b, (lambda a, b, r: 1.0, lambda a, b, r: -1.0), ("1", "−1")
    ),
    "multiply": Operation(
        "{a} × {b}", lambda a, b: a * b, (lambda a, b, r: b, lambda a, b, r: a), ("{b}", "{a}")
    ),
    "divide": Operation(
        "{a} ÷ {b}",
        lambda a, b: a / b,
        (lambda a, b, r: 1 / b, lambda a, b, r: -r / b),
        ("1 ÷ {b}", "−{r} ÷ {b}"),
    ),
    "power": Operation(
        "{a} ^ {b}",
        math.pow,
        (lambda a, b, r: b * math.pow(a, b - 1), _by_exponent),
        ("{b} × {a} ^ ({b} − 1)", "{r} × log({a})"),
    ),
    "max": Operation(
        "max({a}, {b})",
        lambda a, b: a if a >= b else b,
        (lambda a, b, r: _share(a, b), lambda a, b, r: _share(b, a)),
        ("1 if {a} > {b}, ½ if equal, else 0", "1 if {b} > {a}, ½ if equal, else 0"),
    ),
    "negative": Operation("−{a}", lambda a: -a, (lambda a, r: -1.0,), ("−1",)),
    "exp": Operation("exp({a})", math.exp, (lambda a, r: r,), ("{r}",)),
    "log": Operation("log({a})", math.log, (lambda a, r: 1 / a,), ("1 ÷ {a}",)),
    "sin": Operation("sin({a})", math.sin, (lambda a, r: math.cos(a),), ("cos({a})",)),
    "cos": Operation("cos({a})", math.cos, (lambda a, r: -math.sin(a),), ("−sin({a})",)),
    "tanh": Operation("tanh({a})", math.tanh, (lambda a, r: _slope_of_tanh(a),), ("1 − {r}²",)),
    "sigmoid": Operation("σ({a})", _sigmoid, (lambda a, r: _slope_of_sigmoid(a),), ("{r} × (1 − {r})",)),
    "relu": Operation(
        "relu({a})",
        lambda a: a if a > 0 else 0.0,
        (lambda a, r: float(a > 0),),
        ("1 if {a} > 0, else 0",),
    ),
    # Activations of networks, for `graph.from_trace`.
    "leaky_relu": Operation(
        "leaky_relu({a})",
        lambda a: a if a > 0 else 0.01 * a,
        (lambda a, r: 1.0 if a > 0 else 0.01,),
        ("1 if {a} > 0, else 0.01",),
    ),
    "elu": Operation(
        "elu({a})",
        lambda a: a if a > 0 else math.expm1(a),
        (lambda a, r: 1.0 if a > 0 else math.exp(a),),
        ("1 if {a} > 0, else exp({a})",),
    ),
    "selu": Operation(
        "selu({a})",
        lambda a: SELU_ABOVE * a if a > 0 else SELU_BELOW * math.expm1(a),
        (lambda a, r: SELU_ABOVE if a > 0 else SELU_BELOW * math.exp(a),),
        ("1.0507 if {a} > 0, else 1.7581 × exp({a})",),
    ),
    "softplus": Operation("softplus({a})", _softplus, (lambda a, r: _sigmoid(a),), ("σ({a})",)),
    "gelu": Operation(
        "gelu({a})",
        lambda a: a * _normal(a),
        (lambda a, r: _slope_of_gelu(a),),
        ("Φ({a}) + {a} × φ({a})",),
    ),
    "gelu_tanh": Operation(
        "gelu_tanh({a})",
        lambda a: a * _sigmoid(_gate(a)),
        (lambda a, r: _slope_of_gelu_tanh(a),),
        ("gelu_tanh′({a})",),
    ),
    "silu": Operation(
        "silu({a})",
        lambda a: a * _sigmoid(a),
        (lambda a, r: _sigmoid(a) + a * _slope_of_sigmoid(a),),
        ("σ({a}) + {r} × (1 − σ({a}))",),
    ),
    "mish": Operation(
        "mish({a})",
        lambda a: a * math.tanh(_softplus(a)),
        (lambda a, r: _slope_of_mish(a),),
        ("mish′({a})",),
    ),
}


def activation_of(activation: str) -> Operation:
    """The operation of an activation of a network, such as "tanh" or "leaky_relu(0.2)"."""
    name, parameter = parts_of(activation)
    if parameter is None:
        return OPERATIONS[name]
    p = parameter
    if name == "leaky_relu":
        return Operation(
            f"{activation}({{a}})",
            lambda a: a if a > 0 else p * a,
            (lambda a, r: 1.0 if a > 0 else p,),
            (f"1 if {{a}} > 0, else {p:g}",),
        )
    return Operation(
        f"{activation}({{a}})",
        lambda a: a if a > 0 else p * math.expm1(a),
        (lambda a, r: 1.0 if a > 0 else p * math.exp(a),),
        (f"1 if {{a}} > 0, else {p:g} × exp({{a}})",),
    )


def power_of(exponent: float) -> Operation:
    """The power with this constant exponent n. Its derivative n a ^ (n - 1) is 0 for n = 0, for every a."""
    shown = {0.0: "0", 1.0: "1"}.get(exponent, f"{in_formula(number(exponent, 6))} × {_raised(exponent - 1)}")
    return Operation(
        _raised(exponent),
        lambda a: math.pow(a, exponent),
        (lambda a, r: exponent * math.pow(a, exponent - 1) if exponent else 0.0,),
        (shown,),
    )


def _raised(exponent: float) -> str:
    """The formula of this power of {a}."""
    short = {1.0: "{a}", 2.0: "{a}²", 3.0: "{a}³"}
    return short.get(exponent, f"{{a}} ^ {in_formula(number(exponent, 6))}")
