"""Rows that are computed where they are needed, a block of some thousand at a time."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

# Rows of a block: enough that a call of NumPy per column is cheap. A multiple of 256, the rows per step of
# evaluation (READ_ROWS in network.pxi), so that sums have the same bits.
BLOCK_ROWS = 4096


class GatheredRows:
    """A matrix (n, columns) that is never in memory as a whole.

    Fits by `Steps` take it as X, also of their validation data. Losses that are Python functions, shards and
    checkpoints do not, and neither does any other call.

    Attributes
    ----------
    shape : (int, int)
    """

    shape: tuple[int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self.some(np.array([row]))[0])

    def write(self, index: np.ndarray, out: np.ndarray) -> None:
        """Write the rows of these numbers (m,) to `out`, float32 (m, columns)."""
        raise NotImplementedError

    def some(self, index: np.ndarray) -> np.ndarray:
        """The rows of these numbers (m,), as float32 (m, columns)."""
        out = np.empty((len(index), self.shape[1]), np.float32)
        self.write(index, out)
        return out


def gathered_blocks(
    x: GatheredRows,
    targets: np.ndarray,
    weights: np.ndarray | None,
    index: np.ndarray | None,
    batch: int,
) -> Iterator[tuple[int, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray | None]]]:
    """The rows of a pass, some mini-batches at a time.

    Parameters
    ----------
    x, targets, weights : GatheredRows, ndarray, ndarray or None
        As in `Rows`; labels may also be unsigned, in less memory.
    index : ndarray of int, shape (m,), or None
        The rows in their order; None is all of them.
    batch : int
        The rows of a mini-batch; blocks hold whole ones.

    Yields
    ------
    (int, ndarray, Rows)
        The place of the block in the pass, the numbers of its rows, and these rows, in memory that the next
        block uses again.
    """
    count = len(x) if index is None else len(index)
    size = max(1, BLOCK_ROWS // batch) * batch
    space = np.empty((min(size, count), x.shape[1]), np.float32)
    for start in range(0, count, size):
        stop = min(start + size, count)
        rows = np.arange(start, stop) if index is None else index[start:stop]
        block = space[: stop - start]
        x.write(rows, block)
        own = targets[rows]
        if own.dtype.kind == "u":
            own = own.astype(np.int64)  # as C reads labels
        yield start, rows, (block, own, None if weights is None else weights[rows])
