"""What scikit-learn expects of methods that train: checked parameters, and from 1.9 on its callbacks."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if

from ..callbacks import Callback
from .autolog import autologged
from .trainer import Trainer

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ModuleNotFoundError:
    # An older scikit-learn without callbacks.
    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Supports nothing."""

    def with_callbacks(method: Any) -> Any:
        """The method itself."""
        return method


Method = TypeVar("Method", bound=Callable[..., Any])


def fitting(method: Method) -> Method:
    """A `fit` with checked parameters, scikit-learn's callbacks and MLflow's autologging."""
    checked = _fit_context(prefer_skip_nested_validation=True)(with_callbacks(method))
    return cast(Method, proposing(autologged(checked), method))


def proposing(fit: Method, method: Any) -> Method:
    """`fit`, whose error about an argument that `method` lacks names the estimator and what was meant."""
    code = method.__code__
    names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @wraps(fit)
    def call(self: Any, *args: Any, **named: Any) -> Any:
        unknown = [name for name in named if name not in names]
        if unknown:
            from .._suggestions import ARGUMENTS, unknown_argument  # only for an error

            # The user's class may be the first.
            methods = [f"{each.__name__}.fit" for each in type(self).__mro__]
            raise unknown_argument(next(each for each in methods if each in ARGUMENTS), unknown, names)
        return fit(self, *args, **named)

    return cast(Method, call)


def continuing(method: Method) -> Method:
    """A `partial_fit` with checked parameters, which is there if `_has_partial_fit` does not raise."""
    checked = _fit_context(prefer_skip_nested_validation=True)(method)
    return cast(Method, available_if(lambda self: self._has_partial_fit())(checked))


class TasksSupportMixin(CallbackSupportMixin):
    """An estimator whose fit and iterations are tasks in the sense of scikit-learn's callbacks."""

    max_iter: int

    def _begin_callbacks(self) -> tuple[Any, bool]:
        """scikit-learn's context of the fit, None in versions without it, and whether there are callbacks."""
        if not hasattr(self, "_init_callback_context"):
            return None, False
        context = self._init_callback_context(max_subtasks=self.max_iter)
        return context, bool(getattr(self, "_skl_callbacks", ()))


class Tasks(Callback):
    """Calls the callbacks of `set_callbacks`: for the fit, and for each iteration as a task of it.

    Parameters
    ----------
    estimator : BaseMLP
        The estimator being fitted.
    X, y, sample_weight
        The arguments of its `fit`.
    begin_callbacks : callable
        `TasksSupportMixin._begin_callbacks` of the estimator.
    fitted_so_far : callable
        From the network in training to the attributes that a copy of the estimator needs to predict.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        begin_callbacks: Callable[[], tuple[Any, bool]],
        fitted_so_far: Callable[[Trainer], dict[str, Any]],
    ) -> None:
        self._begin_callbacks, self._fitted_so_far = begin_callbacks, fitted_so_far
        self._fit: Any = None
        self._wanted = False
        metadata = {} if sample_weight is None else {"sample_weight": sample_weight}
        self._data = dict(estimator=estimator, X=X, y=y, metadata=metadata)

    def begin_fit(self) -> None:
        """The fit begins: all its arguments are checked."""
        self._fit, self._wanted = self._begin_callbacks()
        if self._fit is not None:
            self._fit.call_on_fit_task_begin(**self._data)

    def begin(self) -> None:
        """An iteration begins. Without callbacks there are no tasks for iterations."""
        if self._wanted:
            self._iteration = self._fit.subcontext(task_name="iteration")
            self._iteration.call_on_fit_task_begin(**self._data)

    def end(self, trainer: Trainer) -> bool:
        """The iteration has ended. Returns whether a callback asks to stop."""
        if not self._wanted:
            return False
        return bool(
            self._iteration.call_on_fit_task_end(
                **self._data, reconstruction_attributes=lambda: self._fitted_so_far(trainer)
            )
        )

    def end_fit(self) -> None:
        """The fit has ended."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(**self._data, reconstruction_attributes={})

    def on_epoch_begin(self, model: Trainer, epoch: int) -> None:
        """An iteration of the stochastic solvers is an epoch."""
        self.begin()

    def on_epoch_end(self, model: Trainer, epoch: int, logs: Mapping[str, float]) -> None:
        """End the fit if a callback asks to stop."""
        if self.end(model):
            model.stop_training = True
