"""What is to be predicted: classes or values, their rows, and the division of rows into parts."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .frames import Coded
from .reading import Table, no_column

# The most distinct whole numbers that are taken for classes.
MOST_CLASSES = 10

# Rows of at most as many classes are put in order class by class.
FEW_CLASSES = 16

TASKS = ("auto", "classification", "regression")


class Task(NamedTuple):
    """A target.

    Attributes
    ----------
    name : str
        Of its column.
    classes : list or None
        The labels: str, int or float. None for values.
    y : ndarray, shape (rows,)
        Class numbers as int64, or values as float64.
    kept : ndarray
        The rows of the table that have a target.
    """

    name: str
    classes: list[Any] | None
    y: np.ndarray
    kept: np.ndarray


def task_of(table: Table, name: str, kind: str, classes: list[Any] | None = None) -> Task:
    """The target of a table.

    Parameters
    ----------
    table : Table
    name : str
        Of the column.
    kind : str
        One of TASKS. "auto" predicts classes if the column holds texts, two different numbers, or at most 10
        different whole numbers.
    classes : list, optional
        The known labels.

    Raises
    ------
    ValueError
        For a column that is not there, without values, of one value, of texts where values are asked for, and
        of labels that are not known.
    """
    if name not in table.columns:
        raise no_column(table, name)
    column = table.columns[name]
    title = f"{table.path}, column {name!r}"
    if isinstance(column, Coded):
        if kind == "regression":
            raise ValueError(
                f"{title} holds texts such as {column.categories[0]!r}: regression needs numbers"
            )
        kept = np.flatnonzero(column.codes >= 0)
        return _of_labels(table, name, np.array(column.categories, object)[column.codes[kept]], kept, classes)
    if column.dtype.kind != "f":
        raise ValueError(f"{title} holds dates: the target must be of numbers or texts")
    kept = np.flatnonzero(~np.isnan(column))
    values = column[kept]
    distinct = np.unique(values)
    if len(distinct) < 2 and classes is None:
        raise ValueError(f"{title} must hold at least two different values to predict")
    whole = bool((distinct == np.rint(distinct)).all())
    few = len(distinct) == 2 or (whole and len(distinct) <= MOST_CLASSES)
    if kind == "regression" or (kind == "auto" and not few):
        return Task(name, None, values, kept)
    labels = values.astype(np.int64) if whole else values
    return _of_labels(table, name, labels.astype(object), kept, classes)


def _of_labels(
    table: Table, name: str, labels: np.ndarray, kept: np.ndarray, classes: list[Any] | None
) -> Task:
    known = sorted(set(labels.tolist())) if classes is None else classes
    if len(known) < 2:
        raise ValueError(f"{table.path}, column {name!r} must hold at least two different values to predict")
    numbers = {label: number for number, label in enumerate(known)}
    for label, place in zip(labels.tolist(), kept.tolist(), strict=True):
        if label not in numbers:
            shown = ", ".join(map(repr, known[:5])) + ", ..." * (len(known) > 5)
            where = f"{table.path}, column {name!r}, row {table.rows[place]}"
            raise ValueError(f"{where}: {label!r} is no class of fit: {shown}")
    y = np.array([numbers[label] for label in labels.tolist()], np.int64)
    return Task(name, known, y, kept)


def _by_class(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Rows in the order of their classes, and of one class in the order that they have."""
    classes = y.astype(np.min_scalar_type(y.max(initial=0))) if y.dtype.kind == "i" else y
    classes = classes[order]
    count = int(classes.max(initial=0)) + 1
    if count > FEW_CLASSES:
        return np.asarray(order[np.argsort(classes, kind="stable")])
    return np.concatenate([order[classes == number] for number in range(count)])  # in a third of the memory


def split(
    y: np.ndarray, stratify: bool, part: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays of rows in random order, the second of this part of all; of each class in proportion.

    Both have at least one row, if there are two.
    """
    order = np.arange(len(y), dtype=np.int32 if len(y) < 1 << 31 else np.int64)
    rng.shuffle(order)
    if stratify:  # rows at equal steps through the classes in order
        order = _by_class(order, y)
    count = min(max(1, round(part * len(y))), len(y) - 1)
    places = np.floor((np.arange(count) + rng.random()) * len(y) / count).astype(np.int64)
    chosen = np.zeros(len(y), bool)
    chosen[np.minimum(places, len(y) - 1)] = True
    others, own = np.asarray(order[~chosen]), np.asarray(order[chosen])
    rng.shuffle(others)
    rng.shuffle(own)
    return others, own
