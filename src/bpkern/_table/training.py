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
from .recipes import Recipe, Shape, new_network, without_scale
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
        Whether to calibrate the probabilities of classes.
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


class Trained(NamedTuple):
    """A network with the parameters of its best epoch.

    Attributes
    ----------
    model : MLP
    score : float or None
        The value of `Recipe.monitor` in that epoch.
    temperature : float
        By which its outputs were divided.
    """

    model: MLP
    score: float | None
    temperature: float = 1.0


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
    models, best = [], []
    for split, own in zip(splits, seeds, strict=False):
        updates = epochs * (len(split.training) // batch)
        models.append(new_network(recipe, shape, updates, np.random.default_rng(own)))
        best.append(None if split.choosing is None else BestEpoch(recipe.monitor))
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
    return [_finished(models[i], best[i], rows, splits[i], recipe, plan) for i in kept]


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
    model: MLP, best: BestEpoch | None, rows: Rows, split: Split, recipe: Recipe, plan: Plan
) -> Trained:
    if best is None or split.choosing is None:
        return Trained(without_scale(model, recipe), None)
    best.restore(model)
    model = without_scale(model, recipe)
    temperature = calibrate(model, *rows.taken(split.choosing)) if plan.calibrates else 1.0
    return Trained(model, best.best, temperature)


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
        training[: timed * batch], None if choosing is None else choosing[: len(choosing) * timed // steps]
    )
    probe = new_network(recipe, shape, 2 * timed, generator)
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
