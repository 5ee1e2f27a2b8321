"""The encoded rows of a large table, which are computed as training asks for them.

The numbers stay in the caller's table, and of the categories small codes are kept. So the matrix, of which
one-hot columns are most, is never in memory as a whole.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .._data.gathered import GatheredRows
from .encoding import READ, Encoding
from .frames import Coded, Frame

Codes = Callable[[np.ndarray], np.ndarray]


class EncodedRows(GatheredRows):
    """The rows of one table, or of several one behind the other.

    Parameters
    ----------
    tables : sequence of EncodedTable
        At least one, of the same encoding.
    """

    def __init__(self, tables: Sequence[EncodedTable]) -> None:
        self._tables, self._ends = tables, np.cumsum([table.rows for table in tables])
        self.shape = int(self._ends[-1]), tables[0].width

    def write(self, index: np.ndarray, out: np.ndarray) -> None:
        if len(self._tables) == 1:
            self._tables[0].write(index, out)
            return
        owners = np.searchsorted(self._ends, index, side="right")
        for number, table in enumerate(self._tables):
            own = owners == number
            first = int(self._ends[number - 1]) if number else 0
            if own.all():
                table.write(index - first, out)
            elif own.any():
                part = np.empty((np.count_nonzero(own), self.shape[1]), np.float32)
                table.write(index[own] - first, part)
                out[own] = part


class EncodedTable:
    """The rows of one table, as `Encoding.transform` makes them.

    Parameters
    ----------
    encoding : Encoding
    frame : Frame
        It must not change as long as this object is used.

    Attributes
    ----------
    rows, width : int

    Raises
    ------
    TypeError, ValueError
        As `Encoding.transform`.
    """

    def __init__(self, encoding: Encoding, frame: Frame) -> None:
        self._encoding, self._frame = encoding, frame
        self.rows, self.width = frame.rows, encoding.width
        # Copies of columns of numbers as objects; all others are read in the table.
        self._numbers = {
            place: np.empty(frame.rows)
            for place in encoding.number_places
            if not _holds_numbers(frame.values(place, 0, 1))
        }
        self._codes: dict[int, Codes] = {}
        kept: dict[int, np.ndarray] = {}
        for place, lookup in encoding.lookups.items():
            first = frame.values(place, 0, 1)
            if isinstance(first, Coded) and (table := lookup.table(first, frame.title(place))) is not None:
                self._codes[place] = _Translated(frame, place, table)
            else:
                kept[place] = np.empty(frame.rows, _smallest(len(encoding.category(place).categories)))
                self._codes[place] = kept[place].take
        # Once through all rows, for the errors of `Encoding.transform` and for what is kept.
        for start in range(0, frame.rows, READ):
            stop = min(start + READ, frame.rows)
            for place, own in kept.items():
                own[start:stop] = encoding.read_codes(frame, place, start, stop)
            read = {
                place: encoding.read_numbers(frame, place, start, stop) for place in encoding.number_places
            }
            for place, values in self._numbers.items():
                values[start:stop] = read[place]
            encoding.check(read, frame, range(start, stop))

    def write(self, index: np.ndarray, out: np.ndarray) -> None:
        """As `GatheredRows.write`."""
        read = {place: self._numbers_in(place, index) for place in self._encoding.number_places}
        codes = {place: find(index) for place, find in self._codes.items()}
        self._encoding.write(out, read, codes, self._frame, index)

    def _numbers_in(self, place: int, index: np.ndarray) -> np.ndarray:
        if place in self._numbers:
            return self._numbers[place].take(index)
        found = self._frame.values_at(place, index)
        assert isinstance(found, np.ndarray)
        return found


class _Translated:
    """The codes of a column that is in codes of its own already."""

    def __init__(self, frame: Frame, place: int, table: np.ndarray) -> None:
        self._frame, self._place, self._table = frame, place, table

    def __call__(self, index: np.ndarray) -> np.ndarray:
        found = self._frame.values_at(self._place, index)
        assert isinstance(found, Coded)
        return np.asarray(self._table.take(np.maximum(found.codes, -1), mode="wrap"))


def _holds_numbers(values: np.ndarray | Coded) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind in "iuf"


def _smallest(categories: int) -> type[np.integer]:
    """The smallest type for codes from 0 to this number."""
    return np.uint8 if categories < 1 << 8 else np.uint16 if categories < 1 << 16 else np.int32
