"""The solvers that train in mini-batches: their fit, and the fitted attributes when it ends."""

import copy
from abc import abstractmethod
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from .._fit.callback_list import CallbackList
from .._fit.fit import Fit, check_parts
from .._model.settings import checked_optimizer
from .._user_warnings import warn
from ..errors import DivergedError
from ..history import History
from ..optimizers import SGD, Adam, Optimizer
from .epoch_rules import EpochRules
from .predictor import Predictor
from .protocol import Tasks
from .state import Saved
from .trainer import Orders, Trainer

OVERFLOW = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
    "preprocessed."
)


class StochasticSolvers(Predictor):
    """SGD and Adam with scikit-learn's settings, or any optimiser of this package."""

    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    validation_loss_curve_: list[float] | None
    history_: History | None
    _batch_rows: int
    _trainer: Trainer | Saved | None  # saved: of a pickle, until training continues

    @abstractmethod
    def _score_of(self, y: np.ndarray, outputs: np.ndarray, weights: np.ndarray | None) -> float:
        """Accuracy or R2 of outputs (n, out) before the output activation."""

    def _start_curves(self, first: bool) -> None:
        """Reset the curves and bests, unless training continues with those of the last fit."""
        stops = bool(self.early_stopping)
        if first or not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
        elif stops == (self.validation_scores_ is not None):
            return
        self._no_improvement_count = 0
        self.best_loss_ = None if stops else np.inf
        self.validation_scores_ = [] if stops else None
        self.best_validation_score_ = -np.inf if stops else None

    def _new_optimizer(self) -> Optimizer | None:
        """The optimiser of the parameters; None for "lbfgs"."""
        lr = self.learning_rate_init
        if self.optimizer is not None:
            return checked_optimizer(copy.deepcopy(self.optimizer))  # a copy, because callbacks may change it
        if self.solver == "sgd":
            return SGD(lr, self.momentum, bool(self.nesterovs_momentum) and self.momentum > 0)
        if self.solver == "adam":
            return Adam(lr, (self.beta_1, self.beta_2), self.epsilon, eps_hat=True)
        return None

    def _split(self, targets: np.ndarray, random_state: Any) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers to train on, and to compute the score from; classes are in both in proportion."""
        rows = np.arange(len(targets))
        stratify = targets if is_classifier(self) and self.n_outputs_ == 1 else None
        train, held_out = train_test_split(
            rows, random_state=random_state, test_size=self.validation_fraction, stratify=stratify
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        return train, held_out

    def _checked_callbacks(self) -> CallbackList:
        """The parameter `callbacks`. Raises TypeError for other objects, such as scikit-learn's callbacks."""
        given = self.callbacks
        for each in given if isinstance(given, (tuple, list)) else (given,):
            if hasattr(each, "on_fit_task_end"):
                raise TypeError(f"{each!r} is one of scikit-learn's callbacks: set_callbacks takes those")
        return CallbackList(given)

    def _batch_size(self, rows: int) -> int:
        """Rows of a mini-batch, at most `rows`."""
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            )
        return int(np.clip(self.batch_size, 1, rows))

    def _stochastic_run(
        self, trainer: Trainer, data: tuple[Any, ...], validation: Any, random_state: Any, tasks: Tasks | None
    ) -> tuple[Fit, EpochRules]:
        """The fit and the rules of a stochastic solver, with all arguments checked.

        `tasks` is None for `partial_fit`, which makes one epoch.
        """
        X, targets, weights = data
        # The rows to score: (X, targets, weights or None, row numbers or None for all).
        split, scored = None, None
        if self.early_stopping and validation is None:
            split = self._split(targets, random_state)
            check_parts("validation split", weights, *split)
            scored = X, targets, weights, split[1]
        elif self.early_stopping:
            scored = (*validation, *(None,) * (4 - len(validation)))
        rows = len(targets) if split is None else len(split[0])
        batch_size = self._batch_rows = self._batch_size(rows)
        orders = Orders(random_state, rows) if self.shuffle and rows > 1 else None
        score = None if scored is None else lambda trainer: self._score(trainer, *scored)
        rules = EpochRules(self, rows, score, self._no_improvement_count)
        if validation is not None and self.validation_loss_curve_ is None:
            self.validation_loss_curve_ = []
        callbacks = self._checked_callbacks()
        fit = trainer.fit_of(
            data,
            None if split is None else (split[0], None),
            validation,
            [rules, *callbacks] if tasks is None else [rules, tasks, *callbacks],
            epochs=1 if tasks is None else self.max_iter,
            batch_size=batch_size,
            orders=orders,
            n_threads=self.n_threads,
        )
        return fit, rules

    def _fit_stochastic(self, trainer: Trainer, fit: Fit, rules: EpochRules, tasks: Tasks | None) -> None:
        """Run a fit of `_stochastic_run`, and set the fitted attributes."""
        self.n_iter_ = 0
        try:
            fit.run()
        except KeyboardInterrupt:
            warn("Training interrupted by user.")
        except DivergedError as error:
            # As in scikit-learn: for a classifier without a finite score so far, divergence is an error.
            has_best = self.best_validation_score_ not in (None, -np.inf)
            if not self.early_stopping or (is_classifier(self) and not has_best):
                raise ValueError(OVERFLOW) from error
            self._note_divergence(has_best)
        else:
            if tasks is not None and self.n_iter_ == self.max_iter and not rules.ended:
                warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                    "optimization hasn't converged yet.",
                    ConvergenceWarning,
                )
        finally:
            self._no_improvement_count = rules.no_improvement_count
            if rules.best is not None:
                trainer.set_weights(rules.best)
            self.coefs_, self.intercepts_ = trainer.get_coefs()
            self._note_parameters()
            self._trainer, self.history_ = trainer, trainer.history_

    def _note_divergence(self, has_best: bool) -> None:
        """Record an iteration without a score. The best parameters so far, or the initial ones, are kept."""
        self.n_iter_ += 1
        self.loss_ = np.nan
        self.loss_curve_.append(self.loss_)
        assert self.validation_scores_ is not None
        self.validation_scores_.append(np.nan)
        warn(
            f"Stochastic Optimizer: training diverged in iteration {self.n_iter_}. "
            + (
                "The parameters of the best validation score are kept."
                if has_best
                else "No iteration had a validation score: the parameters are not trained."
            ),
            ConvergenceWarning,
        )

    def _score(self, trainer: Trainer, X: Any, y: Any, weights: Any, index: np.ndarray | None) -> float:
        """The score of early stopping; NaN if an output is not finite."""
        outputs = trainer.outputs(X, index, n_threads=self.n_threads)
        if index is not None:
            y, weights = y[index], None if weights is None else weights[index]
        if not np.isfinite(outputs).all():
            return np.nan
        return self._score_of(y, outputs, weights)
