"""Coverage-guided fuzzing of both file formats, of sparse rows and of every public constructor, by atheris.

python tests/attacks/fuzzing.py [npz safetensors csr constructors] [--trials N] [--seed S]

A trial is one input. Inputs that reach new lines are kept in .attacks/fuzzing/ and used again. A failure is
written there as a file, which repeats it: python tests/attacks/fuzz_targets.py TARGET FILE
"""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

from journal import STATE, Journal, Missing, attack, main

# Inputs of one process; after a failure, which ends it, the next process goes on with other ones.
RUNS = 5000

# The seconds of one input, and the memory of the process in MiB, after which libFuzzer reports a failure.
PATIENCE, MEMORY = 60, 4096


def fuzz(journal: Journal, target: str) -> str:
    if importlib.util.find_spec("atheris") is None:
        raise Missing("atheris, for coverage-guided fuzzing: pip install atheris")
    folder = STATE / "fuzzing" / target
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("fuzz_targets.py")
    for chunk in journal.chunks(RUNS):
        options = [
            f"-runs={len(chunk)}",
            f"-seed={1 + journal.seed + chunk.start}",  # 0 would be another seed each time
            f"-artifact_prefix={folder}/",
            f"-timeout={PATIENCE}",
            f"-rss_limit_mb={MEMORY}",
            "-max_len=20000",
        ]
        made = subprocess.run(
            [sys.executable, script, target, corpus, *options],
            capture_output=True,
            text=True,
            errors="replace",
        )
        said = made.stdout + made.stderr
        for covered in re.findall(r"\bcov: (\d+)", said):
            journal.keep("covered", max, int(covered))
        if made.returncode:
            written = re.findall(r"written to (\S+)", said)
            error = re.findall(r"Uncaught Python exception.*?\n(?=\n|==)", said, re.DOTALL)
            how = error[-1] if error else said
            journal.fail(chunk.start, f"{', '.join(written)}: {how[-1500:].strip()}")
    return f"{journal.figures.get('covered', 0)} places of the code reached"


@attack(trials=200_000)
def npz(journal: Journal) -> str:
    """Fuzzed bytes and contents of an `.npz` load, or raise a ValueError that names the file."""
    return fuzz(journal, "npz")


@attack(trials=200_000)
def safetensors(journal: Journal) -> str:
    """Fuzzed bytes and contents of a `.safetensors` load, or raise a ValueError that names the file."""
    return fuzz(journal, "safetensors")


@attack(trials=200_000)
def csr(journal: Journal) -> str:
    """Fuzzed parts of a CSR matrix are read within their bounds, or refused by a documented error."""
    return fuzz(journal, "csr")


@attack(trials=200_000)
def constructors(journal: Journal) -> str:
    """Fuzzed arguments of every public constructor, and of fit, work or raise a documented error."""
    return fuzz(journal, "constructors")


if __name__ == "__main__":
    main(__file__)
