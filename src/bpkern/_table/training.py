"""Networks trained on an encoded table by a recipe, within a time, with the best of their epochs."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._data.gathered import GatheredRows, gathered_blocks
from .._fit.many import fit_many
from .._fit.progress import make_progress
from .._threads import get_num_threads
from .._user_warnings import warn
from ..callbacks import Callback
from ..errors import DivergedError
from ..mlp import MLP
from .best_epoch import BestEpoch, Count, Deadline, Shown
from .recipes import INITIAL_ROWS, Recipe, Shape, new_network, without_scale
from .temperature import calibrate, shrink

# Before the number of epochs is chosen, the time of some mini-batches is measured: of very few, with what
# first calls do, and again for more and more of them, as long as that takes at most this part of the time.
TIMED = (2, 8, 64)
TIMING = 0.05
# The same number again may take a larger part: the first time may be of first calls, or of a busy machine.
AGAIN = 0.25
# A network of fewer updates is of little use: where several do not have the time for as many, fewer networks
# are trained. And the fewest rows that choose an epoch, or calibrate, if there are as many.
FEWEST_UPDATES, FEWEST_CHOOSING = 64, 256
# The fewest rows that choose initial weights, and the part of the time for those of all networks.
FEWEST_INITIAL, INITIALISING = 64, 0.1
# The part of the time that is planned: the rest is for what takes longer than measured.
PLANNED = 0.9
# The part of the epochs at whose end the learning rate is 0 for the first time (`CosLog4`).
FIRST_WAVE = 1 / 15


class Rows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    X : ndarray of float32, shape (n, in), or GatheredRows
    y : ndarray, shape (n,) or (n, out)
        Class numbers; or values of about mean 0 and deviation 1, as float32.
    weights : ndarray, shape (n,), or None
    values : ndarray of float64, shape of y, or None
        The values before they were scaled; None for classes.
    scale : callable, optional
        Makes scaled values of some of them, as float64.
    """

    X: np.ndarray | GatheredRows
    y: np.ndarray
    weights: np.ndarray | None = None
    values: np.ndarray | None = None
    scale: Callable[[np.ndarray], np.ndarray] | None = None

    def some(self, index: np.ndarray) -> np.ndarray:
        """A copy of some rows of X."""
        return self.X.some(index) if isinstance(self.X, GatheredRows) else np.asarray(self.X[index])

    def targets(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Copies of some rows of y and of the weights."""
        return self.y[index], None if self.weights is None else self.weights[index]

    def outputs(self, model: MLP, index: np.ndarray) -> np.ndarray:
        """The outputs (m, out) of a model for some rows."""
        if not isinstance(self.X, GatheredRows):
            return model.forward(self.X[index])
        found = [
            model.forward(block[0]) for _, _, block in gathered_blocks(self.X, self.y, None, index, batch=1)
        ]
        return np.concatenate(found)


class Split(NamedTuple):
    """The rows of one network, by their numbers: to train on, and to choose the epoch by, or None."""

    training: np.ndarray
    choosing: np.ndarray | None


class Plan(NamedTuple):
    """How to train.

    Attributes
    ----------
    epochs, batch : int
        At most; a mini-batch has no more rows than there are.
    calibrates : bool
        Whether to calibrate the probabilities, of a network for classes.
    until : float or None
        The end of training on the monotonic clock.
    n_threads : int or None
    verbose : various
        As for `MLP.fit`.
    """

    epochs: int
    batch: int
    calibrates: bool
    until: float | None = None
    n_threads: int | None = None
    verbose: Any = "auto"


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


class Limits(NamedTuple):
    """The least and the largest values of each output in the training rows.

    Attributes
    ----------
    low, high : ndarray of float32, shape (out,)
        In units of the outputs.
    ends : ndarray of float64, shape (2, out)
        In units of the values.
    """

    low: np.ndarray
    high: np.ndarray
    ends: np.ndarray

    def cut(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs (n,) or (n, out) within the limits."""
        cut: np.ndarray = np.clip(outputs.reshape(len(outputs), -1), self.low, self.high)
        return cut.reshape(outputs.shape)


class Trained(NamedTuple):
    """A network with the parameters of its best epoch.

    Attributes
    ----------
    model : MLP
    score : float or None
        The value of `Recipe.monitor` in that epoch.
    temperature : float
        By which its outputs were divided.
    limits : Limits or None
        Between which its outputs are cut.
    """

    model: MLP
    score: float | None
    temperature: float = 1.0
    limits: Limits | None = None


def train(
    recipe: Recipe, shape: Shape, rows: Rows, splits: Sequence[Split], plan: Plan, seed: int
) -> list[Trained]:
    """Train a network for each split, side by side.

    Parameters
    ----------
    recipe : Recipe
    shape : Shape
    rows : Rows
    splits : sequence of Split
        At least one.
    plan : Plan
    seed : int

    Returns
    -------
    list of Trained
        One per split; fewer after an interrupt or at the end of the time: see `_kept`.

    Raises
    ------
    DivergedError, KeyboardInterrupt
        If no epoch of any network was finished.
    """
    wanted = len(splits)
    seeds = np.random.SeedSequence(seed).spawn(wanted + 1)
    epochs, initial = plan.epochs, INITIAL_ROWS
    if plan.until is not None:
        generator = np.random.default_rng(seeds[-1])
        epochs, splits, initial = _affordable(recipe, shape, rows, splits, plan, plan.until, generator)
    batch = min(plan.batch, *(len(split.training) for split in splits))
    models, best, limits = [], [], []
    for split, own in zip(splits, seeds, strict=False):
        generator = np.random.default_rng(own)
        updates = epochs * (len(split.training) // batch)
        models.append(
            new_network(recipe, shape, updates, generator, _initial_rows(rows, split, generator, initial))
        )
        limits.append(_limits(recipe, rows, split.training))
        best.append(_best_epoch(recipe, rows, split, limits[-1]))
    display = make_progress(plan.verbose)
    count = Count(display)
    stopped: BaseException | None = None
    display.begin(epochs * len(models), None, 0)
    try:
        fit_many(
            models,
            rows.X,
            rows.y,
            sample_weight=rows.weights,
            splits=[
                (split.training, None if own is None or own.measures else split.choosing)
                for split, own in zip(splits, best, strict=True)
            ],
            each=[{"callbacks": _callbacks(each, count, plan.until)} for each in best],
            epochs=epochs,
            batch_size=batch,
            drop_last=True,
            n_threads=plan.n_threads,
            verbose=0,
        )
    except (KeyboardInterrupt, DivergedError) as error:
        stopped = error
    finally:
        display.close()
    kept = _kept(models, best, epochs)
    if stopped is not None:
        if not kept:
            raise stopped
        what = "was interrupted"
        if isinstance(stopped, DivergedError):
            what = f"diverged in epoch {stopped.epoch + 1} of {epochs}: lower learning_rate"
        warn(f"training {what}; kept are the best epochs of {len(kept)} of {len(models)} networks so far")
    elif len(models) < wanted:
        warn(
            f"time_limit is too short for {wanted} networks, and {len(kept)} were trained: raise time_limit "
            "or lower n_models"
        )
    elif plan.until is not None and len(kept) < len(models):
        lost = len(models) - len(kept)
        warn(
            f"time_limit ended training: {lost} of {len(models)} networks had not finished their first wave "
            "and are left out; raise time_limit or lower n_models"
        )
    return [_finished(models[i], best[i], rows, splits[i], recipe, plan, limits[i]) for i in kept]


def _initial_rows(rows: Rows, split: Split, generator: np.random.Generator, most: int) -> np.ndarray:
    """At most `most` random training rows."""
    return rows.some(generator.permutation(split.training)[:most])


def _limits(recipe: Recipe, rows: Rows, training: np.ndarray) -> Limits | None:
    """The range of the values to train on, if the recipe keeps predictions in it."""
    if not recipe.is_full or rows.values is None:
        return None
    scaled, values = (each[training].reshape(len(training), -1) for each in (rows.y, rows.values))
    return Limits(scaled.min(axis=0), scaled.max(axis=0), np.stack([values.min(axis=0), values.max(axis=0)]))


def _best_epoch(recipe: Recipe, rows: Rows, split: Split, limits: Limits | None) -> BestEpoch | None:
    if split.choosing is None:
        return None
    if limits is None:
        return BestEpoch(recipe.monitor)
    choosing = split.choosing
    assert rows.values is not None
    assert rows.scale is not None
    y = rows.scale(rows.values[choosing])
    _, weights = rows.targets(choosing)

    def error(model: MLP) -> float:
        """The mean squared error of predictions within the limits."""
        outputs = rows.outputs(model, choosing)
        squares = np.square(limits.cut(outputs) - y.reshape(outputs.shape)).mean(axis=1)
        return float(np.average(squares, weights=weights))

    return BestEpoch(recipe.monitor, error)


def _callbacks(best: BestEpoch | None, count: Count, until: float | None) -> list[Callback]:
    found: list[Callback] = [] if best is None else [best]  # first: it may add a value that is shown
    found.append(Shown(count))
    if until is not None:
        found.append(Deadline(until))
    return found


def _kept(models: Sequence[MLP], best: Sequence[BestEpoch | None], epochs: int) -> list[int]:
    """The networks that have learned something, by number.

    Those that have finished the first wave of the learning rate; if there is none, all with an epoch.
    """
    done = [len(model.history_["loss"]) if model.history_ is not None else 0 for model in models]
    usable = [i for i, own in enumerate(best) if done[i] and (own is None or own.best is not None)]
    return [i for i in usable if done[i] >= epochs * FIRST_WAVE] or usable


def _finished(
    model: MLP,
    best: BestEpoch | None,
    rows: Rows,
    split: Split,
    recipe: Recipe,
    plan: Plan,
    limits: Limits | None,
) -> Trained:
    if best is not None:
        best.restore(model)
    if not recipe.is_full:
        model = without_scale(model, recipe)
    if best is None or split.choosing is None:
        return Trained(model, None, limits=limits)
    temperature = 1.0
    if plan.calibrates:
        temperature = _calibrated(model, rows, split.choosing)
    score = best.best
    if rows.values is not None and plan.until is not None:
        score = _shrunk(model, rows, split.choosing, limits, score)
    return Trained(model, score, temperature, limits)


def _calibrated(model: MLP, rows: Rows, index: np.ndarray) -> float:
    """The temperature that `calibrate` finds for these rows."""
    return calibrate(model, rows.outputs(model, index), *rows.targets(index))


def _shrunk(
    model: MLP, rows: Rows, index: np.ndarray, limits: Limits | None, score: float | None
) -> float | None:
    """Shrink the outputs of a network that is worse than the mean for these rows; its score after that.

    A network of a few updates may be: its first outputs are far from the mean.
    """
    y, weights = rows.targets(index)
    y = y.reshape(len(y), -1).astype(np.float64)
    if score is None or score < np.average(np.square(y).mean(axis=1), weights=weights):
        return score
    outputs = rows.outputs(model, index)
    shrink(model, outputs, y, weights)
    outputs = rows.outputs(model, index)
    errors = (outputs if limits is None else limits.cut(outputs)) - y
    return float(np.average(np.square(errors).mean(axis=1), weights=weights))


def _affordable(
    recipe: Recipe,
    shape: Shape,
    rows: Rows,
    splits: Sequence[Split],
    plan: Plan,
    until: float,
    generator: np.random.Generator,
) -> Affordable:
    """The epochs for which there is time; if there is not enough for one, one of fewer rows.

    Where the time is over, it is the smallest training: one network, one update.
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
            recipe, shape, TIMED[-1], generator, _initial_rows(rows, whole, generator, initial)
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
        _calibrated(probe, rows, choosing)
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
