"""Tables of any library as named columns, read a range of rows at a time.

pandas, polars, pyarrow and others are recognised by their methods; none of them is imported. Narwhals' frames
are taken as those that they wrap. Other tables that export Arrow's stream are read by pyarrow or polars, if
one of them is installed.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._data.interchange import as_numeric


class Coded(NamedTuple):
    """A range of a column as positions in a list of categories.

    Attributes
    ----------
    codes : ndarray, shape (rows,)
        Integers; negative where there is no value.
    categories : sequence
        Texts, numbers or booleans.
    """

    codes: np.ndarray
    categories: Sequence[Any]


class Frame:
    """A table.

    Attributes
    ----------
    names : list of str or None
        None if its columns have no names, or not only texts as names.
    rows, width : int
    """

    names: list[str] | None
    rows: int
    width: int

    def values(self, column: int, start: int, stop: int) -> np.ndarray | Coded:
        """A range of a column: an array (rows,) of any dtype, or codes."""
        raise NotImplementedError

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray | Coded:
        """The values of a column in some rows, in any order, as `values` has them."""
        raise NotImplementedError

    def title(self, column: int) -> str:
        """The column in messages: its name in quotes, or its number from 0."""
        return str(column) if self.names is None else repr(self.names[column])


class Matrix(Frame):
    """A two-dimensional array."""

    def __init__(self, array: np.ndarray, names: list[str] | None = None) -> None:
        self._array, self.names = array, names
        self.rows, self.width = array.shape

    def values(self, column: int, start: int, stop: int) -> np.ndarray:
        return self._array[start:stop, column]

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray:
        return in_rows(self._array[:, column], index)


class Arrays(Frame):
    """Columns that can be sliced: arrays, or `Coded`."""

    def __init__(self, columns: Mapping[str, np.ndarray | Coded]) -> None:
        self.names = list(columns)
        self._columns = list(columns.values())
        self.width = len(self._columns)
        lengths = [len(column.codes if isinstance(column, Coded) else column) for column in self._columns]
        for name, length in zip(self.names, lengths, strict=True):
            if length != lengths[0]:
                raise ValueError(
                    f"columns must have the same length: {name!r} has {length} rows, {self.names[0]!r} has "
                    f"{lengths[0]}"
                )
        self.rows = lengths[0] if lengths else 0

    def values(self, column: int, start: int, stop: int) -> np.ndarray | Coded:
        values = self._columns[column]
        if isinstance(values, Coded):
            return Coded(values.codes[start:stop], values.categories)
        return values[start:stop]

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray | Coded:
        values = self._columns[column]
        if isinstance(values, Coded):
            return Coded(in_rows(values.codes, index), values.categories)
        return in_rows(values, index)


class Pandas(Frame):
    """A DataFrame with the methods of pandas'."""

    def __init__(self, frame: Any) -> None:
        self.names = _texts(list(frame.columns))
        self.rows, self.width = frame.shape
        # A numeric column is a view of the frame's memory.
        self._columns = [self._column(frame.iloc[:, place]) for place in range(self.width)]

    @staticmethod
    def _column(series: Any) -> Any:
        categories = getattr(series.dtype, "categories", None)
        if categories is not None and hasattr(series, "cat"):
            # Those of the array are a view; `series.cat.codes` makes a copy.
            codes = getattr(series.array, "codes", None)
            return Coded(np.asarray(series.cat.codes if codes is None else codes), list(categories))
        return series.to_numpy() if isinstance(series.dtype, np.dtype) else series

    def values(self, column: int, start: int, stop: int) -> np.ndarray | Coded:
        values = self._columns[column]
        if isinstance(values, Coded):
            return Coded(values.codes[start:stop], values.categories)
        if isinstance(values, np.ndarray):
            return values[start:stop]
        return self._array(values.iloc[start:stop])

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray | Coded:
        values = self._columns[column]
        if isinstance(values, Coded):
            return Coded(in_rows(values.codes, index), values.categories)
        if isinstance(values, np.ndarray):
            return in_rows(values, index)
        return self._array(values.iloc[index])

    @staticmethod
    def _array(part: Any) -> np.ndarray:
        if getattr(part.dtype, "kind", "O") in "iuf":
            return np.asarray(part.to_numpy(dtype=np.float64, na_value=np.nan))
        return np.asarray(part.to_numpy())


class Polars(Frame):
    """A DataFrame with the methods of polars'."""

    def __init__(self, frame: Any) -> None:
        self.names = list(frame.columns)
        self.rows, self.width = frame.shape
        self._columns = [frame.get_column(name) for name in self.names]

    def values(self, column: int, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._columns[column][start:stop].to_numpy())

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray:
        return np.asarray(self._columns[column][index].to_numpy())


class Arrow(Frame):
    """A Table or RecordBatch with the methods of pyarrow's."""

    def __init__(self, table: Any) -> None:
        self.names = list(table.column_names)
        self.rows, self.width = table.shape
        self._columns = [table.column(place) for place in range(self.width)]

    def values(self, column: int, start: int, stop: int) -> np.ndarray:
        return self._array(self._columns[column].slice(start, stop - start))

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray:
        values = self._columns[column]
        if getattr(values, "num_chunks", 1) != 1:
            # `take` would join the chunks in each call.
            values = self._columns[column] = values.combine_chunks()
        return self._array(values.take(index))

    @staticmethod
    def _array(part: Any) -> np.ndarray:
        if hasattr(part.type, "index_type"):  # a dictionary, whose nulls to_numpy would lose
            part = part.cast(part.type.value_type)
        return np.asarray(part.to_numpy(zero_copy_only=False))


