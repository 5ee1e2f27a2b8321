"""Mutants of the kernels: one operator, constant, bound or mask of one line changed, in one object file.

A mutant must be found by a short run of the program of kernels.py, by the suite's tests of the kernels, or
else by that program with the address sanitizer. If the change leaves the object file the same, another mutant
is drawn.
"""

import functools
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from journal import ROOT, STATE, Journal, Missing, attack, main

from bpkern import _core

WORK = STATE / "mutants"
BUILD, SITE, SOURCES, MADE = (WORK / name for name in ("build", "site", "csrc", "made"))
SANITIZER = "-fsanitize=address"
LIBRARY, PROGRAM = "libbpkern_c.a", "attack_kernels"

# The bodies of kernels, by their paths in csrc/.
BODIES = (
    "kernels/vector/*",
    "kernels/*/vec.h",
    "kernels/scalar/*.c",
    "kernels/philox.h",
    "trainer/online.c",
    "trainer/products.c",
    "trainer/plain.c",
)

# The program's attacks with small trial counts; those that find most come first.
SHORT = {
    "random_sizes": 120,
    "table_fences": 25,
    "integer_nets": 30,
    "special_values": 100,
    "boundaries": 250,
    "integers": 40,
    "net_scratch": 10,
    "fences": 20,
    "scratch": 20,
    "net_fences": 5,
}
TESTS = (
    "kernels/test_kernels.py",
    "kernels/test_activations.py",
    "kernels/test_losses.py",
    "model/test_row_losses.py",
    "trainer/test_updates.py",
    "trainer/test_dropout.py",
    "trainer/test_gradients.py",
    "fit/test_accumulation.py",
    "data/test_inputs.py",
    "data/test_sparse.py",
    "model/test_by_hand.py",
    "trainer/test_blocks.py",
)
# The tests most likely to find a mutant of a family: run before the others, to save time.
NEAREST = {
    "activation": "activations",
    "loss": "losses",
    "move": "updates",
    "update": "updates",
    "dropout": "dropout",
    "online": "one_row",
    "dot": "narrow",
    "reduce": "near_halves",
    "transpose": "narrow",
}
ISAS = _core.compiled_isas()

# Seconds of processor time, so that an endless mutant is found however busy the machine is.
PROGRAM_SECONDS, TESTS_SECONDS = 20, 200
NO_TESTS = 5  # pytest's exit status

# Mutants that survive because they change nothing that is promised: (family of the object file, changed line
# without its indentation), and the reason. Any other survivor is a failure.
HARMLESS = {
    ("update", "if (args->k > PREFETCH_DEPTH) {"): "the depth from which it prefetches changes no result",
    ("delta", "-1, -1, -1, -2,"): "a mask is the sign bits of its lanes",
    (
        "activation",
        "vec n, p = reduced_expm1(vmax(vset1(-51), x), &n);",
    ): "e^-50 is far below the digits of 1",
    ("dot", "for (int s = 0; s <= count; s++) sums[s] = vsum(partial[s]);"): "one more sum, never read",
    (
        "online",
        "bpk_move move = next_moves(request, counts, cursor->updates, 2).weights;",
    ): "the batch's weight only matters for penalties, and the online path has none",
    ("move", "if (*u <= *v) *u = *v;"): "the same result if they are equal",
    ("move", "return x / (root <= REAL_MIN ? REAL_MIN : root);"): "the same result if they are equal",
    ("move", "total = 1;"): "1 is nothing compared with squares that overflow float32",
    ("move", "g = g > limit ? limit : g <= -limit ? -limit : g;"): "the same result if they are equal",
    (
        "online",
        "low = vadd(low, vsub(vsub(cubic, part), vsub(a, vsub(sum, part))));",
    ): "nets with gelu_tanh do not take the online path",
    (
        "loss",
        "best = vselect(m, vmax(best, vload(a + j)), best);",
    ): "the compiler makes one masked instruction of it, which loads nothing more",
}

