"""One training step on one mini-batch: `MLP.train_on_batch`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

from .. import _core
from .._data.rows import Rows, bad_row, is_1d, read_rows
from .._model.core import Core
from .._model.scheduled import as_of, dropouts
from ..optimizers import Optimizer
from .epochs import RowEpochs, diverged
from .rollback import Rollback
from .steps import Watcher, make_steps
from .update import make_update

# Nobody watches the progress of a single step.
NOBODY = Watcher()


def train_on_batch(core: Core, X: Any, y: Any, sample_weight: Any) -> float:
    """As `MLP.train_on_batch`."""
    net, settings = core.net, core.settings
    net.check_trains()
    optimizer = settings.current_optimizer()
    data = read_rows(X, y, sample_weight, settings)
    update = make_update(settings, optimizer)
    with net.writing():
        if core.accumulate is not None:  # within an epoch of a fit; the question saves a call
            core.check_may_train()
        if settings.custom_loss:
            loss = step_with_custom_loss(core, data, update, optimizer)
        else:
            loss = step_in_c(core, data, update, optimizer)
        core.fitted_1d = is_1d(y)
    return loss


def step_in_c(core: Core, data: Rows, update: _core.Update, optimizer: Optimizer) -> float:
    """The step, in one call into C. This thread is inside `writing()` of the network. Returns the loss."""
    net, settings, probabilities = core.net, core.settings, None
    if settings.scheduled:
        number = net.counts[0]
        optimizer, probabilities = as_of(optimizer, number), dropouts(settings, number, 1)
        update.set_optimizer(optimizer)
    try:
        lr: Any = optimizer.lr
        return _core.train_batch(net, _core.Data(*data), update, lr, probabilities)
    except _core.BadRowError as stop:
        raise bad_row(data, stop.row, settings) from None
    except _core.NonFiniteLossError as stop:
        raise diverged(stop, 0, 0, optimizer) from None


def step_with_custom_loss(core: Core, data: Rows, update: _core.Update, optimizer: Optimizer) -> float:
    """As `step_in_c`, with a Python function as the loss."""
    net, settings, rows = core.net, core.settings, len(data[0])
    rollback = Rollback(net, True)
    try:
        net.release(rows)
        net.prepare(update)
        threads = _core.share_of(net.reserve(rows, 1, update, None), None)
        steps = make_steps(net, settings, update, optimizer, rows, threads, NOBODY)
        metrics = RowEpochs(net, settings, steps, False, data, None, None, False).run(0)
    except BaseException:
        if not rollback.undo():
            net.discard_average()
        raise
    net.discard_average()
    return metrics["loss"]
