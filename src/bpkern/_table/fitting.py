"""The encoding of a table: each column read once, its kind found, and its scale or its categories."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .categories import Counts
from .encoding import MOST_CODES, READ, Category, Encoding, Number, infinite
from .frames import Frame
from .scaling import Scale, scale_of
from .values import DATE, Values, read_values, refuse_dates

# The most one-hot columns of a column of categories.
MOST_ONE_HOT = 4096

WORDS = {"number": "numbers", "text": "texts", "boolean": "booleans"}


class Choices(NamedTuple):
    """The settings of an encoder, checked.

    Attributes
    ----------
    scaling : str
    categorical : frozenset of int
        The columns whose numbers are categories.
    max_one_hot, max_categories : int or None
    """

    scaling: str
    categorical: frozenset[int]
    max_one_hot: int | None
    max_categories: int | None


def encoding_of(frame: Frame, choices: Choices) -> Encoding:
    """Fit an encoding to a table of at least one row.

    Raises
    ------
    TypeError, ValueError
        For columns of dates, of values of several kinds, of numbers that are not finite, and of too many
        categories; it names the column.
    """
    columns = [_column(frame, place, choices) for place in range(frame.width)]
    return Encoding(columns, choices.scaling)


def _column(frame: Frame, place: int, choices: Choices) -> Number | Category:
    title, rows = frame.title(place), frame.rows
    numbers: np.ndarray | None = None  # all of them, as float64
    counts = Counts()
    kind = "gap"
    for start in range(0, rows, READ):
        stop = min(start + READ, rows)
        found = read_values(frame.values(place, start, stop), title, start)
        if found.kind == "date":
            raise refuse_dates(title)
        if found.kind == "gap":
            continue
        if kind not in ("gap", found.kind):
            raise TypeError(
                f"column {title} must hold values of one kind: it holds {WORDS[kind]}, and from row {start} "
                f"on {WORDS[found.kind]}"
            )
        kind = found.kind
        if kind != "number" or place in choices.categorical:
            counts.add("integer" if kind == "number" else kind, found.values, title, start)
            continue
        if numbers is None:
            numbers = np.full(rows, np.nan)
        numbers[start:stop] = _finite(found, title, start)
    if kind == "gap":
        return Number(Scale(0.0, 0.0), gaps=False)
    if numbers is not None:
        return _number(numbers, choices.scaling)
    return _category(title, "integer" if kind == "number" else kind, counts, rows, choices)


def _finite(found: Values, title: str, start: int) -> np.ndarray:
    values = np.asarray(found.values)
    if values.dtype.kind == "f" and np.isinf(values).any():
        raise infinite(title, start + int(np.argmax(np.isinf(values))))
    return values


def _number(numbers: np.ndarray, scaling: str) -> Number:
    gaps = np.isnan(numbers)
    has_gaps = bool(gaps.any())
    if has_gaps:
        numbers = numbers[~gaps]
    if not len(numbers):
        return Number(Scale(0.0, 0.0), gaps=False)
    return Number(scale_of(numbers, None, scaling), has_gaps)


def _category(title: str, kind: str, counts: Counts, rows: int, choices: Choices) -> Category:
    categories, frequencies = counts.result(choices.max_categories)
    k = len(categories)
    if kind == "text" and all(map(DATE.fullmatch, categories)):
        raise refuse_dates(title)
    if choices.max_one_hot is not None and k > choices.max_one_hot:
        if k >= MOST_CODES:
            raise ValueError(f"column {title} has {k} categories; at most {MOST_CODES - 1} are possible")
        return Category(kind, categories, None)
    if k > MOST_ONE_HOT:
        raise ValueError(
            f"column {title} has {k} categories, and at most {MOST_ONE_HOT} become one-hot columns: leave it "
            "out if it only names the rows; or max_categories=100 keeps the most frequent ones"
        )
    return Category(kind, categories, _results(frequencies, rows, choices.scaling))


def _results(frequencies: np.ndarray, rows: int, scaling: str) -> np.ndarray:
    """What the codes of a column become (`Category.results`), for categories that occur so often."""
    k = len(frequencies)
    others = rows - int(frequencies.sum())  # missing, or not among the most frequent
    if k == 1 and not others:
        return np.zeros(0, np.float32)
    if k <= 2:
        # One column. As in RealMLP, two categories are -1 and 1, and 0 is neither.
        single = np.array([0.0, -1.0, 1.0] if k == 2 else [-1.0, 1.0])
        return _scaled(single, np.array([others, *frequencies]), scaling).astype(np.float32)
    pairs = [_scaled(np.array([0.0, 1.0]), np.array([rows - n, n]), scaling) for n in frequencies.tolist()]
    return np.array(pairs, np.float32).T.copy()


def _scaled(values: np.ndarray, counts: np.ndarray, scaling: str) -> np.ndarray:
    """The values as "robust" scales a column in which they occur so often; as they are for other scalings."""
    if scaling != "robust":
        return values
    present = np.flatnonzero(counts)
    order = present[np.argsort(values[present])]
    scale = scale_of(values[order], counts[order], scaling)
    scaled = (values - scale.center) * scale.factor
    result: Any = scaled / np.sqrt(1 + np.square(scaled / 3))
    return np.asarray(result)