# (pattern, replacement) of each change. If a pattern occurs several times in a line, each place is a change.
CHANGES = (
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r"(?<=\w) \* (?=\w)", " + "),
    (r" / ", " * "),
    (r" < ", " <= "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" >= ", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r" \+= ", " = "),
    (r" \+= ", " -= "),
    (r"(?<=\()!", ""),
    (r"(?<= )-(?=\w)", ""),
    (r"(?<=\()-(?=\w)", ""),
    (r"\bvadd\(", "vsub("),
    (r"\bvsub\(", "vadd("),
    (r"\bvmul\(", "vadd("),
    (r"\bvdiv\(", "vmul("),
    (r"\bvfma\(", "vfnma("),
    (r"\bvfnma\(", "vfma("),
    (r"\bvmax\(", "vmin("),
    (r"\bvmin\(", "vmax("),
    (r"\bvgt\(", "vlt("),
    (r"\bvlt\(", "vle("),
    (r"\bvle\(", "vlt("),
    (r"\bvabs\(", "("),
    (r"\bvneg\(", "("),
    (r"\bvmload\(\w+, ", "vload("),
    (r"\bvmstore\(([^,]+), \w+, ", r"vstore(\1, "),
    (r"\b(vsub|vdiv|vgt|vlt|vmax|vmin)\((\w+), (\w+)\)", r"\1(\3, \2)"),
    (r"\bvselect\((.+), (\w+), (\w+)\)", r"vselect(\1, \3, \2)"),
    (r"_mm(\w+)_unpacklo_", r"_mm\1_unpackhi_"),
    (r"\b(\d+)\b(?![.\w])(?<!\.)", lambda m: str(int(m[1]) + 1)),
    (r"(?<![.\w])([1-9]\d*)\b(?!\.)", lambda m: str(int(m[1]) - 1)),
    (r"(?<!\w)(\d+\.\d+)(?=[ef,;)])", lambda m: repr(float(m[1]) * 1.01)),
)


def isa_of(compiled: dict[str, str]) -> str | None:
    """The instruction set that a command compiles for, or None for all."""
    return next((isa for isa in ISAS if f"kernels_{isa}_" in compiled["output"]), None)


@dataclass(frozen=True)
class Mutant:
    """A change of a line, in one object file."""

    path: Path
    number: int
    before: str
    after: str
    compiled: dict[str, str]

    @property
    def isa(self) -> str | None:
        """The instruction set of the object file, or None if it serves all."""
        return isa_of(self.compiled)

    @property
    def family(self) -> str:
        return Path(self.compiled["file"]).stem.partition("_")[0]

    def __str__(self) -> str:
        target, name = Path(self.compiled["output"]).parts[1], Path(self.compiled["output"]).name
        place = f"{self.path.name}:{self.number} in {target}/{name}"
        return f"{place}: {self.before.strip()} -> {self.after.strip()}"


def without_comments(text: str) -> str:
    """The text with comments replaced by blanks."""
    return re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.DOTALL)


@functools.cache
def code_lines() -> list[tuple[Path, int, str]]:
    """Each line of the bodies that has a change, with its file and number."""
    paths = sorted({path for pattern in BODIES for path in (ROOT / "csrc").glob(pattern)})
    return [
        (path, number, line)
        for path in paths
        for number, line in enumerate(without_comments(path.read_text()).splitlines(), 1)
        if not line.lstrip().startswith(("#", "typedef")) and list(changed(line))
    ]


def changed(line: str) -> Iterator[str]:
    """The line after each possible change."""
    for pattern, replacement in CHANGES:
        for match in re.finditer(pattern, line):
            new = replacement(match) if callable(replacement) else match.expand(replacement)
            yield line[: match.start()] + new + line[match.end() :]


def run(command: list[str] | str, **more) -> subprocess.CompletedProcess:
    """Run a command that has to succeed."""
    made = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if made.returncode:
        raise RuntimeError(f"{command}: {made.stdout}{made.stderr}")
    return made


