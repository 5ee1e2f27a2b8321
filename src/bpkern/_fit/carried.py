"""The rows of `fit_many` on their way to a worker: arrays, and the names of memory-mapped files."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np

from .._data.interchange import as_numeric


class MappedFile(NamedTuple):
    """Contiguous rows of a file, which a worker maps again instead of getting a copy."""

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]

    def open(self) -> np.ndarray:
        """The rows, read-only. Raises OSError if the file is not there, ValueError if it is too short."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


class Carrier:
    """Makes checked rows into what can be pickled; the same for the same object."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}  # with the objects, which keep their ids

    def rows(self, rows: dict[str, Any]) -> dict[str, Any]:
        """`Call.rows` with arrays, sparse matrices and mapped files."""
        made = {name: self._of(name, values) for name, values in rows.items() if name != "validation_data"}
        validation = rows["validation_data"]
        if validation is not None:
            names = ("X", "y", "sample_weight")
            pairs = zip(names, validation, strict=False)
            validation = [self._of(name, values) for name, values in pairs]
        return {**made, "validation_data": validation}

    def _of(self, name: str, values: Any) -> Any:
        if values is None or hasattr(values, "tocsr"):
            return values
        if id(values) not in self._made:
            array = as_numeric(name, values)
            self._made[id(values)] = values, _mapped(array) or array
        return self._made[id(values)][1]


def opened(rows: dict[str, Any]) -> dict[str, Any]:
    """`Call.rows` in the worker, from `Carrier.rows`. Raises as `MappedFile.open`."""

    def of(values: Any) -> Any:
        return values.open() if isinstance(values, MappedFile) else values

    validation = rows["validation_data"]
    if validation is not None:
        validation = tuple(map(of, validation))
    return {name: of(values) for name, values in rows.items()} | {"validation_data": validation}


def _mapped(array: np.ndarray) -> MappedFile | None:
    """Where an array lies in a file; None unless it is a contiguous part of one that is mapped."""
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    # With mode "c", the memory may differ from the file.
    if not isinstance(whole, np.memmap) or whole.filename is None or whole.mode == "c":
        return None
    if not (array.flags.c_contiguous and array.size):
        return None
    offset = whole.offset + array.ctypes.data - whole.ctypes.data
    return MappedFile(os.path.abspath(whole.filename), array.dtype, offset, array.shape)
