"""The hooks of callbacks, checked where a class defines them: a misspelt hook would never be called."""

from collections.abc import Mapping
from types import FunctionType
from typing import Any

_FIT = ("self", "model")
_EPOCH = ("self", "model", "epoch")
_BATCH = ("self", "model", "batch")

# The hooks with the names of their arguments.
HOOKS = {
    "on_fit_begin": _FIT,
    "on_fit_end": _FIT,
    "on_epoch_begin": _EPOCH,
    "on_epoch_end": (*_EPOCH, "logs"),
    "on_batch_begin": _BATCH,
    "on_batch_end": (*_BATCH, "logs"),
}

CO_VARARGS = 4  # of a code object: it takes *arguments (inspect, which has the name, is slow to import)


def check_hooks(owner: str, members: Mapping[str, Any]) -> None:
    """Raise TypeError unless all members of a class whose names begin with ``on_`` are hooks."""
    for name, value in members.items():
        if name.startswith("on_"):
            _check_hook(owner, name, value)


def _check_hook(owner: str, name: str, hook: Any) -> None:
    if name not in HOOKS:
        from .._suggestions import suggestion  # only for an error

        known = f"{', '.join(HOOKS)}{suggestion('hook', name, HOOKS)}"
        raise TypeError(f"{owner}.{name} is no hook, so no fit would call it: the hooks are {known}")
    if not isinstance(hook, FunctionType):  # decorated: it may take anything
        return
    code, given = hook.__code__, HOOKS[name]
    own = code.co_varnames[: code.co_argcount]
    least = len(own) - len(hook.__defaults__ or ())
    if least > len(given) or not (code.co_flags & CO_VARARGS or len(own) >= len(given)):
        hint = ""
        if len(own) == len(given) - 1:
            hint = ": unlike Keras's, hooks get the model as their first argument, and have no self.model"
        raise TypeError(f"{owner}.{name} must take ({', '.join(given)}), not ({', '.join(own)}){hint}")
