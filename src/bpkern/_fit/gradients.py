"""The loss and its gradients without an update, and the gradients of the penalties."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

import numpy as np

from .. import _checks, _core
from .._data.rows import Rows, bad_row, read_rows
from .._model.core import Core, new_network
from .._model.parameters import Weights, state_of
from .._model.settings import Settings
from .custom_loss import row_losses


def gradients(core: Core, X: Any, y: Any, by_name: bool) -> tuple[float, Any]:
    """As `MLP.gradients`."""
    core.net.check_trains()
    _checks.flag("by_name", by_name)
    settings = core.settings
    data = read_rows(X, y, None, settings)
    try:
        with core.net.reading():
            if settings.custom_loss:
                loss, found, of_extra = _custom_gradients(core, data)
            else:
                loss, found, of_extra = core.net.gradients(_core.Data(*data))
            if settings.penalised:
                factor = settings.penalty_factor(len(data[0]))
                loss += add_penalty(core.net, found, factor * settings.l1, factor * settings.l2)
            if not all(settings.bias):
                clear_absent(found, settings)
    except _core.BadRowError as error:
        raise bad_row(data, error.row, settings) from None
    if not by_name:
        return loss, found
    named = state_of(found, settings.bias)
    return loss, named if settings.extra is None else named | settings.extra.named(of_extra)


def clear_absent(gradients: Weights, settings: Settings) -> None:
    """Set the gradients of biases that layers do not have to 0, in place."""
    for (_, db), has_bias in zip(gradients, settings.bias, strict=True):
        if not has_bias:
            db[...] = 0


@np.errstate(all="ignore")
def add_penalty(net: _core.Network, gradients: Weights, l1: float, l2: float) -> float:
    """Add the gradient of ``l1 * sum(abs(W)) + l2 * sum(W**2)``, in place; returns the penalty itself.

    Parameters
    ----------
    net : _core.Network
        Its trained weights W are penalised.
    gradients : list of (dW, db)
    l1, l2 : float
    """
    for (dw, _), (w, _) in zip(gradients, net.get_layers(), strict=True):
        dw += 2 * l2 * w + l1 * np.sign(w)
    return net.penalty(l1, l2, trained=True)


def _custom_gradients(core: Core, data: Rows) -> tuple[float, Weights, np.ndarray]:
    """The mean of a Python function's losses and its gradients, without penalties.

    They are computed in a second network: the model's own tape may hold a forward pass of the caller. The
    second network has no dropout.
    """
    x, targets, _ = data
    settings = core.settings
    assert settings.custom_loss is not None
    net = new_network(settings)
    net.set_layers(core.net.get_layers(), extra=core.net.get_extra())
    tape = _core.Tape(net)
    outputs = tape.forward(_core.Data(x), None)
    losses, gradient = row_losses(settings.custom_loss, outputs, targets, weighted=False)
    with np.errstate(all="ignore"):
        tape.backward(np.ascontiguousarray(gradient / len(x), settings.dtype), False)
        return float(losses.mean()), *tape.gradients()
