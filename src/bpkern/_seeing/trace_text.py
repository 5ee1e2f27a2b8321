"""A trace as aligned text, with the formula beside each block of numbers."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import numpy as np

from .trace_data import Layer, Step, TraceData
from .trace_formulas import loss_derivative, loss_lines, slope_of
from .trace_optimizers import formulas, note_of

# Arrays of more numbers than this are abbreviated, to this many at each end of an axis.
MOST_NUMBERS, ENDS = 64, 3

# The width of the formulas before the numbers.
WIDTH = 34


def text_of(trace: TraceData) -> str:
    """As ``str(trace)``."""
    rows, steps = len(trace.row_weights), len(trace.steps)
    title = (
        f"MLP {'-'.join(map(str, trace.sizes))} in {trace.dtype.name}, {trace.loss}, "
        f"{rows} row{'s' if rows > 1 else ''}, {steps} step{'s' if steps > 1 else ''}\n{trace.optimizer}"
    )
    return "\n\n".join([title, *(_step(trace, step) for step in trace.steps)])


def _step(trace: TraceData, step: Step) -> str:
    heading = f"step {step.number}: learning rate {step.learning_rate:.6g}, loss {step.loss:.6g}"
    lines = [heading, "", "forward"]
    for l, layer in enumerate(step.layers):
        lines += [f"  {_title(l, layer)}", *_forward(l, layer)]
    lines += ["  loss", *_loss(trace, step), "", "backward"]
    for l in range(len(step.layers) - 1, -1, -1):
        lines += [f"  {_title(l, step.layers[l])}", *_backward(trace, step, l)]
    lines += ["", "update, for each w of W and b with its g of dW and db"]
    lines += [f"  {line}" for line in formulas(trace.optimizer)]
    for l, layer in enumerate(step.layers):
        note = note_of(trace, l)
        lines += [f"  {_title(l, layer)}{': ' if note else ''}{note}", *_update(layer)]
    return "\n".join(lines)


def _title(l: int, layer: Layer) -> str:
    out, fan_in = layer.W.shape
    dropout = f", dropout {layer.dropout:g}" if layer.dropout else ""
    return f"layers[{l}]: {fan_in} → {out}, {layer.activation}{dropout}"


def _block(formula: str, numbers: np.ndarray) -> list[str]:
    """The lines of an array beside its formula."""
    shown = np.array2string(
        numbers + 0 if numbers.dtype.kind == "f" else numbers,  # 0 for -0
        max_line_width=110,
        precision=4,
        floatmode="fixed",
        suppress_small=False,
        threshold=MOST_NUMBERS,
        edgeitems=ENDS,
        separator=" ",
        # Otherwise a user's print options would change the text.
        formatter=None,
        sign="-",
    ).splitlines()
    start = f"    {formula.ljust(WIDTH)}  "
    if len(formula) > WIDTH:
        return [f"    {formula}", *(" " * len(f"    {'':{WIDTH}}  ") + line for line in shown)]
    return [start + shown[0], *(" " * len(start) + line for line in shown[1:])]


def _forward(l: int, layer: Layer) -> list[str]:
    above = "the inputs" if l == 0 else f"a of layers[{l - 1}]"
    a = f"a = {layer.activation}(z)" if layer.activation != "identity" else "a = z"
    if layer.dropout:
        a += ", after dropout"
    return [
        *_block(f"x, {above}", layer.x),
        *_block("W", layer.W),
        *_block("b", layer.b),
        *_block("z = x Wᵀ + b", layer.z),
        *_block(a, layer.a),
    ]


def _loss(trace: TraceData, step: Step) -> list[str]:
    lines = [] if step.probabilities is None else _block("p", step.probabilities)
    lines += _block("y", trace.targets)
    if trace.label_smoothing:
        lines += _line("label smoothing of y", trace.label_smoothing)
    for symbol, formula, value in loss_lines(step):
        lines += _line(f"{symbol} = {formula}", value)
    return lines


def _line(formula: str, value: float) -> list[str]:
    """The lines of a number beside its formula."""
    if len(formula) > WIDTH:
        return [f"    {formula}", f"    {'':{WIDTH}}  {value:.6g}"]
    return [f"    {formula.ljust(WIDTH)}  {value:.6g}"]


def _backward(trace: TraceData, step: Step, l: int) -> list[str]:
    layer, last = step.layers[l], l == len(step.layers) - 1
    if last:
        derivative = ", ".join(filter(None, loss_derivative(trace)))
        lines = _block(f"∂E/∂a = {derivative}", step.doutputs)
    else:
        lines = _block(f"∂E/∂a = δ W of layers[{l + 1}]", step.layers[l + 1].dx)
    dropout = ", after dropout" if layer.dropout else ""
    decay = f" + {2 * trace.l2:g} W" if trace.l2 else ""
    decay += f" + {trace.l1:g} sign(W)" if trace.l1 else ""
    return [
        *lines,
        *_block(f"∂a/∂z = {slope_of(layer.activation)[0]}{dropout}", layer.slope),
        *_block("δ = ∂E/∂a ⊙ ∂a/∂z", layer.delta),
        *_block(f"dW = δᵀ x{decay}", layer.dW),
        *_block("db = Σ δ over the rows", layer.db),
    ]


def _update(layer: Layer) -> list[str]:
    lines = []
    for name, (w, b) in layer.states.items():
        new_w, new_b = layer.new_states[name]
        lines += [*_block(f"{name} of W before", w), *_block(f"{name} of W after", new_w)]
        lines += [*_block(f"{name} of b before", b), *_block(f"{name} of b after", new_b)]
    return [*lines, *_block("new W", layer.new_W), *_block("new b", layer.new_b)]
