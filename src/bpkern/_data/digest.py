"""Digests of data, which tell whether a fit resumes with the data with which it began."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .sparse import SparseRows

# Of a larger array, these blocks of consecutive rows are read, evenly spread from the first row to the last.
# To read 64 MiB takes about a tenth of a second.
MOST_BLOCKS, BLOCK_BYTES = 64, 1 << 20


def little_endian(dtype: "np.dtype[Any]") -> "np.dtype[Any]":
    """The dtype in little-endian order. A type of C that is another one's twin, as long double on Windows,
    becomes the one that NumPy has a name for: the twin gives its bytes in native order alone."""
    return np.dtype(dtype.newbyteorder("<").str)


@np.errstate(all="ignore")
def digest_of(*arrays: np.ndarray | SparseRows | None) -> str:
    """A digest of shapes, types and contents, the same for any byte order; of an array above 64 MiB, of a
    sample of its rows."""
    digest = hashlib.sha256()
    for array in arrays:
        parts = [array.data, array.indices, array.indptr] if isinstance(array, SparseRows) else [array]
        described = None if array is None else [little_endian(array.dtype).str, array.shape, len(parts)]
        digest.update(json.dumps(described).encode())
        for part in parts:
            if part is not None:
                digest.update(json.dumps([little_endian(part.dtype).str, part.shape]).encode())
                for block in _blocks(part):
                    digest.update(block.data)
    return digest.hexdigest()


def digest_of_digests(digests: Iterable[str]) -> str:
    """One digest of several, in their order."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """The blocks of consecutive rows that are read, each contiguous."""
    rows, row_bytes = len(array), array.itemsize * math.prod(array.shape[1:])
    step = max(1, BLOCK_BYTES // max(1, row_bytes))
    if rows <= step * MOST_BLOCKS:
        starts = list(range(0, rows, step))
    else:
        starts = [block * (rows - step) // (MOST_BLOCKS - 1) for block in range(MOST_BLOCKS)]
    for start in starts:
        block = np.ascontiguousarray(array[start : start + step])
        # The padding in longer floats is arbitrary.
        longer = block.dtype.kind == "f" and block.itemsize > 8
        yield block.astype(little_endian(np.dtype("d") if longer else block.dtype), copy=False)
