"""Networks trained on an encoded table by a recipe, within a time, with the best of their epochs."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._fit.many import fit_many
from .._fit.progress import make_progress
from .._threads import get_num_threads
from .._user_warnings import warn
from ..callbacks import Callback
from ..errors import DivergedError
from ..mlp import MLP
from .best_epoch import BestEpoch, Count, Deadline, Shown
from .recipes import INITIAL_ROWS, Recipe, Shape, new_network, without_scale
from .temperature import calibrate

# Mini-batches whose time is measured, before the number of epochs is chosen.
TIMED = 64
# The part of the time that is planned: the rest is for what takes longer than measured.
PLANNED = 0.9
# The part of the epochs at whose end the learning rate is 0 for the first time (`CosLog4`).
FIRST_WAVE = 1 / 15


class Rows(NamedTuple):
    """Encoded rows.

    Attributes
    ----------
    X : ndarray of float32, shape (n, in)
    y : ndarray, shape (n,) or (n, out)
        Class numbers, or values of about mean 0 and deviation 1.
    weights : ndarray, shape (n,), or None
    """

    X: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None = None

    def taken(self, index: np.ndarray) -> Rows:
        """Copies of some rows."""
        return Rows(self.X[index], self.y[index], None if self.weights is None else self.weights[index])


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


class Limits(NamedTuple):
    """The least and the largest values of each output in the training rows, float32, shape (out,)."""

    low: np.ndarray
    high: np.ndarray

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
    seeds = np.random.SeedSequence(seed).spawn(len(splits) + 1)
    epochs = plan.epochs
    if plan.until is not None:
        generator = np.random.default_rng(seeds[-1])
        epochs, splits = _affordable(recipe, shape, rows, splits, plan, plan.until, generator)
    batch = min(plan.batch, *(len(split.training) for split in splits))
    models, best, limits = [], [], []
    for split, own in zip(splits, seeds, strict=False):
        generator = np.random.default_rng(own)
        updates = epochs * (len(split.training) // batch)
        models.append(new_network(recipe, shape, updates, generator, _some(rows.X, split, generator)))
        limits.append(_limits(recipe, shape, rows.y[split.training]))
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
            splits=splits,
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
        what = "was interrupted" if isinstance(stopped, KeyboardInterrupt) else f"diverged ({stopped})"
        warn(f"training {what}; kept are the best epochs of {len(kept)} of {len(models)} networks so far")
    return [_finished(models[i], best[i], rows, splits[i], recipe, plan, limits[i]) for i in kept]


def _some(X: np.ndarray, split: Split, generator: np.random.Generator) -> np.ndarray:
    """At most INITIAL_ROWS random training rows."""
    return np.asarray(X[generator.permutation(split.training)[:INITIAL_ROWS]])


def _limits(recipe: Recipe, shape: Shape, y: np.ndarray) -> Limits | None:
    """The range of the values to train on, if the recipe keeps predictions in it."""
    if not recipe.is_full or shape.loss == "cross_entropy":
        return None
    y = y.reshape(len(y), -1).astype(np.float32)
    return Limits(y.min(axis=0), y.max(axis=0))


def _best_epoch(recipe: Recipe, rows: Rows, split: Split, limits: Limits | None) -> BestEpoch | None:
    if split.choosing is None:
        return None
    if limits is None:
        return BestEpoch(recipe.monitor)
    X, y, weights = rows.taken(split.choosing)

    def error(model: MLP) -> float:
        """The mean squared error of predictions within the limits."""
        outputs = model.forward(X)
        squares = np.square(limits.cut(outputs) - y.reshape(outputs.shape)).mean(axis=1)
        return float(np.average(squares, weights=weights))

    return BestEpoch(recipe.monitor, error)


def _callbacks(best: BestEpoch | None, count: Count, until: float | None) -> list[Callback]:
    found: list[Callback] = [Shown(count)]
    if best is not None:
        found.append(best)
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
    temperature = calibrate(model, *rows.taken(split.choosing)) if plan.calibrates else 1.0
    return Trained(model, best.best, temperature, limits)


def _affordable(
    recipe: Recipe,
    shape: Shape,
    rows: Rows,
    splits: Sequence[Split],
    plan: Plan,
    until: float,
    generator: np.random.Generator,
) -> tuple[int, Sequence[Split]]:
    """The epochs for which there is time; if there is not enough for one, one of fewer rows."""
    training, choosing = splits[0]
    batch = min(plan.batch, len(training))
    steps = len(training) // batch
    timed = min(steps, TIMED)
    threads = get_num_threads() if plan.n_threads is None else plan.n_threads
    together = min(threads, len(splits))
    part = Split(
        training[: timed * batch],
        None if choosing is None else choosing[: -(-len(choosing) * timed // steps)],
    )
    probe = new_network(recipe, shape, 2 * timed, generator, _some(rows.X, part, generator))
    for _ in range(2):  # the first time includes what first calls do
        began = time.monotonic()
        fit_many(
            [probe],
            rows.X,
            rows.y,
            sample_weight=rows.weights,
            splits=[part],
            batch_size=batch,
            drop_last=True,
            n_threads=max(1, threads // together),
            verbose=0,
        )
        seconds = (time.monotonic() - began) * steps / timed
    left = PLANNED * (until - time.monotonic())
    affordable = left / (seconds * math.ceil(len(splits) / together))
    if affordable >= 1:
        return min(plan.epochs, int(affordable)), splits
    count = max(batch, int(affordable * len(training)))
    return 1, [Split(generator.permutation(each.training)[:count], each.choosing) for each in splits]
