"""Training step by step: backward from the caller's derivative, and an update."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._model.core import Core
from .._model.parameters import checked_weights, extra_of, weights_of
from .._model.scheduled import WEIGHT_DECAY
from ..errors import DivergedError
from ..schedules import rate
from .arguments import limit
from .rollback import restore_unless_finite
from .update import make_update


def backward(core: Core, grad_output: Any, input_gradient: bool) -> np.ndarray | None:
    """As `MLP.backward`."""
    core.net.check_trains()
    dtype = core.settings.dtype
    # Unlike `as_numeric`, this refuses arrays of Python objects.
    gradient = np.asarray(grad_output)
    if gradient.dtype.kind not in "biuf":
        raise TypeError(f"grad_output must hold real numbers, not dtype {gradient.dtype}")
    with np.errstate(over="ignore", under="ignore"):
        gradient = np.array(gradient, dtype, order="C")  # a copy, which nobody changes after the check
    if not np.isfinite(gradient).all():
        raise ValueError(f"grad_output must be finite in {dtype.name}")
    return core.tape.backward(gradient, input_gradient)


def step(core: Core, clip_norm: float | None, clip_value: float | None) -> None:
    """As `MLP.step`."""
    core.net.check_trains()
    limits = limit("clip_norm", clip_norm), limit("clip_value", clip_value)
    _spend(core, core.tape, *limits, penalised=True)


def apply_gradients(core: Core, gradients: Any, clip_norm: float | None, clip_value: float | None) -> None:
    """As `MLP.apply_gradients`."""
    core.net.check_trains()
    limits = limit("clip_norm", clip_norm), limit("clip_value", clip_value)
    settings, of_extra = core.settings, None
    if isinstance(gradients, Mapping):
        named, gradients = extra_of(gradients)
        gradients = weights_of(gradients, len(settings.bias), settings.bias)
        if settings.extra is not None:
            of_extra = settings.extra.flat(named, settings.dtype)
        elif named:
            raise ValueError(f"gradients must hold just the model's names, not {', '.join(named)}")
    elif settings.extra is not None:
        raise ValueError(
            "a model with inputs or parametric activations takes gradients by name, as gradients(X, y, "
            "by_name=True) returns them"
        )
    found = checked_weights(gradients, settings.sizes, settings.dtype, settings.bias, names=("dW", "db"))
    with core.net.writing():
        core.check_may_snapshot()
        tape = _core.Tape(core.net)  # that of the model may hold gradients that wait for `step`
        tape.set_gradients(found, of_extra)
        _spend(core, tape, *limits, penalised=False)


def _spend(
    core: Core, tape: _core.Tape, clip_norm: float | None, clip_value: float | None, penalised: bool
) -> None:
    """Make an update from the gradients of a tape; the model is as before if its parameters overflow."""
    net, optimizer = core.net, core.settings.current_optimizer()
    update = make_update(
        core.settings, optimizer, clip_norm=clip_norm, clip_value=clip_value, penalised=penalised
    )
    with net.writing():
        core.check_may_snapshot()
        net.snapshot()
        first = net.counts[0]  # updates so far
        if callable(optimizer.weight_decay):
            update.set_weight_decay(rate(optimizer.weight_decay, first, WEIGHT_DECAY))
        tape.update(update, rate(optimizer.lr, first), 1.0)
        if not restore_unless_finite(net):
            raise DivergedError(
                f"the weights overflowed: lower the learning rate (lr={optimizer.lr}), clip the gradients "
                "(clip_norm), or scale X",
                0,
                first,
            )
        net.discard_average()
