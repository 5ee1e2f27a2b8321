"""The parts of the package that the suite runs: lines of Python by coverage.py, branches of C by gcovr.

python tests/attacks/coverage_of_tests.py [--trials N] [--state DIR] [--anew]

A trial is a file of tests. docs/coverage.md has to explain each uncovered line of file loading and error
handling; .attacks/coverage/uncovered.txt lists all uncovered lines.
"""

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from journal import ROOT, STATE, Journal, Missing, attack, main
from suite import FILES, environment, install, run_tests, tests_made

FOLDER = STATE / "coverage"
PAGE = ROOT / "docs" / "coverage.md"

# The Python files that read files, and those that refuse bad input.
LOADING = tuple(
    f"_files/{name}.py" for name in ("container", "npz", "tensors", "text", "state", "checkpoints")
)
REFUSING = ("_checks.py", "_data/rows.py", "_model/settings.py", "_model/parameters.py", "_fit/arguments.py")

# The lines of C that handle errors: about a status, or about refused memory, threads or sizes.
HANDLES_ERRORS = re.compile(
    r"BPK_(OK|NO_MEMORY|BAD_ROW|DIVERGED|OTHER_KERNELS)|\b(status|bad)\b"
    r"|return (NULL|p )|size = -1|overflow|_create"
)

# A library built with counters exports the functions that write them.
DESELECTED = ["tests/package/test_package.py::test_the_extension_exports_its_init_function_alone"]

SETTINGS = f"""
[run]
branch = true
parallel = true
data_file = {FOLDER / "data"}
source_pkgs = bpkern
concurrency = thread, multiprocessing
patch = subprocess

[paths]
source =
    src/bpkern
    */site/bpkern
"""


def build() -> Path:
    """Build with counters, at the lowest optimisation that is fast enough, so that all branches remain."""
    flags = "-O1 --coverage -fprofile-abs-path -fprofile-update=atomic -DBPK_PLAIN_LOOPS=1"
    env = environment(CC="gcc", CFLAGS=flags, LDFLAGS="--coverage")
    return install(FOLDER, env, ["-Ccmake.build-type=Debug"])


def begin() -> None:
    """Remove the counts of earlier runs."""
    for path in (*FOLDER.rglob("*.gcda"), *FOLDER.glob("data.*")):
        path.unlink()


def python_report() -> dict[str, Any]:
    """The report of coverage.py, by file."""
    # Combined into a separate file, so that the data of the trials are kept.
    coverage, out, combined = [sys.executable, "-m", "coverage"], FOLDER / "python.json", FOLDER / "combined"
    where = [f"--rcfile={FOLDER / 'settings'}", f"--data-file={combined}"]
    for command in (
        ["combine", "--keep", "--quiet", *where, *sorted(FOLDER.glob("data.*"))],
        ["json", "--quiet", "--ignore-errors", *where, "-o", out],
    ):
        subprocess.run([*coverage, *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    files = json.loads(out.read_text())["files"]
    return {str(Path(name).relative_to("src/bpkern")): file for name, file in files.items()}


def c_report() -> dict[str, list[dict[str, Any]]]:
    """The lines in gcovr's report, by file."""
    out = FOLDER / "c.json"
    gcovr = [sys.executable, "-m", "gcovr", "--root", ROOT, "--filter", r"csrc/.*", "--json", out]
    merge = ["--merge-mode-functions", "merge-use-line-min", "--gcov-ignore-parse-errors=all"]
    subprocess.run([*gcovr, *merge, FOLDER / "build"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {file["file"]: file["lines"] for file in json.loads(out.read_text())["files"]}


def share(hit: int, all_of_them: int) -> str:
    return f"{100 * hit / max(all_of_them, 1):.1f} % of {all_of_them}"


def python_gaps(report: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name, file in report.items():
        jumps = {start for start, _ in file["missing_branches"]}
        for line in sorted(jumps | set(file["missing_lines"])):
            yield f"src/bpkern/{name}", abs(line)


def c_gaps(report: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, int]]:
    for name, lines in report.items():
        for line in lines:
            if line["count"] == 0 or any(branch["count"] == 0 for branch in line["branches"]):
                yield name, line["line_number"]


def python_lines(report: dict[str, Any], names: tuple[str, ...]) -> str:
    counted = [file["summary"] for name, file in report.items() if not names or name in names]
    return share(sum(one["covered_lines"] for one in counted), sum(one["num_statements"] for one in counted))


def c_branches(report: dict[str, list[dict[str, Any]]], text_of: dict[str, list[str]], errors: bool) -> str:
    branches = [
        branch["count"] > 0
        for name, lines in report.items()
        for line in lines
        if not errors or HANDLES_ERRORS.search(text_of[name][line["line_number"] - 1])
        for branch in line["branches"]
    ]
    return share(sum(branches), len(branches))


@attack(trials=len(FILES))
def coverage_of_tests(journal: Journal) -> str:
    """Each line of file loading and error handling that the tests do not run is explained."""
    for tool in ("coverage", "gcovr"):
        if importlib.util.find_spec(tool) is None:
            raise Missing(tool)
    site = build()
    settings = FOLDER / "settings"
    settings.write_text(SETTINGS)
    if journal.done == 0:
        begin()
    env = environment(PYTHONPATH=str(site))
    for trial in journal:
        command = ["-m", "coverage", "run", f"--rcfile={settings}", "-m", "pytest"]
        failure = run_tests(journal, trial, [*command, *(f"--deselect={test}" for test in DESELECTED)], env)
        if failure:
            journal.fail(trial, f"{FILES[trial]}: {failure}")
    python, c = python_report(), c_report()
    text_of = {name: (ROOT / name).read_text().splitlines() for name in c}
    text_of |= {
        f"src/bpkern/{name}": (ROOT / "src/bpkern" / name).read_text().splitlines() for name in python
    }
    told, listed = PAGE.read_text().replace("\\|", "|"), []
    for name, number in (*python_gaps(python), *c_gaps(c)):
        text = text_of[name][number - 1].strip()
        watched = (
            name.removeprefix("src/bpkern/") in LOADING + REFUSING
            if name.endswith(".py")
            else HANDLES_ERRORS.search(text)
        )
        listed.append(f"{name}:{number}:{'!' if watched else ''} {text}")
        if watched and journal.done == len(FILES) and f"`{text}`" not in told:
            journal.fail(journal.done, f"neither tested nor explained: {name}:{number}: {text}")
    (FOLDER / "uncovered.txt").write_text("\n".join(listed) + "\n")
    return (
        f"{tests_made(journal)}; Python lines: {python_lines(python, ())}, "
        f"of file loading {python_lines(python, LOADING)}; C branches: {c_branches(c, text_of, False)}, "
        f"of error handling {c_branches(c, text_of, True)}"
    )


if __name__ == "__main__":
    main(__file__)
