"""Warnings that name the user's line, not one of this package or of the wrappers around its estimators."""

import warnings
from collections.abc import Callable
from inspect import currentframe
from types import FrameType, FunctionType, SimpleNamespace
from typing import Any

# joblib calls the fits of scikit-learn's searches and ensembles.
PACKAGES = ("bpkern", "sklearn", "joblib")

# Below these, the stack of a worker process or thread has no line of the user.
WORKERS = ("multiprocessing", "concurrent", "threading")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the nearest caller outside of these packages.

    A worker of joblib has none: there it is the line of these packages that calls this one.
    """
    level, calling, frame = 1, 1, currentframe()
    while frame is not None and (package := _package_of(frame)) in PACKAGES:
        level, frame = level + 1, frame.f_back
        calling = level if package == "bpkern" else calling
    if frame is None or package in WORKERS:
        level = min(calling, level - 1)
    warnings.warn(message, category, stacklevel=level)


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def at_users_line(function: Any) -> Callable[..., Any]:
    """A copy of a function of scikit-learn that warns as `warn` does.

    The copy has another `warnings` among its globals. Catching the warnings and repeating them would change
    the filters of all threads.
    """
    own = {**function.__globals__, "warnings": SimpleNamespace(warn=_warn_at)}
    copied = FunctionType(function.__code__, own, function.__name__, function.__defaults__)
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


def _warn_at(message: str, category: type[Warning] = UserWarning, stacklevel: int = 1) -> None:
    """As `warnings.warn`; the level is that of the user's line."""
    warn(message, category)
