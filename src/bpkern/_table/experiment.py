"""A network for a table, trained on some of its rows and measured on others."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from . import scores
from .fitted_table import Choices, FittedTable, fit_table, meaning_of_values
from .importance import MOST_ROWS
from .plan import Plan, Split
from .reading import Table
from .recipes import BATCH, EPOCHS
from .scores import Scores
from .table_model import TableModel
from .task import Task, split

# The parts of the rows that measure the model, and of the others, that choose its epoch.
TEST, VALIDATION = 0.2, 0.15
# The most categories of a column; the others count as unknown.
MOST_CATEGORIES = 100
FEWEST_ROWS = 10


class Parts(NamedTuple):
    """The rows of an experiment.

    Attributes
    ----------
    training, choosing : ndarray
        Positions in the task.
    test : Table
    test_rows, test_y : ndarray
        Rows of `test`, and their targets.
    """

    training: np.ndarray
    choosing: np.ndarray
    test: Table
    test_rows: np.ndarray
    test_y: np.ndarray


class Outcome(NamedTuple):
    """What came of it.

    Attributes
    ----------
    model : TableModel
    encoded : ndarray
        The first rows of the test, at most `importance.MOST_ROWS`.
    predicted : ndarray
        For all of its rows, `TableModel.predict_proba`, or values.
    scores : dict of str to Scores
        "network", the trivial prediction, and "gradient boosting" if it was asked for.
    seconds : float
        Of encoding and training.
    """

    model: TableModel
    encoded: np.ndarray
    predicted: np.ndarray
    scores: dict[str, Scores]
    seconds: float


def parts_of(table: Table, task: Task, other: tuple[Table, Task] | None, rng: np.random.Generator) -> Parts:
    """The rows of a task in three parts; those of another table are the test, if there is one.

    Raises
    ------
    ValueError
        For too few rows.
    """
    stratify = task.classes is not None
    if len(task.y) < FEWEST_ROWS:
        raise ValueError(
            f"{table.path} has {len(task.y)} rows to learn from; at least {FEWEST_ROWS} are needed"
        )
    learning = np.arange(len(task.y))
    if other is None:
        learning, testing = split(task.y, stratify, TEST, rng)
        test = table, task.kept[testing], task.y[testing]
    else:
        test = other[0], other[1].kept, other[1].y
    training, choosing = split(task.y[learning], stratify, VALIDATION, rng)
    return Parts(learning[training], learning[choosing], *test)


def measured(
    table: Table,
    task: Task,
    names: list[str],
    parts: Parts,
    *,
    seconds: float,
    seed: int,
    recipe: str = "td-s",
    compare: bool = False,
    verbose: Any = "auto",
) -> Outcome:
    """Train and measure a network.

    Parameters
    ----------
    table : Table
    task : Task
    names : list of str
        The columns that it gets.
    parts : Parts
    seconds : float
        About the longest time of training.
    seed : int
    recipe : str
        One of `recipes.OF_CLASSES`.
    verbose : various
        As for `MLP.fit`.
    compare : bool
        Whether to measure gradient boosting, which needs scikit-learn.

    Raises
    ------
    ValueError, TypeError, DivergedError
        As `fit_table`.
    """
    began = time.monotonic()
    until = began + seconds
    model = _trained(table, task, names, parts, recipe, until=until, seed=seed, verbose=verbose)
    took = time.monotonic() - began
    encoded = model.encoder.transform(parts.test.frame(names, parts.test_rows[:MOST_ROWS]))
    predicted = model.__bpkern_answers__(parts.test.frame(names, parts.test_rows))
    classes = None if task.classes is None else len(task.classes)
    known = np.concatenate([parts.training, parts.choosing])
    y = task.y[known]
    by = {"network": predicted, trivial_name(task, y): scores.baseline(y, classes, len(parts.test_y))}
    if compare:
        from .rival import boosted

        test = parts.test.columns, parts.test_rows
        by["gradient boosting"] = boosted(
            (table.columns, task.kept[known]), y, test, names, classes, seed=seed
        )
    found = {title: scores.scores_of(parts.test_y, each, classes) for title, each in by.items()}
    return Outcome(model, encoded, predicted, found, took)


def _trained(
    table: Table,
    task: Task,
    names: list[str],
    parts: Parts,
    recipe: str,
    *,
    until: float,
    seed: int,
    verbose: Any,
) -> TableModel:
    rows = np.concatenate([parts.training, parts.choosing])
    count = len(parts.training)
    found = fit_table(
        [table.frame(names, task.kept[rows])],
        task.y[rows],
        None,
        [Split(np.arange(count), np.arange(count, len(rows)))],
        None if task.classes is None else len(task.classes),
        Choices(recipe, by_log_loss=True, max_categories=MOST_CATEGORIES),
        Plan(EPOCHS, BATCH, calibrates=task.classes is not None, until=until, verbose=verbose),
        seed,
    )
    meaning: dict[str, Any] = {"classes": task.classes} if task.classes is not None else _of_values(found)
    return TableModel(found.encoder, found.trained[0].model, target=task.name, **meaning)


def _of_values(found: FittedTable) -> dict[str, Any]:
    return meaning_of_values(found.center, found.spread, found.limits[0])


def trivial_name(task: Task, y: np.ndarray) -> str:
    """The name of the prediction that knows no columns, for rows with these targets."""
    if task.classes is None:
        return "always the mean"
    return f"always {task.classes[int(np.bincount(y).argmax())]!s:.12}"
