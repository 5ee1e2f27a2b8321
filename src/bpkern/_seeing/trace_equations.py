"""The equations of a training step with their numbers, unit by unit, as its drawing shows them."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .trace_explain import Chain
from .trace_formulas import factor, loss_derivative, loss_lines, mean_name, number, slope_numbers, slope_of
from .trace_optimizers import formulas, group_of
from .trace_steps import Part, headings
from .trace_view import View

# The most units whose numbers stand in the sentence of a step.
MOST_LISTED = 4


class Equation(NamedTuple):
    """A number with the formula that it comes from.

    Attributes
    ----------
    symbol, formula, numbers, value : str
        "z0[0]", "W0[0,0] · x[0] + b0[0]", "0.1500 · 0.0500 + 0.3500" and "0.3575".
    note : str
        What follows.
    """

    symbol: str
    formula: str
    numbers: str
    value: str
    note: str = ""

    @property
    def full(self) -> str:
        return self._joined(self.symbol, self.formula, self.numbers, self.value) + self.note

    @property
    def short(self) -> str:
        """Without the formula."""
        return self._joined(self.symbol, self.numbers, self.value)

    def _joined(self, *terms: str) -> str:
        return " = ".join(dict.fromkeys(filter(None, terms)))


class Equations:
    """The equations of a view."""

    def __init__(self, view: View) -> None:
        self.view, self.step, self.setting = view, view.step, view.step.setting
        self.chain = Chain(view.step)
        self.last = len(self.step.layers) - 1

    def symbol(self, quantity: str, l: int, unit: int, column: int = 0) -> str:
        """As `Chain.symbol`, without a row for means."""
        if self.view.row is not None:
            return self.chain.symbol(quantity, l, self.view.row, unit, column)[0]
        if quantity in ("W", "b"):
            return self.chain.symbol(quantity, l, 0, unit, column)[0]
        if quantity == "x" and l > 0:
            return f"a{l - 1}[{unit}]"
        return f"{quantity}[{unit}]" if quantity in ("x", "y", "p") else f"{quantity}{l}[{unit}]"

    def delta_symbol(self, l: int, unit: int) -> str:
        return f"δ{self.symbol('z', l, unit)[1:]}"

    def inputs(self, l: int) -> Any:
        """The inputs of a layer."""
        return self.view.a[l - 1] if l else self.view.x

    # Forward -----------------------------------------------------------------------------------------

    def x(self, i: int) -> Equation:
        return Equation(self.symbol("x", 0, i), "", "", number(self.view.x[i]), self._mean())

    def z(self, l: int, j: int) -> Equation:
        layer, values = self.step.layers[l], self.inputs(l)
        every = range(len(values))
        formula = [f"{self.symbol('W', l, j, i)} · {self.symbol('x', l, i)}" for i in every]
        numbers = [f"{factor(layer.W[j, i])} · {factor(values[i])}" for i in every]
        return Equation(
            self.symbol("z", l, j),
            " + ".join([*formula, self.symbol("b", l, j)]),
            " + ".join([*numbers, factor(layer.b[j])]),
            number(self.view.z[l][j]),
            self._mean(),
        )

    def a(self, l: int, j: int) -> Equation:
        layer, z = self.step.layers[l], self.view.z[l][j]
        symbol, value = self.symbol("z", l, j), number(self.view.a[l][j])
        note = f", after dropout of {layer.dropout:g}" if layer.dropout else ""
        name = "" if layer.activation == "identity" else layer.activation
        if self.view.row is None:
            mean = f"the {mean_name(self.setting)} over the rows"
            function = f"{mean} of {name}({symbol})" if name else symbol
            return Equation(self.symbol("a", l, j), function, "", value, note)
        formula, numbers = (f"{name}({symbol})", f"{name}({number(z)})") if name else (symbol, number(z))
        # After dropout, the value is not that of the function.
        return Equation(self.symbol("a", l, j), formula, "" if layer.dropout else numbers, value, note)

    def loss(self) -> list[Equation]:
        """The loss; with penalties, first without them."""
        lines = loss_lines(self.step)
        return [Equation(symbol, formula, "", f"{value:.6g}") for symbol, formula, value in lines]

    # Backward ----------------------------------------------------------------------------------------

    def da(self, l: int, j: int) -> Equation:
        symbol, value = f"∂E/∂{self.symbol('a', l, j)}", number(self.view.da[l][j])
        if l < self.last:
            return self._through(symbol, l + 1, j, value)
        if self.view.row is None:
            return Equation(symbol, "", "", value, self._sum())
        found = self.chain.loss(self.view.row, j)
        formula, share = loss_derivative(self.setting)
        note = f", {share}" if share and found.formula == formula else ""
        return Equation(symbol, found.formula, found.numbers, value, note)

    def dx(self, i: int) -> Equation:
        return self._through(f"∂E/∂{self.symbol('x', 0, i)}", 0, i, number(self.view.dx[i]))

    def _through(self, symbol: str, l: int, i: int, value: str) -> Equation:
        """The derivative by input i of a layer: the sum over its units."""
        layer = self.step.layers[l]
        units = range(len(layer.b))
        formula = [f"{self.delta_symbol(l, j)} · {self.symbol('W', l, j, i)}" for j in units]
        numbers = [f"{factor(self.view.delta[l][j])} · {factor(layer.W[j, i])}" for j in units]
        return Equation(symbol, " + ".join(formula), " + ".join(numbers), value, self._sum())

    def delta(self, l: int, j: int) -> Equation:
        layer, by = self.step.layers[l], self.view.da[l][j]
        symbol, value = self.delta_symbol(l, j), number(self.view.delta[l][j])
        a, z = self.symbol("a", l, j), self.symbol("z", l, j)
        if layer.activation == "identity" and not layer.dropout:
            return Equation(symbol, f"∂E/∂{a}", number(by), value, self._sum())
        formula = f"∂E/∂{a} · σ′({z})"
        if self.view.row is None:
            return Equation(symbol, formula, "", value, self._sum())
        slope = self.view.slope[l][j]
        if layer.dropout:
            computed = f"{number(slope)}, that of {layer.activation} after dropout of {layer.dropout:g}"
        else:
            text = slope_of(layer.activation)[0]
            numbers = slope_numbers(layer.activation, self.view.z[l][j], self.view.a[l][j])
            computed = f"{text} = {numbers} = {number(slope)} ({layer.activation})"
            if numbers.startswith("at "):
                computed = f"{number(slope)}: {text}, {numbers} ({layer.activation})"
        return Equation(symbol, formula, f"{factor(by)} · {factor(slope)}", value, f"\nσ′({z}) = {computed}")

    # Gradients and update ----------------------------------------------------------------------------

    def dW(self, l: int, j: int, i: int) -> Equation:
        setting, layer = self.setting, self.step.layers[l]
        w, weight = self.symbol("W", l, j, i), layer.W[j, i]
        product = f"{self.delta_symbol(l, j)} · {self.symbol('x', l, i)}"
        delta, x = self.view.delta[l][j], self.inputs(l)[i]
        numbers, note = f"{factor(delta)} · {factor(x)}", ""
        if self.view.rows > 1:
            if self.view.row is not None:
                note = f"\nRow {self.view.row} adds {product} = {numbers} = {number(delta * x)}."
            product, numbers = f"the sum over the {self.view.rows} rows of δ · {'a' if l else 'x'}", ""
        penalties = []
        if setting.l2:
            penalties.append((f"{2 * setting.l2:g} · {w}", f"{2 * setting.l2:g} · {factor(weight)}"))
        if setting.l1:
            penalties.append((f"{setting.l1:g} · sign({w})", f"{setting.l1:g} · sign({number(weight)})"))
        for text, shown in penalties:
            product += f" + {text}"
            numbers += f" + {shown}" if numbers else ""
        return Equation(f"d{w}", product, numbers, number(layer.dW[j, i]), note)

    def db(self, l: int, j: int) -> Equation:
        formula = self.delta_symbol(l, j)
        if self.view.rows > 1:
            formula = f"the sum over the {self.view.rows} rows of δ"
        return Equation(f"d{self.symbol('b', l, j)}", formula, "", number(self.step.layers[l].db[j]))

    def new(self, l: int, j: int, i: int | None) -> Equation:
        """The new weight from input i, or the new bias for None."""
        layer, optimizer = self.step.layers[l], self.setting.optimizer
        index = (j,) if i is None else (j, i)
        which = 1 if i is None else 0
        symbol = self.symbol("b", l, j) if i is None else self.symbol("W", l, j, i)
        old, gradient = ((layer.W, layer.dW), (layer.b, layer.db))[which]
        value = number((layer.new_W, layer.new_b)[which][index])
        group = group_of(self.setting, l, "biases" if i is None else "weights")
        if group.frozen:
            return Equation(f"new {symbol}", symbol, "", value, ", frozen")
        lines = formulas(optimizer)
        factors = ""
        if (group.lr, group.weight_decay) != (1, 1):
            factors = f", with lr x {group.lr:g} and weight decay x {group.weight_decay:g}"
        if not factors and lines == ["w ← w − lr g"]:
            rate = f"{self.step.learning_rate:.6g}"
            numbers = f"{number(old[index])} − {rate} · {factor(gradient[index])}"
            return Equation(f"new {symbol}", f"{symbol} − lr · d{symbol}", numbers, value)
        states = [
            f"{name} {number(pair[which][index])} → {number(layer.new_states[name][which][index])}"
            for name, pair in layer.states.items()
        ]
        note = f"\nby {'; '.join(lines)}, with g = d{symbol}, lr = {self.step.learning_rate:.6g}{factors}"
        return Equation(f"new {symbol}", "", "", value, "\n".join([note, *states]))

    # What belongs together ---------------------------------------------------------------------------

    def of_input(self, i: int) -> str:
        """The texts of an input."""
        return _lines([self.x(i), self.dx(i)])

    def of_unit(self, l: int, j: int) -> str:
        return _lines([self.z(l, j), self.a(l, j), self.da(l, j), self.delta(l, j)])

    def of_weight(self, l: int, j: int, i: int) -> str:
        w = self.symbol("W", l, j, i)
        first = Equation(w, "", "", number(self.step.layers[l].W[j, i]), self._way(l, j, i))
        return _lines([first, self.dW(l, j, i), self.new(l, j, i)])

    def _way(self, l: int, j: int, i: int) -> str:
        return f", from {self.symbol('x', l, i)} to {self.symbol('z', l, j)}"

    def of_bias(self, l: int, j: int) -> str:
        first = Equation(self.symbol("b", l, j), "", "", number(self.step.layers[l].b[j]))
        return _lines([first, self.db(l, j), self.new(l, j, None)])

    def of_loss(self) -> str:
        view, shown = self.view, []
        name = "a" if view.probabilities is None else "p"
        values = view.outputs if view.probabilities is None else view.probabilities
        for k, value in enumerate(values):
            own = f"{self.symbol(name, self.last, k)} = {number(value)}"
            target = "" if view.targets is None else f", {self.symbol('y', 0, k)} = {number(view.targets[k])}"
            shown.append(own + target)
        return "\n".join([_lines(self.loss()), *shown])

    def sentences(self) -> list[str]:
        """The sentence of each step of the drawing."""
        return [f"{heading}{self._listed(part)}" for part, heading in headings(self.step)]

    def _listed(self, part: Part) -> str:
        """The numbers of a part, those of the first units."""
        found = self._equations(part)
        shown = [equation for equation, _ in zip(found, range(MOST_LISTED), strict=False)]
        end = "; …" if next(found, None) is not None else "."
        if part.quantity == "loss":
            return " " + "; ".join(f"{each.symbol} = {each.value}" for each in shown) + "."
        return f" {'; '.join(each.short for each in shown)}{end}" if shown else ""

    def _equations(self, part: Part) -> Iterator[Equation]:
        l = part.layer
        fan_in, out = self.setting.sizes[l : l + 2]
        by_unit = {"z": self.z, "a": self.a, "da": self.da, "delta": self.delta}
        if part.quantity == "start":
            yield from (self.x(i) for i in range(self.setting.sizes[0]))
        elif part.quantity == "loss":
            yield from self.loss()
        elif part.quantity == "dx":
            yield from (self.dx(i) for i in range(self.setting.sizes[0]))
        elif part.quantity == "dW":
            yield from (self.dW(l, j, i) for j in range(out) for i in range(fan_in))
        elif part.quantity == "new":
            yield from (self.new(l, j, i) for j in range(out) for i in range(fan_in))
        else:
            yield from (by_unit[part.quantity](l, j) for j in range(out))

    def _mean(self) -> str:
        return f", the {mean_name(self.setting)} over the rows" if self.view.row is None else ""

    def _sum(self) -> str:
        return ", the sum over the rows" if self.view.row is None else ""


def _lines(equations: Sequence[Equation]) -> str:
    return "\n".join(equation.full for equation in equations)
