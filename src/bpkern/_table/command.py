"""The commands `bpkern fit`, `predict`, `evaluate` and `show`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import argparse
import csv
import io
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .._files import container
from .._files.replacing import check_place, write_bytes
from ..errors import DivergedError
from . import scores
from .experiment import measured, parts_of, trivial_name
from .frames import Coded
from .reading import Format, Table, described, kind_of, no_column, read_table
from .table_model import TableModel
from .task import Task, task_of

# A column of texts is left out if it has more categories than this and than half of the rows.
NAMING = 50

ERRORS = (ValueError, TypeError, OSError, DivergedError, ModuleNotFoundError)


def run(options: argparse.Namespace) -> int:
    """Run the command of these options; returns the exit status."""
    command: Callable[[argparse.Namespace], None] = COMMANDS[options.command]
    try:
        command(options)
    except ERRORS as error:
        print(f"bpkern {options.command}: {error}", file=sys.stderr)
        return 1
    return 0


def _format(options: argparse.Namespace) -> Format:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(options.delimiter, options.delimiter)
    return Format(options.encoding, delimiter, options.decimal, options.missing)


def _check_output(output: str, *read: str | None) -> None:
    """Raise OSError if no file can be put there, ValueError if it is one that the command reads."""
    check_place(output)
    for path in read:
        if path and os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise ValueError(f"{output} is read by this command: give another file for its output")


# fit -------------------------------------------------------------------------------------------------------


def _fit(options: argparse.Namespace) -> None:
    container.check_path(options.output)
    _check_output(options.output, options.data, options.validation)
    if options.report:
        if os.path.splitext(options.report)[1].lower() != ".html":
            raise ValueError(f"the report's file must end in .html, not {options.report!r}")
        _check_output(options.report, options.data, options.validation)
    table = read_table(options.data, _format(options), dict.fromkeys(options.categorical, "text"))
    task = task_of(table, options.target, options.task)
    names = _inputs(table, task, options)
    _say(_about(table, task, names))
    other = None
    if options.validation:
        kinds = {
            name: "text" if isinstance(table.columns[name], Coded) else "number"
            for name in (*names, task.name)
        }
        test = read_table(options.validation, _format(options), kinds)
        kind = "regression" if task.classes is None else "classification"
        other = test, task_of(test, task.name, kind, task.classes)
    parts = parts_of(table, task, other, np.random.default_rng(options.seed))
    _say(
        f"training on {len(parts.training):,} rows, choosing the best epoch by {len(parts.choosing):,}, "
        f"measuring on {len(parts.test_y):,}{f' of {options.validation}' if options.validation else ''}"
    )
    outcome = measured(
        table,
        task,
        names,
        parts,
        seconds=options.time,
        seed=options.seed,
        recipe=options.recipe,
        compare=options.compare,
    )
    _say(f"{_about_training(outcome.model)}, {outcome.seconds:.1f} s\n")
    _say(scores.text_table(outcome.scores))
    [network, trivial, *_] = outcome.scores
    if not scores.is_better(outcome.scores[network], outcome.scores[trivial]):
        _say(f"\nThe network predicts no better than {trivial!r}: it found nothing in these columns.")
    outcome.model.save(options.output)
    _say(f"\n{options.output} written: bpkern predict {options.output} new.csv -o predictions.csv")
    if options.report:
        from .report import page_of

        page = page_of(outcome, table, names, parts.test_y, np.random.default_rng(options.seed))
        write_bytes(options.report, page.encode())
        _say(f"{options.report} written")


def _about_training(model: TableModel) -> str:
    history = model.model.history_
    assert history is not None
    epochs = len(history["loss"])
    best = epochs if history.best_epoch is None else history.best_epoch + 1
    return f"network {'-'.join(map(str, model.model.layers))}: best epoch {best} of {epochs}"


def _inputs(table: Table, task: Task, options: argparse.Namespace) -> list[str]:
    """The columns that the network gets."""
    for name in (*options.drop, *options.categorical):
        if name not in table.columns:
            raise no_column(table, name)
    names = [
        name
        for name, column in table.columns.items()
        if name != task.name and name not in options.drop and _why_not(name, column) is None
    ]
    if not names:
        raise ValueError(f"{table.path} has no column that can be used, besides the target")
    return names


def _why_not(name: str, column: np.ndarray | Coded) -> str | None:
    """Why a column is no input; None if it is one."""
    kind = kind_of(column)
    if kind in ("date", "empty"):
        return described(column)
    if isinstance(column, Coded):
        count, rows = len(column.categories), len(column.codes)
        if count > NAMING and count > rows / 2:
            return f"{count:,} different texts in {rows:,} rows name the rows"
    return None


def _about(table: Table, task: Task, names: list[str]) -> str:
    """The types that were found, a line per column."""
    width = max(map(len, table.columns))
    lines = [f"{table.path}: {len(table.rows):,} rows, {len(table.columns)} columns"]
    for name, column in table.columns.items():
        kind = kind_of(column)
        if name == task.name:
            what = f"values to predict, {described(column)}"
            if task.classes is not None:
                more = ", ..." if len(task.classes) > 5 else ""
                what = (
                    f"{len(task.classes)} classes to predict: {', '.join(map(str, task.classes[:5]))}{more}"
                )
        elif name not in names:
            what = f"left out: {_why_not(name, column) or 'by --drop'}"
        else:
            what = f"{kind}s, {described(column)}"
        lines.append(f"  {name:<{width}}  {what}")
    gaps = len(table.rows) - len(task.kept)
    if gaps:
        lines.append(f"{gaps:,} rows without {task.name!r} are left out")
    return "\n".join(lines)


# predict, evaluate, show -----------------------------------------------------------------------------------


def _loaded(options: argparse.Namespace, with_target: bool) -> tuple[TableModel, Table, list[str]]:
    """The model, the table with its columns, and their names."""
    forms = tuple(container.FORMATS)
    if options.data.endswith(forms) and not options.model.endswith(forms):
        raise ValueError(f"the model comes first: bpkern {options.command} {options.data} {options.model}")
    model = TableModel.load(options.model)
    names, kinds = columns_and_kinds(model, options.model)
    if with_target:
        if model.target is None:
            raise ValueError(f"{options.model} does not say which column it predicts")
        is_text = model.classes_ is not None and model.classes_.dtype.kind == "O"
        kinds[model.target] = "text" if is_text else "number"
    return model, read_table(options.data, _format(options), kinds), names


def columns_and_kinds(model: TableModel, path: str) -> tuple[list[str], dict[str, str]]:
    """The columns that a model reads, and their kinds for `read_table`. Raises ValueError without names."""
    names = list(getattr(model.encoder, "feature_names_in_", ()))
    if not names:
        raise ValueError(f"{path}: its encoder was fitted to columns without names")
    return names, {name: _expected(kind) for name, kind in _column_kinds(model, names).items()}


def _column_kinds(model: TableModel, names: list[str]) -> dict[str, str]:
    config, _ = model.encoder.__bpkern_plain__()
    return dict(zip(names, config["kinds"], strict=True))


def _expected(kind: str) -> str:
    return "text" if kind in ("text", "boolean") else "number"


def _predict(options: argparse.Namespace) -> None:
    if options.output:
        _check_output(options.output, options.data, options.model)
    model, table, names = _loaded(options, with_target=False)
    predicted = model.__bpkern_answers__(table.frame(names))
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    title = model.target or "prediction"
    if model.classes_ is None:
        writer.writerow([title])
        writer.writerows([f"{value:.7g}"] for value in predicted.reshape(-1).tolist())
    else:
        labels = model.classes_[predicted.argmax(axis=1)].tolist()
        writer.writerow([title, *(f"probability of {label}" for label in model.classes_.tolist())])
        for label, row in zip(labels, predicted.tolist(), strict=True):
            writer.writerow([label, *(f"{value:.6f}" for value in row)])
    if not options.output:
        sys.stdout.write(text.getvalue())
        return
    write_bytes(options.output, text.getvalue().encode())
    _say(f"{options.output} written: {len(predicted):,} rows")


def _evaluate(options: argparse.Namespace) -> None:
    model, table, names = _loaded(options, with_target=True)
    assert model.target is not None
    labels: list[Any] | None = None if model.classes_ is None else model.classes_.tolist()
    task = task_of(table, model.target, "regression" if labels is None else "classification", labels)
    if not len(task.y):
        raise ValueError(f"{table.path} has no value of {model.target!r}")
    predicted = model.__bpkern_answers__(table.frame(names, task.kept))
    classes = None if labels is None else len(labels)
    trivial = scores.baseline(task.y, classes, len(task.y))
    _say(f"{len(task.y):,} rows of {table.path}\n")
    _say(
        scores.text_table(
            {
                "network": scores.scores_of(task.y, predicted, classes),
                f"{trivial_name(task, task.y)} of this file"
                if labels is None
                else trivial_name(task, task.y): (scores.scores_of(task.y, trivial, classes)),
            }
        )
    )


def _show(options: argparse.Namespace) -> None:
    model = TableModel.load(options.model)
    encoder = model.encoder
    names = [str(name) for name in getattr(encoder, "feature_names_in_", range(encoder.n_features_in_))]
    kinds = _column_kinds(model, names)
    width = max(map(len, names))
    if model.classes_ is None:
        what = f"values of {model.target}" if model.target else "values"
    else:
        classes = ", ".join(map(str, model.classes_.tolist()[:8])) + ", ..." * (len(model.classes_) > 8)
        what = f"{model.target or 'the class'}: {classes}"
    lines = [f"predicts {what}", f"from {len(names)} columns, encoded by {encoder!r}:"]
    categories = encoder.categories_
    for place, name in enumerate(names):
        text = "constant in training" if place in encoder.left_out_ else kinds[name]
        if place in categories:
            found = categories[place]
            text += f", {len(found)}: {', '.join(map(str, found[:4]))}{', ...' if len(found) > 4 else ''}"
        lines.append(f"  {name:<{width}}  {text}")
    # A network of "td-s" has been put together anew: its optimiser has trained nothing.
    summary = [line for line in str(model.model.summary()).splitlines() if not line.startswith("Optimiser:")]
    _say("\n".join([*lines, "", *summary]))


def _say(text: str) -> None:
    """Print a text; a terminal that lacks a letter shows another in its place."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


COMMANDS = {"fit": _fit, "predict": _predict, "evaluate": _evaluate, "show": _show}
