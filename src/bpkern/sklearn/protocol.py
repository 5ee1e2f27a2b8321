"""scikit-learn's callbacks, which estimators call since its version 1.9."""

from collections.abc import Mapping
from typing import Any

from ..callbacks import Callback
from .predictor import Predictor
from .trainer import Trainer

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ModuleNotFoundError:
    # An older scikit-learn, which has nothing to set.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing to support."""

    def with_callbacks(method: Any) -> Any:
        """The method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Tasks", "with_callbacks"]


class Tasks(Callback):
    """Tells the callbacks that `set_callbacks` was given of the fit, and of each iteration as a task of it.

    Parameters
    ----------
    estimator : Predictor
        That is being fitted.
    X, y, sample_weight
        As `fit` was given them.
    """

    def __init__(self, estimator: Predictor, X: Any, y: Any, sample_weight: Any) -> None:
        self._estimator = estimator
        self._wanted = False
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._data = dict(estimator=estimator, X=X, y=y, metadata=metadata)

    def begin_fit(self) -> None:
        """The fit begins: nothing of it has been refused."""
        estimator = self._estimator
        if not hasattr(estimator, "_init_callback_context"):
            return
        self._fit = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        # Without callbacks nobody asks for the iterations.
        self._wanted = bool(getattr(estimator, "_skl_callbacks", ()))
        self._fit.call_on_fit_task_begin(**self._data)

    def begin(self) -> None:
        """An iteration begins."""
        if self._wanted:
            self._iteration = self._fit.subcontext(task_name="iteration")
            self._iteration.call_on_fit_task_begin(**self._data)

    def end(self, trainer: Trainer) -> bool:
        """It has ended; whether a callback wants it to be the last."""
        if not self._wanted:
            return False
        return bool(
            self._iteration.call_on_fit_task_end(
                **self._data, reconstruction_attributes=lambda: self._estimator._fitted_so_far(trainer)
            )
        )

    def end_fit(self) -> None:
        """The fit has ended."""
        if hasattr(self, "_fit"):
            self._fit.call_on_fit_task_end(**self._data, reconstruction_attributes={})

    def on_epoch_begin(self, model: Trainer, epoch: int) -> None:
        """An iteration of the stochastic solvers is an epoch."""
        self.begin()

    def on_epoch_end(self, model: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """What a callback says ends the fit."""
        if self.end(model):
            model.stop_training = True
