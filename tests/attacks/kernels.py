"""Attacks on the kernels: by a C program that computes the expected results itself, and by NumPy.

The program, kernels.c and its parts, is built in .attacks/build. Each trial runs on every instruction set
that this processor has, in float32 and float64.
"""

import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
from journal import ROOT, STATE, Journal, Missing, attack, main

BUILD = STATE / "build"
TARGET = "attack_kernels"

# The program's exit status after a signal.
CRASHED = 3


@functools.cache
def program() -> Path:
    """Build the program and return its path."""
    commands = (
        ["cmake", "-S", ROOT, "-B", BUILD, "-DBPKERN_ATTACKS=ON", "-DBPKERN_PYTHON=OFF"],
        ["cmake", "--build", BUILD, "--target", TARGET, "--parallel"],
    )
    for command in commands:
        try:
            made = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise Missing("cmake, to build the program with") from None
        if made.returncode:
            raise RuntimeError(f"{command}: {made.stdout}{made.stderr}")
    return BUILD / TARGET


def read(journal: Journal, lines: list[str]) -> None:
    """Put the program's reports into the journal."""
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind in ("fail", "crash"):
            trial, _, how = rest.partition(" ")
            journal.fail(int(trial), how)
        elif kind in ("largest", "counted"):
            name, _, value = rest.rpartition(" ")
            journal.keep(name, max if kind == "largest" else lambda a, b: a + b, float(value))
        elif kind in ("ran", "missing"):
            journal.keep(kind, lambda a, b: a if b in a.split(", ") else f"{a}, {b}", rest)


def run_trials(journal: Journal, name: str, trials: range, command: list[str | Path]) -> None:
    """Run these trials of one of the program's attacks by `command`. After a crash the next trial follows."""
    first = trials.start
    while first < trials.stop:
        options = [name, "--from", first, "--count", trials.stop - first, "--seed", journal.seed]
        made = subprocess.run(map(str, [*command, *options]), capture_output=True, text=True, check=False)
        lines = made.stdout.splitlines()
        read(journal, lines)
        if made.returncode == CRASHED:
            first = int(lines[-1].split()[1]) + 1
        elif made.returncode in (0, 1) and lines[-1:] == ["done"]:
            break
        else:
            raise RuntimeError(f"{command}, {options} ended with {made.returncode}: {made.stderr}")


def make(journal: Journal, name: str, size: int) -> None:
    """Run the trials of one of the program's attacks, `size` per call: that takes seconds, after which the
    journal is written."""
    for trials in journal.chunks(size):
        run_trials(journal, name, trials, [program()])


def told(journal: Journal, text: str = "") -> str:
    """The result in words."""
    products = ("forward", "delta", "update")
    errors = [f"{name} {journal.figures[name]:.2f}" for name in products if journal.figures.get(name)]
    parts = [journal.figures.get("ran", "nothing ran")] + ([text] if text else [])
    if errors:
        parts.append(f"largest errors as parts of the bound: {', '.join(errors)}")
    if "too large for float32" in journal.figures:
        parts.append(f"{journal.figures['too large for float32']:.0f} nets too large for float32")
    if "missing" in journal.figures:
        parts.append(f"NOT RUN HERE: {journal.figures['missing']}")
    return "; ".join(parts)


@attack(trials=26162)
def boundaries(journal: Journal) -> str:
    """Products are within the design's bound at all M, N, K around every vector and tile boundary.

    A trial is one shape, instruction set and dtype, and all three products.
    """
    make(journal, "boundaries", 1000)
    return told(journal)


@attack(trials=5000)
def random_sizes(journal: Journal) -> str:
    """Products are within the design's bound at random sizes from 0 to 70."""
    make(journal, "random_sizes", 500)
    return told(journal)


@attack(trials=500)
def large_sizes(journal: Journal) -> str:
    """Products are within the design's bound at random sizes up to 2048, of at most 2^22 multiplications."""
    make(journal, "large_sizes", 10)
    return told(journal)


