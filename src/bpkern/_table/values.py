"""The values of a column: numbers, texts or booleans, and where there are none.

Missing are None, NaN, NaT and the NA of pandas.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import datetime
import decimal
import numbers
import re
from typing import Any, Literal, NamedTuple

import numpy as np

from .frames import Coded

Kind = Literal["number", "text", "boolean", "date", "gap"]

MISSING_TYPES = ("NoneType", "NAType", "NaTType")
DATES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
# As in "2024-01-31", "31.01.2024" and "1/31/2024", with or without a time.
DATE = re.compile(
    r"(\d{4}-\d{1,2}-\d{1,2}|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}/\d{1,2}/\d{4})([T ]\d{1,2}:\d{2}\S*)?"
)


class Values(NamedTuple):
    """A range of a column.

    Attributes
    ----------
    kind : str
        "gap" if there is no value.
    values : ndarray or Coded
        Of "number": real numbers, NaN where there are none. Of "boolean": int8, -1 where there are none. Of
        "text": objects, of which those that are no str are missing; or codes of texts.
    """

    kind: Kind
    values: Any


def read_values(values: np.ndarray | Coded, title: str, start: int) -> Values:
    """A range of a column, whose kind is found.

    Parameters
    ----------
    values : ndarray or Coded
    title : str
        The column in messages.
    start : int
        The row of the first value, for messages.

    Raises
    ------
    TypeError
        For dates, and for values of several kinds or of another kind.
    """
    if isinstance(values, Coded):
        return _decoded(values, title, start)
    kind = values.dtype.kind
    if kind in "iuf":
        return Values("number", values)
    if kind == "b":
        return Values("boolean", values.view(np.int8))
    if kind in "Mm":
        return Values("date", values)
    if kind in "OUST":
        return _of_objects(values.astype(object, copy=False), title, start)
    raise TypeError(f"column {title} must hold numbers, texts or booleans, not {values.dtype}")


def _decoded(coded: Coded, title: str, start: int) -> Values:
    """Codes of texts as they are; of numbers and booleans, the values."""
    names = np.array([*coded.categories, None], dtype=object)
    kind = _of_objects(names[:-1], title, start).kind
    if kind == "text":
        return Values("text", coded)
    return _of_objects(names[coded.codes], title, start)


def _of_objects(values: np.ndarray, title: str, start: int) -> Values:
    found: dict[Kind, type] = {}
    for each in set(map(type, values.tolist())):
        kind = _kind_of_type(each)
        if kind is None:
            row = next(row for row, value in enumerate(values.tolist(), start) if type(value) is each)
            raise TypeError(
                f"column {title} must hold numbers, texts or booleans: row {row} holds a {each.__name__}"
            )
        if kind != "gap":
            found[kind] = each
    if "number" in found and _only_gaps(values):
        del found["number"]  # NaN, which is a gap between texts, too
    if len(found) > 1:
        raise _mixed(values, title, start)
    if not found:
        return Values("gap", values)
    [kind] = found
    if kind == "number":
        return Values(kind, _numbers(values, title, start))
    if kind == "boolean":
        return Values(kind, np.array([-1 if _is_gap(value) else int(value) for value in values], np.int8))
    return Values(kind, values)


def _kind_of_type(kind: type) -> Kind | None:
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, (bool, np.bool_)):
        return "boolean"
    if issubclass(kind, (numbers.Real, decimal.Decimal)):
        return "number"
    if kind.__name__ in MISSING_TYPES:
        return "gap"
    return "date" if issubclass(kind, DATES) else None


def _is_gap(value: Any) -> bool:
    return type(value).__name__ in MISSING_TYPES or (isinstance(value, numbers.Real) and value != value)


def _only_gaps(values: np.ndarray) -> bool:
    """Whether all numbers between other values are NaN."""
    return all(value != value for value in values.tolist() if _kind_of_type(type(value)) == "number")


def _numbers(values: np.ndarray, title: str, start: int) -> np.ndarray:
    try:
        return np.array([np.nan if _is_gap(value) else value for value in values], np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise TypeError(f"column {title}, rows from {start} on: {error}") from None


def _mixed(values: np.ndarray, title: str, start: int) -> TypeError:
    """The error for values of two kinds, which it shows with their rows."""
    shown: dict[Kind, str] = {}
    for row, value in enumerate(values.tolist(), start):
        kind = _kind_of_type(type(value))
        if kind is not None and not _is_gap(value) and kind not in shown:
            shown[kind] = f"row {row} holds the {kind} {value!r}"
    return TypeError(f"column {title} must hold values of one kind: {', '.join(shown.values())}")


def refuse_dates(title: str) -> TypeError:
    """The error for a column of dates."""
    return TypeError(
        f"column {title} holds dates or times: make numbers of them, such as days since a date or the month, "
        "or leave the column out"
    )
