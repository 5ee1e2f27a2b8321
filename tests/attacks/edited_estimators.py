"""Estimators for scikit-learn whose fitted attributes a user has replaced by any others."""

import pickle
from typing import Any

import hostile_objects as objects
import numpy as np
from children import Wrong, in_children
from failing.trial import THREADS
from hostile import one
from journal import Journal, attack, main
from mischief import VALUES, Mischief
from public_calls import World

import bpkern

Rng = np.random.Generator

FITTED = ("coefs_", "intercepts_", "classes_", "n_iter_", "t_", "loss_curve_", "best_loss_", "n_outputs_")


def edited(rng: Rng, value: Any, mischief: Mischief) -> Any:
    """A fitted attribute after the user has changed it."""
    if not isinstance(value, list) or not value or rng.random() < 0.1:
        return one(rng, VALUES)
    kept, place = list(value), int(rng.integers(len(value)))
    array = np.atleast_1d(value[place])
    edits = [
        lambda: array.astype(one(rng, ("f2", "f4", "f8", "g", "i1", "O", "S8", ">f8"))),
        lambda: array.astype("c16"),
        lambda: np.pad(array, 1),
        lambda: np.concatenate([array] * 2),
        lambda: array[:-1],
        lambda: array.T,
        lambda: array[..., None],
        lambda: np.full(array.shape, np.nan),
        lambda: np.broadcast_to(np.float64(1), array.shape),
        lambda: array.tolist(),
        lambda: objects.array(mischief, array),
        lambda: one(rng, VALUES),
    ]
    with np.errstate(all="ignore"):
        kept[place] = one(rng, edits)()
    return one(rng, (kept, kept, kept, tuple(kept), kept[:-1], kept + kept[:1]))


def recast(rng: Rng, estimator: Any) -> None:
    """Give all parameters another dtype, or the hidden layer another width: they still fit each other."""
    coefs, intercepts = estimator.coefs_, estimator.intercepts_
    if rng.random() < 0.5:
        dtype = one(rng, ("f2", "f4", "f8", ">f8", "g", "i8"))
        estimator.coefs_ = [array.astype(dtype) for array in coefs]
        estimator.intercepts_ = [array.astype(dtype) for array in intercepts]
        return
    width = int(rng.integers(1, 60))
    estimator.coefs_ = [
        np.resize(coefs[0], (len(coefs[0]), width)),
        np.resize(coefs[1], (width, len(coefs[1][0]))),
    ]
    estimator.intercepts_ = [np.resize(intercepts[0], width), intercepts[1]]


@attack(trials=10_000)
def estimators(journal: Journal) -> str:
    """An estimator whose fitted attributes were edited works or raises, and another fit makes it whole."""
    from bpkern.sklearn import MLPClassifier, MLPRegressor

    def work(trial: int) -> str:
        bpkern.set_num_threads(THREADS)
        rng = journal.generator(trial)
        world = World(rng, "")
        kind = one(rng, (MLPClassifier, MLPRegressor))
        x = world.x.copy()
        y = np.arange(len(x)) % 3 if kind is MLPClassifier else rng.random(len(x))
        solver = one(rng, ("adam", "sgd"))
        estimator = kind(hidden_layer_sizes=(4,), max_iter=2, batch_size=4, solver=solver, random_state=0)
        estimator.partial_fit(x, y, **({"classes": [0, 1, 2]} if kind is MLPClassifier else {}))
        mischief = Mischief(np.random.default_rng([journal.seed, trial, 2]), world, False)
        if rng.random() < 0.3:
            recast(rng, estimator)
        if rng.random() < 0.5:  # after which partial_fit needs another network
            estimator.set_params(**one(rng, ({"alpha": 0.01}, {"activation": "tanh"}, {"dropout": 0.1})))
        for name in rng.permutation(FITTED)[: int(rng.integers(3))]:
            setattr(estimator, name, edited(rng, getattr(estimator, name, None), mischief))
        calls = {
            "partial_fit": lambda: estimator.partial_fit(x, y),
            "partial_fit, another dtype": lambda: estimator.partial_fit(x.astype(one(rng, ("f4", "f8"))), y),
            "predict": lambda: estimator.predict(x),
            "score": lambda: estimator.score(x, y),
            "pickle": lambda: pickle.loads(pickle.dumps(estimator)).predict(x),
            "warm start": lambda: estimator.set_params(warm_start=True).fit(x, y),
        }
        if kind is MLPClassifier:
            calls["predict_proba"] = lambda: estimator.predict_proba(x)
        word = "ended"
        for _ in range(2):
            # As in scikit-learn, whose attributes these are, no kind of error is promised.
            try:
                calls[one(rng, sorted(calls))]()
            except BaseException as error:
                if not isinstance(error, Exception) and not any(error is own for own in mischief.raised):
                    raise
                word = "raised"
        mischief.rng = None
        estimator.set_params(warm_start=False).fit(x, y)
        if not np.isfinite(estimator.predict(x)).all():
            raise Wrong("fit has left predictions that are not finite")
        return word

    in_children(journal, work, filtered="ignore")
    return f"{journal.figures.get('ended', 0)} ended, {journal.figures.get('raised', 0)} raised"


if __name__ == "__main__":
    main(__file__)
