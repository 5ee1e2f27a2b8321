"""Categories of a column: found and counted, and looked up again.

Code 0 is that of missing and of unknown ones; the others count from 1 in the order of the categories. Texts
are ordered by their characters, numbers by size, and False comes before True.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections import Counter
from itertools import repeat
from typing import Any

import numpy as np

from .frames import Coded
from .values import Values, read_values

# The kinds of categories, and the words for them in messages.
KINDS = {"text": "texts", "boolean": "booleans", "integer": "whole numbers"}


class Counts:
    """How often each category of a column occurs, counted a range of rows at a time."""

    def __init__(self) -> None:
        self._counts: Counter[Any] = Counter()

    def add(self, kind: str, values: Any, title: str, start: int) -> None:
        """Count the values of a range, as `Values` has them; those of "integer" are numbers."""
        if kind == "integer":
            found, counts = np.unique(_whole(values, title, start), return_counts=True)
            self._counts.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
        elif kind == "boolean":
            counts = np.bincount(values[values >= 0], minlength=2)
            self._counts.update({bool(value): int(n) for value, n in enumerate(counts) if n})
        elif isinstance(values, Coded):
            counts = np.bincount(values.codes[values.codes >= 0], minlength=len(values.categories))
            pairs = zip(values.categories, counts.tolist(), strict=True)
            self._counts.update({str(name): n for name, n in pairs if n and name is not None})
        else:
            self._counts.update(values.tolist())

    def result(self, most: int | None) -> tuple[list[Any], np.ndarray]:
        """The categories in order, and their counts.

        Of more than `most`, the most frequent ones; of equally frequent ones, the first in order.
        """
        found = {name: n for name, n in self._counts.items() if isinstance(name, (str, int))}
        names = sorted(found)
        if most is not None and len(names) > most:
            kept = sorted(names, key=lambda name: -found[name])[:most]
            names = sorted(kept)
        return names, np.array([found[name] for name in names], np.int64)


class Lookup:
    """The codes of a column's values.

    Parameters
    ----------
    kind : str
        One of KINDS.
    categories : list
        str, bool or int, in order.
    """

    def __init__(self, kind: str, categories: list[Any]) -> None:
        self._kind = kind
        self._codes = {name: code for code, name in enumerate(categories, 1)}
        self._integers = np.array(categories if kind == "integer" else [], np.int64)
        # The present list of a `Coded`, and the codes of its categories with 0 at the end, for negative ones.
        self._seen: tuple[Any, np.ndarray] = (None, np.zeros(1, np.int32))

    def codes(self, values: np.ndarray | Coded, title: str, start: int) -> np.ndarray:
        """The codes of a range of a column, as int32.

        Raises
        ------
        TypeError, ValueError
            For values of another kind; it names the column.
        """
        if self._kind == "text" and isinstance(values, np.ndarray) and values.dtype.kind in "OUT":
            return self._of_texts(values, title, start)
        found = read_values(values, title, start)
        if found.kind == "gap":
            return np.zeros(len(found.values), np.int32)
        if self._kind == "integer" and found.kind in ("number", "boolean"):
            return self._of_integers(found.values, title, start)
        if found.kind != self._kind:
            raise other_kind(title, self._kind, found)
        if self._kind == "boolean":
            table = np.array([self._codes.get(False, 0), self._codes.get(True, 0), 0], np.int32)
            return np.asarray(table[found.values])
        return self._of_coded(found.values)

    def table(self, coded: Coded, title: str) -> np.ndarray | None:
        """What the codes of `coded`, and of other ranges of its column, become: int32, at -1 for gaps.

        None if they are not of texts, as the categories are.
        """
        if self._kind != "text" or read_values(coded, title, 0).kind != "text":
            return None
        return self._table_of(coded)

    def _table_of(self, coded: Coded) -> np.ndarray:
        if self._seen[0] is not coded.categories:
            codes = [self._codes.get(name, 0) for name in coded.categories]
            self._seen = (coded.categories, np.array([*codes, 0], np.int32))
        return self._seen[1]

    def _of_texts(self, values: np.ndarray, title: str, start: int) -> np.ndarray:
        try:
            codes = np.fromiter(map(self._codes.get, values.tolist(), repeat(0)), np.int32, len(values))
            others = values[codes == 0] if not codes.all() else values[:0]
        except TypeError:  # a value that cannot be looked up; the kinds below name it
            codes, others = np.zeros(len(values), np.int32), values
        if len(others) and read_values(others, title, start).kind not in ("text", "gap"):
            found = read_values(values, title, start)  # of all values, for the right row in the message
            raise other_kind(title, self._kind, found)
        return codes

    def _of_integers(self, values: np.ndarray, title: str, start: int) -> np.ndarray:
        if values.dtype.kind == "f":
            _whole(values, title, start)
            values = np.nan_to_num(values, nan=np.inf)
        if not len(self._integers):
            return np.zeros(len(values), np.int32)
        place = np.searchsorted(self._integers, values)
        place[place == len(self._integers)] = 0
        return np.where(self._integers[place] == values, place + 1, 0).astype(np.int32)

    def _of_coded(self, coded: Coded) -> np.ndarray:
        return np.asarray(self._table_of(coded)[np.maximum(coded.codes, -1)])


def _whole(values: np.ndarray, title: str, start: int) -> np.ndarray:
    """The numbers that are not NaN as int64. Raises ValueError for any that are not whole."""
    if values.dtype.kind != "f":
        return np.asarray(values, np.int64)
    bad = ~(np.isnan(values) | ((values == np.rint(values)) & (np.abs(values) < 2.0**62)))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"column {title} is of categories, whose numbers must be whole: row {start + row} holds "
            f"{values[row]}"
        )
    return np.asarray(values[~np.isnan(values)], np.int64)


def other_kind(title: str, kind: str, found: Values) -> TypeError:
    """The error for values of another kind than in fit."""
    words = {**KINDS, "number": "numbers", "date": "dates or times"}
    return TypeError(f"column {title} must hold {words[kind]}, as in fit, and holds {words[found.kind]}")
