"""The chain rule for one number of a trace: the paths from the loss to it, with their local derivatives."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from math import fsum, prod

import numpy as np

from .. import _checks
from .trace_data import Step, TraceData
from .trace_explanation import Explanation, Factor, Term
from .trace_formulas import LOSSES, loss_derivative, loss_numbers, number, slope_numbers, slope_of
from .trace_names import Place, place_of


def explain(trace: TraceData, name: str, step: int, terms: int) -> Explanation:
    """As `Trace.explain`."""
    index = _checks.whole("step", step, 0, len(trace.steps) - 1)
    most = _checks.whole("terms", terms, 1)
    chain = Chain(trace.steps[index])
    place = place_of(name, chain.step)
    listed = tuple(islice(chain.terms(place), most))
    count, total, penalties = chain.count(place), chain.total(place), chain.penalties(place)
    rest = total - fsum(term.value for term in (*listed, *penalties)) if count > len(listed) else 0.0
    symbol = chain.symbol(place.quantity, place.layer, place.row, place.unit, place.input)
    return Explanation(str(place), index, *symbol, total, listed, penalties, count, rest)


class Chain:
    """The local derivatives of a step, and the paths through them."""

    def __init__(self, step: Step) -> None:
        self.step, self.setting = step, step.setting
        self.last = len(step.layers) - 1
        self.rows = len(step.outputs)

    # Symbols -----------------------------------------------------------------------------------------

    def symbol(self, quantity: str, l: int, row: int, unit: int, column: int = 0) -> tuple[str, str]:
        """A number's symbol in text and in LaTeX: W1[0,0] of layers[1], a0[2], with a row if there are two.

        The inputs of a layer are the activations of the layer before, or x.
        """
        if quantity == "x" and l > 0:
            quantity, l = "a", l - 1
        if quantity == "W":
            indices = f"{unit},{column}"
        else:
            indices = f"{unit}" if quantity == "b" or self.rows == 1 else f"{row},{unit}"
        if quantity in ("x", "y", "p"):
            return f"{quantity}[{indices}]", f"{quantity}_{{{indices}}}"
        return f"{quantity}{l}[{indices}]", f"{quantity}^{{({l})}}_{{{indices}}}"

    # Local derivatives -------------------------------------------------------------------------------

    def loss(self, r: int, k: int) -> Factor:
        """The derivative of the loss by output k of row r."""
        setting, step, name = self.setting, self.step, self.setting.loss
        part, m = float(setting.row_weights[r]), step.outputs.shape[1]
        formula = LOSSES[name]
        a, a_latex = self.symbol("a", self.last, r, k)
        text, share = (formula.derivative, "") if part == 1 else loss_derivative(setting)
        symbol, latex = f"∂E/∂{a}", rf"\frac{{\partial E}}{{\partial {a_latex}}}"
        if name == "cross_entropy":  # with its softmax one factor
            (p, p_latex), (y, y_latex) = self.symbol("p", 0, r, k), self.symbol("y", 0, r, k)
            symbol, latex = f"({p} − {y})", f"({p_latex} - {y_latex})"
            if part != 1:
                symbol, latex = f"{symbol} · {number(part)}", rf"{latex} \cdot {number(part)}"
        target = self.target(r, k)
        probability = None if step.probabilities is None else step.probabilities[r, k]
        parameter = None if setting.loss_parameters is None else setting.loss_parameters[k]
        numbers = loss_numbers(name, step.outputs[r, k], target, probability, m, parameter, part)
        return Factor(
            symbol,
            latex,
            float(step.doutputs[r, k]),
            f"∂E/∂{a}",
            text,
            formula.latex if part == 1 else rf"({formula.latex}) \cdot {number(part)}",
            numbers,
            f"{name}; {share}" if share else name,
        )

    def target(self, r: int, k: int) -> float:
        """The target, after label smoothing; NaN for a Python loss, whose targets may have any shape."""
        setting = self.setting
        if setting.loss == "custom":
            return float("nan")
        target, smoothing = float(setting.targets[r, k]), setting.label_smoothing
        classes = 2 if setting.loss == "binary_cross_entropy" else setting.targets.shape[1]
        return (1 - smoothing) * target + smoothing / classes if smoothing else target

    def slope(self, l: int, r: int, j: int) -> list[Factor]:
        """The derivative of an activation by its weighted sum; no factor for the identity."""
        layer = self.step.layers[l]
        if layer.activation == "identity" and not layer.dropout:
            return []
        (z, z_latex), (a, _) = self.symbol("z", l, r, j), self.symbol("a", l, r, j)
        text, latex = slope_of(layer.activation)
        numbers, note = slope_numbers(layer.activation, layer.z[r, j], layer.a[r, j]), layer.activation
        if layer.dropout:
            # a is the activation after dropout, so the formulas of a have no numbers here.
            numbers = f"at z = {number(layer.z[r, j])}"
            note += f", after dropout of {layer.dropout:g}"
        return [
            Factor(
                f"σ′({z})",
                rf"\sigma'({z_latex})",
                float(layer.slope[r, j]),
                f"∂{a}/∂{z}",
                text,
                latex,
                numbers,
                note,
            )
        ]

    def weight(self, l: int, j: int, i: int, r: int) -> Factor:
        """The derivative of a weighted sum by an input: the weight."""
        (w, latex), (z, _) = self.symbol("W", l, 0, j, i), self.symbol("z", l, r, j)
        below, _ = self.symbol("x", l, r, i)
        return Factor(w, latex, float(self.step.layers[l].W[j, i]), f"∂{z}/∂{below}")

    def input(self, l: int, j: int, i: int, r: int) -> Factor:
        """The derivative of a weighted sum by a weight: the input."""
        (x, latex), (z, _), (w, _) = (
            self.symbol("x", l, r, i),
            self.symbol("z", l, r, j),
            self.symbol("W", l, 0, j, i),
        )
        return Factor(x, latex, float(self.step.layers[l].x[r, i]), f"∂{z}/∂{w}")

    # Paths -------------------------------------------------------------------------------------------

    def to_a(self, l: int, r: int, j: int) -> Iterator[list[Factor]]:
        """The paths from the loss to an activation: the factors of each, beginning at the loss."""
        if l == self.last:
            yield [self.loss(r, j)]
            return
        for units in product(*(range(size) for size in self.setting.sizes[l + 2 :])):
            way = [j, *units]  # the unit in each layer from l on
            factors = [self.loss(r, way[-1])]
            for above in range(self.last, l, -1):
                unit, below = way[above - l], way[above - l - 1]
                factors += [*self.slope(above, r, unit), self.weight(above, unit, below, r)]
            yield factors

    def to_z(self, l: int, r: int, j: int) -> Iterator[list[Factor]]:
        """The paths from the loss to a weighted sum."""
        slope = self.slope(l, r, j)
        for factors in self.to_a(l, r, j):
            yield factors + slope

    def terms(self, place: Place) -> Iterator[Term]:
        """One term per row and path."""
        l, unit = place.layer, place.unit
        if place.quantity == "a":
            ways = self.to_a(l, place.row, unit)
        elif place.quantity == "z":
            ways = self.to_z(l, place.row, unit)
        elif place.quantity == "x":
            ways = (
                [*way, self.weight(l, j, unit, place.row)]
                for j in range(self.setting.sizes[l + 1])
                for way in self.to_z(l, place.row, j)
            )
        elif place.quantity == "b":
            ways = (way for r in range(self.rows) for way in self.to_z(l, r, unit))
        else:
            ways = (
                [*way, self.input(l, unit, place.input, r)]
                for r in range(self.rows)
                for way in self.to_z(l, r, unit)
            )
        return (Term(tuple(way)) for way in ways)

    def count(self, place: Place) -> int:
        """The number of terms: rows times paths."""
        paths = prod(self.setting.sizes[place.layer + 2 :])
        if place.quantity == "x":
            return paths * self.setting.sizes[place.layer + 1]
        return paths * self.rows if place.quantity in ("W", "b") else paths

    def penalties(self, place: Place) -> tuple[Term, ...]:
        """The terms of l2 and l1, for a weight."""
        setting, found = self.setting, []
        if place.quantity != "W":
            return ()
        w = float(self.step.layers[place.layer].W[place.unit, place.input])
        symbol, latex = self.symbol("W", place.layer, 0, place.unit, place.input)
        if setting.l2:
            twice = Factor("2 · l2", r"2 \cdot \mathit{l2}", 2 * setting.l2, "of the penalty l2 Σ W²")
            found.append(Term((twice, Factor(symbol, latex, w, ""))))
        if setting.l1:
            once = Factor("l1", r"\mathit{l1}", setting.l1, "of the penalty l1 Σ |W|")
            sign = Factor(f"sign({symbol})", rf"\operatorname{{sign}}({latex})", float(np.sign(w)), "")
            found.append(Term((once, sign)))
        return tuple(found)

    def total(self, place: Place) -> float:
        """The derivative as the kernels have computed it."""
        layer = self.step.layers[place.layer]
        if place.quantity == "W":
            return float(layer.dW[place.unit, place.input])
        if place.quantity == "b":
            return float(layer.db[place.unit])
        if place.quantity == "z":
            return float(layer.delta[place.row, place.unit])
        if place.quantity == "x":
            return float(layer.dx[place.row, place.unit])
        if place.layer == self.last:
            return float(self.step.doutputs[place.row, place.unit])
        return float(self.step.layers[place.layer + 1].dx[place.row, place.unit])
