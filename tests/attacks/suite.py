"""The files of tests, and builds of the package to run them on, for the attacks that run the suite."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from journal import ROOT, Journal, Missing

# The tests that reach C in most ways come first; teams, which sanitizers slow down most, after them.
REACHING_C = (
    "kernels/test_kernels.py",
    "trainer/test_blocks.py",
    "model/test_by_hand.py",
    "trainer/test_updates.py",
    "data/test_inputs.py",
    "trainer/test_dropout.py",
    "fit/test_accumulation.py",
    "data/test_sparse.py",
    "kernels/test_losses.py",
    "kernels/test_activations.py",
    "model/test_custom_loss.py",
    "reference/test_agreement.py",
    "model/test_conventions.py",
    "data/test_bad_input.py",
    "threads/test_threads.py",
)

TESTS = ROOT / "tests"
FOUND = {path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py")}
FILES = [*REACHING_C, *sorted(FOUND.difference(REACHING_C))]

# The tests of the package in several threads; the last one takes the longest.
WITH_THREADS = [
    "fit/test_many.py",
    "fit/test_streams.py",
    "threads/test_sharing.py",
    "threads/test_fewer.py",
    "threads/test_threads.py",
]

# pytest's exit status if all tests passed, and if all were skipped.
FINE = (0, 5)


def environment(**more: str) -> dict[str, str]:
    """This environment with the programs beside its Python in PATH, and without settings of sanitizers."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("SAN_OPTIONS")}
    return kept | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"} | more


def make(command: list[str | Path], env: dict[str, str]) -> None:
    """Run a build command and show its warnings."""
    for tool in ("cmake", "ninja"):
        if not shutil.which(tool, path=env["PATH"]):
            raise Missing(f"{tool}, to build with")
    made = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        sys.exit(f"{made.stdout}\n{command[0]} failed")
    for line in made.stdout.splitlines():
        if "warning:" in line:
            print(line, file=sys.stderr)


def install(folder: Path, env: dict[str, str], settings: list[str]) -> Path:
    """Build the package with these settings; return a folder to import it from."""
    site, build = folder / "site", folder / "build"
    pip = [sys.executable, "-m", "pip", "install", "--verbose", "--disable-pip-version-check"]
    plain = ["--no-build-isolation", "--no-deps", "--upgrade", "--target", site]
    make([*pip, *plain, f"-Cbuild-dir={build}", *settings, ROOT], env)
    return site


def run_tests(
    journal: Journal,
    trial: int,
    command: list[str],
    env: dict[str, str],
    files: Sequence[str] = FILES,
    python: str | Path = sys.executable,
) -> str:
    """Run the trial's file of tests and count passed and skipped ones; return how the run failed, or ""."""
    options = ["-q", "-p", "no:cacheprovider", f"--hypothesis-seed={journal.seed}", f"tests/{files[trial]}"]
    made = subprocess.run([python, *command, *options], cwd=ROOT, env=env, capture_output=True, text=True)
    summary = made.stdout.strip().rpartition("\n")[2]
    for number, outcome in re.findall(r"(\d+) (passed|skipped)", summary):
        journal.count(outcome, int(number))
    if made.returncode in FINE:
        return ""
    return f"exit status {made.returncode}\n{made.stdout[-3000:]}{made.stderr[-3000:]}"


def tests_made(journal: Journal) -> str:
    return f"{journal.figures.get('passed', 0)} tests passed, {journal.figures.get('skipped', 0)} skipped"