@functools.cache
def build() -> list[dict[str, str]]:
    """Build the sources without changes, little optimised since mutants are compiled often; return the
    compile commands."""
    tools = [tool for tool in ("cmake", "ninja") if not shutil.which(tool)]
    if tools:
        raise Missing(f"{' and '.join(tools)}, to compile mutants with")
    options = [
        "-DBPKERN_ATTACKS=ON",
        f"-DPython_EXECUTABLE={sys.executable}",
        "-DCMAKE_BUILD_TYPE=Release",
        "-DCMAKE_C_FLAGS_RELEASE=-O1 -DNDEBUG",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        "-DSKBUILD_PROJECT_VERSION_FULL=0",
    ]
    run(["cmake", "-G", "Ninja", "-S", str(ROOT), "-B", str(BUILD), *options])
    run(["cmake", "--build", str(BUILD), "--target", PROGRAM, "_core"])
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(ROOT / "src" / "bpkern", SITE / "bpkern", ignore=shutil.ignore_patterns("__pycache__"))
    MADE.mkdir(exist_ok=True)
    commands = json.loads((BUILD / "compile_commands.json").read_text())
    return [one for one in commands if ROOT / "csrc" in Path(one["file"]).parents]


@functools.cache
def included(path: Path, vocabulary: Path) -> frozenset[Path]:
    """A file of the library and all files that it includes, also indirectly; `vocabulary` is its vec.h."""
    names = re.findall(r'#include "([\w/]+\.h)"', path.read_text())
    paths = [vocabulary if name == "vec.h" else ROOT / "csrc" / name for name in names]
    return frozenset({path}).union(*(included(path, vocabulary) for path in paths))


def sources_of(compiled: dict[str, str]) -> frozenset[Path]:
    """All files of the library that a command compiles."""
    return included(Path(compiled["file"]), ROOT / "csrc" / "kernels" / (isa_of(compiled) or "") / "vec.h")


def runs(compiled: dict[str, str]) -> bool:
    """Whether the object file's instructions run here: no attack could find its mutants otherwise."""
    return isa_of(compiled) in (None, *_core.available_isas())


def draw(rng: np.random.Generator) -> Mutant:
    objects: list[dict[str, str]] = []
    while not objects:
        path, number, line = code_lines()[rng.integers(len(code_lines()))]
        objects = [one for one in build() if path in sources_of(one) and runs(one)]
    changes = sorted(set(changed(line)))
    after = changes[rng.integers(len(changes))]
    return Mutant(path, number, line, after, objects[rng.integers(len(objects))])


def compile_mutant(mutant: Mutant, options: tuple[str, ...] = ()) -> bytes | None:
    """The mutant's object file, or None if it does not compile."""
    shutil.rmtree(SOURCES, ignore_errors=True)
    shutil.copytree(ROOT / "csrc", SOURCES)
    lines = mutant.path.read_text().splitlines()
    indent = len(mutant.before) - len(mutant.before.lstrip())
    lines[mutant.number - 1] = " " * indent + mutant.after.strip()
    (SOURCES / mutant.path.relative_to(ROOT / "csrc")).write_text("\n".join(lines) + "\n")
    target = MADE / "mutant.o"
    command = shlex.split(mutant.compiled["command"].replace(str(ROOT / "csrc"), str(SOURCES)))
    command[command.index("-o") + 1] = str(target)
    made = subprocess.run(
        [*command, *options, "-w"], cwd=mutant.compiled["directory"], capture_output=True, check=False
    )
    return target.read_bytes() if made.returncode == 0 else None


