"""scikit-learn's rules after each epoch of its stochastic solvers: loss curve, stopping, learning rate."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..callbacks import Callback
from .trainer import Trainer

# An adaptive rate at or below this ends the fit instead of being divided again.
LEAST_RATE = 1e-6

Score = Callable[[Trainer], float]


class EpochRules(Callback):
    """scikit-learn's rules, as a callback of the fit that updates the estimator's fitted attributes.

    Parameters
    ----------
    estimator : BaseMLP
        Its parameters are the settings of the rules; its fitted attributes are continued.
    rows : int
        Rows of an epoch, by which `t_` grows.
    score : callable or None
        The score of the held-out rows, for early stopping.
    no_improvement_count : int
        Epochs without improvement so far.

    Attributes
    ----------
    best : list of (W, b) or None
        The parameters of the best score so far; None without `score`.
    ended : bool
        Whether the rules have ended the fit.
    no_improvement_count : int
    """

    def __init__(self, estimator: Any, rows: int, score: Score | None, no_improvement_count: int) -> None:
        self._estimator, self._rows, self._score = estimator, rows, score
        self.no_improvement_count = no_improvement_count
        self.best: Any = None
        self.ended = False

    def on_fit_begin(self, model: Trainer) -> None:
        """Keep the initial parameters, in case no score is better."""
        if self._score is not None:
            self.best = model.get_weights()

    def on_epoch_end(self, model: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """Extend the curves, and stop or lower the learning rate."""
        estimator, loss = self._estimator, logs["loss"]
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
        if self.no_improvement_count > estimator.n_iter_no_change:
            self._stop_or_slow_down(model)

    def _note_improvement(self, model: Trainer, loss: float) -> None:
        """Update the bests and the count of epochs without improvement.

        The comparisons are negated as in scikit-learn: NaN counts as an improvement.
        """
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
        self.no_improvement_count = 0 if improves else self.no_improvement_count + 1

    def _invert_scale(self, model: Trainer) -> None:
        """Set the learning rate of "invscaling"."""
        mode = model.rate_mode
        if mode is not None and mode.name == "invscaling":
            lr = mode.initial / (self._estimator.t_ + 1) ** mode.power
            # Not 0, because `change_rate` divides by the rate.
            model.change_rate(max(lr, float(np.finfo(model.dtype).tiny)))

    def _stop_or_slow_down(self, model: Trainer) -> None:
        """End the fit, or divide an "adaptive" learning rate by 5."""
        estimator = self._estimator
        what = "Training loss" if self._score is None else "Validation score"
        message = (
            f"{what} did not improve more than tol={estimator.tol:f} for "
            f"{estimator.n_iter_no_change} consecutive epochs."
        )
        adapts = model.rate_mode is not None and model.rate_mode.name == "adaptive"
        if adapts and model.rate > LEAST_RATE:
            lr = model.rate / 5
            model.change_rate(lr)
            self.no_improvement_count = 0
            end = f"Setting learning rate to {lr:f}"
        else:
            model.stop_training = self.ended = True
            end = "Learning rate too small. Stopping." if adapts else "Stopping."
        if estimator.verbose:
            print(f"{message} {end}")
