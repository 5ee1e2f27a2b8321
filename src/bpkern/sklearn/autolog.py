"""MLflow's autologging for the estimators.

``mlflow.sklearn.autolog()`` wraps the methods of the classes in scikit-learn's own modules. It has no way to
name others, so the first fit after it makes it wrap these estimators as well, with the same settings. A later
call of ``autolog`` takes the wrappers off, and the next fit asks again.
"""

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeVar, cast

from .._user_warnings import warn

Method = TypeVar("Method", bound=Callable[..., Any])

# MLflow's mark on a class whose `fit` it has wrapped.
WRAPPED = "_gorilla_original_fit"

_wrapping = threading.Lock()


def autologged(method: Method) -> Method:
    """A `fit` that MLflow wraps first, if its autologging is on and has not yet done so."""

    @functools.wraps(method)
    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "mlflow.sklearn" in sys.modules and _wrap(type(self)):
            return self.fit(*args, **kwargs)
        return method(self, *args, **kwargs)

    return cast(Method, fit)


def _wrap(kind: type) -> bool:
    """Have MLflow wrap the methods of a class. Returns whether it has done so now."""
    flavor = sys.modules["mlflow.sklearn"]
    integrations = sys.modules["mlflow.utils.autologging_utils"].__dict__
    with _wrapping:
        settings = dict(integrations.get("AUTOLOGGING_INTEGRATIONS", {}).get("sklearn", {}))
        if settings.get("disable", True) or hasattr(kind, WRAPPED):
            return False
        names = flavor.__dict__
        try:
            wrap, listed = names["_autolog"], names["_gen_estimators_to_patch"]
            names["_gen_estimators_to_patch"] = lambda: [kind]
            try:
                taken = _arguments(wrap)
                wrap(**{name: value for name, value in settings.items() if name in taken})
            finally:
                names["_gen_estimators_to_patch"] = listed
        except (KeyError, TypeError) as error:
            warn(f"this version of mlflow cannot log bpkern's estimators: {error!r}")
            return False
        return hasattr(kind, WRAPPED)


def _arguments(function: Callable[..., Any]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]
