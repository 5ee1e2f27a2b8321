"""The loss of a training step as an expression of scalars."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import Any

from .trace_data import Step
from .trace_explain import Chain

MOST_NODES = 100_000
# Outputs that are larger are shifted before a softmax, whose exponentials would be too large or all be 0.
LARGE = 100.0


def loss_of(step: Step, variable: Callable[[str, float], Any], apply: Callable[..., Any]) -> Any:
    """As `bpkern.graph.from_trace`.

    Parameters
    ----------
    step : Step
    variable : callable
        Makes a node of a name and a value.
    apply : callable
        Makes a node of an operation's name in `operations.OPERATIONS` and the operands.
    """
    if not isinstance(step, Step):
        raise TypeError(f"step must be a step of a trace, as trace.steps[0], not {step!r}")
    if step.setting.loss == "custom":
        raise ValueError("from_trace needs the formula of the loss, and a loss in Python has none")
    sizes = step.setting.sizes
    count = len(step.outputs) * sum(out * (2 * fan_in + 2) for fan_in, out in pairwise(sizes))
    if count > MOST_NODES:
        raise ValueError(
            f"the graph of this step would have {count:,} nodes and more, and at most {MOST_NODES:,} are "
            "allowed: trace a smaller network, or fewer rows"
        )
    return _Expression(step, variable, apply).loss().named("E")


class _Expression:
    """The nodes of a step. Operators between nodes are those of `bpkern.graph.Node`."""

    def __init__(self, step: Step, variable: Callable[[str, float], Any], apply: Callable[..., Any]) -> None:
        self.step, self.setting, self.chain = step, step.setting, Chain(step)
        self.apply, self.variable = apply, variable
        self.W = [
            [[self._named("W", l, 0, j, i, w) for i, w in enumerate(row)] for j, row in enumerate(layer.W)]
            for l, layer in enumerate(step.layers)
        ]
        self.b = [
            [self._named("b", l, 0, j, 0, b) for j, b in enumerate(layer.b)]
            for l, layer in enumerate(step.layers)
        ]

    def _named(self, quantity: str, l: int, row: int, unit: int, column: int, value: Any) -> Any:
        name, _ = self.chain.symbol(quantity, l, row, unit, column)
        return self.variable(name, float(value))

    def loss(self) -> Any:
        """The mean over the rows and the penalties."""
        weights = [float(weight) for weight in self.setting.row_weights]
        losses = [self._row(r) for r in range(len(weights))]
        if len(set(weights)) == 1:
            loss = _sum(losses) / len(losses) if len(losses) > 1 else losses[0]
        else:
            loss = _sum([weight * of_row for weight, of_row in zip(weights, losses, strict=True)])
        every = [w for layer in self.W for unit in layer for w in unit]
        if self.setting.l2:
            loss = loss + self.setting.l2 * _sum([w**2 for w in every])
        if self.setting.l1:
            loss = loss + self.setting.l1 * _sum([self._size(w) for w in every])
        return loss

    def _row(self, r: int) -> Any:
        """The loss of a row."""
        outputs = [self._named("x", 0, r, i, 0, x) for i, x in enumerate(self.step.layers[0].x[r])]
        for l in range(len(self.step.layers)):
            outputs = [self._unit(l, r, j, outputs) for j in range(self.setting.sizes[l + 1])]
        targets = [
            self.variable(self.chain.symbol("y", 0, r, k)[0], self.chain.target(r, k))
            for k in range(len(outputs))
        ]
        if self.setting.loss == "cross_entropy":
            return self._cross_entropy(outputs, targets)
        terms = [self._output(a, y, k) for k, (a, y) in enumerate(zip(outputs, targets, strict=True))]
        if self.setting.loss == "squared_error" or len(terms) == 1:
            return _sum(terms)
        return _sum(terms) / len(terms)

    def _unit(self, l: int, r: int, j: int, inputs: list[Any]) -> Any:
        """The activation of a unit."""
        layer = self.step.layers[l]
        terms = [w * x for w, x in zip(self.W[l][j], inputs, strict=True)]
        bias = [self.b[l][j]] if self.setting.bias[l] else []
        z = _sum([*terms, *bias]).named(self.chain.symbol("z", l, r, j)[0])
        if layer.activation == "identity" and not layer.dropout:
            return z
        a = z if layer.activation == "identity" else self.apply(layer.activation, z)
        if layer.dropout:
            # A unit whose activation and slope are both 0 adds nothing, dropped or not.
            kept = bool(layer.a[r, j] or layer.slope[r, j])
            a = a * (1 / (1 - layer.dropout) if kept else 0.0)
        return a.named(self.chain.symbol("a", l, r, j)[0])

    # Losses ------------------------------------------------------------------------------------------

    def _cross_entropy(self, outputs: list[Any], targets: list[Any]) -> Any:
        """−Σ y log p with log p = a − log Σ eᵃ."""
        largest = max(a.value for a in outputs)
        shift = largest if abs(largest) > LARGE else 0.0
        shifted = [a - shift for a in outputs] if shift else outputs
        total = self.apply("log", _sum([self.apply("exp", a) for a in shifted]))
        return _sum([y * (total - a) for a, y in zip(shifted, targets, strict=True) if y.value])

    def _output(self, a: Any, y: Any, k: int) -> Any:
        """The loss of an output, before the mean over the outputs."""
        loss = self.setting.loss
        if loss == "binary_cross_entropy":
            return self.apply("softplus", a) - y * a
        if loss == "poisson":
            return self.apply("exp", a) - y * a
        if loss == "hinge":
            return self.apply("relu", 1.0 - y * a)
        if loss == "squared_hinge":
            return self.apply("relu", 1.0 - y * a) ** 2
        difference = a - y
        if loss == "log_cosh":
            size = self._size(difference)
            return size + self.apply("softplus", -2.0 * size) - math.log(2)
        if loss == "squared_error":
            return 0.5 * difference**2
        if loss == "mse":
            return difference**2
        if loss == "mae":
            return self._size(difference)
        parameters = self.setting.loss_parameters
        assert parameters is not None  # huber and quantile have them
        parameter = float(parameters[k])
        if loss == "quantile":
            above, below = self.apply("relu", difference), self.apply("relu", -difference)
            return (1 - parameter) * above + parameter * below
        if abs(difference.value) <= parameter:  # huber
            return 0.5 * difference**2
        return parameter * (self._size(difference) - parameter / 2)

    def _size(self, node: Any) -> Any:
        """|node|, with the derivative 0 at 0."""
        return self.apply("max", node, -node)


def _sum(nodes: list[Any]) -> Any:
    return reduce(lambda one, other: one + other, nodes)
