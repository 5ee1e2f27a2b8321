"""Timing in turns, so that changes of the machine's speed affect all compared runs alike.

Two runs a minute apart differ by more than most changes gain. So all compared runs take turns in every round,
and their medians over the rounds are compared.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# A run is called with the number of repeats.
Run = Callable[[int], object]
# Seconds since some moment.
Clock = Callable[[], float]

LEAST_SECONDS = 0.03
LEAST_ROUNDS = 3


@dataclass
class Samples:
    """Seconds per repeat, one value per round."""

    repeats: int
    seconds: list[float] = field(default_factory=list)

    def quartiles(self) -> tuple[float, float, float]:
        """The first quartile, the median and the third quartile."""
        low, middle, high = np.quantile(self.seconds, [0.25, 0.5, 0.75])
        return float(low), float(middle), float(high)


def microseconds(seconds: float) -> str:
    """Microseconds as text, with three significant digits or all before the point."""
    value = seconds * 1e6
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(digits, 0)}f}"


def timed(run: Run, repeats: int, clock: Clock = time.perf_counter) -> float:
    """The seconds that the repeats take together."""
    began = clock()
    run(repeats)
    return clock() - began


def repeats_for(run: Run, seconds: float = LEAST_SECONDS) -> int:
    """The number of repeats that take that long; a first one is a warm-up."""
    run(1)
    repeats = 1
    while (took := timed(run, repeats)) < seconds:
        repeats = min(10 * repeats, int(repeats * 1.2 * seconds / took) + 1)
    return repeats


def in_turns(
    runs: Mapping[str, tuple[Run, int]],
    rounds: int,
    budget: float,
    pause: float = 0.0,
    clock: Clock = time.perf_counter,
) -> dict[str, Samples]:
    """Time every run once per round.

    Parameters
    ----------
    runs : mapping of name to (run, repeats)
    rounds : int
    budget : float
        Seconds per run: a run that has used them up takes part in no more rounds, after the third.
    pause : float
        Seconds before each sample, in which the previous run's threads go to sleep.
    clock : callable
        Gives seconds; processor time leaves out what other programs take.
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
            took = timed(run, repeats, clock)
            spent[name] += took
            samples[name].seconds.append(took / repeats)
    return samples
