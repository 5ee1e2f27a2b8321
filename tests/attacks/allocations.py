"""Every allocation of a call fails in turn: by itself, and together with all later ones.

python tests/attacks/allocations.py [library arrays threads interpreter] [--trials N] [--seed S]

The allocations of each call (failing/scenarios.py) are counted. Then the call is made once per allocation, on
newly made objects, in a process in which failing/memory.c makes allocations fail by number. `--trials N`
chooses N of these trials at random.
"""

import random

from failing.shims import Child, build
from journal import Journal, attack, main

# More trials than there are: each attack counts its own.
ALL = 10**9
# The last allocation to fail if all later ones fail too.
ON = 10**9


def fail_in_turn(journal: Journal, kind: str, to_the_end: bool = True) -> str:
    """Make each allocation of this kind fail by itself, and together with all later ones."""
    with Child("allocation_trials.py", build("memory.c"), kind) as child:
        if "places" not in journal.figures:
            journal.figures["places"] = {name: child.ask(["count", name]) for name in child.ask(["names"])}
        counts: dict[str, int] = journal.figures["places"]
        places = [
            (name, n, last)
            for name, count in counts.items()
            for n in range(1, count + 1)
            for last in ((n, ON) if to_the_end else (n,))
        ]
        random.Random(journal.seed).shuffle(places)
        journal.trials = min(journal.trials, len(places))
        for trial in journal:
            name, n, last = places[trial]
            if wrong := child.trial(["fail", name, n, last]):
                mode = "once" if last == n else "and all after it"
                journal.fail(trial, f"{name}, allocation {n} of {counts[name]} {mode}: {wrong}")
    reached = sum(count > 0 for count in counts.values())
    ways = "once and from there on" if to_the_end else "once"
    return f"of {sum(counts.values())} in {reached} calls, each {ways}"


@attack(trials=ALL)
def library(journal: Journal) -> str:
    """A failed allocation of the C library raises MemoryError: nothing leaks, the model is unchanged."""
    return fail_in_turn(journal, "library")


@attack(trials=ALL)
def arrays(journal: Journal) -> str:
    """An array that NumPy cannot allocate raises MemoryError: nothing leaks, the model is unchanged."""
    return fail_in_turn(journal, "arrays")


@attack(trials=ALL)
def threads(journal: Journal) -> str:
    """A call continues without a thread that cannot be started, to the same bits."""
    return fail_in_turn(journal, "threads")


@attack(trials=4000)
def interpreter(journal: Journal) -> str:
    """An object that Python cannot allocate raises: no crash, the model is unchanged or as of a step."""
    # One failure at a time, or Python could not even clean up. Leaks of Python and NumPy do not count.
    return fail_in_turn(journal, "interpreter", to_the_end=False)


if __name__ == "__main__":
    main(__file__)
