"""Every system call that writes a file failed in turn, and disks that are full after so many bytes.

python tests/attacks/failing_writes.py [calls full_disk limited_size] [--trials N] [--seed S]

The calls of each way to write a file (failing/write_trials.py) are counted; then it is made as often as there
are, in a process whose calls failing/files.c fails by number: with EIO and ENOSPC, this one alone or all from
it on; with EINTR; and writes that take a part. Full disks are file systems that are filled up, and limits of
the size of a file.
"""

import errno
import random
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any

from failing.shims import Child, build
from journal import Journal, Missing, attack, main

# More than there are: the attack counts its own.
ALL = 10**9
# All that come after, too.
ON = 10**9
SHORT = -1

# Of the file system that is filled up, and what is left there at most; the files are of some 10 kB.
DISK, MOST_BYTES = 1 << 20, 60_000


def in_turn(journal: Journal, child: Child, places: list[tuple[list[Any], str]]) -> None:
    """A trial a question, in an order of the seed's; each with how it is told of."""
    random.Random(journal.seed).shuffle(places)
    journal.trials = min(journal.trials, len(places))
    for trial in journal:
        question, how = places[trial]
        try:
            wrong = child.ask(question)
        except ChildProcessError as error:
            wrong = str(error)
        if wrong:
            journal.fail(trial, f"{how}: {wrong}")


@attack(trials=ALL)
def calls(journal: Journal) -> str:
    """A system call that fails while a file is written is an OSError: the old file whole, no other left."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Child("write_trials.py", build("files.c"), folder) as child,
    ):
        if "calls" not in journal.figures:
            journal.figures["calls"] = {name: child.ask(["count", name]) for name in child.ask(["names"])}
        made: dict[str, list[str]] = journal.figures["calls"]
        places = []
        for name, called in made.items():
            for n, call in enumerate(called, 1):
                ways = [("EIO", n), ("EIO", ON), ("ENOSPC", n), ("ENOSPC", ON), ("EINTR", n)]
                for number, last in ways:
                    on = "" if last == n else " from there on"
                    how = f"{name}, {call}, {n} of {len(called)} calls, {number}{on}"
                    places.append((["fail", name, n, last, getattr(errno, number)], how))
                if call == "write":
                    how = f"{name}, {call}, {n} of {len(called)} calls, in part"
                    places.append((["fail", name, n, n, SHORT], how))
        in_turn(journal, child, places)
    kinds = sorted({call for called in made.values() for call in called})
    return f"{sum(map(len, made.values()))} calls of {len(made)} ways to write: {', '.join(kinds)}"


def fail_at_sizes(journal: Journal, how: str, mount: Sequence[str] = ()) -> str:
    with (
        tempfile.TemporaryDirectory() as folder,
        Child("write_trials.py", build("files.c"), folder, before=[*mount, folder] if mount else []) as child,
    ):
        names = child.ask(["names"])
        for trial in journal:
            name, size = names[trial % len(names)], int(journal.generator(trial).integers(MOST_BYTES))
            try:
                wrong = child.ask(["full", name, size, how])
            except ChildProcessError as error:
                wrong = str(error)
            if wrong:
                journal.fail(trial, f"{name}, after {size} bytes: {wrong}")
    return f"{len(names)} ways to write, of 0 to {MOST_BYTES} bytes"


@attack(trials=1000)
def full_disk(journal: Journal) -> str:
    """A disk that is full after so many bytes is an OSError: the old file whole, no other left."""
    # A file system of its own, which nobody else sees, for the process and what it becomes.
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size={DISK} none "$0" && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mount[:2], "true"], check=False).returncode:
        raise Missing("no right to mount a file system, by unshare -m")
    return fail_at_sizes(journal, "filled", mount)


@attack(trials=1000)
def limited_size(journal: Journal) -> str:
    """A file that may grow to so many bytes only is an OSError: the old file whole, no other left."""
    return fail_at_sizes(journal, "limited")


if __name__ == "__main__":
    main(__file__)
