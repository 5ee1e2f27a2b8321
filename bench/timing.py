"""Timing in turns: what one run does to another is noise, what a machine does to all of them is not.

Two runs a minute apart differ by more than most changes are worth, so everything that is compared takes its
turn in every round, and medians over the rounds are compared.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# A run is called with how often to do what it does.
Run = Callable[[int], object]

LEAST_SECONDS = 0.03
LEAST_ROUNDS = 3


@dataclass
class Samples:
    """Seconds of doing it once, a value a round."""

    repeats: int
    seconds: list[float] = field(default_factory=list)

    def quartiles(self) -> tuple[float, float, float]:
        """The first quartile, the median and the third."""
        low, middle, high = np.quantile(self.seconds, [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)


def microseconds(seconds: float) -> str:
    """As text, with three digits that count or all before the point."""
    value = seconds * 1e6
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(digits, 0)}f}"


def timed(run: Run, repeats: int) -> float:
    """Seconds that so many repeats take together."""
    began = time.perf_counter()
    run(repeats)
    return time.perf_counter() - began


def repeats_for(run: Run, seconds: float = LEAST_SECONDS) -> int:
    """How many repeats last that long; the first is a warm-up."""
    run(1)
    repeats = 1
    while (took := timed(run, repeats)) < seconds:
        repeats = min(10 * repeats, int(repeats * 1.2 * seconds / took) + 1)
    return repeats


def in_turns(
    runs: Mapping[str, tuple[Run, int]], rounds: int, budget: float, pause: float = 0.0
) -> dict[str, Samples]:
    """Time every run once a round.

    Parameters
    ----------
    runs : mapping of name to (run, repeats)
    rounds : int
    budget : float
        Seconds a run: one that has used them up makes no more rounds, after the third.
    pause : float
        Seconds before each sample: for the threads of the run before to go to sleep.
    """
    samples = {name: Samples(repeats) for name, (_, repeats) in runs.items()}
    spent = dict.fromkeys(runs, 0.0)
    for number in range(rounds):
        names = list(runs)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            if number >= LEAST_ROUNDS and spent[name] >= budget:
                continue
            time.sleep(pause)
            run, repeats = runs[name]
            took = timed(run, repeats)
            spent[name] += took
            samples[name].seconds.append(took / repeats)
    return samples
