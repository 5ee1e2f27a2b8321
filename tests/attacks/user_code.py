"""User code as the attacker: callbacks, metrics, losses, rates, batches, arrays and settings of a user.

They mutate, lie, raise, delete, and call every public method from within a call.

python tests/attacks/user_code.py [harmless hostile] [--trials N] [--seed S]

hostile_objects.py makes the objects, mischief.py decides what they do, public_calls.py has the models and the
calls, and invariants.py what must hold afterwards. `sanitizers.py user_code` runs them with sanitizers.
"""

from typing import Any

import hostile_objects as objects
import numpy as np
from children import Wrong, folder_in_memory, in_children, told
from failing.trial import THREADS, check_nobody_is_in
from hostile import one
from invariants import Unchanged, bits, check_whole
from journal import Journal, attack, main
from mischief import Mischief
from public_calls import Hook, World

import bpkern

Rng = np.random.Generator


def prepared(journal: Journal, trial: int, folder: str) -> tuple[Rng, World]:
    """The generator of a trial, and its world."""
    bpkern.set_num_threads(THREADS)
    rng = journal.generator(trial)
    return rng, World(np.random.default_rng([journal.seed, trial, 1]), folder)


# Harmless code ---------------------------------------------------------------------------------------------


def harmless_fit(rng: Rng, world: World, mischief: Mischief) -> tuple[bpkern.MLP, Any]:
    """A new model and the history of its fit, which has hostile hooks in some places."""
    places = {name for name in ("callbacks", "metrics", "loss", "rate", "schedule") if rng.random() < 0.5}
    form = one(rng, ("rows", "rows", "batches", "refilled", "weighted", "weighted first"))
    world.form = form
    settings: dict[str, Any] = {}
    if "loss" in places and world.loss in ("mse", "custom"):
        settings["loss"] = objects.loss(mischief)
    if "rate" in places:
        settings["optimizer"] = world.make_optimizer(objects.rate(mischief))
    elif "schedule" in places:
        settings["optimizer"] = world.make_optimizer(objects.Rates(mischief))
    model = mischief.model = world.make(**settings)
    given = dict(world.arguments)
    if "callbacks" in places:
        given["callbacks"] = [Hook(mischief.at)]
    if "metrics" in places:
        given["metrics"] = [objects.metric(mischief), "f1" if "cross" in world.loss else "mae"]
    if form == "rows":
        history = model.fit(world.x, world.y, **given)
    else:
        del given["batch_size"]
        batches = objects.Batches(mischief, world.x, world.y, form)
        try:
            history = model.fit(batches, **given)
        except (ValueError, RuntimeError) as error:
            if mischief.rng is not None and (form == "refilled" or "weight" in str(error)):
                return model, error
            raise
    return model, history


@attack(trials=50_000)
def harmless(journal: Journal) -> str:
    """Hooks that only read the model, and write to what they were handed, change no bit of a fit."""
    with folder_in_memory() as folder:

        def work(trial: int) -> str:
            _, world = prepared(journal, trial, folder)
            asleep = Mischief(None, world, True)
            expected, history = harmless_fit(journal.generator(trial), world, asleep)
            rng, world = prepared(journal, trial, folder)
            caller = Unchanged({"X": world.x, "y": world.y, "other X": world.reading[0]})
            mischief = Mischief(np.random.default_rng([journal.seed, trial, 2]), world, True)
            with mischief.calling("fit"):
                model, found = harmless_fit(rng, world, mischief)
                mischief.rng = None
                caller.check()
                check_nobody_is_in([model])
                check_whole(model, folder)
                if isinstance(found, Exception):
                    return "refused"
                if dict(found) != dict(history) or bits(model) != bits(expected):
                    raise Wrong(
                        f"another fit of {world.form}: {found}, not {history}, after {mischief.done}"[:400]
                    )
                return "same"
            raise Wrong(f"fit raised {told(mischief.raised[-1])}")

        in_children(journal, work, filtered="ignore")
    return f"{journal.figures.get('same', 0)} the same, {journal.figures.get('refused', 0)} refused"


# Hostile code ----------------------------------------------------------------------------------------------


def hostile_model(rng: Rng, world: World, mischief: Mischief) -> bpkern.MLP:
    """The model, made with some hostile settings."""
    settings: dict[str, Any] = {}
    if rng.random() < 0.3:
        settings["seed"] = objects.Generator.of(mischief)
    if rng.random() < 0.5:
        kinds = [
            lambda: world.make_optimizer(objects.rate(mischief)),
            lambda: world.make_optimizer(objects.Rates(mischief)),
            lambda: objects.LyingSGD(0.01, mischief=mischief),
        ]
        settings["optimizer"] = one(rng, kinds)()
    if world.loss in ("mse", "custom") and rng.random() < 0.7:
        settings["loss"] = objects.loss(mischief)
    if world.loss == "huber":
        settings["loss"] = objects.LyingHuber(mischief)
    if rng.random() < 0.1:
        init = world.make().get_weights()
        settings["init"] = [(objects.array(mischief, w), objects.array(mischief, b)) for w, b in init]
    return world.make(**settings)


