"""The tables that `bench/realmlp.py --report` prints.

Less is better for each score. A difference of two methods on a table is the mean of the seeds' differences,
and its standard error that of this mean: all methods had the same rows for a seed. Pooled: the mean over
tables, with the error that follows from the tables' errors.
"""

import math

import numpy as np

PAIRS = [("bpkern td-s", "pytabkit td-s"), ("bpkern td", "pytabkit td")]
RIVALS = ["sklearn MLP", "boosting"]
# The score of the table, and another one. RealMLP's epoch is chosen by the first.
OF_CLASSES, OF_VALUES = ["error", "log_loss", "1-auc"], ["rmse"]
SIGNIFICANT = 2.0


class Scores:
    """The scores of a file's lines, by method, table and seed."""

    def __init__(self, lines):
        self._lines = {(line["method"], line["table"], line["seed"]): line for line in lines}
        self.tables = list(dict.fromkeys(line["table"] for line in lines))
        self.methods = list(dict.fromkeys(line["method"] for line in lines))
        self.seeds = len({line["seed"] for line in lines})

    def any_line(self, table):
        return next(line for (_, name, _), line in self._lines.items() if name == table)

    def of(self, method, table, score):
        """A dictionary from the seed to the score."""
        return {
            seed: line["scores"][score]
            for (own, name, seed), line in self._lines.items()
            if own == method and name == table and score in line["scores"]
        }

    def seconds(self, method, table):
        """The median time of a training; NaN if there is none."""
        found = [
            line["fit_seconds"]
            for (own, name, _), line in self._lines.items()
            if (own, name) == (method, table)
        ]
        return np.median(found) if found else math.nan

    def difference(self, one, other, table, score):
        """Mean and standard error of `one` - `other`; None with fewer than two seeds in common."""
        first, second = self.of(one, table, score), self.of(other, table, score)
        both = sorted(set(first) & set(second))
        if len(both) < 2:
            return None
        each = np.array([first[seed] - second[seed] for seed in both])
        return each.mean(), each.std(ddof=1) / math.sqrt(len(each)), len(each)


def verdict(difference, error):
    """ "better", "worse" or "tie" of the first method."""
    if abs(difference) <= SIGNIFICANT * error:
        return "tie"
    return "better" if difference < 0 else "worse"


def report(lines):
    """Print everything that the lines of a file of results show."""
    scores = Scores(lines)
    for score in [*OF_VALUES, *OF_CLASSES]:
        _means(scores, score)
    for one, other in PAIRS:
        for score in [*OF_VALUES, *OF_CLASSES]:
            _compared(scores, one, other, score)
        _times(scores, one, other)
    for one, _ in PAIRS:
        for rival in RIVALS:
            for score in [*OF_VALUES, *OF_CLASSES]:
                _counted(scores, one, rival, score)


def _means(scores, score):
    print(f"\n{score}, means over the seeds\n")
    print("| table | rows | columns |", " | ".join(scores.methods), "| beside boosting |")
    print("| --- | ---: | ---: |" + " ---: |" * len(scores.methods), "--- |")
    for table in scores.tables:
        line = scores.any_line(table)
        if score not in line["scores"]:
            continue
        cells = []
        for method in scores.methods:
            found = list(scores.of(method, table, score).values())
            missing = f" ({len(found)} seeds)" if 0 < len(found) < scores.seeds else ""
            cells.append(f"{np.mean(found):.3f}{missing}" if found else "-")
        found = scores.difference(PAIRS[0][0], RIVALS[1], table, score)
        cells.append(verdict(*found[:2]) if found else "-")
        print(f"| {table} | {line['training']:,} | {line['columns']} |", " | ".join(cells), "|")


def _compared(scores, one, other, score):
    found = {table: scores.difference(one, other, table, score) for table in scores.tables}
    found = {table: each for table, each in found.items() if each is not None}
    if not found:
        return
    print(f"\n{one} - {other}, {score}")
    for table, (difference, error, seeds) in found.items():
        errors = difference / error if error else 0.0
        print(f"{table:20} {difference:+9.4f} +- {error:7.4f}  {errors:+6.1f} errors, {seeds} seeds")
    differences, errors, _ = np.array(list(found.values())).T
    mean, error = differences.mean(), math.sqrt(np.sum(errors**2)) / len(found)
    print(f"pooled               {mean:+9.4f} +- {error:7.4f}  {mean / error if error else 0:+6.1f} errors")
    verdicts = [verdict(*each[:2]) for each in found.values()]
    print(
        *(f"{word} on {verdicts.count(word)} of {len(found)}" for word in ("better", "tie", "worse")),
        sep=", ",
    )


def _times(scores, one, other):
    """How many times as fast the first method is: a fact only if nothing else ran on the machine."""
    ratios = [scores.seconds(other, table) / scores.seconds(one, table) for table in scores.tables]
    ratios = [ratio for ratio in ratios if ratio > 0]
    if ratios:
        print(
            f"{one} trains {np.median(ratios):.1f} times as fast as {other}: median of {len(ratios)} tables, "
            f"{min(ratios):.1f} to {max(ratios):.1f}"
        )


def _counted(scores, one, other, score):
    found = {table: scores.difference(one, other, table, score) for table in scores.tables}
    verdicts = {table: verdict(*each[:2]) for table, each in found.items() if each is not None}
    if verdicts:
        parts = [f"{word} {list(verdicts.values()).count(word)}" for word in ("better", "tie", "worse")]
        worse = [table for table, each in verdicts.items() if each == "worse"]
        print(f"{one} against {other}, {score}: {', '.join(parts)}", f"({', '.join(worse)})" if worse else "")
