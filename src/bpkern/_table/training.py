"""Networks trained on an encoded table by a recipe, within a time, with the best of their epochs."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._fit.many import fit_many
from .._fit.progress import make_progress
from .._user_warnings import warn
from ..callbacks import Callback
from ..errors import DivergedError
from ..mlp import MLP
from .affordable import affordable
from .best_epoch import BestEpoch, Count, Deadline, Shown
from .plan import FEWEST_CHOOSING, Plan, Rows, Split
from .recipes import INITIAL_ROWS, Recipe, Shape, new_network, without_scale
from .temperature import calibrate_by, shrink

# The part of the epochs at whose end the learning rate is 0 for the first time (`CosLog4`).
FIRST_WAVE = 1 / 15


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
        epochs, splits, initial = affordable(recipe, shape, rows, splits, plan, plan.until, generator)
    batch = min(plan.batch, *(len(split.training) for split in splits))
    models, best, limits = [], [], []
    for split, own in zip(splits, seeds, strict=False):
        generator = np.random.default_rng(own)
        updates = epochs * (len(split.training) // batch)
        some = rows.some(generator.permutation(split.training)[:initial])
        models.append(new_network(recipe, shape, updates, generator, some))
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
            f"time_limit was enough for {len(kept)} of {wanted} networks: raise time_limit or lower n_models"
        )
    elif plan.until is not None and len(kept) < len(models):
        lost = len(models) - len(kept)
        warn(
            f"time_limit ended training: {lost} of {len(models)} networks had not finished their first wave "
            "and are left out; raise time_limit or lower n_models"
        )
    return [_finished(models[i], best[i], rows, splits[i], recipe, plan, limits[i]) for i in kept]


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
    score = None if best is None else best.best
    if rows.values is not None and plan.until is not None:
        score = _shrunk(model, rows, split, limits, score)
    if split.choosing is None:
        return Trained(model, None, limits=limits)
    temperature = calibrate_by(model, rows, split.choosing) if plan.calibrates else 1.0
    return Trained(model, score, temperature, limits)


def _shrunk(model: MLP, rows: Rows, split: Split, limits: Limits | None, score: float | None) -> float | None:
    """Shrink the outputs of a network that is worse than the mean for some rows; its score after that.

    A network of a few updates may be: its first outputs are far from the mean. The rows are those that chose
    the epoch; if there are none, some to train on, for which there is no score yet.
    """
    index = split.choosing
    if index is None:
        index = split.training
        if rows.weights is not None:
            index = index[rows.weights[index] > 0]
        if not index.size:
            return score
        index = index[:: max(1, len(index) // FEWEST_CHOOSING)]
    y, weights = rows.targets(index)
    y = y.reshape(len(y), -1).astype(np.float64)

    def error() -> float:
        outputs = rows.outputs(model, index)
        errors = (outputs if limits is None else limits.cut(outputs)) - y
        return float(np.average(np.square(errors).mean(axis=1), weights=weights))

    score = error() if score is None else score
    if score < np.average(np.square(y).mean(axis=1), weights=weights):
        return score
    shrink(model, rows.outputs(model, index), y, weights)
    return error()