def link(mutant: Mutant | None, options: str = "") -> None:
    """Link the program and the extension with the mutant's object file instead of the original one; with
    options, only the program."""
    listed = run(["ninja", "-C", str(BUILD), "-t", "commands", PROGRAM, "_core"]).stdout
    for command in listed.splitlines():
        if " -c " in command or LIBRARY not in command or (options and "-o _core" in command):
            continue
        if mutant and " qc " in command:
            original = os.path.relpath(mutant.compiled["output"], BUILD)
            if f" {original}" not in command:
                raise RuntimeError(f"{original} is not among what the library is made of: {command}")
            command = command.replace(f" {original}", f" {MADE / 'mutant.o'}")
        command = command.replace(f" {LIBRARY}", f" {MADE / LIBRARY}")
        command = command.replace(f"-o {PROGRAM}", f"{options} -o {MADE / PROGRAM}")
        command = command.replace("-o _core", f"-o {SITE / 'bpkern' / '_core'}")
        run(command, shell=True, cwd=BUILD)


def limited(command: list[str], seconds: int, env: dict[str, str] | None = None) -> bool:
    """Whether a command succeeds within that many seconds of processor time."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))

    made = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=False, preexec_fn=limit)
    if made.returncode == NO_TESTS:
        raise RuntimeError(f"{command} finds no tests")
    return made.returncode == 0


def passes(keywords: list[str]) -> bool:
    """Whether those of the suite's tests of the kernels pass that the keywords select."""
    kept = {"PYTHONPATH": str(SITE), "HYPOTHESIS_STORAGE_DIRECTORY": str(WORK / "hypothesis")}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    chosen = ["-k", " and ".join(keywords)] if keywords else []
    tests = [f"tests/{name}" for name in TESTS]
    return limited([*command, *chosen, *tests], TESTS_SECONDS, os.environ | kept)


def program_finds(isa: str | None) -> str | None:
    """The program's attack that finds the mutant, or None."""
    only = ["--isa", isa] if isa else []
    for name, count in SHORT.items():
        if not limited([str(MADE / PROGRAM), name, "--count", str(count), *only], PROGRAM_SECONDS):
            return name
    return None


def found_by(mutant: Mutant | None) -> str | None:
    """What finds the mutant: an attack of the program, the suite, the program with the address sanitizer
    (which checks the ends of arrays on the stack), or None. Without a mutant, the kernels as they are."""
    isa = mutant.isa if mutant else None
    name = program_finds(isa)
    if name:
        return name
    keywords = [f"not {other}-" for other in ISAS if isa and other != isa]
    near = NEAREST.get(mutant.family) if mutant else None
    if (near and not passes([near, *keywords])) or not passes(keywords):
        return "the suite"
    if mutant:
        compile_mutant(mutant, (SANITIZER,))
        link(mutant, SANITIZER)
        return "the sanitizer" if program_finds(isa) else None
    return None


@attack(trials=100)
def mutants(journal: Journal) -> str:
    """A mutant of a kernel's body is found by short attacks or by the suite's kernel tests."""
    build()
    if journal.done == 0:
        link(None)
        by = found_by(None)
        if by:
            raise RuntimeError(f"without a change, {by} fails")
    for trial in journal:
        rng = journal.generator(trial)
        while True:
            mutant = draw(rng)
            made = compile_mutant(mutant)
            original = (BUILD / mutant.compiled["output"]).read_bytes()
            if made and made != original:
                break
            journal.count("of the same object file" if made else "not compiled")
        link(mutant)
        by = found_by(mutant)
        if by:
            journal.count(f"by {by}")
            continue
        journal.keep("survivors", lambda a, b: a + b, [f"trial {trial}: {mutant}"])
        why = HARMLESS.get((mutant.family, mutant.after.strip()))
        if why:
            journal.count("harmless")
        else:
            journal.fail(trial, f"survives: {mutant}")
    by_program = sum(journal.figures.get(f"by {name}", 0) for name in SHORT)
    same = journal.figures.get("of the same object file", 0)
    harmless = f"{journal.figures.get('harmless', 0)} change nothing that is promised"
    by_suite = journal.figures.get("by the suite", 0)
    by_sanitizer = journal.figures.get("by the sanitizer", 0)
    found = f"{by_program} found by the program, {by_suite} by the suite, {by_sanitizer} by the sanitizer"
    return f"{found}, {harmless}; {same} of the same object file not counted"


if __name__ == "__main__":
    main(__file__)
