"""The test suite in random order.

python tests/attacks/random_order.py [--trials N]
"""

import importlib.util
import os
import re
import subprocess
import sys

from journal import ROOT, Journal, Missing, attack, main

COUNTS = re.compile(r"\b(\d+) (passed|failed|skipped|xfailed|error)")


@attack(trials=5)
def random_order(journal: Journal) -> str:
    """The tests pass in any order: none depends on the effects of another."""
    if importlib.util.find_spec("random_order") is None:
        raise Missing("pytest-random-order is not installed")
    options = ["-q", "-p", "no:cacheprovider", "--random-order-bucket=global"]
    for trial in journal:
        seed = 1000 * journal.seed + trial
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, f"--random-order-seed={seed}"],
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
        )
        last = done.stdout.rstrip().rpartition("\n")[2]
        counts = {what: int(number) for number, what in COUNTS.findall(last)}
        for what in ("passed", "skipped"):
            journal.keep(what, max, counts.get(what, 0))
        if done.returncode:
            told = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
            journal.fail(trial, f"--random-order-seed={seed}: " + ("; ".join(told) or last or done.stderr))
    return "{passed} tests a trial, {skipped} skipped".format(**journal.figures)


if __name__ == "__main__":
    main(__file__)
