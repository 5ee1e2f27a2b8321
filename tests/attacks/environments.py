"""The same bits in every environment: NumPy's and BLAS's choices of code and threads, and the C library's.

python tests/attacks/environments.py [environments] [--trials N]

A trial is an environment. A process in it prints a digest for each row of the table in
docs/reproducibility.md (tests/support/bits.py). A row that may depend on something that the environment
changes is left out: orthogonal weights depend on LAPACK, for instance, and schedules on NumPy's CPU features.
"""

import itertools
import json
import os
import subprocess
import sys

import numpy as np
from journal import ROOT, Journal, attack, main

SUPPORT = ROOT / "tests" / "support"
sys.path.insert(0, str(SUPPORT))
import bits  # noqa: E402

FEATURES, BLAS, LIBRARY = "NumPy's CPU features", "BLAS", "C library"

# Each variable with the values to combine, and the columns of the table that they belong to; "" is its
# absence. Names that a processor lacks have no effect.
CHOICES = {
    "NPY_DISABLE_CPU_FEATURES": (
        ("", ()),
        ("AVX512_SKX AVX512_ICL AVX512_SPR", (FEATURES,)),
        ("X86_V4", (FEATURES,)),
        ("X86_V3 X86_V4", (FEATURES,)),
    ),
    "OPENBLAS_NUM_THREADS": (("", ()), ("1", (BLAS,)), ("2", (BLAS,))),
    "OPENBLAS_CORETYPE": (("", ()), ("Haswell", (BLAS,)), ("Nehalem", (BLAS,))),
    "GLIBC_TUNABLES": (
        ("", ()),
        ("glibc.cpu.hwcaps=-AVX512F,-AVX2,-FMA,-AVX512VL", (LIBRARY,)),
        ("glibc.malloc.perturb=85:glibc.malloc.tcache_count=0", ()),  # other memory: no row may change
    ),
}
ENVIRONMENTS = list(itertools.product(*CHOICES.values()))[1:]  # the first one has no variable


def causes_of(environment: tuple[tuple[str, tuple[str, ...]], ...]) -> set[str]:
    """The columns of the table that an environment belongs to."""
    return {cause for _, causes in environment for cause in causes}


def digests(more: dict[str, str]) -> dict[str, str]:
    """The digests of a process with these variables, by row."""
    plain = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", bits.__file__],
        cwd=ROOT,
        env=plain | more,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return {"the process": f"exit {done.returncode}: {done.stderr[-600:]}"}
    rows: dict[str, str] = json.loads(done.stdout)["rows"]
    return rows


@attack(trials=len(ENVIRONMENTS))
def environments(journal: Journal) -> str:
    """NumPy's CPU dispatch, BLAS's threads and code, and glibc's tunables change no bit that is promised."""
    _, table = bits.table()
    # In a random order, those of few causes first: most rows are promised there.
    shuffled = np.random.default_rng(journal.seed).permutation(len(ENVIRONMENTS))
    order = sorted(shuffled, key=lambda place: len(causes_of(ENVIRONMENTS[place])))
    expected = digests({})
    if expected.keys() != table.keys():
        sys.exit(f"without variables: {expected}")
    for trial in journal:
        chosen = ENVIRONMENTS[order[trial]]
        variables = {name: value for name, (value, _) in zip(CHOICES, chosen, strict=True) if value}
        causes = causes_of(chosen)
        found = digests(variables)
        promised = [row for row in table if all(table[row][cause] == "no" for cause in causes)]
        differing = [row for row in promised if found.get(row) != expected[row]]
        journal.count("rows compared", len(promised))
        for row in differing:
            journal.count(row)
        if differing:
            journal.fail(trial, f"{variables}: {found.get('the process', ', '.join(differing))}")
    return f"{journal.figures.get('rows compared', 0)} digests of rows, of {len(ENVIRONMENTS)} environments"


if __name__ == "__main__":
    main(__file__)
