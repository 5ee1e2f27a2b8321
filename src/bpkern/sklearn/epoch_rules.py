"""What scikit-learn does after each epoch of its stochastic solvers: loss curve, stopping, learning rate."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.special import xlogy

from ..callbacks import Callback
from .trainer import Orders, Trainer

# An adaptive rate that has come down to this ends the fit where it would come down further.
LEAST_RATE = 1e-6

Score = Callable[[Trainer], float]


class PoissonConstant:
    """What scikit-learn's Poisson deviance has besides ``exp(a) - y a``, the same whatever the outputs are.

    Of each row ``sum(y log y - y)`` over its outputs; of an epoch, like its loss, the mean over the batches,
    each counted by its rows.

    Parameters
    ----------
    y : ndarray, shape (n, out)
    weights : ndarray, shape (n,), or None
    batch_size : int
    """

    def __init__(self, y: np.ndarray, weights: np.ndarray | None, batch_size: int) -> None:
        self._rows = (xlogy(y, y) - y).sum(axis=1, dtype=np.float64)
        self._weights, self._batch_size = weights, batch_size

    def of_epoch(self, order: np.ndarray | None) -> float:
        """In that order of the rows."""
        if self._weights is None:
            return float(self._rows.mean())
        chosen = slice(None) if order is None else order
        weights, starts = self._weights[chosen], np.arange(0, len(self._rows), self._batch_size)
        sums = np.add.reduceat(weights * self._rows[chosen], starts)
        totals = np.add.reduceat(weights, starts)
        rows = np.diff(np.append(starts, len(self._rows)))
        some = totals > 0
        return float(np.average(sums[some] / totals[some], weights=rows[some]))


class EpochRules(Callback):
    """scikit-learn's rules, as a callback of the fit. What it finds it writes into the estimator.

    Parameters
    ----------
    estimator : BaseMLP
        Its parameters are the rules' settings; its fitted attributes go on from where they are.
    rows : int
        Trained on in an epoch.
    orders : Orders or None
    score : callable or None
        Of the rows that are held out: early stopping goes by it.
    constant : PoissonConstant or None
    incremental : bool
        The one epoch of `partial_fit`.

    Attributes
    ----------
    best : list of (W, b)
        The parameters of the best score so far, where there is one.
    ended : bool
        Whether the rules have ended the fit.
    """

    def __init__(
        self,
        estimator: Any,
        rows: int,
        orders: Orders | None,
        score: Score | None,
        constant: PoissonConstant | None,
    ) -> None:
        self._estimator, self._rows, self._orders = estimator, rows, orders
        self._score, self._constant = score, constant
        self.best: Any = None
        self.ended = False

    def on_fit_begin(self, model: Trainer) -> None:
        """The initial parameters are the best where no score is ever better."""
        if self._score is not None:
            self.best = model.get_weights()

    def on_epoch_end(self, model: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """The curves, and whether to go on."""
        estimator, loss = self._estimator, logs["loss"]
        if self._constant is not None:
            loss += self._constant.of_epoch(None if self._orders is None else self._orders.last)
            assert model.history_ is not None
            model.history_["loss"][-1] = loss
        estimator.n_iter_ = epoch + 1
        estimator.loss_ = loss
        estimator.t_ += self._rows
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if "val_loss" in logs:
            estimator.validation_loss_curve_.append(logs["val_loss"])
        self._note_improvement(model, loss)
        self._invert_scale(model)
        if estimator._no_improvement_count > estimator.n_iter_no_change:
            self._stop_or_slow_down(model)

    def _note_improvement(self, model: Trainer, loss: float) -> None:
        estimator = self._estimator
        if self._score is None:
            improves = not loss > estimator.best_loss_ - estimator.tol
            estimator.best_loss_ = min(loss, estimator.best_loss_)
        else:
            score = self._score(model)
            estimator.validation_scores_.append(score)
            if estimator.verbose:
                print(f"Validation score: {score:f}")
            best = estimator.best_validation_score_
            improves = not score < best + estimator.tol
            if score > best:
                estimator.best_validation_score_, self.best = score, model.get_weights()
        estimator._no_improvement_count = 0 if improves else estimator._no_improvement_count + 1

    def _has_rate(self, mode: str) -> bool:
        estimator = self._estimator
        return estimator.optimizer is None and estimator.solver == "sgd" and estimator.learning_rate == mode

    def _invert_scale(self, model: Trainer) -> None:
        if self._has_rate("invscaling"):
            estimator = self._estimator
            lr = float(estimator.learning_rate_init) / (estimator.t_ + 1) ** estimator.power_t
            # A rate of 0 is none to divide the velocity by.
            model.change_rate(max(lr, float(np.finfo(model.dtype).tiny)))

    def _stop_or_slow_down(self, model: Trainer) -> None:
        estimator = self._estimator
        what = "Training loss" if self._score is None else "Validation score"
        message = (
            f"{what} did not improve more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} consecutive epochs."
        )
        if self._has_rate("adaptive") and model.optimizer.lr > LEAST_RATE:
            lr = model.optimizer.lr / 5
            model.change_rate(lr)
            estimator._no_improvement_count = 0
            end = f"Setting learning rate to {lr:f}"
        else:
            model.stop_training = self.ended = True
            end = "Learning rate too small. Stopping." if self._has_rate("adaptive") else "Stopping."
        if estimator.verbose:
            print(f"{message} {end}")
