"""Checks of single arguments: each returns the value in plain form, or raises an error."""

import math
import numbers
import operator
import os
from collections.abc import Sequence

import numpy as np


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """`value` as a plain str. TypeError unless it is a str, ValueError unless it is one of `allowed`."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a name, one of {', '.join(allowed)}, not {value!r}")
    text = as_str(value)
    if text not in allowed:
        raise unknown(name, text, allowed)
    return text


def unknown(kind: str, name: str, allowed: Sequence[str], others: str = "") -> ValueError:
    """The error for a name that is not among `allowed`; `others` says what else is, as ", or a callable"."""
    from ._suggestions import suggestion  # only for an error

    known = f"{', '.join(allowed)}{others}"
    return ValueError(f"unknown {kind} {name!r}: allowed are {known}{suggestion(kind, name, allowed)}")


def as_str(text: str) -> str:
    """A text as a str and not as a subclass of it, such as numpy.str_."""
    return str.__str__(text)


def within(where: str, error: Exception) -> ValueError | TypeError:
    """The ValueError or TypeError with `where` before its message.

    It is of the class itself: a subclass may need other arguments, as UnicodeDecodeError does.
    """
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{where}: {error}")


def whole(name: str, value: object, at_least: int, at_most: int | None = None) -> int:
    """`value` as an int. TypeError for a bool or non-integer, ValueError out of [at_least, at_most]."""
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if number < at_least:
        raise ValueError(f"{name} must be at least {at_least}, not {number}")
    if at_most is not None and number > at_most:
        raise ValueError(f"{name} must be at most {at_most}, not {number}")
    return number


def real(name: str, value: object, lowest: float = 0.0, highest: float = math.inf) -> float:
    """`value` as a finite float. TypeError for a bool or non-number, ValueError out of [lowest, highest]."""
    # A shortcut for the usual case: the check against numbers.Real is slower.
    if type(value) is float and lowest <= value <= highest and value < math.inf:
        return value
    number = _number(name, value)
    if not (math.isfinite(number) and lowest <= number <= highest):
        if highest < math.inf:
            bound = f"from {lowest:g} to {highest:g}"
        else:
            bound = f"finite and at least {lowest:g}" if lowest > -math.inf else "finite"
        raise ValueError(f"{name} must be {bound}, not {number}")
    return number


def positive(name: str, value: object) -> float:
    """`value` as a finite float above 0. TypeError for a bool or non-number, otherwise ValueError."""
    number = _number(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be finite and above 0, not {number:g}")
    return number


def fraction(name: str, value: object) -> float:
    """`value` as a float. TypeError for a bool or non-number, ValueError out of [0, 1)."""
    number = _number(name, value)
    if not 0 <= number < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, not {number}")
    return number


def _number(name: str, value: object) -> float:
    """`value` as a float, infinite if it is too large. TypeError for a bool or non-number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def one_or_several(name: str, value: object) -> list[object]:
    """The items of a list, tuple or array, or `value` alone, unchecked. Raises ValueError if empty."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1):
        if len(value) == 0:
            raise ValueError(f"{name} must be a number, or a sequence of them, not empty")
        return list(value)
    return [value]


def flag(name: str, value: object) -> bool:
    """`value` as a bool. Raises TypeError unless it is a bool of Python or NumPy."""
    if value is False or value is True:  # the usual case
        return value
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, not {value!r}")
    return bool(value)


def path(name: str, value: object) -> str:
    """`value` as a str. Raises TypeError unless it is a path of text."""
    try:
        text = os.fspath(value)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"{name} must be a path, not {value!r}") from None
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path of text, not {value!r}")
    return text
