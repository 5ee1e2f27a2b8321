"""Files of tables, read whole: CSV by the standard library, Parquet and Feather by pyarrow or polars."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from .csv_columns import GAPS, Column, NotNumbers, not_a_number
from .csv_records import DELIMITERS, Records
from .frames import Arrays, Coded, as_frame
from .values import DATE, read_values

# Rows that are taken from a CSV file at once.
ROWS = 1 << 15

TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
COLUMN_SUFFIXES = (".parquet", ".feather", ".arrow")


class Table(NamedTuple):
    """A table from a file.

    Attributes
    ----------
    path : str
    columns : dict of str to (ndarray or Coded)
        Numbers as float64 with NaN in gaps, texts and booleans as codes of texts.
    rows : list of int or range
        The row of the file, as a person counts, of each row of the table.
    """

    path: str
    columns: dict[str, np.ndarray | Coded]
    rows: Any

    def frame(self, names: Iterable[str] | None = None, rows: Any = None) -> Arrays:
        """Columns for an encoder: all or those named, all rows or those numbered."""
        chosen = {name: self.columns[name] for name in (self.columns if names is None else names)}
        if rows is None:
            return Arrays(chosen)
        return Arrays({name: taken(column, rows) for name, column in chosen.items()})


class Format(NamedTuple):
    """How to read a CSV file.

    Attributes
    ----------
    encoding, delimiter, decimal : str or None
        Found if None.
    missing : collection of str
        Further texts that are gaps.
    """

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    missing: Collection[str] = ()


def taken(column: np.ndarray | Coded, rows: Any) -> np.ndarray | Coded:
    """Some rows of a column."""
    return Coded(column.codes[rows], column.categories) if isinstance(column, Coded) else column[rows]


def read_table(path: str, how: Format | None = None, kinds: Mapping[str, str] | None = None) -> Table:
    """Read a file, whose suffix says how.

    Parameters
    ----------
    path : str
    how : Format, optional
    kinds : mapping of str to str, optional
        Columns that must be there, and whether each is of "number" or "text". Others are found.

    Raises
    ------
    ValueError
        For a damaged file, other columns and other values; it names the file, the row and the column.
    OSError
        If the file cannot be read.
    ModuleNotFoundError
        For Parquet and Feather without pyarrow and polars.
    """
    how, kinds = how or Format(), kinds or {}
    suffix = os.path.splitext(path)[1].lower()
    if suffix in COLUMN_SUFFIXES:
        table = _of_frame(path, _column_file(path, suffix))
    elif suffix in TEXT_SUFFIXES:
        table = _of_csv(path, how, kinds)
    else:
        allowed = ", ".join(TEXT_SUFFIXES + COLUMN_SUFFIXES)
        raise ValueError(f"a table's file must end in one of {allowed}, not {path!r}")
    _check_columns(table, kinds)
    return table


def _of_csv(path: str, how: Format, kinds: Mapping[str, str]) -> Table:
    if how.delimiter is not None and how.delimiter not in DELIMITERS:
        raise ValueError(f"the delimiter must be one of , ; | and tab, not {how.delimiter!r}")
    if how.decimal not in (None, ".", ","):
        raise ValueError(f"the decimal sign must be . or , and not {how.decimal!r}")
    records = Records(path, how.encoding, how.delimiter)
    gaps = GAPS.union(how.missing)
    as_text = {name for name, kind in kinds.items() if kind == "text"}
    while True:
        columns = [
            Column(f"{path}, column {name!r}", name in as_text, how.decimal, gaps) for name in records.names
        ]
        rows: list[int] = []
        if (again := _read_all(records, columns, rows, kinds, gaps)) is None:
            break
        as_text.add(again)
    if not rows:
        raise ValueError(f"{path} has a header and no rows")
    found = {
        name: column.result(rows, name in kinds) for name, column in zip(records.names, columns, strict=True)
    }
    return Table(path, found, rows)


def _read_all(
    records: Records, columns: list[Column], rows: list[int], kinds: Mapping[str, str], gaps: Collection[str]
) -> str | None:
    """Read all records into columns. Returns the name of a column that turns out to be of texts."""
    stream = iter(records)
    while block := list(islice(stream, ROWS)):
        numbers = [row for row, _ in block]
        by_column = zip(*(fields for _, fields in block), strict=True)
        for name, column, texts in zip(records.names, columns, by_column, strict=True):
            try:
                column.add(list(texts), numbers)
            except NotNumbers:
                if kinds.get(name) == "number":
                    raise not_a_number(column.title, list(texts), numbers, gaps) from None
                return name
        rows += numbers
    return None


def _column_file(path: str, suffix: str) -> Any:
    """The table of a Parquet or Feather file by pyarrow or polars."""
    kind = "Parquet" if suffix == ".parquet" else "Feather"
    try:
        if kind == "Parquet":
            from pyarrow import parquet as module
        else:
            from pyarrow import feather as module
    except ModuleNotFoundError:
        try:
            import polars
        except ModuleNotFoundError:
            raise ModuleNotFoundError(f"{kind} files need pyarrow or polars: pip install pyarrow") from None
        module = polars
    with open(path, "rb"):  # Python's error if there is no such file
        pass
    try:
        if module.__name__ == "polars":
            return module.read_parquet(path) if kind == "Parquet" else module.read_ipc(path)
        return module.read_table(path)
    except Exception as error:  # each library has its own kinds
        raise ValueError(f"{path} is no {kind} file, or was damaged: {error}") from error


def _of_frame(path: str, native: Any) -> Table:
    frame = as_frame(native)
    columns: dict[str, np.ndarray | Coded] = {}
    for place, name in enumerate(frame.names or ()):
        found = read_values(frame.values(place, 0, frame.rows), repr(name), 0)
        if found.kind == "boolean":
            columns[name] = Coded(found.values, ["False", "True"])
        elif found.kind == "text" and not isinstance(found.values, Coded):
            texts, codes = np.unique(
                [str(v) if isinstance(v, str) else "" for v in found.values], return_inverse=True
            )
            codes = np.where([isinstance(v, str) for v in found.values], codes, -1)
            columns[name] = Coded(codes, texts.tolist())
        elif found.kind == "gap":
            columns[name] = np.full(frame.rows, np.nan)
        elif found.kind == "number":
            columns[name] = np.asarray(found.values, np.float64)
        else:
            columns[name] = found.values
    return Table(path, columns, range(1, frame.rows + 1))


def _check_columns(table: Table, kinds: Mapping[str, str]) -> None:
    for name, kind in kinds.items():
        if name not in table.columns:
            raise no_column(table, name)
        column = table.columns[name]
        if kind == "text" and not isinstance(column, Coded) and column.dtype.kind == "f":
            raise ValueError(f"{table.path}, column {name!r} must hold texts, as in fit, and holds numbers")
        if kind == "number" and isinstance(column, Coded):
            raise ValueError(f"{table.path}, column {name!r} must hold numbers, as in fit, and holds texts")


def no_column(table: Table, name: str) -> ValueError:
    """The error for a name that no column has."""
    from .._suggestions import suggestion  # only for an error

    known = ", ".join(map(repr, list(table.columns)[:8])) + ", ..." * (len(table.columns) > 8)
    meant = suggestion("column", name, table.columns)
    return ValueError(f"{table.path} has no column {name!r}: there are {known}{meant}")


def kind_of(column: np.ndarray | Coded) -> str:
    """ "number", "text", "date" or "empty"."""
    if not isinstance(column, Coded):
        if column.dtype.kind != "f":
            return "date"
        return "empty" if np.isnan(column).all() else "number"
    if not len(column.categories):
        return "empty"
    return "date" if all(map(DATE.fullmatch, column.categories)) else "text"


def described(column: np.ndarray | Coded) -> str:
    """What a column holds, in some words."""
    kind = kind_of(column)
    if kind == "empty":
        return "no values"
    if kind == "date":
        return "dates"
    if isinstance(column, Coded):
        gaps, count = int((column.codes < 0).sum()), len(column.categories)
        first = ", ".join(sorted(column.categories)[:3])
        text = f"{count:,} categor{'y' if count == 1 else 'ies'}: {first}{', ...' if count > 3 else ''}"
    else:
        gaps = int(np.isnan(column).sum())
        text = f"{np.nanmin(column):.6g} to {np.nanmax(column):.6g}"
    return text + (f"; {gaps:,} gap{'' if gaps == 1 else 's'}" if gaps else "")
