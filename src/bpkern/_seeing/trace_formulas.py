"""The formulas of losses and activations as a trace shows them, in text and in LaTeX.

In them, a are activations, z weighted sums, y targets, m the number of outputs, and Φ and φ the distribution
and the density of the standard normal distribution. selu has the constants c = 1.0507 and c A = 1.7581.
csrc/bpkern.h has the same formulas.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .._model.activation_texts import parts_of
from .trace_data import Setting, Step


class LossFormula(NamedTuple):
    """The loss of one row, its derivative by one output, and that derivative in LaTeX."""

    value: str
    derivative: str
    latex: str


LOSSES = {
    "mse": LossFormula("1/m Σ (a − y)²", "2/m (a − y)", r"\frac{2}{m} (a - y)"),
    "squared_error": LossFormula("½ Σ (a − y)²", "a − y", "a - y"),
    "cross_entropy": LossFormula("−Σ y log p, p = softmax(a)", "p − y", "p - y"),
    "binary_cross_entropy": LossFormula(
        "−1/m Σ y log p + (1 − y) log(1 − p), p = sigmoid(a)", "1/m (p − y)", r"\frac{1}{m} (p - y)"
    ),
    "mae": LossFormula("1/m Σ |a − y|", "1/m sign(a − y)", r"\frac{1}{m} \operatorname{sign}(a - y)"),
    "huber": LossFormula(
        "1/m Σ c (d − c/2), d = a − y, c = d clipped to ±delta",
        "1/m (a − y clipped to ±delta)",
        r"\frac{1}{m} \max(-\mathit{delta}, \min(\mathit{delta}, a - y))",
    ),
    "quantile": LossFormula(
        "1/m Σ d (1 − q if d > 0, else −q), d = a − y",
        "1/m (1 − q if a > y, −q if a < y)",
        r"\frac{1}{m} (1 - q \text{ if } a > y, -q \text{ if } a < y)",
    ),
    "poisson": LossFormula("1/m Σ eᵃ − y a", "1/m (eᵃ − y)", r"\frac{1}{m} (e^a - y)"),
    "log_cosh": LossFormula("1/m Σ log cosh(a − y)", "1/m tanh(a − y)", r"\frac{1}{m} \tanh(a - y)"),
    "hinge": LossFormula(
        "1/m Σ max(0, 1 − y a)",
        "1/m (−y if y a < 1, else 0)",
        r"\frac{1}{m} (-y \text{ if } y a < 1, \text{ else } 0)",
    ),
    "squared_hinge": LossFormula(
        "1/m Σ max(0, 1 − y a)²", "−2/m y max(0, 1 − y a)", r"-\frac{2}{m} y \max(0, 1 - y a)"
    ),
    "custom": LossFormula("a Python function", "from a Python function", r"\text{from a Python function}"),
}

# The derivatives s'(z) of the activations, in text and in LaTeX.
SLOPES = {
    "identity": ("1", "1"),
    "relu": ("1 if z > 0, else 0", r"1 \text{ if } z > 0, \text{ else } 0"),
    "leaky_relu": ("1 if z > 0, else 0.01", r"1 \text{ if } z > 0, \text{ else } 0.01"),
    "sigmoid": ("a (1 − a)", "a (1 - a)"),
    "tanh": ("1 − a²", "1 - a^2"),
    "elu": ("1 if z > 0, else a + 1", r"1 \text{ if } z > 0, \text{ else } a + 1"),
    "selu": ("c if z > 0, else a + c A", r"c \text{ if } z > 0, \text{ else } a + c A"),
    "softplus": ("1 − e⁻ᵃ", "1 - e^{-a}"),
    "gelu": ("Φ(z) + z φ(z)", r"\Phi(z) + z \varphi(z)"),
    "gelu_tanh": (
        "g + z g (1 − g) 2 u′(z), g = sigmoid(2 u(z)), u = √(2/π) (z + 0.044715 z³)",
        r"g + z g (1 - g) 2 u'(z), g = \operatorname{sigmoid}(2 u(z)), u = \sqrt{2/\pi} (z + 0.044715 z^3)",
    ),
    "silu": ("g + z g (1 − g), g = sigmoid(z)", r"g + z g (1 - g), g = \operatorname{sigmoid}(z)"),
    "mish": (
        "g + z (1 − g²) sigmoid(z), g = tanh(log(1 + eᶻ))",
        r"g + z (1 - g^2) \operatorname{sigmoid}(z), g = \tanh(\log(1 + e^z))",
    ),
}


def slope_of(activation: str) -> tuple[str, str]:
    """The derivative of an activation, with its parameter, in text and in LaTeX."""
    name, parameter = parts_of(activation)
    if parameter is None:
        return SLOPES[name]
    below = f"{parameter:g}" if name == "leaky_relu" else f"a + {parameter:g}"
    return f"1 if z > 0, else {below}", rf"1 \text{{ if }} z > 0, \text{{ else }} {below}"


def loss_lines(step: Step) -> list[tuple[str, str, float]]:
    """Symbol, formula and value of the loss; with penalties of E₀, the penalties, and their sum."""
    setting = step.setting
    error = LOSSES[setting.loss].value
    if len(setting.row_weights) > 1:
        error += f", {mean_name(setting)} over the rows"
    if not (setting.l1 or setting.l2):
        return [("E", error, step.loss)]
    penalties = [f"{setting.l1:g} Σ |W|"] * bool(setting.l1) + [f"{setting.l2:g} Σ W²"] * bool(setting.l2)
    return [
        ("E₀", error, step.loss - step.penalty),
        ("penalty", " + ".join(penalties), step.penalty),
        ("E", "E₀ + penalty", step.loss),
    ]


def loss_derivative(setting: Setting) -> tuple[str, str]:
    """The derivative of the loss of all rows by an output, and what a letter r in it is, or ""."""
    formula = LOSSES[setting.loss].derivative
    if len(setting.row_weights) == 1 or setting.loss == "custom":
        return formula, ""
    if _has_equal_rows(setting):
        return f"({formula}) · 1/{len(setting.row_weights)}", ""
    return f"({formula}) · r", "r = the row's share of the sample weights"


def mean_name(setting: Setting) -> str:
    """What the loss is of the losses of the rows."""
    return "mean" if _has_equal_rows(setting) else "weighted mean"


def _has_equal_rows(setting: Setting) -> bool:
    """Whether all rows have the same factor in the mean."""
    return bool((setting.row_weights == setting.row_weights[0]).all())


def number(value: Any) -> str:
    """A number with four decimals, or with four digits if that would hide it; a real minus sign."""
    value = float(value) + 0.0  # 0 for -0
    shown = f"{value:.4f}" if value == 0 or 5e-5 <= abs(value) < 1e6 else f"{value:.4g}"
    return shown.replace("-", "−")


def factor(value: Any) -> str:
    """`number` as a factor of a product: in parentheses if it is negative."""
    text = number(value)
    return f"({text})" if text.startswith("−") else text


def slope_numbers(activation: str, z: Any, a: Any) -> str:
    """The formula of `SLOPES` with its numbers."""
    if activation == "sigmoid":
        return f"{number(a)} · (1 − {factor(a)})"
    if activation == "tanh":
        return f"1 − {factor(a)}²"
    return f"at z = {number(z)}"


# The formulas of `LOSSES` with their numbers, except those of `_piece`, from a, y and p (a probability or
# None), m and the loss's parameter, all of one output.
_NUMBERS: dict[str, Callable[[str, str, Any, int, Any], str]] = {
    "mse": lambda a, y, p, m, parameter: f"2/{m} · ({a} − {y})",
    "squared_error": lambda a, y, p, m, parameter: f"{a} − {y}",
    "cross_entropy": lambda a, y, p, m, parameter: f"{number(p)} − {y}",
    "binary_cross_entropy": lambda a, y, p, m, parameter: f"1/{m} · ({number(p)} − {y})",
    "mae": lambda a, y, p, m, parameter: f"1/{m} · sign({a} − {y})",
    "huber": lambda a, y, p, m, parameter: f"1/{m} · ({a} − {y} clipped to ±{number(parameter)})",
    "poisson": lambda a, y, p, m, parameter: f"1/{m} · (e^{a} − {y})",
    "log_cosh": lambda a, y, p, m, parameter: f"1/{m} · tanh({a} − {y})",
    "squared_hinge": lambda a, y, p, m, parameter: f"−2/{m} · {y} · max(0, 1 − {y} · {a})",
}


def _piece(loss: str, a: Any, y: Any, parameter: Any) -> str:
    """The derivative of a loss of two lines, times m, on the line of these numbers."""
    if loss == "hinge":
        return factor(-y if y * a < 1 else 0)
    if a == y:
        return "0"
    q = number(parameter)
    return f"(1 − {q})" if a > y else f"(−{q})"


def loss_numbers(loss: str, a: Any, y: Any, p: Any, m: int, parameter: Any, part: float) -> str:
    """The formula of `LOSSES` with its numbers, times `part`, the factor of the row in the mean."""
    if loss == "custom":
        return ""
    if loss in ("hinge", "quantile"):
        shown = f"1/{m} · {_piece(loss, a, y, parameter)}"
    else:
        shown = _NUMBERS[loss](number(a), factor(y), p, m, parameter)
    if part == 1:
        return shown
    return f"{shown if '·' in shown else f'({shown})'} · {number(part)}"
