"""Training on several ranks of MPI: which rows a rank has, and the error of another rank.

``fit(X, y, shards=8, comm=comm)`` trains on the ranks of a communicator of mpi4py (extra `mpi`). Weights,
history and the optimiser's states are the same to the bit on 1, 2, 4 or 8 ranks, and in one process with
``shards=8`` alone.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any

from . import _checks

__all__ = ["RankError", "own_rows"]


def __dir__() -> list[str]:
    """The public names alone, without imports."""
    return sorted(__all__)


class RankError(RuntimeError):
    """Another rank has failed, and has ended the call on all of them. The model is as of a finished step.

    Parameters
    ----------
    rank : int
        The first rank that has failed.
    error : str
        Its error, as text.

    Attributes
    ----------
    rank : int
        The first rank that has failed. It has raised its own error.
    """

    def __init__(self, rank: int, error: str) -> None:
        super().__init__(f"rank {rank}: {error}")
        self.rank, self._error = rank, error

    def __reduce__(self) -> tuple[type[RankError], tuple[int, str]]:
        return type(self), (self.rank, self._error)


def own_rows(n: int, comm: Any, shards: int | None = None) -> slice:
    """The rows of this rank, of `n` rows in all: those that it gives to `fit`.

    Parameters
    ----------
    n : int
        The number of rows of all ranks, at least 0.
    comm : communicator of mpi4py, or None
        Only its `rank` and `size` are read. None is one process, which has all rows.
    shards : int, optional
        As for `fit`; by default the number of ranks.

    Returns
    -------
    slice
        Consecutive rows: those of the rank's shards. Shards are as equal as possible, the larger ones first.

    Raises
    ------
    ValueError, TypeError
        If the number of ranks does not divide the shards, or there are fewer rows than 0.
    """
    n = _checks.whole("n", n, 0)
    shards, size, rank = checked_shards(shards, comm)
    count = shards // size
    first, last = (
        each * (n // shards) + min(each, n % shards) for each in (rank * count, (rank + 1) * count)
    )
    return slice(first, last)


# More shards would take more time for their sums than for their rows.
MOST_SHARDS = 4096


def checked_shards(shards: Any, comm: Any) -> tuple[int, int, int]:
    """The number of shards, of ranks, and the own rank. Raises ValueError or TypeError."""
    size, rank = 1, 0
    if comm is not None:
        try:
            size, rank = int(comm.size), int(comm.rank)
        except (AttributeError, TypeError, ValueError):
            raise TypeError(
                f"comm must be a communicator of mpi4py, as MPI.COMM_WORLD, or None, not {comm!r}"
            ) from None
    shards = size if shards is None else _checks.whole("shards", shards, 1)
    if shards % size:
        raise ValueError(f"shards must be a multiple of the {size} ranks of comm, not {shards}")
    if shards > MOST_SHARDS:
        raise ValueError(f"shards must be at most {MOST_SHARDS}, not {shards}")
    return shards, size, rank
