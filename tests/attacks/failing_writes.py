"""Every system call of writing a file fails in turn; disks become full after a number of bytes.

python tests/attacks/failing_writes.py [calls full_disk limited_size] [--trials N] [--seed S]

The system calls of each way to write a file (failing/write_trials.py) are counted. Then the file is written
once per system call, in a process in which failing/files.c makes calls fail by number: with EIO and ENOSPC,
one call or all from it on; with EINTR; and as partial writes. Full disks are filled file systems and limited
file sizes.
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

# More trials than there are: the attack counts its own.
ALL = 10**9
# The last call to fail if all later ones fail too.
ON = 10**9
SHORT = -1

# The size of the file system that is filled, and the most bytes left free in it. The files have about 10 kB.
DISK, MOST_BYTES = 1 << 20, 60_000


def in_turn(journal: Journal, child: Child, places: list[tuple[list[Any], str]]) -> None:
    """One trial per place, a (question, description), in an order drawn from the seed."""
    random.Random(journal.seed).shuffle(places)
    journal.trials = min(journal.trials, len(places))
    for trial in journal:
        question, how = places[trial]
        if wrong := child.trial(question):
            journal.fail(trial, f"{how}: {wrong}")


@attack(trials=ALL)
def calls(journal: Journal) -> str:
    """A failed system call while writing raises OSError; the old file stays whole, no other is left."""
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
            if wrong := child.trial(["full", name, size, how]):
                journal.fail(trial, f"{name}, after {size} bytes: {wrong}")
    return f"{len(names)} ways to write, of 0 to {MOST_BYTES} bytes"


@attack(trials=1000)
def full_disk(journal: Journal) -> str:
    """A disk that becomes full while writing raises OSError; the old file stays whole, no other is left."""
    # A private file system that only this process and its successor see.
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size={DISK} none "$0" && exec "$@"']
    if shutil.which("unshare") is None or subprocess.run([*mount[:2], "true"], check=False).returncode:
        raise Missing("no right to mount a file system, by unshare -m")
    return fail_at_sizes(journal, "filled", mount)


@attack(trials=1000)
def limited_size(journal: Journal) -> str:
    """A limit on the size of files raises OSError; the old file stays whole, no other is left."""
    return fail_at_sizes(journal, "limited")


if __name__ == "__main__":
    main(__file__)
