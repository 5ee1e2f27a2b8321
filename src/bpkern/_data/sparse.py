"""Rows of a sparse matrix in the form that the kernels read, without a dense copy."""

from typing import Any

import numpy as np

from .interchange import as_numeric


class SparseRows:
    """Compressed rows of a matrix (n, columns).

    Parameters
    ----------
    data, indices : ndarray, shape (entries,)
        The entries, of any real dtype, and their columns, int32 or int64. Entries of the same place are
        added.
    indptr : ndarray, shape (n + 1,), of the dtype of `indices`
        Row i has the entries from indptr[i] to below indptr[i + 1].
    columns : int

    Attributes
    ----------
    shape : (int, int)
        (n, columns).
    dtype : numpy.dtype
        Of `data`.

    Raises
    ------
    ValueError
        If the arrays do not fit each other or the number of columns.
    """

    def __init__(self, data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, columns: int) -> None:
        for name, array in (("data", data), ("indices", indices), ("indptr", indptr)):
            if array.ndim != 1:
                raise ValueError(f"X must have {name} of one dimension, not shape {array.shape}")
        self.data, self.indices, self.indptr = data, indices, indptr
        self.shape = max(len(indptr) - 1, 0), columns
        self.dtype = data.dtype
        if len(data) != len(indices):
            raise ValueError(f"X must have an index for each of its {len(data)} entries, not {len(indices)}")
        if len(indptr) == 0:
            raise ValueError("X must have an indptr of at least one element")
        if indptr[0] < 0 or indptr[-1] > len(data) or (indptr[1:] < indptr[:-1]).any():
            raise ValueError(f"X must have an indptr that rises from 0 to its {len(data)} entries at most")
        used = indices[indptr[0] : indptr[-1]]
        if used.size and not (used.min() >= 0 and used.max() < columns):
            raise ValueError(
                f"X must have column indices from 0 to {columns - 1}, not from {used.min()} to {used.max()}"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> "SparseRows":
        """Consecutive rows, with their entries only."""
        indptr = self.indptr[rows.start : rows.stop + 1]
        used = slice(int(indptr[0]), int(indptr[-1]))
        return SparseRows(self.data[used], self.indices[used], indptr - indptr[0], self.shape[1])

    def copy(self) -> "SparseRows":
        """The same rows in new memory."""
        return SparseRows(self.data.copy(), self.indices.copy(), self.indptr.copy(), self.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """A dense copy (n, columns), for the reference, which multiplies by NumPy."""
        if copy is False:
            raise ValueError("sparse rows become an array by a copy only")
        dense = np.zeros(self.shape, self.dtype)
        rows = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        columns, values = self.entries(self.indptr[0], self.indptr[-1])
        np.add.at(dense, (rows, columns), values)
        return dense if dtype is None else dense.astype(dtype)

    def row(self, number: int, dtype: "np.dtype[Any]") -> np.ndarray:
        """One row (columns,) as the kernels compute it: its entries are converted to `dtype` and then added.

        Raises
        ------
        IndexError
            If an index has been changed meanwhile and is out of range.
        """
        dense = np.zeros(self.shape[1], dtype)
        columns, values = self.entries(self.indptr[number], self.indptr[number + 1])
        with np.errstate(all="ignore"):
            np.add.at(dense, columns, values.astype(dtype))
        return dense

    def entries(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Copies of the columns and the values of the entries from `start` to ``stop - 1``.

        NumPy checks an array of indices before it uses it; the caller's array may change in between.
        """
        return self.indices[start:stop].copy(), self.data[start:stop].copy()


def sparse_rows(X: Any) -> SparseRows:
    """The rows of a matrix with a method `tocsr`, in the same memory if it is a CSR matrix already.

    Raises
    ------
    ValueError, TypeError
        For another number of dimensions, entries that are not real numbers, arrays that do not fit, and if
        `tocsr` returns anything but a CSR matrix.
    """
    if len(X.shape) != 2:
        raise ValueError(f"X must have 2 dimensions, not shape {tuple(X.shape)}")
    rows = X.tocsr()
    try:
        values, indices, indptr = rows.data, np.asarray(rows.indices), np.asarray(rows.indptr)
    except AttributeError as error:
        raise TypeError(f"X.tocsr() must return a CSR matrix, not {type(rows).__name__}: {error}") from error
    data = as_numeric("X", values)
    for name, array in (("indices", indices), ("indptr", indptr)):
        if array.dtype.kind not in "iu":
            raise TypeError(f"X must have {name} of integers, not of dtype {array.dtype}")
    kind = np.int32 if indices.dtype == indptr.dtype == np.int32 else np.int64
    # C reads both as contiguous, aligned integers of one type in native byte order. They are views: the
    # matrix may change the shape or dtype of its own arrays.
    indices, indptr = (np.require(each, kind, ["C", "A"]).view() for each in (indices, indptr))
    return SparseRows(data, indices, indptr, X.shape[1])
