"""Checks of X, y and sample_weight. The kernels read the resulting arrays.

Numeric X and y of values are views of the caller's memory, whose values may change during a call. Labels and
weights are copied, and the copies checked: labels are indices in the kernels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _core
from .._model.settings import Settings
from .gathered import GatheredRows
from .interchange import as_numeric
from .sparse import SparseRows, sparse_rows

# Checked X (n, in), y, and float64 weights (n,) or None. y is int64 labels (n,), for cross_entropy only; or
# numbers of any real dtype (n, out); or, for a loss that is a Python function, numbers of any shape (n, ...).
Rows = tuple[np.ndarray | SparseRows | GatheredRows, np.ndarray, np.ndarray | None]

# The sum of a row of class probabilities may differ from 1 by this much: enough for half precision.
SUM_TOLERANCE = 1e-3


def as_rows(X: Any, width: int, gathered: bool = False) -> np.ndarray | SparseRows | GatheredRows:
    """X of shape (n, width), of any real dtype and strides, or sparse, or if asked for `GatheredRows`.

    Raises ValueError or TypeError for others.
    """
    x: np.ndarray | SparseRows | GatheredRows
    is_array = type(X) is np.ndarray  # of which hasattr is slow
    if not is_array and hasattr(X, "tocsr"):
        x = sparse_rows(X)
    elif not is_array and isinstance(X, GatheredRows):
        if not gathered:
            raise TypeError("this call needs X as an array: rows that are gathered are for fits")
        x = X
    else:
        x = as_numeric("X", X)
    if len(x.shape) != 2:
        reshaped = "X.reshape(-1, 1)" if width == 1 else f"X.reshape(1, {width}), for one row"
        hint = f": {reshaped}" if len(x.shape) == 1 else ""
        raise ValueError(f"X must have 2 dimensions, (rows, {width}), not shape {x.shape}{hint}")
    if x.shape[1] != width:
        raise ValueError(f"X must have {width} columns, the size of the first layer, not {x.shape[1]}")
    return x


def as_targets(y: Any, rows: int, settings: Settings, gathered: bool = False) -> np.ndarray:
    """y in the form of `Rows`; `gathered` is whether X is `GatheredRows`. Raises ValueError or TypeError."""
    width = settings.layers[-1]
    if y is None:
        raise ValueError(f"y must be given with the {rows} rows of X: only batches (X, y) have their own")
    targets = as_numeric("y", y)
    if (targets.ndim not in (1, 2) and not (settings.custom_loss and targets.ndim)) or targets.shape[:1] != (
        rows,
    ):
        raise ValueError(f"y must have as many rows as X, {rows}, not shape {targets.shape}")
    if settings.custom_loss:
        return targets
    if settings.loss == "cross_entropy" and targets.ndim == 1:
        return _labels(targets, width, gathered)
    if targets.ndim == 1 and width == 1:
        targets = targets.reshape(-1, 1)
    if targets.shape != (rows, width):
        also = {"cross_entropy": f" or labels ({rows},)"}.get(
            settings.loss, f" or ({rows},)" if width == 1 else ""
        )
        is_column = settings.loss == "cross_entropy" and targets.shape[1:] == (1,)
        hint = ": y.ravel(), for labels" if is_column else ""
        if settings.loss != "cross_entropy" and targets.shape == (rows,) and _may_be_labels(targets, width):
            hint = ": for labels, loss='cross_entropy'"
        raise ValueError(f"y must have shape {(rows, width)}{also}, not {targets.shape}{hint}")
    if settings.loss in ("cross_entropy", "binary_cross_entropy") and targets.size:
        lowest, highest = targets.min(), targets.max()
        if not (lowest >= 0 and highest <= 1 + SUM_TOLERANCE):
            raise ValueError(f"y must hold values from 0 to 1, not from {lowest} to {highest}")
        if settings.loss == "binary_cross_entropy" and highest > 1:
            raise ValueError(f"y must hold values from 0 to 1, not up to {highest}")
    if settings.loss == "poisson" and (targets < 0).any():
        raise ValueError(f"y must hold values of at least 0, not from {targets.min()}")
    if settings.loss in ("hinge", "squared_hinge") and not (np.abs(targets) == 1).all():
        wrong = targets[np.abs(targets) != 1][0]
        raise ValueError(
            f"y must hold 1 and -1 for {settings.loss}, not {wrong}: 2 * y - 1 makes them of 0 and 1"
        )
    if settings.loss == "cross_entropy":
        sums = targets.sum(axis=1, dtype=np.float64)
        wrong = np.flatnonzero(np.abs(sums - 1) > SUM_TOLERANCE)
        if wrong.size:
            raise ValueError(f"each row of y must sum to 1: row {wrong[0]} sums to {sums[wrong[0]]:g}")
    return targets


def is_1d(y: Any) -> bool:
    """Whether y, which `as_targets` has accepted, has one dimension."""
    # np.ndim is slow compared with a small step.
    if type(y) is np.ndarray:
        return y.ndim == 1
    ndim = np.ndim(y)
    return type(ndim) is int and ndim == 1  # a user's object may have any ndim, and files hold only bools


def _labels(targets: np.ndarray, classes: int, gathered: bool) -> np.ndarray:
    """Labels (n,) of any real dtype as a new int64 array. ValueError unless from 0 to classes - 1.

    With gathered rows, unsigned labels stay as narrow as they are: `gathered_blocks` widens them.
    """
    labels = np.array(targets, order="C")  # from here on, nobody else can change them
    if _core.are_labels(labels, classes):  # NumPy's checks take longer than a small step
        return labels
    if labels.dtype.kind == "f":
        wrong = np.flatnonzero(~(labels == np.floor(labels)) | np.isinf(labels))
        if wrong.size:
            raise ValueError(f"labels must be whole numbers: row {wrong[0]} of y is {labels[wrong[0]]}")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels must be from 0 to {classes - 1}, as the last layer, "
            f"not from {labels.min():g} to {labels.max():g}{_label_hint(labels, classes)}"
        )
    return labels if gathered and labels.dtype.kind == "u" else labels.astype(np.int64, copy=False)


def _may_be_labels(targets: np.ndarray, classes: int) -> bool:
    """Whether targets, one per row, are numbers of that many classes."""
    return bool(np.isin(targets, np.arange(classes)).all())


def _label_hint(labels: np.ndarray, classes: int) -> str:
    """What the labels, which are out of range, were meant for; empty if that is not known."""
    lowest, highest = labels.min(), labels.max()
    if classes == 1 and lowest == 0 and highest == 1:
        return (
            ": for yes or no in one output, loss='binary_cross_entropy'; "
            "for cross_entropy, one output per class"
        )
    if lowest == 1 and highest == classes:
        return ": classes are counted from 0, y - 1"
    if len(np.unique(labels)) <= classes:
        return ": classes are counted from 0, numpy.unique(y, return_inverse=True)[1]"
    return ""


def as_sample_weight(
    sample_weight: Any, rows: int, is_part: bool = False, has_scale: bool = False
) -> np.ndarray | None:
    """sample_weight as a new float64 array (n,), or None.

    The weights are scaled by a power of two, except with `is_part` or `has_scale`.

    Parameters
    ----------
    sample_weight : array_like or None
    rows : int
    is_part : bool
        The rows are some of more rows, whose weights have the same scale. They may all be 0.
    has_scale : bool
        The sum of the weights has a meaning, as with `Conventions.penalty_per_weight`.

    Raises
    ------
    ValueError, TypeError
        For another shape, and for weights that are not finite numbers of at least 0, or are all 0.
    """
    if sample_weight is None:
        return None
    given = as_numeric("sample_weight", sample_weight)
    if given.shape != (rows,):
        raise ValueError(f"sample_weight must have shape ({rows},), one per row, not {given.shape}")
    with np.errstate(over="ignore", under="ignore"):
        weights = np.array(given, np.float64, order="C")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        row = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))[0]
        raise ValueError(f"sample_weight must be finite and at least 0: row {row} has {given[row]}")
    if is_part:
        return weights
    if not weights.any():
        raise ValueError("sample_weight must not be 0 in every row")
    if has_scale:
        with np.errstate(over="ignore"):
            if not np.isfinite(weights.sum()):
                raise ValueError("sample_weight must have a finite sum")
        return weights
    # Scaled by a power of two, so that sums cannot overflow; that changes no bit of a weighted mean.
    with np.errstate(under="ignore"):
        return np.asarray(np.ldexp(weights, -np.frexp(weights.max())[1]))


def read_rows(X: Any, y: Any, sample_weight: Any, settings: Settings, is_part: bool = False) -> Rows:
    """The arguments of `fit` and `evaluate` as Rows, at least one row; `is_part` as in `as_sample_weight`."""
    return _with_targets(_some_rows(X, settings.layers[0]), y, sample_weight, settings, is_part)


def rows_to_fit(X: Any, y: Any, sample_weight: Any, settings: Settings) -> Rows:
    """As `read_rows`; X may be `GatheredRows`."""
    return _with_targets(_some_rows(X, settings.layers[0], gathered=True), y, sample_weight, settings, False)


def _with_targets(
    x: np.ndarray | SparseRows | GatheredRows, y: Any, sample_weight: Any, settings: Settings, is_part: bool
) -> Rows:
    weights = as_sample_weight(sample_weight, len(x), is_part, settings.conventions.penalty_per_weight)
    return x, as_targets(y, len(x), settings, isinstance(x, GatheredRows)), weights


def _some_rows(X: Any, width: int, gathered: bool = False) -> np.ndarray | SparseRows | GatheredRows:
    """As `as_rows`, and at least one row."""
    x = as_rows(X, width, gathered)
    if len(x) == 0:
        raise ValueError("X has no rows")
    return x


def owned(data: Rows) -> Rows:
    """The same rows in memory that nobody else writes into."""
    x, targets, weights = data
    assert not isinstance(x, GatheredRows)
    return x.copy(), targets.copy(), weights


class Reader:
    """`rows_to_fit` for several fits of the same data: the same object is checked and converted once."""

    def __init__(self) -> None:
        # By id of the source object and kind of result: the source, kept alive so that no other object gets
        # its id, and the result.
        self._made: dict[tuple[Any, ...], tuple[Any, Any]] = {}

    def __call__(self, X: Any, y: Any, sample_weight: Any, settings: Settings) -> Rows:
        x = self.rows(X, settings.layers[0])
        has_scale, gathered = settings.conventions.penalty_per_weight, isinstance(x, GatheredRows)
        return (
            x,
            self._once(
                lambda: as_targets(y, len(x), settings, gathered),
                y,
                ("y", len(x), settings.loss, settings.layers[-1], gathered),
            ),
            self._once(
                lambda: as_sample_weight(sample_weight, len(x), has_scale=has_scale),
                sample_weight,
                ("weights", len(x), has_scale),
            ),
        )

    def rows(self, X: Any, width: int) -> np.ndarray | SparseRows | GatheredRows:
        """The result of `as_rows`, with at least one row."""
        x: np.ndarray | SparseRows | GatheredRows
        x = self._once(lambda: _some_rows(X, width, gathered=True), X, ("X", width))
        return x

    def _once(self, make: Callable[[], Any], given: Any, kind: tuple[Any, ...]) -> Any:
        """The result of `make` for the object `given`, from the first call with this object and kind."""
        key = id(given), kind
        if key not in self._made:
            self._made[key] = given, make()
        return self._made[key][1]


def classes_of(targets: np.ndarray, settings: Settings) -> np.ndarray | None:
    """The class of each row, for stratified splits and class weights: int64 or bool, shape (n,).

    None if rows have no single class: for values, several binary outputs, and Python functions as the loss.
    """
    if settings.custom_loss:
        return None
    if targets.ndim == 1:
        return targets
    if settings.loss == "cross_entropy":
        return np.asarray(targets.argmax(axis=1))
    if settings.loss == "binary_cross_entropy" and targets.shape[1] == 1:
        return np.asarray(targets[:, 0] > 0.5)
    return None


def bad_row(
    data: tuple[np.ndarray | SparseRows | GatheredRows, np.ndarray | None, Any],
    row: int,
    settings: Settings,
) -> ValueError:
    """The error for a row of (X, y, ...) that is not finite in the model's dtype, or has an index, a label or
    a category out of range. y is None if it is not read."""
    dtype, classes, stage = settings.dtype, settings.layers[-1], settings.stage
    (x, y), name = data[:2], "X"
    try:
        values = x.row(row, x.dtype) if isinstance(x, SparseRows) else x[row]
        cast = x.row(row, dtype) if isinstance(x, SparseRows) else _cast(values, dtype)
    except IndexError as error:
        return ValueError(f"X holds a column index out of range at row {row}: {error}")
    wrong_code = stage.wrong_code(cast) if stage is not None and np.isfinite(cast).all() else None
    if wrong_code is not None:
        return ValueError(f"X holds a wrong code at row {row}, {wrong_code}")
    if y is not None and y.ndim == 2 and np.isfinite(cast).all():
        name, values, cast = "y", y[row], _cast(y[row], dtype)
    wrong = np.flatnonzero(~np.isfinite(cast))
    if not wrong.size:
        if y is not None and y.ndim == 1 and not 0 <= y[row] < classes:
            return ValueError(f"labels must be from 0 to {classes - 1}: row {row} of y is {y[row]}")
        return ValueError(f"row {row} was changed while it was read")
    value = values[wrong[0]]
    kind = f"too large for {dtype.name}" if np.isfinite(value) else "no finite number"
    return ValueError(f"{name} holds {value} at row {row}, column {wrong[0]}: {kind}")


def _cast(row: np.ndarray, dtype: "np.dtype[Any]") -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        return row.astype(dtype)