@attack(trials=16)
def misalignments(journal: Journal) -> str:
    """Products give the same bits with any operand, or all, 0 to 15 elements off a cache line."""
    make(journal, "misalignments", 1)
    return told(journal, "30 shapes a trial")


@attack(trials=1000)
def integers(journal: Journal) -> str:
    """Products of small integers are exact."""
    make(journal, "integers", 100)
    return told(journal)


@attack(trials=1000)
def integer_nets(journal: Journal) -> str:
    """A step of a net of small integers is exact, on every path that its products may take."""
    make(journal, "integer_nets", 50)
    return told(journal)


@attack(trials=10000)
def special_values(journal: Journal) -> str:
    """NaN and infinities at random places appear where plain sums have them; the rest is within its bound."""
    make(journal, "special_values", 500)
    return told(journal)


@attack(trials=10000)
def numpys_special_values(journal: Journal) -> str:
    """NaN and infinities at random places appear in results of bpkern.kernels where NumPy's have them."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    from helpers import EXACT, NEED_Z, using

    from bpkern import _core, kernels, reference

    def compare(trial: int, what: str, got: np.ndarray, wanted: np.ndarray) -> None:
        for name, kind in (("NaN", np.isnan), ("infinity", np.isposinf), ("minus infinity", np.isneginf)):
            if not np.array_equal(kind(got), kind(wanted)):
                journal.fail(trial, f"{what}: {name} elsewhere than NumPy's")

    for trial in journal:
        rng = journal.generator(trial)
        m, n, k = rng.integers(1, 40, 3)
        dtype = rng.choice(list(EXACT))
        activation = str(rng.choice(_core.ACTIVATIONS))
        operands = [rng.standard_normal(shape).astype(dtype) for shape in ((m, k), (n, k), (n,), (m, n))]
        for _ in range(rng.integers(1, 4)):
            spoilt = operands[rng.integers(4)]
            spoilt.flat[rng.integers(spoilt.size)] = rng.choice([np.nan, np.inf, -np.inf])
        x, w, b, delta = operands
        with np.errstate(all="ignore"):
            a = reference.linear_forward(x, w, b, activation)
            below = reference.delta_backward(delta, w, x, "identity")
            w_after, b_after = w.copy(), b.copy()
            reference.sgd_update(w_after, b_after, delta, x, 0.5)
            # At an infinite z these activations have limits, while NumPy's formulas give infinity times 0.
            finite = activation not in NEED_Z or not np.isinf(x @ w.T + b).any()
        for isa in _core.available_isas():
            with using(isa):
                if finite:
                    compare(trial, f"forward {isa}", kernels.linear_forward(x, w, b, activation), a)
                compare(trial, f"delta {isa}", kernels.delta_backward(delta, w, x, "identity"), below)
                w_new, b_new = w.copy(), b.copy()
                kernels.sgd_update(w_new, b_new, delta, x, 0.5)
                compare(trial, f"update of w {isa}", w_new, w_after)
                compare(trial, f"update of b {isa}", b_new, b_after)
    return ", ".join(_core.available_isas())


@attack(trials=2000)
def scratch(journal: Journal) -> str:
    """Scratch memory that holds NaN changes no bit of a forward product."""
    make(journal, "scratch", 200)
    return told(journal)


@attack(trials=500)
def net_scratch(journal: Journal) -> str:
    """NaN in all scratch memory of a net before each step changes no bit of training and prediction."""
    make(journal, "net_scratch", 10)
    return told(journal)


@attack(trials=2000)
def fences(journal: Journal) -> str:
    """Products touch nothing outside operands between pages without access, and give the same bits."""
    make(journal, "fences", 200)
    return told(journal)


@attack(trials=2000)
def table_fences(journal: Journal) -> str:
    """All kernels of the private table touch nothing outside such operands and give the same bits."""
    make(journal, "table_fences", 200)
    return told(journal)


@attack(trials=300)
def net_fences(journal: Journal) -> str:
    """Whole steps and predictions touch nothing outside data, stores and scratch memory so fenced."""
    make(journal, "net_fences", 10)
    return told(journal)


if __name__ == "__main__":
    main(__file__)
