"""From a table to trained networks: the encoder, the target, the networks of a recipe."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .encoded_rows import EncodedRows
from .frames import Frame, Selected
from .plan import Plan, Rows, Split
from .recipes import HIDDEN, OF_CLASSES, OF_VALUES, Shape
from .table_encoder import TableEncoder
from .training import Trained, train

# A matrix of more bytes is never in memory as a whole: its rows are encoded again in each epoch.
WHOLE_BYTES = 64 << 20

Encoded = TypeVar("Encoded")


class Choices(NamedTuple):
    """What a user chooses of a recipe, checked.

    Attributes
    ----------
    recipe : str
        One of `recipes.OF_CLASSES`.
    by_log_loss : bool
        Whether the probabilities of classes matter more than the most likely class. Then there is no label
        smoothing, and the log loss chooses the epoch, as the authors recommend.
    hidden : tuple of int
    lr : float or None
        The highest learning rate; None is the recipe's.
    categorical, max_categories : various
        As for `TableEncoder`, which checks them.
    """

    recipe: str
    by_log_loss: bool = False
    hidden: tuple[int, ...] = HIDDEN
    lr: float | None = None
    categorical: Any = ()
    max_categories: int | None = None


class FittedTable(NamedTuple):
    """An encoder and the networks trained on its output.

    Attributes
    ----------
    encoder : TableEncoder
    trained : list of Trained
    center, spread : ndarray, shape (out,)
        Values are ``center + spread * outputs``; 0 and 1 for classes.
    """

    encoder: TableEncoder
    trained: list[Trained]
    center: np.ndarray
    spread: np.ndarray

    @property
    def limits(self) -> list[np.ndarray | None]:
        """For each network, the least and the largest values that it predicts: (2, out), or None."""
        return [None if each.limits is None else each.limits.ends for each in self.trained]


def meaning_of_values(center: np.ndarray, spread: np.ndarray, limits: np.ndarray | None) -> dict[str, Any]:
    """The arguments of `TableModel` for a network of one value, from those of `FittedTable`."""
    ends = None if limits is None else (float(limits[0, 0]), float(limits[1, 0]))
    return {"center": float(center[0]), "spread": float(spread[0]), "limits": ends}


def fit_table(
    frames: Sequence[Frame],
    y: np.ndarray,
    weights: np.ndarray | None,
    splits: Sequence[Split],
    classes: int | None,
    choices: Choices,
    plan: Plan,
    seed: int,
) -> FittedTable:
    """Encode a table, and train networks on it.

    Parameters
    ----------
    frames : sequence of Frame
        One, or a second one of validation rows, which count on from those of the first. The encoder is fitted
        to the rows of the first that any network trains on.
    y : ndarray, shape (n,) or (n, out)
        Class numbers, or values as float64.
    weights : ndarray, shape (n,), or None
    splits : sequence of Split
    classes : int or None
        The number of classes; None for values.
    choices : Choices
    plan : Plan
    seed : int

    Raises
    ------
    ValueError, TypeError
        As `TableEncoder`, and if no column varies.
    DivergedError, KeyboardInterrupt
        As `train`.
    """
    recipe = (OF_VALUES if classes is None else OF_CLASSES)[choices.recipe]
    if choices.lr is not None:
        recipe = recipe.but(lr=choices.lr)
    if choices.by_log_loss:
        recipe = recipe.but(label_smoothing=0.0, monitor="val_loss")
    encoder = TableEncoder(
        categorical=choices.categorical,
        max_one_hot=recipe.max_one_hot,
        max_categories=choices.max_categories,
    )
    basis = _rows_of(splits)
    _fit_encoder(encoder, frames[0], basis)
    X = _encoded(encoder, frames)
    if not X.shape[1]:
        raise ValueError(f"no column varies in the {len(basis)} rows that are trained on")
    outputs = classes or (1 if y.ndim == 1 else y.shape[1])
    center, spread = np.zeros(outputs), np.ones(outputs)
    values = None
    if classes is None:
        values = y
        center, spread = _moments(y[basis], None if weights is None else weights[basis], outputs)
    del basis  # as large as a column
    loss = "mse" if classes is None else "cross_entropy"
    numbers, codes = encoder.__bpkern_numbers__(), encoder.codes_
    shape = Shape(X.shape[1], outputs, choices.hidden, loss, numbers, codes)

    def scale(values: np.ndarray) -> np.ndarray:
        """Values of mean 0 and deviation 1, as float64."""
        found = values - (center if values.ndim == 2 else center[0])
        found /= spread if values.ndim == 2 else spread[0]
        return found

    if values is not None:
        y = scale(values).astype(np.float32)
    rows = Rows(X, y, weights, values, None if values is None else scale)
    return FittedTable(encoder, train(recipe, shape, rows, splits, plan, seed), center, spread)


def _fit_encoder(encoder: TableEncoder, frame: Frame, basis: np.ndarray) -> None:
    try:
        encoder.fit(Selected(frame, basis))
    except (TypeError, ValueError):
        encoder.fit(frame)  # whose message has the number of the row in the whole table
        raise


def _rows_of(splits: Sequence[Split]) -> np.ndarray:
    """The rows that any network trains on, in ascending order."""
    used = np.zeros(1 + max(int(split.training.max()) for split in splits), bool)
    for split in splits:
        used[split.training] = True
    return np.flatnonzero(used)


def _encoded(encoder: TableEncoder, frames: Sequence[Frame]) -> np.ndarray | EncodedRows:
    """The rows of all tables, as a matrix if it is not too large."""
    rows, width = sum(frame.rows for frame in frames), len(encoder.__bpkern_sources__())
    if rows * width * np.dtype(np.float32).itemsize > WHOLE_BYTES:
        return EncodedRows(_each(encoder.__bpkern_table__, frames))
    parts = _each(encoder.__bpkern_matrix__, frames)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _each(encode: Callable[[Frame], Encoded], frames: Sequence[Frame]) -> list[Encoded]:
    """Each table encoded. Errors of those behind the first one name `X_val`."""
    found = [encode(frames[0])]
    try:
        return found + [encode(frame) for frame in frames[1:]]
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"X_val: {error}") from None


def _moments(y: np.ndarray, weights: np.ndarray | None, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column; 1 if the deviation is 0. Overwrites `y`."""
    y = y.reshape(len(y), outputs)
    varies = (y != y[0]).any(axis=0)
    # In units of the largest number, squares neither overflow nor underflow.
    unit = np.maximum(y.max(axis=0), -y.min(axis=0))
    unit[unit == 0] = 1.0
    y /= unit
    center = np.average(y, axis=0, weights=weights)
    y -= center
    np.square(y, out=y)
    spread = np.sqrt(np.average(y, axis=0, weights=weights)) * unit
    return center * unit, np.where(varies & (spread > 0), spread, 1.0)
