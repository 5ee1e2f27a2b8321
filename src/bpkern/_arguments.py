"""Calls with an argument by name that a function does not have: the error proposes the one that was meant."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def proposes_arguments(whose: str) -> Callable[[Function], Function]:
    """A decorator for a public function of the name `whose`. Python's own message names no other argument."""

    def decorate(function: Function) -> Function:
        code = function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            try:
                return function(*args, **named)
            except TypeError:
                unknown = [name for name in named if name not in names]
                if not unknown:
                    raise
            from ._suggestions import unknown_argument  # only for an error

            raise unknown_argument(whose, unknown, [name for name in names if name != "self"])

        return cast(Function, call)

    return decorate
