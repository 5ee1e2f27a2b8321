"""One training step on one mini-batch: `MLP.train_on_batch`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

from .. import _core
from .._data.rows import is_1d, read_rows
from .._model.core import Core
from .epochs import RowEpochs
from .rollback import Rollback
from .steps import Watcher, make_steps
from .update import make_update

# Nobody watches the progress of a single step.
NOBODY = Watcher()


def train_on_batch(core: Core, X: Any, y: Any) -> float:
    """As `MLP.train_on_batch`."""
    net, settings = core.net, core.settings
    net.check_trains()
    optimizer = settings.current_optimizer()
    data = read_rows(X, y, None, settings)
    update = make_update(settings, optimizer)
    rows = len(data[0])
    with net.writing():
        if core.accumulate is not None:  # within an epoch of a fit; the question saves a call
            core.check_may_train()
        rollback = Rollback(net, True)
        try:
            net.release(rows)
            net.prepare(update)
            threads = _core.share_of(net.reserve(rows, 1, update, None), None)
            net.snapshot()
            steps = make_steps(net, settings, update, optimizer, rows, threads, NOBODY)
            metrics = RowEpochs(net, settings, steps, False, data, None, None).run(0)
        except BaseException:
            if not rollback.undo():
                net.discard_average()
            raise
        net.discard_average()
        core.fitted_1d = is_1d(y)
    return metrics["loss"]
