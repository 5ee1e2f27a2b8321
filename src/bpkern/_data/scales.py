"""Columns of X with numbers so large that training is slow or fails: one warning that names them."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .gathered import GatheredRows
from .sparse import SparseRows

# A column whose root mean square is greater counts as large: 0 to 16, as in scikit-learn's digits, is not.
LARGE = 30.0

# A few rows show whether any number is large; these columns are then measured on more of them.
GLANCE, MOST = 16, 1000

# Columns that the message names.
NAMED = 4


def warn_of_large_columns(
    X: Any,
    x: np.ndarray | SparseRows | GatheredRows,
    codes: Sequence[int] = (),
    with_sizes: bool = True,
) -> None:
    """Warn if columns of X are large. Sparse and gathered rows are not looked at.

    Parameters
    ----------
    X : array_like
        As the caller has given it: a table has names of columns.
    x : ndarray, shape (n, in), or SparseRows or GatheredRows
        The same numbers as rows.
    codes : sequence of int
        Columns that hold codes of categories, whose size means nothing.
    with_sizes : bool
        Whether the largest columns are named, with their sizes. Without, the first are: the folds of a search
        then warn in the same words, which Python shows once.
    """
    if not isinstance(x, np.ndarray):
        return
    few = x[:: max(1, len(x) // GLANCE)].ravel()
    # The sum of squares is the fastest to compute; but it overflows in small integers, and that of many
    # columns may be great without a large one.
    if few.dtype.kind == "f" and few.dot(few) <= LARGE**2 * (few.size // x.shape[1]):
        return
    if few.max() <= LARGE and few.min() >= -LARGE:
        return
    with np.errstate(all="ignore"):
        some = x[:: max(1, len(x) // MOST)].astype(np.float64)
        sizes = np.sqrt(np.square(some).mean(axis=0))
    sizes[list(codes)] = 0.0
    # Neither NaN, which the fit refuses, nor anything else that is no number.
    large = np.flatnonzero(sizes > LARGE)
    if not large.size:
        return
    from .._user_warnings import warn  # few fits need it

    names = list(getattr(X, "columns", ()))
    if len(names) != x.shape[1]:
        names = list(range(x.shape[1]))
    if with_sizes:
        first = large[np.argsort(-sizes[large], kind="stable")][:NAMED]
        listed = ", ".join(f"{names[column]!r} (about {_rounded(sizes[column])})" for column in first)
    else:
        listed = ", ".join(repr(names[column]) for column in large[:NAMED])
    more = ", ..." if large.size > NAMED else ""
    warn(
        f"{large.size} of {x.shape[1]} columns of X hold large numbers: {listed}{more}. Networks train badly "
        "on them: scale each column to mean 0 and deviation 1, by (X - X.mean(axis=0)) / X.std(axis=0), "
        "sklearn.preprocessing.StandardScaler or bpkern.preprocessing.TableEncoder, in training as in "
        "prediction"
    )


def _rounded(size: float) -> str:
    return f"{size:.0f}" if size < 1e6 else f"{size:.1e}"
