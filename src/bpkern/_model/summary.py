"""Layers of a network, their parameters, memory and arithmetic, as a table in text or HTML."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import _checks
from .._fit.update import make_update
from .core import Core
from .groups import Groups, lines_of, plain_groups, trained
from .settings import Probability

HEADER = (
    "layer",
    "shape",
    "activation",
    "dropout",
    "parameters",
    "memory",
    "flops forward",
    "flops training",
)

# The most rows of a batch: more than any memory holds, and few enough that their bytes still fit a float.
MOST_ROWS = 1 << 62

# Columns of words; the others are numbers, and aligned to the right.
WORDS = (1, 2)


def summary_of(core: Core, batch_size: int | None) -> "Summary":
    """As `MLP.summary`."""
    if batch_size is not None:
        batch_size = _checks.whole("batch_size", batch_size, 1, MOST_ROWS)
    settings = core.settings
    places = [] if settings.stage is None else settings.stage.places
    return Summary(
        settings.sizes,
        settings.activation_texts,
        settings.given_loss,
        settings.optimizer,
        settings.dtype,
        settings.dropout,
        0 if settings.compressed else make_update(settings, settings.current_optimizer()).states,
        batch_size,
        core.net.weight_sizes(),
        settings.compressed,
        settings.bias,
        settings.groups,
        settings.layers[0],
        [(type(given).__name__, shapes, len(columns)) for given, columns, shapes in places],
        settings.input_dropout,
        [
            size if each else 0
            for each, size in zip([*settings.parametric, None], settings.layers[1:], strict=True)
        ],
    )


class Summary:
    """The table: `str` gives it as text, and notebooks show it as HTML.

    Layers are numbered as in `MLP.state_dict`. Flops are the multiplications and additions of the matrix
    products for one sample. A forward pass takes one product per layer. A training step takes three: the
    forward pass, the gradient of the weights, and the delta of the layer before, which the first layer omits.

    Parameters
    ----------
    layers : sequence of int
        The sizes of the layers, the number of inputs of layer 0 first.
    activations : sequence of str
        One per weight matrix.
    loss : str, Loss or callable
        As the model received it.
    optimizer : Optimizer
        The model's.
    dtype : numpy.dtype
        The model's.
    dropout : sequence of (float or Schedule)
        One probability per hidden layer.
    state_slots : int
        Numbers that the optimiser stores for each parameter.
    batch_size : int or None
        Rows of a mini-batch, for the memory of its activations; None leaves that line out.
    weight_sizes : sequence of int, optional
        Bytes of each weight, by layer; None is the size of the dtype.
    compressed : str or None
        The type of the weights of a compressed model.
    bias : sequence of bool, optional
        Whether each layer has biases; None is all.
    groups : Groups, optional
        What is frozen, and the factors of what is trained.
    columns : int, optional
        The number of columns of X, if it is not the first of `layers`.
    inputs : sequence of (str, dict of str to tuple of int, int)
        What stands in front of layer 0: class, shapes of the parameters, and number of columns.
    input_dropout : float or Schedule
        The probability of the inputs.
    shares : sequence of int, optional
        The numbers of parameters of the activations, by layer; None is no parameters.

    Attributes
    ----------
    parameters, flops_forward, flops_training : int
        Sums over all layers; flops for one sample.
    trained_parameters : int
        Those of `parameters` that are not frozen.
    parameter_bytes, state_bytes : int
        Memory of the weights and biases, and of the optimiser's states.
    activation_bytes : int or None
        Memory of a mini-batch and all its activations.
    """

    def __init__(
        self,
        layers: Sequence[int],
        activations: Sequence[str],
        loss: Any,
        optimizer: Any,
        dtype: "np.dtype[Any]",
        dropout: Sequence[Probability],
        state_slots: int,
        batch_size: int | None = None,
        weight_sizes: Sequence[int] | None = None,
        compressed: str | None = None,
        bias: Sequence[bool] | None = None,
        groups: Groups | None = None,
        columns: int | None = None,
        inputs: Sequence[tuple[str, Mapping[str, tuple[int, ...]], int]] = (),
        input_dropout: Probability = 0.0,
        shares: Sequence[int] | None = None,
    ) -> None:
        name = loss if isinstance(loss, str) else getattr(loss, "__name__", repr(loss))
        shown = [layers[0] if columns is None else columns, *layers[1:]]
        self._title = f"MLP {'-'.join(map(str, shown))} in {dtype.name}, loss {name}"
        if compressed is not None:
            self._title += f", weights in {compressed}, for inference only"
        self._rows = []
        self.parameters = self.flops_forward = self.flops_training = self.parameter_bytes = 0
        bias = [True] * (len(layers) - 1) if bias is None else bias
        shares = [0] * (len(layers) - 1) if shares is None else shares
        groups = plain_groups(len(bias)) if groups is None else groups
        self.trained_parameters = 0
        for i, (kind, shapes, taken) in enumerate(inputs):
            parameters = sum(math.prod(shape) for shape in shapes.values())
            memory = parameters * dtype.itemsize
            self.parameters += parameters
            self.trained_parameters += parameters
            self.parameter_bytes += memory
            of = f"{taken} column{'s' * (taken != 1)}" if taken else f"{layers[0]} inputs"
            self._rows.append((f"inputs {i}", of, kind, "-", f"{parameters:,}", _size(memory), "-", "-"))
        # No dropout after the output.
        rates = [*dropout, 0.0]
        for l, (fan_in, fan_out) in enumerate(pairwise(layers)):
            biases, forward = fan_out * bias[l], 2 * fan_in * fan_out
            parameters = fan_in * fan_out + biases + shares[l]
            size = dtype.itemsize if weight_sizes is None else weight_sizes[l]
            memory = fan_in * fan_out * size + (biases + shares[l]) * dtype.itemsize
            trained_weights, trained_biases = trained(groups, bias)[l]
            self.trained_parameters += fan_in * fan_out * trained_weights + biases * trained_biases
            self.trained_parameters += shares[l]
            self.parameter_bytes += memory
            training = forward * (2 if l == 0 else 3)
            self.parameters += parameters
            self.flops_forward += forward
            self.flops_training += training
            self._rows.append(
                (
                    str(l),
                    f"{fan_in} -> {fan_out}",
                    activations[l],
                    _number(rates[l]) if rates[l] else "-",
                    f"{parameters:,}",
                    _size(memory),
                    f"{forward:,}",
                    f"{training:,}",
                )
            )
        self.state_bytes = self.parameter_bytes * state_slots
        self.activation_bytes = None if batch_size is None else batch_size * sum(layers) * dtype.itemsize
        self._total = (
            "total",
            "",
            "",
            "",
            f"{self.parameters:,}",
            _size(self.parameter_bytes),
            f"{self.flops_forward:,}",
            f"{self.flops_training:,}",
        )
        note = f"Memory: parameters {_size(self.parameter_bytes)}, optimiser {_size(self.state_bytes)}"
        if self.activation_bytes is not None:
            note += f", activations of {batch_size} rows {_size(self.activation_bytes)}"
        own: tuple[str, ...] = () if compressed else (f"Optimiser: {optimizer!r}",)
        if input_dropout and not compressed:
            own += (f"Input dropout: {_number(input_dropout)}",)
        if self.trained_parameters < self.parameters and not compressed:
            own += (f"Trained: {self.trained_parameters:,} of {self.parameters:,} parameters",)
        self._notes = (*own, *lines_of(groups, bias), note)

    def __str__(self) -> str:
        rows = [HEADER, *self._rows, self._total]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [_line(row, widths) for row in rows]
        rule = "-" * len(lines[0])
        return "\n".join([self._title, "", lines[0], rule, *lines[1:-1], rule, lines[-1], "", *self._notes])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """The table as HTML.

        Returns
        -------
        str
            A fragment, which notebooks show.
        """
        # Imported here: only notebooks need it, and it loads every HTML entity.
        from html import escape

        body = "".join(_html_row(map(escape, row), "td") for row in self._rows)
        notes = "<br/>".join(map(escape, self._notes))
        return (
            f"<table><caption>{escape(self._title)}</caption>"
            f"<thead>{_html_row(HEADER, 'th')}</thead><tbody>{body}</tbody>"
            f"<tfoot>{_html_row(self._total, 'th')}"
            f'<tr><td colspan="{len(HEADER)}" style="text-align: left">{notes}</td></tr></tfoot></table>'
        )


def _number(value: Any) -> str:
    """A number, or a schedule by its class and settings."""
    return repr(value) if callable(value) else f"{value:g}"


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    padded = (
        cell.ljust(width) if column in WORDS else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded)


def _html_row(cells: Iterable[str], tag: str) -> str:
    aligned = (
        f'<{tag} style="text-align: {"left" if column in WORDS else "right"}">{cell}</{tag}>'
        for column, cell in enumerate(cells)
    )
    return f"<tr>{''.join(aligned)}</tr>"


def _size(count: int) -> str:
    """A number of bytes in the largest decimal unit that is not above it."""
    size, unit = float(count), 0
    while size >= 999.95 and unit < 4:
        size, unit = size / 1000, unit + 1
    name = ("B", "kB", "MB", "GB", "TB")[unit]
    return f"{size:.1f} {name}" if unit else f"{count} B"
