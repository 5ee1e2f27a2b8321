"""The epochs of one fit: an order of the rows, the C steps over them, and what is left when they diverge."""

import math

import numpy as np

from . import _core
from .data import Rows, bad_row
from .errors import DivergedError
from .progress import Progress
from .settings import Settings


def mean_metrics(sums: tuple[float, float, float], penalty: float, settings: Settings) -> dict[str, float]:
    """Loss and, where there is one, accuracy from their weighted sums and the sum of the weights."""
    loss, accuracy, weight = sums
    weight = weight or math.nan  # rows of no weight at all have no mean
    metrics = {"loss": loss / weight + penalty}
    if settings.has_accuracy:
        metrics["accuracy"] = accuracy / weight
    return metrics


class Epochs:
    """The epochs of one fit, or the one step of `train_on_batch`.

    Parameters
    ----------
    net : Network
        Its writer is the caller, its workspace is there, and a snapshot of its start has been taken.
    settings : Settings
    data : Rows
    index : ndarray of int64 or None
        Which rows to train on; None is all of them.
    batch_size : int
    generator : Generator or None
        What shuffles; None takes the rows as they come.
    progress : Progress
    """

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        data: Rows,
        index: np.ndarray | None,
        batch_size: int,
        generator: np.random.Generator | None,
        progress: Progress,
    ) -> None:
        self._net, self._settings = net, settings
        self._data, self._rows, self._index = data, _core.Data(*data), index
        self._batch_size, self._generator, self._progress = batch_size, generator, progress
        self._pace = _core.Pace()
        rows = self._rows.rows if index is None else len(index)
        self.iterations = -(-rows // batch_size)

    def run(self, number: int) -> dict[str, float]:
        """Epoch `number`, from 0; its metrics. However it ends, the weights are finite."""
        if number > 0:
            self._net.snapshot()
        try:
            metrics = self.steps(number)
        finally:
            finite = self._net.finite()
            if not finite:
                self._net.restore()
        if not finite:
            raise self._diverged("the weights overflowed", number, self.iterations)
        return metrics

    def steps(self, number: int) -> dict[str, float]:
        """The same without a look at the weights."""
        settings = self._settings
        try:
            sums = self._net.train(
                self._rows,
                self._order(),
                self._batch_size,
                settings.optimizer,
                settings.l2,
                self._pace,
                self._progress.rows,
            )
        except _core.BadRowError as error:
            raise bad_row(self._data, error.row, settings.dtype) from None
        except _core.NonFiniteLossError as error:
            raise self._diverged("the loss is no longer finite", number, error.step) from None
        return mean_metrics(sums, 0.0, settings)

    def _order(self) -> np.ndarray | None:
        if self._generator is None:
            return self._index
        if self._index is None:
            return self._generator.permutation(self._rows.rows)
        return self._index[self._generator.permutation(len(self._index))]

    def _diverged(self, what: str, epoch: int, step: int) -> DivergedError:
        iteration = epoch * self.iterations + step
        return DivergedError(
            f"{what} in epoch {epoch}, at iteration {iteration}: lower the learning rate "
            f"(lr={self._settings.optimizer.lr}), or scale X",
            epoch,
            iteration,
        )