def hostile_fit(rng: Rng, world: World, mischief: Mischief, model: bpkern.MLP) -> None:
    given = dict(world.arguments)
    hooks = [objects.LyingHook(mischief), bpkern.callbacks.EarlyStopping("loss", patience=1)]
    given["callbacks"] = one(rng, ((), hooks, hooks[:1], objects.Callbacks(mischief)))
    if rng.random() < 0.4:
        given["metrics"] = one(
            rng, ("accuracy" if "cross" in world.loss else "mse", objects.metric(mischief), [3])
        )
    if rng.random() < 0.2:
        given["checkpoint"] = objects.Path(mischief, world.path("fit.npz"))
        given["resume"] = True
    if rng.random() < 0.1:
        given["class_weight"] = objects.Weights(mischief)
    if rng.random() < 0.2:
        name = one(rng, ("epochs", "batch_size", "accumulate", "clip_norm", "ema", "shuffle", "verbose"))
        most = 1000 if name == "epochs" else np.inf  # the fit must end
        given[name] = objects.Number(mischief, given[name] or 1, most)
    if rng.random() < 0.2:
        del given["batch_size"]
        form = one(rng, ("batches", "refilled", "weighted", "weighted first"))
        model.fit(objects.Batches(mischief, world.x, world.y, form), **given)
        return
    x, y = world.x, world.y
    if rng.random() < 0.05 and world.loss in ("mse", "mae", "custom"):
        # As many rows as an index can count, all of them the same.
        rows = np.iinfo(np.intp).max // max(x.shape[1], y.shape[1])
        x, y = (np.broadcast_to(array[:1], (rows, *array.shape[1:])) for array in (x, y))
        given["shuffle"] = True
        model.fit(x, y, **given)
        return
    if rng.random() < 0.3:
        x = objects.array(mischief, x)
    if rng.random() < 0.3:
        y = objects.array(mischief, y)
    if rng.random() < 0.3:
        given["sample_weight"] = one(rng, (world.weights, objects.array(mischief, world.weights)))
    if rng.random() < 0.1:
        bpkern.fit_many(
            [model, world.make(seed=3)],
            x,
            y,
            n_threads=2,
            splits=[(objects.array(mischief, np.arange(4)), objects.array(mischief, np.arange(4, 8)))] * 2,
            verbose=0,
        )
        return
    model.fit(x, y, **given)


def hostile_call(rng: Rng, world: World, mischief: Mischief, model: bpkern.MLP) -> None:
    """A call other than `fit` with hostile arguments."""
    x = objects.array(mischief, world.x)
    y = objects.array(mischief, world.y)
    weights = [(objects.array(mischief, w), objects.array(mischief, b)) for w, b in model.get_weights()]
    state = {name: objects.array(mischief, value) for name, value in model.state_dict().items()}
    calls = {
        "forward": lambda: model.forward(x),
        "predict": lambda: model.predict(x),
        "predict_proba": lambda: model.predict_proba(x),
        "evaluate": lambda: model.evaluate(
            x, y, sample_weight=objects.array(mischief, world.weights), metrics=objects.metric(mischief)
        ),
        "losses": lambda: model.losses(x, y),
        "gradients": lambda: model.gradients(x, y),
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "backward": lambda: (model.forward(world.x, train=True), model.backward(y)),
        "set_weights": lambda: model.set_weights(weights),
        "load_state_dict": lambda: model.load_state_dict(state),
        "layer": lambda: model.forward(x, layer=objects.Number(mischief, 0)),
        "summary": lambda: str(model.summary(objects.Number(mischief, 3))),
        "polyak_update": lambda: model.polyak_update(world.make(seed=5), objects.Number(mischief, 0.5)),
        "save": lambda: model.save(objects.Path(mischief, world.path("hostile.npz"))),
        "linear_forward": lambda: bpkern.kernels.linear_forward(x, *weights[0]),
        "optimizer": lambda: setattr(model, "optimizer", objects.LyingSGD(0.1, mischief=mischief)),
    }
    calls[one(rng, sorted(calls))]()


@attack(trials=100_000)
def hostile(journal: Journal) -> str:
    """Hostile user code crashes nothing: documented or its own errors, a whole model, the caller's arrays."""
    with folder_in_memory() as folder:

        def work(trial: int) -> str:
            rng, world = prepared(journal, trial, folder)
            mischief = Mischief(np.random.default_rng([journal.seed, trial, 2]), world, False)
            caller = Unchanged({"X": world.x, "y": world.y, "weights": world.weights})
            word = "raised"
            with mischief.calling("the constructor"):
                mischief.model = hostile_model(rng, world, mischief)
            model = mischief.model
            if model is None:
                return "no model"
            act = hostile_fit if rng.random() < 0.6 else hostile_call
            with mischief.calling("the call"):
                act(rng, world, mischief, model)
                word = "ended"
            mischief.rng = None
            bpkern.set_num_threads(THREADS)
            if not mischief.changed_arrays:
                caller.check()
            check_nobody_is_in([model])
            check_whole(model, folder, mischief.edited)
            return word

        in_children(journal, work, filtered="ignore")
    return f"{journal.figures.get('ended', 0)} ended, {journal.figures.get('raised', 0)} raised"


if __name__ == "__main__":
    main(__file__)
