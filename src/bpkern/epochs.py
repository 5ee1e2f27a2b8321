"""The epochs of one fit: an order of the rows, the C steps over them, and what is left when they diverge."""

# NumPy imports numpy.random at its first use; annotations that were evaluated would be one.
from __future__ import annotations

import numpy as np

from . import _core
from .data import Rows, bad_row
from .errors import DivergedError
from .optimizers import SGD
from .progress import Progress
from .settings import Settings


class RefusedError(Exception):
    """An error that came before the first finished step: nothing has been changed, or is to stay so.

    Attributes
    ----------
    error : Exception
        What to raise.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


def mean_metrics(sums: tuple[float, float, float], penalty: float, settings: Settings) -> dict[str, float]:
    """Loss and, where there is one, accuracy from their weighted sums and the sum of the weights."""
    loss, accuracy, weight = sums
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
    sgd : SGD
        Apart from the caller's: a change of theirs takes effect at the next fit.
    data : Rows
    index : ndarray of int64 or None
        Which rows to train on; None is all of them.
    batch_size : int
        All rows where it is more.
    threads : int
        At most those of the workspace.
    generator : Generator or None
        What shuffles; None takes the rows as they come.
    progress : Progress
    """

    def __init__(
        self,
        net: _core.Network,
        settings: Settings,
        sgd: SGD,
        data: Rows,
        index: np.ndarray | None,
        batch_size: int,
        threads: int,
        generator: np.random.Generator | None,
        progress: Progress,
    ) -> None:
        self._net, self._settings, self._sgd = net, settings, sgd
        self._data, self._rows, self._index = data, _core.Data(*data), index
        self.rows = len(data[0]) if index is None else len(index)
        self._batch_size = min(batch_size, self.rows)
        self.iterations = -(-self.rows // self._batch_size)
        self._threads = threads
        self._generator, self._progress = generator, progress
        self._pace = _core.Pace()

    def run(self, number: int) -> dict[str, float]:
        """Epoch `number`, from 0; its metrics. However it ends, the weights are finite."""
        if number > 0:
            self._net.snapshot()
        try:
            sums = self._net.train(
                self._rows,
                self._order(),
                self._batch_size,
                self._sgd,
                self._settings.l2,
                self._threads,
                self._pace,
                self._progress.rows,
            )
        except _core.BadRowError as stop:
            error: Exception = bad_row(self._data, stop.row, self._settings.dtype)
            raise self._stopped(error, number, stop.step) from None
        except _core.NonFiniteLossError as stop:
            error = self._diverged("the loss is no longer finite", number, stop.step)
            raise self._stopped(error, number, stop.step) from None
        finally:
            finite = self._net.finite()
            if not finite:
                self._net.restore()
        if not finite:
            error = self._diverged("the weights overflowed", number, self.iterations)
            raise self._stopped(error, number, 0)
        return mean_metrics(sums, 0.0, self._settings)

    def _stopped(self, error: Exception, epoch: int, step: int) -> Exception:
        return RefusedError(error) if epoch == step == 0 else error

    def _order(self) -> np.ndarray | None:
        if self._generator is None:
            return self._index
        if self._index is None:
            return self._permutation(self._generator)
        return np.asarray(self._index[self._permutation(self._generator)])

    def _permutation(self, generator: np.random.Generator) -> np.ndarray:
        return generator.permutation(self.rows).astype(np.int64, copy=False)

    def _diverged(self, what: str, epoch: int, step: int) -> DivergedError:
        iteration = epoch * self.iterations + step
        return DivergedError(
            f"{what} in epoch {epoch}, at iteration {iteration}: lower the learning rate "
            f"(lr={self._sgd.lr}), or scale X; reset() starts again",
            epoch,
            iteration,
        )
