"""The report of `bpkern fit`: one HTML page that loads nothing."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._seeing.curves import panels_of
from .._seeing.curves_drawing import picture
from .._seeing.markup import Markup, element
from .._seeing.page import shell
from . import scores
from .experiment import Outcome
from .importance import REPEATS, importances
from .reading import Table, described, kind_of
from .report_drawing import bars, scatter
from .scores import Scores

# The most classes of a confusion matrix.
MOST_CLASSES = 30


def page_of(
    outcome: Outcome, table: Table, names: Sequence[str], y: np.ndarray, rng: np.random.Generator
) -> Markup:
    """The page.

    Parameters
    ----------
    outcome : Outcome
        Of a model that was just trained and has its history.
    table : Table
        The file of training.
    names : sequence of str
        The columns that are used.
    y : ndarray, shape (n,)
        Class numbers or values of the test.
    rng : Generator
        For the shuffles of the importances.
    """
    model, encoded, predicted, found, _ = outcome
    history = model.model.history_
    assert history is not None
    target = model.target or "the target"
    columns = {name: list(values) for name, values in history.items()}
    curves, _ = picture(panels_of(columns, history.lr))
    layers = "-".join(map(str, model.model.layers))
    body = [
        element("p", {}, f"Network {layers}, trained on {table.path}, measured on {len(y):,} other rows."),
        _heading("Scores"),
        _scores(found),
        _heading("Learning curves"),
        element("div", {"class": "view"}, curves),
    ]
    if model.classes_ is None:
        loss = scores.RMSE
        plot = element("div", {"class": "view"}, scatter(y, predicted, target))
        body += [_heading("Predictions"), plot]
    else:
        loss = scores.LOG_LOSS
        body += [_heading("Confusion"), *_confusion(model.classes_.tolist(), y, predicted.argmax(axis=1))]
    what = (
        f"How much the {loss} rises if a column is shuffled among the rows; mean and deviation of {REPEATS} "
        "shuffles. Of two columns that say the same, each counts little."
    )
    drawn = bars(importances(model, encoded, y, list(names), rng), loss)
    body += [
        _heading("Importance of the columns"),
        element("p", {}, what),
        element("div", {"class": "view"}, drawn),
        _heading("Columns"),
        _columns(table, names, target),
    ]
    return shell(f"{target}: a network for {table.path}", [], before=body)


def _heading(text: str) -> Markup:
    return element("h2", {}, text)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> Markup:
    """A table; all but the first columns, which are words, are numbers."""
    kinds = [None] * words + ["number"] * (len(head) - words)
    top = [
        element("th", {"scope": "col", "class": kind}, text) for kind, text in zip(kinds, head, strict=True)
    ]
    lines = []
    for first, *others in rows:
        cells = [element("td", {"class": kind}, text) for kind, text in zip(kinds[1:], others, strict=True)]
        lines.append(element("tr", {}, element("th", {"scope": "row"}, first), *cells))
    inner = element("thead", {}, element("tr", {}, *top)), element("tbody", {}, *lines)
    return element("div", {"class": "scroll"}, element("table", {}, *inner))


def _scores(found: dict[str, Scores]) -> Markup:
    names = list(next(iter(found.values())))
    rows = [
        (name, *(scores.shown(name, each[name]).replace("-", "−") for each in found.values()))
        for name in names
    ]
    return _table(["", *found], rows)


def _confusion(classes: Sequence[object], y: np.ndarray, predicted: np.ndarray) -> list[Markup]:
    """Counts, a row per true class and a column per predicted one, and the part that was found."""
    if len(classes) > MOST_CLASSES:
        return [element("p", {}, f"{len(classes)} classes are too many for a table.")]
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (y, predicted), 1)
    rows = []
    for place, (label, row) in enumerate(zip(classes, counts, strict=True)):
        part = f"{100 * row[place] / row.sum():.0f} %" if row.sum() else "-"
        rows.append((str(label), *(f"{n:,}" if n else "·" for n in row.tolist()), part))
    text = "A row holds a true class, a column what was predicted."
    return [element("p", {}, text), _table(["true", *map(str, classes), "found"], rows)]


def _columns(table: Table, names: Sequence[str], target: str) -> Markup:
    rows = []
    for name, column in table.columns.items():
        use = "predicted" if name == target else "used" if name in names else "left out"
        rows.append((name, use, kind_of(column), described(column)))
    return _table(["column", "use", "kind", "values"], rows, words=4)
