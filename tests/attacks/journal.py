"""The journal of an attack: a file with its trials and findings, from which a stopped attack continues.

An attack is a function with the decorator `attack` that takes its journal and iterates over its trials:

    @attack(trials=1000)
    def sums(journal):
        "Sums of random numbers are those of math.fsum."
        for trial in journal:
            numbers = journal.generator(trial).random(100)
            error = abs(numbers.sum() - math.fsum(numbers))
            journal.keep("largest error", max, error)
            if error > 1e-12:
                journal.fail(trial, f"{error} off")
        return f"at most {journal.figures['largest error']:.1e} off"

A file that ends in `main(__file__)` is then a command:

    python tests/attacks/numbers.py [sums ...] [--trials N] [--seed S] [--state DIR] [--anew]

with exit status 1 if a trial failed. A trial must depend only on its number and the seed. A journal of other
sources than those of the checkout is discarded.
"""

import argparse
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".attacks"

# Seconds between writes of the journal; the number of failures that are kept one by one.
INTERVAL = 2.0
MOST_TOLD = 20

Attack = Callable[["Journal"], str]
ATTACKS: dict[str, tuple[Attack, int]] = {}


class Missing(Exception):
    """A tool that the attack needs is missing: the attack names it and does not run."""


def attack(trials: int) -> Callable[[Attack], Attack]:
    """Make a function an attack of that many trials. The first line of its docstring says what must hold; it
    returns its result in a few words."""

    def register(function: Attack) -> Attack:
        ATTACKS[function.__name__] = function, trials
        return function

    return register


def sources() -> str:
    """A digest of the package's sources, C and Python."""
    digest = hashlib.sha256()
    for folder in (ROOT / "csrc", ROOT / "src" / "bpkern"):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


class Journal:
    """The trials of one attack; iterating yields those that are left.

    Attributes
    ----------
    trials, done : int
        The number of trials, and how many of them are done.
    seed : int
    figures : dict of str to number
        The values that `keep` and `count` store.
    failures : list of [int, str]
        The trials that failed, and how; if there are many, the first of them.
    failed : int
        How many trials failed.
    """

    def __init__(self, path: Path, identity: dict[str, Any], trials: int) -> None:
        self.path, self.identity, self.trials = path, identity, trials
        self.seed = identity["seed"]
        self.done, self.failed, self.seconds = 0, 0, 0.0
        self.figures: dict[str, Any] = {}
        self.failures: list[list[Any]] = []
        self._written = time.monotonic()

    def resume(self) -> None:
        """Continue from the file, if its seed and sources are the same."""
        try:
            kept = json.loads(self.path.read_text())
        except FileNotFoundError:
            return
        if all(kept[name] == value for name, value in self.identity.items()):
            self.done, self.failed, self.seconds = kept["done"], kept["failed"], kept["seconds"]
            self.figures, self.failures = kept["figures"], kept["failures"]

    def write(self, **more: Any) -> None:
        now = time.monotonic()
        self.seconds += now - self._written
        self._written = now
        text = json.dumps(
            self.identity
            | {"trials": self.trials, "done": self.done, "failed": self.failed, "seconds": self.seconds}
            | {"figures": self.figures, "failures": self.failures}
            | more,
            indent=1,
        )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        temporary.write_text(text)
        os.replace(temporary, self.path)

    def __iter__(self) -> Iterator[int]:
        while self.done < self.trials:
            yield self.done
            self.done += 1
            self._tell()

    def chunks(self, size: int) -> Iterator[range]:
        """The trials that are left, up to `size` at a time, for attacks that run them in another process."""
        while self.done < self.trials:
            yield range(self.done, min(self.done + size, self.trials))
            self.done = min(self.done + size, self.trials)
            self._tell()

    def _tell(self) -> None:
        if time.monotonic() - self._written > INTERVAL:
            self.write()
            if sys.stderr.isatty():
                print(
                    f"\r{self.done} of {self.trials}, {self.failed} failed",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )

    def generator(self, trial: int) -> np.random.Generator:
        """The random generator of a trial."""
        return np.random.default_rng([self.seed, trial])

    def keep(self, name: str, choose: Callable[[Any, Any], Any], value: Any) -> None:
        """Store `choose` of the stored value and this one, for instance the larger."""
        self.figures[name] = choose(self.figures[name], value) if name in self.figures else value

    def count(self, name: str, more: int = 1) -> None:
        """Add to a stored number."""
        self.figures[name] = self.figures.get(name, 0) + more

    def fail(self, trial: int, how: str) -> None:
        """Record that the trial failed; the attack continues."""
        self.failed += 1
        if len(self.failures) < MOST_TOLD:
            self.failures.append([trial, how])
        print(f"\n{self.identity['attack']}: trial {trial}: {how}", file=sys.stderr, flush=True)


def machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (FileNotFoundError, StopIteration):
        return platform.machine()


def run(name: str, script: str, seed: int, trials: int | None, state: Path, anew: bool) -> bool:
    """Run an attack or what is left of it. Returns whether no trial failed."""
    function, standard = ATTACKS[name]
    identity = {
        "attack": name,
        "what": (function.__doc__ or "").partition("\n")[0],
        "command": f"python {script} {name}",
        "seed": seed,
        "sources": sources(),
        "machine": machine(),
    }
    journal = Journal(state / f"{Path(script).stem}.{name}.json", identity, trials or standard)
    if not anew:
        journal.resume()
    try:
        result = function(journal)
    except Missing as missing:
        print(f"{name}: NOT MADE: {missing}", flush=True)
        return True
    except BaseException:
        journal.write()
        raise
    journal.write(result=result)
    print(
        f"{name}: {journal.done} of {journal.trials}, {journal.failed} failed, "
        f"{journal.seconds:.0f} s, seed {seed}: {result}",
        flush=True,
    )
    return journal.failed == 0


def main(file: str) -> None:
    """The command line of a file of attacks."""
    script = Path(file).resolve().relative_to(ROOT)
    parser = argparse.ArgumentParser(
        description=sys.modules["__main__"].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "attacks", nargs="*", metavar="attack", help=f"of {', '.join(ATTACKS)}; all by default"
    )
    parser.add_argument("--trials", type=int, help="number of trials, instead of each attack's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=STATE, help="folder of the journals (.attacks)")
    parser.add_argument("--anew", action="store_true", help="start again from the first trial")
    given = parser.parse_args()
    unknown = [name for name in given.attacks if name not in ATTACKS]
    if unknown:
        parser.error(f"there is no attack {', '.join(unknown)}, only {', '.join(ATTACKS)}")
    results = [
        run(name, script.as_posix(), given.seed, given.trials, given.state, given.anew)
        for name in given.attacks or ATTACKS
    ]
    sys.exit(not all(results))
