"""A fitted encoder: what each column of a table becomes, and a whole table as a matrix of float32.

The columns of the matrix stand in this order: the numbers that vary; an indicator of gaps for each column of
numbers that had any; the categories that are one-hot; the codes of the other categories.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import scaling
from .categories import Lookup, other_kind
from .frames import Frame
from .scaling import Scale
from .values import read_values

# Rows that are read from a table at once, and rows that are computed at once: their numbers fit the cache.
READ, ROWS = 32768, 1024

# Codes are exact in float32 up to here.
MOST_CODES = 1 << 24


class Number(NamedTuple):
    """A column of numbers.

    Attributes
    ----------
    scale : Scale
        With a factor of 0, the numbers are left out.
    gaps : bool
        Whether an indicator of gaps is a column of its own.
    """

    scale: Scale
    gaps: bool


class Category(NamedTuple):
    """A column of categories.

    Attributes
    ----------
    kind : str
        "text", "boolean" or "integer".
    categories : list
        str, bool or int, in order.
    results : ndarray or None
        float32. Of shape (k + 1,), what code 0 to k becomes; of shape (2, k), the numbers of one-hot columns
        where they are off and on; of shape (0,) if the column is left out. None if the codes remain.
    """

    kind: str
    categories: list[Any]
    results: np.ndarray | None

    @property
    def width(self) -> int:
        """The number of columns of the matrix, without codes."""
        if self.results is None or not self.results.size:
            return 0
        return 1 if self.results.ndim == 1 else self.results.shape[1]


class OneHot(NamedTuple):
    """What a row of all one-hot columns is made by: numbers where all are off, and one to write per category.

    Attributes
    ----------
    columns : slice
        Those of the matrix.
    off : ndarray of float32, shape (columns,)
    starts : ndarray of int, shape (table's columns, 1)
        Where the codes of each column of the table begin in the following arrays.
    places : ndarray of int
        By code, the column of the matrix that is written.
    values : ndarray of float32
        And the number in it; that of code 0, which is no category, is the same as in `off`.
    """

    columns: slice
    off: np.ndarray
    starts: np.ndarray
    places: np.ndarray
    values: np.ndarray


def _one_hot_table(results: list[Any], first: int) -> OneHot:
    """For `Category.results` of columns whose results stand side by side, from column `first` on."""
    off, starts, places, values, column, start = [np.zeros(0)], [], [np.zeros(0)], [np.zeros(0)], first, 0
    for each in results:
        single = each.ndim == 1
        codes = np.arange(len(each) if single else each.shape[1] + 1)
        off.append(each[:1] if single else each[0])
        places.append(column + (0 * codes if single else np.maximum(codes - 1, 0)))
        values.append(each if single else np.concatenate([each[0, :1], each[1]]))
        starts.append(start)
        start, column = start + len(codes), column + len(off[-1])
    return OneHot(
        slice(first, column),
        np.concatenate(off).astype(np.float32),
        np.array(starts, np.intp).reshape(-1, 1),
        np.concatenate(places).astype(np.intp),
        np.concatenate(values).astype(np.float32),
    )


class Encoding:
    """The columns of a table in order, fitted.

    Parameters
    ----------
    columns : list of Number or Category
    scaling : str
        One of `scaling.SCALINGS`.

    Attributes
    ----------
    kept, indicators : list of int
        The columns of numbers that are scaled, and those with an indicator of gaps.
    one_hot, coded : list of int
        The columns of categories that become columns of their own, and those that remain codes.
    number_places : list of int
        The columns of numbers of which something is in the matrix.
    lookups : dict of int to Lookup
        By column of categories of which something is in the matrix.
    """

    def __init__(self, columns: list[Number | Category], scaling: str) -> None:
        self.columns, self.scaling = columns, scaling
        numbers = [(place, column) for place, column in enumerate(columns) if isinstance(column, Number)]
        self.kept = [place for place, column in numbers if column.scale.factor]
        self.indicators = [place for place, column in numbers if column.gaps]
        self.number_places = sorted({*self.kept, *self.indicators})
        scales = [columns[place].scale for place in self.kept]  # type: ignore[union-attr]
        self._center = np.array([scale.center for scale in scales]).reshape(-1, 1)
        self._factor = np.array([scale.factor for scale in scales]).reshape(-1, 1)
        self._knots = [(row, scale.knots) for row, scale in enumerate(scales) if scale.knots is not None]
        self.lookups: dict[int, Lookup] = {}
        for place, column in enumerate(columns):
            if isinstance(column, Category) and (column.results is None or column.width):
                self.lookups[place] = Lookup(column.kind, column.categories)
        self.one_hot = [place for place in self.lookups if self.category(place).results is not None]
        self.coded = [place for place in self.lookups if self.category(place).results is None]
        one_hot = sum(self.category(place).width for place in self.one_hot)
        self._before_codes = len(self.kept) + len(self.indicators) + one_hot
        self.width = self._before_codes + len(self.coded)
        results = [self.category(place).results for place in self.one_hot]
        self._one_hot_table = _one_hot_table(results, len(self.kept) + len(self.indicators))

    def category(self, place: int) -> Category:
        """A column that is of categories."""
        column = self.columns[place]
        assert isinstance(column, Category)
        return column

    @property
    def code_counts(self) -> dict[int, int]:
        """By column of the matrix that holds codes, how many codes there are, 0 included."""
        counts = (len(self.category(place).categories) + 1 for place in self.coded)
        return dict(enumerate(counts, self._before_codes))

    @property
    def number_count(self) -> int:
        """The number of the matrix's columns that hold scaled numbers."""
        return len(self.kept)

    @property
    def used(self) -> list[int]:
        """The columns of the table of which something is in the matrix, in order."""
        return sorted({*self.number_places, *self.lookups})

    @property
    def left_out(self) -> list[int]:
        """The columns of the table of which nothing is in the matrix."""
        return sorted({*range(len(self.columns))} - {*self.used})

    @property
    def sources(self) -> np.ndarray:
        """The column of the table that each column of the matrix is made of."""
        one_hot = [place for place in self.one_hot for _ in range(self.category(place).width)]
        return np.array([*self.kept, *self.indicators, *one_hot, *self.coded], np.int64)

    def names(self, inputs: list[str]) -> list[str]:
        """The names of the matrix's columns, by those of the table's."""
        names = [inputs[place] for place in self.kept]
        names += [f"{inputs[place]}_missing" for place in self.indicators]
        for place in self.one_hot:
            column = self.category(place)
            shown = column.categories if column.width > 1 else column.categories[-1:]
            names += [f"{inputs[place]}_{category}" for category in shown]
        return names + [inputs[place] for place in self.coded]

    def transform(self, frame: Frame) -> np.ndarray:
        """The matrix of a table with these columns, as float32 (rows, width).

        Raises
        ------
        TypeError, ValueError
            For values of another kind and infinite ones; it names the column, and the row where it can.
        """
        out = np.empty((frame.rows, self.width), np.float32)
        for start in range(0, frame.rows, READ):
            self._write_range(frame, start, out[start : start + READ])
        return out

    def blocks(self, frame: Frame) -> Iterator[np.ndarray]:
        """The rows of `transform`, READ at a time, in memory that is used again. Raises the same."""
        out = np.empty((min(frame.rows, READ), self.width), np.float32)
        for start in range(0, max(frame.rows, 1), READ):  # of no rows, one block without rows
            block = out[: min(frame.rows - start, READ)]
            self._write_range(frame, start, block)
            yield block

    def _write_range(self, frame: Frame, start: int, out: np.ndarray) -> None:
        """Write the rows from `start` on."""
        stop = start + len(out)
        read = {place: self.read_numbers(frame, place, start, stop) for place in self.number_places}
        codes = {place: self.read_codes(frame, place, start, stop) for place in self.lookups}
        self.write(out, read, codes, frame, range(start, stop))

    def write(
        self,
        out: np.ndarray,
        read: Mapping[int, np.ndarray],
        codes: Mapping[int, np.ndarray],
        frame: Frame,
        rows: Sequence[int] | np.ndarray,
    ) -> None:
        """Write rows of the matrix whose values have been read.

        Parameters
        ----------
        out : ndarray of float32, shape (n, width)
        read : mapping of int to ndarray, shape (n,)
            The numbers of the columns `number_places`.
        codes : mapping of int to ndarray of integers, shape (n,)
            Of the columns in `lookups`.
        frame : Frame
        rows : sequence of int
            The rows of the frame that these are, for messages.

        Raises
        ------
        ValueError
            For numbers that are infinite, or too far from those of the fit.
        """
        space = np.empty((2, len(self.kept), min(len(out), ROWS)))
        for first in range(0, len(out), ROWS):
            part = slice(first, first + ROWS)
            self._write_numbers(out[part], _sliced(read, part), space, frame, rows[part])
            self._write_categories(out[part], _sliced(codes, part))

    def check(self, read: Mapping[int, np.ndarray], frame: Frame, rows: Sequence[int] | np.ndarray) -> None:
        """Raise as `write`, without writing anything."""
        space, out = np.empty((2, len(self.kept), ROWS)), np.empty((ROWS, self._before_codes), np.float32)
        for first in range(0, len(rows), ROWS):
            part = slice(first, first + ROWS)
            self._write_numbers(out[: len(rows[part])], _sliced(read, part), space, frame, rows[part])

    def read_codes(self, frame: Frame, place: int, start: int, stop: int) -> np.ndarray:
        """The codes of a range of a column of categories. Raises as `Lookup.codes`."""
        return self.lookups[place].codes(frame.values(place, start, stop), frame.title(place), start)

    def read_numbers(self, frame: Frame, place: int, start: int, stop: int) -> np.ndarray:
        """A range of a column of numbers, NaN in gaps. Raises TypeError for values of another kind."""
        values = frame.values(place, start, stop)
        if isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
            return values
        found = read_values(values, frame.title(place), start)
        if found.kind == "gap":
            return np.full(stop - start, np.nan)
        if found.kind != "number":
            raise other_kind(frame.title(place), "number", found)
        return np.asarray(found.values)

    def _write_numbers(
        self,
        out: np.ndarray,
        read: dict[int, np.ndarray],
        space: np.ndarray,
        frame: Frame,
        rows: Sequence[int] | np.ndarray,
    ) -> None:
        count = len(out)
        block, scratch = space[0, :, :count], space[1, :, :count]
        for row, place in enumerate(self.kept):
            block[row] = read[place]
        if np.isinf(block).any():
            row, at = map(int, np.argwhere(np.isinf(block))[0])
            raise infinite(frame.title(self.kept[row]), rows[at])
        for column, place in enumerate(self.indicators, len(self.kept)):
            out[:, column] = np.isnan(read[place])
        for row, knots in self._knots:
            block[row] = np.interp(block[row], *knots)
        with np.errstate(over="ignore"):
            scaling.apply(block, self._center, self._factor, self.scaling == "robust", scratch)
            out[:, : len(self.kept)] = block.T
        too_large = np.isinf(out[:, : len(self.kept)])
        if too_large.any():
            at, row = map(int, np.argwhere(too_large)[0])
            title, value = frame.title(self.kept[row]), read[self.kept[row]][at]
            raise ValueError(
                f"column {title}, row {rows[at]} holds {value!s}: too far from the numbers of the fit, its "
                "scaled value is beyond float32"
            )

    def _write_categories(self, out: np.ndarray, codes: dict[int, np.ndarray]) -> None:
        count, table = len(out), self._one_hot_table
        if table.starts.size:
            out[:, table.columns] = table.off
            at = np.array([codes[place] for place in self.one_hot], np.intp) + table.starts
            # Of a row-major block, whose rows are `width` apart.
            places = table.places.take(at) + np.arange(0, count * self.width, self.width)
            out.reshape(-1)[places] = table.values.take(at)
        for column, place in enumerate(self.coded, self._before_codes):
            out[:, column] = codes[place]


def _sliced(columns: Mapping[int, np.ndarray], part: slice) -> dict[int, np.ndarray]:
    return {place: values[part] for place, values in columns.items()}


def infinite(title: str, row: int) -> ValueError:
    """The error for a number that is not finite."""
    return ValueError(f"column {title}, row {row} holds infinity: numbers must be finite, or NaN for a gap")