class Selected(Frame):
    """Some rows of a table.

    Parameters
    ----------
    frame : Frame
    index : ndarray
        Numbers of rows in ascending order.
    """

    def __init__(self, frame: Frame, index: np.ndarray) -> None:
        self._frame, self._index = frame, index
        self.names, self.rows, self.width = frame.names, len(index), frame.width

    def values(self, column: int, start: int, stop: int) -> np.ndarray | Coded:
        index = self._index[start:stop]
        first = int(index[0]) if len(index) else 0
        values = self._frame.values(column, first, int(index[-1]) + 1 if len(index) else 0)
        if isinstance(values, Coded):
            return Coded(values.codes[index - first], values.categories)
        return np.asarray(values[index - first])

    def values_at(self, column: int, index: np.ndarray) -> np.ndarray | Coded:
        return self._frame.values_at(column, self._index[index])


def in_rows(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``values[index]`` of a column; `take` is twice as fast, but would first copy a column with strides."""
    return np.asarray(values.take(index) if values.flags.c_contiguous else values[index])


def as_frame(X: Any, name: str = "X") -> Frame:
    """A table of any kind.

    Parameters
    ----------
    X : table
    name : str
        What messages call it.

    Raises
    ------
    TypeError, ValueError
        For anything that has no rows and columns; and for columns of different lengths.
    """
    if isinstance(X, Frame):
        return X
    if hasattr(X, "tocsr"):
        raise TypeError(f"{name} must be a table or dense array, not a sparse {type(X).__name__}")
    if hasattr(X, "to_native"):
        return as_frame(X.to_native(), name)
    if hasattr(X, "iloc") and hasattr(X, "columns"):
        return Pandas(X)
    if hasattr(X, "get_column") and hasattr(X, "columns"):
        return Polars(X)
    if hasattr(X, "column_names") and hasattr(X, "column"):
        return Arrow(X)
    if isinstance(X, Mapping):
        return Arrays({_name(column): _one_dimension(column, values) for column, values in X.items()})
    # A column of pandas or polars is no table, and exports Arrow's stream too.
    if hasattr(X, "__arrow_c_stream__") and len(getattr(X, "shape", (0, 0))) == 2:
        return as_frame(_from_arrow_stream(X), name)
    return _from_array(X, name)


def _from_array(X: Any, name: str) -> Frame:
    if isinstance(X, np.ndarray) and X.dtype.names:
        return Arrays({column: _one_dimension(column, X[column]) for column in X.dtype.names})
    if hasattr(X, "__dlpack__"):
        array = X if isinstance(X, np.ndarray) and X.dtype.kind not in "biuf" else as_numeric(name, X)
    else:
        array = np.asarray(X) if hasattr(X, "__array__") else _of_lists(X, name)
    if array.ndim != 2:
        hint = ""
        if array.ndim == 1:
            hint = f": give {name}.reshape(-1, 1) if it is one column, and "
            hint += f"{name}.reshape(1, -1) if it is one row"
            hint += ". Reshape your data"  # scikit-learn's words, which its checks look for
        raise ValueError(f"Expected 2D array, {name} has {array.ndim} dimensions{hint}")
    if np.iscomplexobj(array):
        raise ValueError(f"Complex data not supported: {name} holds complex numbers")
    return Matrix(array)


def _of_lists(X: Any, name: str) -> np.ndarray:
    """Rows as an array that keeps numbers beside texts."""
    try:
        array = np.asarray(X)
    except ValueError as error:
        raise ValueError(f"{name} must have rows of the same length: {error}") from None
    if array.dtype.kind in "US" or (array.dtype.kind == "O" and array.ndim == 1 and len(array)):
        array = np.array(X, dtype=object)
    if array.ndim == 0:
        raise TypeError(f"{name} must be a table or an array, not {X!r}")
    return array


def _from_arrow_stream(X: Any) -> Any:
    """The same table of pyarrow or polars. Raises TypeError if neither is installed."""
    try:
        import pyarrow

        return pyarrow.table(X)
    except ModuleNotFoundError:
        pass
    try:
        import polars

        return polars.DataFrame(X)
    except ModuleNotFoundError:
        raise TypeError(f"reading a {type(X).__name__} needs pyarrow or polars") from None


def _texts(names: list[Any]) -> list[str] | None:
    """Names that are all texts, as scikit-learn counts them; None for others."""
    texts = [isinstance(name, str) for name in names]
    if any(texts) and not all(texts):
        kinds = sorted({type(name).__name__ for name in names})
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types."
        )
    return list(map(str, names)) if texts and all(texts) else None


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"names of columns must be texts, not {name!r}")
    return str(name)


def _one_dimension(name: Any, values: Any) -> np.ndarray | Coded:
    if isinstance(values, Coded):
        return values
    array = np.asarray(values)
    if array.dtype.kind in "US" and not isinstance(values, np.ndarray):
        array = np.array(values, dtype=object)
    if array.ndim != 1:
        raise ValueError(f"column {name!r} must have one dimension, not {array.ndim}")
    return array
