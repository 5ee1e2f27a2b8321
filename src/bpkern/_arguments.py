"""Calls with arguments that a function does not have: the error proposes what was meant."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def proposes_arguments(whose: str) -> Callable[[Function], Function]:
    """A decorator for a public function of the name `whose`. Python's own messages name no other argument."""

    def decorate(function: Function) -> Function:
        code = function.__code__
        most, names = code.co_argcount, code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

        @wraps(function)
        def call(*args: Any, **named: Any) -> Any:
            try:
                return function(*args, **named)
            except TypeError:
                unknown = [name for name in named if name not in names]
                if not unknown and len(args) <= most:
                    raise
            from ._suggestions import too_many_arguments, unknown_argument  # only for an error

            by_position, by_name = (
                [name for name in part if name != "self"] for part in (names[:most], names[most:])
            )
            if unknown:
                raise unknown_argument(whose, unknown, by_position + by_name)
            raise too_many_arguments(whose, by_position, by_name)

        return cast(Function, call)

    return decorate
