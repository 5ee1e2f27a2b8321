"""The way back to the state before a call that fails."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from .. import _core
from .._model.core import Core


class Rollback:
    """Undoes a call that fails before its first update.

    After an update it restores nothing, because the model keeps the finished steps. Nor does it after a
    reset, which a handler of a signal may have made.

    Parameters
    ----------
    net : _core.Network
        Its count of mini-batches is restored. This thread is inside its `writing()`.
    stores : bool
        Also discard the optimiser's states and the average if the call has made them.
    core : Core, optional
        The model of the network; also restore its generator, history and `fitted_1d`.

    Attributes
    ----------
    counts : (int, int)
        Updates and mini-batches before the call.
    """

    _stores: list[str] | None = None
    _model: Core | None = None

    def __init__(self, net: _core.Network, stores: bool = False, core: Core | None = None) -> None:
        self._net, self.counts, self._lives = net, net.counts, net.lives
        if stores:
            self._stores = net.stores()
        if core is not None:
            self._model = core
            self._random, self._history, self._fitted_1d = core.random.state(), core.history, core.fitted_1d

    def undo(self) -> bool:
        """Restore the state, unless there has been an update or a reset. Returns whether it was restored."""
        net, core = self._net, self._model
        if net.counts[0] != self.counts[0] or net.lives != self._lives:
            return False
        if core is not None:
            core.fitted_1d, core.history = self._fitted_1d, self._history
        net.counts = self.counts
        if self._stores is not None:
            net.keep_only(self._stores)
        if core is not None:
            core.random.go_back(self._random)  # last: it allocates, and may fail
        return True


def restore_unless_finite(net: _core.Network) -> bool:
    """Whether all parameters and states are finite; otherwise the network returns to its last snapshot."""
    if net.finite():
        return True
    net.restore()
    return False
