"""The records of a CSV file: encoding, delimiter, header, and rows counted as a person reads them.

Row 1 is the header; blank lines count, and a record of several lines in quotes is one row.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator

DELIMITERS = ",;\t|"

# Of the file's beginning, the characters and the records that show the delimiter.
GLANCE, RECORDS = 1 << 16, 50

# By the bytes at a file's beginning; UTF-32's first, whose mark begins as UTF-16's does.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Records:
    """A CSV file that is read from its beginning as often as needed.

    Parameters
    ----------
    path : str
    encoding, delimiter : str or None
        Found if None.

    Attributes
    ----------
    names : list of str
        The header; a column without a name is "column 3", counted from 1.
    delimiter : str

    Raises
    ------
    ValueError
        For a file without columns or with a column twice, and for bytes that are not of the encoding.
    OSError
        If the file cannot be read.
    """

    def __init__(self, path: str, encoding: str | None = None, delimiter: str | None = None) -> None:
        self._path = path
        with open(path, "rb") as file:
            begin = file.read(4)
        found = next((name for mark, name in MARKS if begin.startswith(mark)), "utf-8")
        self._encoding = encoding or found
        try:
            codecs.lookup(self._encoding)
        except LookupError:
            raise ValueError(
                f"unknown encoding {encoding!r}: known are utf-8, cp1252, latin-1, ..."
            ) from None
        try:
            with self._open() as file:
                start = file.read(GLANCE)
        except UnicodeError as error:
            raise self._not_decoded(error) from None
        self.delimiter = delimiter or _delimiter(start)
        header = next(iter(self._all()), (1, []))[1]
        self.names = [name.strip() or f"column {place}" for place, name in enumerate(header, 1)]
        self._check_header()

    def _check_header(self) -> None:
        if not self.names:
            raise ValueError(f"{self._path} is empty: row 1 must hold the names of the columns")
        seen: set[str] = set()
        for place, name in enumerate(self.names, 1):
            if name in seen:
                raise ValueError(f"{self._path}, row 1: column {place} is {name!r}, as an earlier one is")
            seen.add(name)
        if all(map(_is_number, self.names)):
            raise ValueError(
                f"{self._path}, row 1 must hold the names of the columns, not numbers alone: "
                f"{', '.join(self.names[:4])}"
            )

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        """The number and the fields of each row after the header that is not blank."""
        rows = self._all()
        next(rows, None)
        for row, fields in rows:
            if len(fields) != len(self.names):
                raise ValueError(
                    f"{self._path}, row {row} has {len(fields)} fields, and the header {len(self.names)}"
                )
            yield row, fields

    def _all(self) -> Iterator[tuple[int, list[str]]]:
        with self._open() as file:
            reader = csv.reader(file, delimiter=self.delimiter, skipinitialspace=True)
            row = 0
            while True:
                row += 1
                try:
                    fields = next(reader, None)
                except csv.Error as error:
                    raise ValueError(f"{self._path}, row {row}: {error}") from None
                except UnicodeError as error:
                    raise self._not_decoded(error) from None
                if fields is None:
                    return
                if fields:
                    yield row, fields

    def _open(self) -> io.TextIOBase:
        return open(self._path, encoding=self._encoding, newline="")

    def _not_decoded(self, error: UnicodeError) -> ValueError:
        """The error for bytes of another encoding, with the line of the first."""
        where = ""
        if self._encoding.startswith("utf-8"):
            with open(self._path, "rb") as file:
                for number, line in enumerate(file, 1):
                    try:
                        line.decode("utf-8")
                    except UnicodeDecodeError as found:
                        where = f", line {number}: byte {line[found.start]:#04x}"
                        break
        return ValueError(
            f"{self._path}{where} is not {self._encoding}: give --encoding cp1252 (Windows) or latin-1 "
            f"({error.reason if isinstance(error, UnicodeDecodeError) else error})"
        )


def _delimiter(start: str) -> str:
    """The delimiter by which most rows have as many fields as the header, and then most fields."""
    best, score = None, (0.0, 1)
    single = ","  # that makes one column of all rows
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(start), delimiter=delimiter, skipinitialspace=True)
        widths: list[int] = []
        try:
            for fields in rows:
                if fields:
                    widths.append(len(fields))
                if len(widths) == RECORDS:
                    break
        except csv.Error:
            continue
        if len(start) == GLANCE and 2 < len(widths) < RECORDS:
            del widths[-1]  # cut off
        if set(widths) == {1}:
            single = delimiter
        if not widths or widths[0] < 2:
            continue
        found = (widths.count(widths[0]) / len(widths), widths[0])
        if found > score:
            best, score = delimiter, found
    return best or single


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
