"""For how much training there is time, by the time of some mini-batches."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._fit.many import fit_many
from .._threads import get_num_threads
from .plan import FEWEST_CHOOSING, Plan, Rows, Split
from .recipes import INITIAL_ROWS, Recipe, Shape, new_network
from .temperature import calibrate_by

# Before the number of epochs is chosen, some mini-batches are timed: first very few, with what first calls
# do, and then more and more, each time within this part of the time.
TIMED = (2, 8, 64)
TIMING = 0.05
# The same number again may take a larger part: the first time may be of first calls, or of a busy machine.
AGAIN = 0.25
# Fewer updates than this make a network of little use: fewer networks are trained instead.
FEWEST_UPDATES = 64
# The fewest rows that choose initial weights, and the part of the time for those of all networks.
FEWEST_INITIAL, INITIALISING = 64, 0.1
# The part of the time that is planned: the rest is for what takes longer than measured.
PLANNED = 0.9


class Affordable(NamedTuple):
    """What there is time for.

    Attributes
    ----------
    epochs : int
    splits : sequence of Split
        Fewer if there is not enough time for all networks, with fewer rows if there is not enough for an
        epoch of one.
    initial : int
        The most rows that initial weights are chosen by.
    """

    epochs: int
    splits: Sequence[Split]
    initial: int


def affordable(
    recipe: Recipe,
    shape: Shape,
    rows: Rows,
    splits: Sequence[Split],
    plan: Plan,
    until: float,
    generator: np.random.Generator,
) -> Affordable:
    """The epochs for which there is time; if there is not enough for one, one of fewer rows.

    If the time is up, the smallest training: one network, one update.
    """
    whole = splits[0]
    batch = min(plan.batch, len(whole.training))
    steps = len(whole.training) // batch
    threads = get_num_threads() if plan.n_threads is None else plan.n_threads
    together = min(threads, len(splits))

    def left() -> float:
        return until - time.monotonic()

    initial = FEWEST_INITIAL
    while True:
        began = time.perf_counter()
        probe = new_network(
            recipe, shape, TIMED[-1], generator, rows.some(generator.permutation(whole.training)[:initial])
        )
        making = time.perf_counter() - began
        enough = initial >= min(INITIAL_ROWS, len(whole.training))
        if enough or 4 * len(splits) * making > INITIALISING * left():
            break
        initial *= 4

    def seconds_of(updates: int) -> float:
        """The time of an epoch, by that of some of its mini-batches and as many of the choosing rows."""
        part, epochs = min(1.0, updates / steps), -(-updates // steps)
        began = time.perf_counter()
        fit_many(
            [probe],
            rows.X,
            rows.y,
            sample_weight=rows.weights,
            splits=[_part(whole, min(updates, steps) * batch, part)],
            epochs=epochs,
            batch_size=batch,
            drop_last=True,
            n_threads=max(1, threads // together),
            verbose=0,
        )
        return (time.perf_counter() - began) / (part * epochs)

    def calibrating_of(choosing: np.ndarray) -> float:
        began = time.perf_counter()
        calibrate_by(probe, rows, choosing)
        return (time.perf_counter() - began) / len(choosing)

    seconds, timed = math.inf, 0
    for updates in TIMED:
        allowed = min(updates, int(TIMING * left() * steps / seconds)) if timed else updates
        if timed and timed * seconds <= AGAIN * left() * steps:
            allowed = max(allowed, timed)
        if allowed < timed or left() <= 0:
            break
        seconds, timed = seconds_of(allowed), allowed
    calibrating = 0.0
    if plan.calibrates and whole.choosing is not None and left() > 0:
        choosing = _part(whole, batch, timed / steps).choosing
        assert choosing is not None
        calibrating_of(choosing)  # with what first calls do
        calibrating = calibrating_of(choosing) * len(whole.choosing)
    rest = PLANNED * left()

    def least(count: int) -> float:
        """The time of this many networks of FEWEST_UPDATES."""
        part = min(1.0, FEWEST_UPDATES / steps)
        return count * (making + part * calibrating) + math.ceil(count / together) * part * seconds

    count = next((n for n in range(len(splits), 1, -1) if least(n) <= rest), 1)
    splits = splits[:count]
    rest -= count * making
    seconds *= math.ceil(count / together)
    calibrating *= count
    if rest >= seconds + calibrating:
        return Affordable(min(plan.epochs, int((rest - calibrating) / seconds)), splits, initial)
    part = max(0.0, rest / (seconds + calibrating))
    fewer = [
        _part(
            Split(
                generator.permutation(own.training),
                None if own.choosing is None else generator.permutation(own.choosing),
            ),
            max(batch, int(part * len(own.training))),
            part,
            FEWEST_CHOOSING,
        )
        for own in splits
    ]
    return Affordable(1, fewer, initial)


def _part(split: Split, count: int, part: float, fewest: int = 1) -> Split:
    """The first `count` rows to train on, and the first part of those that choose the epoch."""
    if split.choosing is None:
        return Split(split.training[:count], None)
    return Split(split.training[:count], split.choosing[: max(fewest, math.ceil(part * len(split.choosing)))])
