"""Fits that diverge: early or late, in the loss or in the weights, by every way of training.

python tests/attacks/divergence.py [fits ...] [--trials N]
"""

import itertools
import math
import sys
import tempfile
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from journal import ROOT, Journal, attack, main

sys.path.insert(0, str(ROOT / "tests" / "support"))

from diverging import NEWS, Problem, Recorder, Stream, counts, expected, finite, loss_is_finite, same, stores
from helpers import using

import bpkern
from bpkern._model.core import core_of

ADVICE = "lower the learning rate", "clip", "scale X", "reset() starts again"


class Wrong(AssertionError):
    """A failure that a trial found."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise Wrong(what)


def check_error(error: bpkern.DivergedError, due: SimpleNamespace) -> None:
    check(
        (error.epoch, error.iteration) == (due.epoch, due.iteration),
        f"epoch {error.epoch}, iteration {error.iteration} and not {due.epoch}, {due.iteration}: {error}",
    )
    said = f"{due.news} in epoch {due.epoch}, at iteration {due.iteration}: "
    check(str(error).startswith(said), f"{error} and not {said}")
    for advice in ADVICE:
        check(advice in str(error), f"no advice {advice!r}: {error}")


def check_left(model, due, before, history_before, had, ema) -> None:
    """The model is as of the step before, or as of the start of the epoch."""
    kept, counted = due.left
    none_left = counted[0] == before[0]
    if none_left:  # the optimiser states that the fit created are gone, too
        counted, kept = before, {name: array for name, array in kept.items() if name in had}
    elif not ema:
        kept = {name: array for name, array in kept.items() if name != "average"}
    check(counts(model) == counted, f"counts {counts(model)} and not {counted}")
    check(same(stores(model), kept), "other bits are left")
    history = model.history_
    if none_left:
        check(history is history_before, "a history of a fit that left no update")
        return
    lengths = {len(values) for values in history.columns().values()}
    check(lengths == {due.epoch}, f"a history of {lengths} epochs, and not of {due.epoch}")
    check(all(map(math.isfinite, history.get("loss", []))), f"a history of {history}")


def check_next(model, problem, fit) -> None:
    """If no number is large, a lower learning rate works at once; after reset it always works."""
    gentle = bpkern.SGD(1e-6)
    with np.errstate(all="ignore"):
        tame = (
            problem.scale <= 1
            and np.abs(problem.y).max() < 1e3
            and all(np.abs(kept).max() < 1e3 for kept in stores(model).values())
        )
    check(
        np.isfinite(model.forward(np.clip(problem.x, -1, 1))).all() or not tame, "predictions of tame weights"
    )
    model.optimizer = gentle
    try:
        fit(model)
    except bpkern.DivergedError as error:
        check(not tame, f"a lower rate diverges as well: {error}")
    check(finite(stores(model)), "what the next fit has left is not finite")
    model.reset()
    fresh = problem.model()
    fresh.optimizer = gentle
    for each in (model, fresh):
        each.fit(*problem.mild(), batch_size=7)
    check(same(stores(model), stores(fresh)), "after reset, other bits than those of a new model")


def one_fit(journal: Journal, problem: Problem, folder: str) -> None:
    rng, arguments = problem.rng, problem.arguments
    streamed = rng.random() < 0.2 and (
        problem.weights is None
        or all(problem.weights[rows].any() for rows in problem.batches(np.arange(problem.rows)))
    )
    if streamed:
        arguments |= dict(shuffle=False)
    sources = (Stream(problem), None) if streamed else (problem.x, problem.y)
    if streamed:
        arguments = {
            name: value for name, value in arguments.items() if name not in ("batch_size", "shuffle")
        }
    else:
        arguments = arguments | dict(sample_weight=problem.weights)
    went_before = rng.random() < 0.3
    n_threads = int(rng.integers(1, 4))
    checkpoint = Path(folder) / "fit.npz" if rng.random() < 0.2 else None
    validation = tuple(problem.mild()) if rng.random() < 0.2 else None

    def prepared() -> bpkern.MLP:
        model = problem.model()
        if went_before:
            model.optimizer.lr = 1e-4
            model.fit(*problem.mild(), ema=0.5)
            model.optimizer.lr = problem.lr
        return model

    recorded, recorder = prepared(), Recorder(problem.arguments["shuffle"], problem.rows)
    try:
        recorded.fit(*sources, callbacks=recorder, n_threads=1, **arguments)
        recorder.ended = True
    except bpkern.DivergedError:
        recorder.ended = len(recorder.epochs[-1].losses) == len(recorder.epochs[-1].before)
    due = expected(recorded, problem, recorder)

    model = prepared()
    before, history_before, had = counts(model), model.history_, stores(model)
    fit_arguments = arguments | dict(n_threads=n_threads, validation_data=validation, checkpoint=checkpoint)
    try:
        model.fit(*sources, **fit_arguments)
    except bpkern.DivergedError as error:
        check(due is not None, f"no reason for {error}")
        assert due is not None
        check_error(error, due)
        journal.count("at the loss" if due.at_loss else "at an epoch's end")
        journal.count("unsure", due.unsure)
        check_left(model, due, before, history_before, had, arguments["ema"])
        if checkpoint is not None and checkpoint.exists():
            check_resumed(problem.model(), sources, fit_arguments, due, model)
    else:
        check(due is None, f"it should have said: {due}")
        check(finite(stores(model)), "not finite at the end")
        check(all(map(math.isfinite, model.history_["loss"])), f"losses {model.history_['loss']}")
        journal.count("ended well")
    rows_only = {name: value for name, value in arguments.items() if name not in ("epochs", "accumulate")}
    check_next(model, problem, lambda each: each.fit(*sources, **rows_only))


def check_resumed(model, sources, arguments, due, whole) -> None:
    """Resumed from its checkpoint, the fit ends at the same place, in the same state."""
    try:
        model.fit(*sources, **arguments, resume=True)
    except bpkern.DivergedError as error:
        check_error(error, due)
    else:
        raise Wrong("resumed, it goes well")
    # With no update since the checkpoint, the state is that of the checkpoint, which is the same.
    check(same(stores(model), stores(whole)), "resumed, it leaves other bits")
    # The checkpoint does not know of mini-batches since then that made no update.
    check(counts(model)[::2] == counts(whole)[::2], "resumed, it leaves other counts of updates")


def trials(journal: Journal, one) -> None:
    """Run `one` on the problem of each trial; Wrong is a failure."""
    for trial in journal:
        problem = Problem(journal.generator(trial))
        with using(problem.isa), tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                one(journal, problem, folder)
            except (Wrong, Warning, ArithmeticError, ValueError) as wrong:
                journal.fail(trial, f"{wrong!r}: {problem.describe()}")


def told(journal: Journal, *names: str) -> str:
    return ", ".join(f"{journal.figures.get(name, 0)} {name}" for name in names)


@attack(trials=2000)
def fits(journal: Journal) -> str:
    """A diverged fit's error says when and what to change; the step before or its epoch's start is left."""
    trials(journal, one_fit)
    return told(journal, "at the loss", "at an epoch's end", "ended well", "unsure")


def one_series_of_steps(journal: Journal, problem: Problem, folder: str) -> None:
    """`train_on_batch`, batch after batch, or `forward`, `backward` and `step`."""
    model, by_hand = problem.model(), problem.rng.random() < 0.5
    penalised = problem.settings["l1"] or problem.settings["l2"]
    order = itertools.cycle(problem.batches(np.arange(problem.rows)))
    problem.weights = None
    for rows in itertools.islice(order, 40):
        before, counted, history = stores(model), counts(model), model.history_
        parameters, number = core_of(model).get_parameters(), counts(model)[1]
        good = loss_is_finite(model, problem, rows, number, parameters)
        try:
            if by_hand:
                hand_step(model, problem, rows)
            else:
                loss = model.train_on_batch(problem.x[rows], problem.y[rows])
                check(math.isfinite(loss), f"a loss of {loss}")
        except bpkern.DivergedError as error:
            at_loss = NEWS[0] in str(error)
            if not by_hand:
                check(good is None or at_loss == (not good), f"{error}, where the loss is finite: {good}")
                check((error.epoch, error.iteration) == (0, 0 if at_loss else 1), f"{error}")
            check(
                all(advice in str(error) for advice in ADVICE[: 3 if by_hand else 4]), f"no advice: {error}"
            )
            after = {name: kept for name, kept in stores(model).items() if name in before or kept.any()}
            check(same(before, after), "other bits are left")
            if not by_hand:
                check(counts(model) == counted, f"counts {counts(model)} and not {counted}")
            check(model.history_ is history, "a history")
            journal.count("at the loss" if at_loss else "in the weights")
            break
        except ValueError as error:
            check(by_hand and "grad_output must be finite" in str(error), str(error))
            break
        else:
            check(by_hand or good is not False, "a loss that is not finite, and no error")
            check(finite(stores(model)), "weights that are not finite, and no error")
    else:
        journal.count("ended well")
    if not penalised:
        check_next(model, problem, lambda each: each.train_on_batch(problem.x[:5], problem.y[:5]))


def hand_step(model, problem, rows) -> None:
    outputs = model.forward(problem.x[rows], train=True)
    with np.errstate(all="ignore"):
        gradient = outputs / len(rows)
    model.backward(gradient)
    model.step()


@attack(trials=1000)
def single_steps(journal: Journal) -> str:
    """A single step that diverges, in one call or by hand, changes nothing."""
    trials(journal, one_series_of_steps)
    return told(journal, "at the loss", "in the weights", "ended well")


def one_fit_many(journal: Journal, problem: Problem, folder: str) -> None:
    """Models of one shape with very different learning rates: each ends as if trained alone."""
    arguments = {name: problem.arguments[name] for name in ("epochs", "batch_size", "shuffle", "ema")}
    models, alone = [], []
    for number, lr in enumerate([1e-5, problem.lr, 1e-5, problem.lr]):
        for group in (models, alone):
            model = problem.model()
            model.optimizer.lr = lr
            group.append(model)
            core_of(model).random.generator.bit_generator.advance(number)
    errors = {}
    for number, model in enumerate(alone):
        try:
            model.fit(problem.x, problem.y, **arguments)
        except bpkern.DivergedError as error:
            errors[number] = error
    try:
        bpkern.fit_many(models, problem.x, problem.y, n_threads=int(problem.rng.integers(1, 4)), **arguments)
    except bpkern.DivergedError as error:
        check(bool(errors), f"no reason for {error}")
        first = errors[min(errors)]
        check(str(error) == str(first), f"{error} and not {first}")
        check((error.epoch, error.iteration) == (first.epoch, first.iteration), "another moment")
        check(f"models[{min(errors)}]" in "".join(error.__notes__), f"{error.__notes__}")
        journal.count("with models that diverged")
    else:
        check(not errors, f"it should have raised {errors}")
    for one, other in zip(models, alone, strict=True):
        check(same(stores(one), stores(other)), "other bits than alone")
        check(finite(stores(one)), "not finite")
        check(one.history_ == other.history_, "another history than alone")


@attack(trials=300)
def many(journal: Journal) -> str:
    """In fit_many, models that diverge end as if trained alone, and the other models are trained."""
    trials(journal, one_fit_many)
    return told(journal, "with models that diverged")


if __name__ == "__main__":
    main(__file__)
