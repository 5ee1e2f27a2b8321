"""The steps of a trace, made on a copy of the model by the code that trains."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import copy
from typing import Any

import numpy as np

from .. import _checks, _core
from .._data.rows import Rows, bad_row, owned, read_rows
from .._files.state import training_copy
from .._fit.batch import step_in_c, step_with_custom_loss
from .._fit.custom_loss import row_losses
from .._fit.gradients import add_penalty, clear_absent
from .._fit.update import make_update
from .._model.core import Core
from .._model.parameters import Weights
from .._model.scheduled import as_of, dropouts, probabilities
from .._model.settings import Settings, refuse_extra
from ..kernels import delta_backward, linear_forward
from ..optimizers import Optimizer
from ..schedules import rate
from .trace_data import Layer, Setting, Step
from .trace_optimizers import used_states


def traced(core: Core, X: Any, y: Any, sample_weight: Any, steps: int) -> tuple[Setting, tuple[Step, ...]]:
    """The setting and the steps of a `Trace` of these rows.

    Raises
    ------
    ValueError, TypeError, DivergedError, RuntimeError, MemoryError
        As `MLP.trace`.
    """
    core.net.check_trains()
    count = _checks.whole("steps", steps, 1)
    refuse_extra(core.settings, "trace")
    settings = copy.copy(core.settings)
    # Copies: several steps read the rows, and nobody may change them in between.
    data = owned(read_rows(X, y, sample_weight, settings))
    optimizer = settings.current_optimizer()
    own = training_copy(core, settings)
    factor = _penalty_factor(settings, data)
    setting = Setting(
        sizes=tuple(settings.layers),
        activations=tuple(settings.activations),
        dropout=(*settings.dropout, 0.0),
        loss=settings.loss,
        loss_parameters=settings.loss_parameters,
        label_smoothing=settings.label_smoothing,
        l1=factor * settings.l1,
        l2=factor * settings.l2,
        optimizer=optimizer,
        dtype=settings.dtype,
        targets=_targets(data[1], settings),
        row_weights=_row_weights(data),
        bias=tuple(settings.bias),
        groups=settings.groups,
    )
    return setting, tuple(_step(own, data, optimizer, number, setting) for number in range(count))


def _targets(targets: np.ndarray, settings: Settings) -> np.ndarray:
    """The targets as the loss reads them, (n, out); those of a Python loss as they are."""
    if settings.custom_loss:
        return targets
    if targets.ndim == 2:
        with np.errstate(under="ignore"):
            return targets.astype(settings.dtype)
    one_hot = np.zeros((len(targets), settings.layers[-1]), settings.dtype)
    one_hot[np.arange(len(targets)), targets] = 1
    return one_hot


def _row_weights(data: Rows) -> np.ndarray:
    """The factor of each row in the mean over the rows, float64 (n,)."""
    weights = np.ones(len(data[0])) if data[2] is None else data[2]
    factors: np.ndarray = weights / weights.sum()
    return factors


def _step(core: Core, data: Rows, optimizer: Optimizer, number: int, setting: Setting) -> Step:
    """One step on all rows, which changes `core`."""
    net, settings, custom_loss = core.net, core.settings, core.settings.custom_loss
    updates, _ = net.counts
    # The learning rate is asked for once, and a Python loss is called once: they may have a memory.
    settings.optimizer = as_of(optimizer, updates)
    learning_rate = rate(settings.optimizer.lr, updates)
    hidden, _ = probabilities(settings, updates)
    update = make_update(settings, settings.optimizer)
    net.prepare(update)
    names = used_states(settings.optimizer)
    parameters, states = net.get_layers(), _states(net, names)
    tape = _core.Tape(net)
    try:
        outputs, doutputs = _forward(core, tape, data)
        tape.backward(doutputs, False)
        gradients, _ = tape.gradients()
        clear_absent(gradients, settings)
        penalty = _add_penalty(core, data, gradients)
        layers = [{name: tape.matrix(name, l) for name in _core.TAPE_MATRICES} for l in range(len(gradients))]
        with net.writing():
            train = step_with_custom_loss if custom_loss else step_in_c
            loss = train(core, data, update, settings.optimizer)
    except _core.BadRowError as error:
        raise bad_row(data, error.row, settings) from None
    finally:
        settings.custom_loss = custom_loss
    new_parameters, new_states = net.get_layers(), _states(net, names)
    return Step(
        number=number,
        update=updates,
        loss=loss,
        penalty=penalty,
        learning_rate=learning_rate,
        outputs=outputs,
        probabilities=_core.probabilities(settings.loss, outputs) if settings.has_accuracy else None,
        doutputs=doutputs,
        layers=tuple(
            Layer(
                activation=settings.activations[l],
                dropout=[*hidden, 0.0][l],
                W=parameters[l][0],
                b=parameters[l][1],
                z=linear_forward(matrices["x"], *parameters[l]),
                dW=gradients[l][0],
                db=gradients[l][1],
                # For the identity, no number of the third argument has an effect.
                dx=delta_backward(matrices["delta"], parameters[l][0], matrices["x"], "identity"),
                new_W=new_parameters[l][0],
                new_b=new_parameters[l][1],
                states={name: pairs[l] for name, pairs in states.items()},
                new_states={name: pairs[l] for name, pairs in new_states.items()},
                **matrices,
            )
            for l, matrices in enumerate(layers)
        ),
        setting=setting,
    )


def _states(net: _core.Network, names: dict[str, str]) -> dict[str, Weights]:
    """Copies of the optimiser's states by the names that users see."""
    return {name: net.get_layers(store) for name, store in names.items()}


def _forward(core: Core, tape: _core.Tape, data: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The outputs of the next training step, and the derivative of its loss by them.

    The returns of a Python loss replace it in the settings: the training step takes them.
    """
    net, settings, (x, targets, weights) = core.net, core.settings, data
    counts, function = net.counts, settings.custom_loss
    dropped = dropouts(settings, counts[0], 1)
    try:
        if not function:
            outputs = tape.forward(_core.Data(x, targets, weights), None, dropouts=dropped)
            return outputs, tape.loss()
        outputs = tape.forward(_core.Data(x), None, dropouts=dropped)
    finally:
        net.counts = counts  # dropout depends on the count of mini-batches
    losses, gradient = row_losses(function, outputs, targets, weights is not None)
    settings.custom_loss = lambda *_: (losses, gradient)
    with np.errstate(all="ignore"):  # an overflow ends in a DivergedError
        scaled = gradient * _row_weights(data)[:, None]
        return outputs, np.ascontiguousarray(scaled, settings.dtype)


def _add_penalty(core: Core, data: Rows, gradients: Weights) -> float:
    """Add the gradients of the penalties, in place; returns the penalties."""
    settings, factor = core.settings, _penalty_factor(core.settings, data)
    return add_penalty(core.net, gradients, factor * settings.l1, factor * settings.l2)


def _penalty_factor(settings: Settings, data: Rows) -> float:
    """As `Settings.penalty_factor`, for this mini-batch."""
    weights = data[2]
    return settings.penalty_factor(len(data[0]) if weights is None else float(weights.sum()))
