"""The steps in which pictures show a training step, and the sentence at the head of each."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .trace_data import Step
from .trace_formulas import loss_derivative, loss_lines, slope_of
from .trace_optimizers import formulas, note_of


class Part(NamedTuple):
    """What becomes visible in a step of a picture.

    Attributes
    ----------
    quantity : str
        "start", "z", "a", "loss", "da" (∂E/∂a), "delta", "dW" (with db), "dx" or "new" (W and b).
    layer : int
        0 for the parts that belong to no layer.
    """

    quantity: str
    layer: int = 0


def parts_of(layers: int) -> list[Part]:
    """The parts of a training step of so many layers, in order: forward, backward and update."""
    forward, backward = range(layers), reversed(range(layers))
    return [
        Part("start"),
        *(Part(quantity, l) for l in forward for quantity in ("z", "a")),
        Part("loss"),
        *(Part(quantity, l) for l in backward for quantity in ("da", "delta", "dW")),
        Part("dx"),
        *(Part("new", l) for l in forward),
    ]


def numbered(layers: int) -> dict[Part, int]:
    """The number of each part's step, from 1."""
    return {part: number for number, part in enumerate(parts_of(layers), 1)}


def headings(step: Step) -> Iterator[tuple[Part, str]]:
    """Each part with its formula in words and letters."""
    setting, last = step.setting, len(step.layers) - 1
    several = len(step.outputs) > 1
    for part in parts_of(last + 1):
        layer, name = step.layers[part.layer], f"layers[{part.layer}]"
        dropout = f", after dropout of {layer.dropout:g}" if layer.dropout else ""
        if part.quantity == "start":
            text = "Start: inputs, targets, weights and biases."
        elif part.quantity == "z":
            text = f"Forward, {name}: weighted sums, z = x Wᵀ + b."
        elif part.quantity == "a":
            function = "z" if layer.activation == "identity" else f"{layer.activation}(z)"
            text = f"Forward, {name}: activations, a = {function}{dropout}."
        elif part.quantity == "loss":
            symbol, formula, _ = loss_lines(step)[0]
            text = f"Loss: {symbol} = {formula}."
        elif part.quantity == "da":
            formula = ", ".join(filter(None, loss_derivative(setting)))
            if part.layer < last:
                formula = f"δ W of layers[{part.layer + 1}], the sum over all ways to the loss"
            text = f"Backward, {name}: ∂E/∂a = {formula}."
        elif part.quantity == "delta":
            slope = slope_of(layer.activation)[0]
            text = f"Backward, {name}: δ = ∂E/∂z = ∂E/∂a ⊙ ∂a/∂z, with ∂a/∂z = {slope}{dropout}."
        elif part.quantity == "dW":
            penalties = (f" + {2 * setting.l2:g} W" if setting.l2 else "") + (
                f" + {setting.l1:g} sign(W)" if setting.l1 else ""
            )
            bias = "the sum of δ over the rows" if several else "δ"
            text = f"Gradients, {name}: dW = δᵀ x{penalties}, db = {bias}."
        elif part.quantity == "dx":
            text = "Backward, the inputs: ∂E/∂x = δ W of layers[0]."
        else:
            lines = "; ".join(formulas(setting.optimizer))
            text = (
                f"Update, {name}, with w of W and b, g of dW and db, lr = {step.learning_rate:.6g}: {lines}"
            )
            note = note_of(setting, part.layer)
            text += f"; {note}." if note else "."

        yield part, text
