"""Every public call of a model from within a fit of the same model, at each hook of the fit.

Gradients are accumulated, clipped, and parameters averaged, or not.
"""

from pathlib import Path
from typing import Any

import numpy as np
from children import Wrong, folder_in_memory, in_children, told
from failing.trial import THREADS, check_nobody_is_in
from invariants import bits, check_finite, check_whole, documented, trained_bits
from journal import Journal, attack, main
from public_calls import CHANGING, NEUTRAL, READING, Hook, World, squares

import bpkern

FIT_HOOKS = ("on_fit_begin", "on_fit_end", "on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end")
PLACES = (*FIT_HOOKS, "state_dict", "load_state_dict", "metric", "loss", "rate", "batches")
GRADIENTS: tuple[dict[str, Any], ...] = (
    {},
    {"accumulate": 3},
    {"clip_norm": 0.1},
    {"ema": 0.5},
    {"accumulate": 3, "clip_norm": 0.1, "ema": 0.5},
)
CALLS = [
    *((name, READING[name], "reading") for name in READING),
    *((name, NEUTRAL[name], "neutral") for name in NEUTRAL),
    *((name, CHANGING[name], "changing") for name in CHANGING),
]

# These set the trained parameters to their average.
FROM_AVERAGE = ("set_weights, the same", "load_state_dict, the same")


class Nested:
    """A fit in which `act` is called with the model at one place, at most four times."""

    def __init__(self, place: str, gradients: dict[str, Any], folder: str) -> None:
        self._place, self._gradients = place, gradients
        self.world = World(np.random.default_rng(7), folder)
        self.world.loss = "custom" if place == "loss" else "cross_entropy"
        rng = np.random.default_rng(8)
        rows, width = len(self.world.x), self.world.layers[-1]
        is_values = place == "loss"
        self.world.y = rng.random((rows, width)) if is_values else rng.integers(0, width, rows)
        few = rng.random((5, width)) if is_values else rng.integers(0, width, 5)
        self.world.reading = self.world.reading[0], few
        self.world.settings = {"loss": "cross_entropy", "seed": 1}
        self.world.optimizer = 0

    def run(self, act: Any) -> bpkern.MLP:
        left = [4]

        def at(place: str, *handed: Any) -> None:
            if place == self._place and left[0] and model is not None:
                left[0] -= 1
                act(model)

        def loss(outputs: np.ndarray, y: np.ndarray) -> Any:
            at("loss")
            return squares(outputs, y)

        def rate(iteration: int) -> float:
            at("rate")
            return 0.1

        def metric(y_true: Any, y_pred: Any) -> float:
            at("metric")
            return 0.0

        def batches() -> Any:
            for start in range(0, 16, 4):
                at("batches")
                yield world.x[start : start + 4], world.y[start : start + 4]

        world, model = self.world, None
        if self._place == "loss":
            world.settings["loss"] = loss
        lr = rate if self._place == "rate" else 0.1
        model = world.make(optimizer=bpkern.SGD(lr))
        given = dict(
            epochs=2, batch_size=3, verbose=0, validation_data=world.reading, callbacks=[Hook(at)]
        ) | dict(self._gradients)
        if self._place == "metric":
            given["metrics"] = metric
        if self._place == "batches":
            del given["batch_size"]
            given["epochs"] = 1
            model.fit(batches(), **given)
            return model
        if self._place in ("state_dict", "load_state_dict"):
            given |= {"checkpoint": world.path("outer.npz"), "resume": True}
            acts, left[0] = left[0], 0
            model.fit(world.x, world.y, **given | {"epochs": 1})
            model, left[0] = world.make(optimizer=bpkern.SGD(lr)), acts
        model.fit(world.x, world.y, **given)
        return model


def remove_files(folder: str) -> None:
    for path in Path(folder).iterdir():
        path.unlink()


@attack(trials=len(PLACES) * len(GRADIENTS) * len(CALLS))
def nested(journal: Journal) -> str:
    """Every public call at every hook, by accumulate, clip_norm and ema: readers change no bit of the fit."""
    places = [(place, gradients, call) for place in PLACES for gradients in GRADIENTS for call in CALLS]
    journal.trials = min(journal.trials, len(places))
    order = np.random.default_rng(journal.seed).permutation(len(places))

    def name_of(trial: int) -> str:
        place, gradients, (name, _, _) = places[order[trial]]
        return f"{name} in {place} with {gradients}"

    with folder_in_memory() as folder:

        def work(trial: int) -> str:
            place, gradients, (name, call, kind) = places[order[trial]]
            where = name_of(trial)
            bpkern.set_num_threads(THREADS)
            remove_files(folder)
            expected = Nested(place, gradients, folder).run(lambda model: None)
            remove_files(folder)
            fit, raised, made = Nested(place, gradients, folder), [], []

            def act(model: bpkern.MLP) -> None:
                made.append(model)
                with documented(where, raised):
                    call(fit.world, model)

            word = kind
            with documented(f"fit, {where},", raised):
                model = fit.run(act)
                if kind == "reading" and bits(model) != bits(expected):
                    raise Wrong(f"{where}: other bits")
                averages = "ema" in gradients and name in FROM_AVERAGE
                if kind == "neutral" and not averages and trained_bits(model) != trained_bits(expected):
                    raise Wrong(f"{where}: other weights, and no error")
                word = f"{kind}, ended"
            if kind == "reading" and word == kind:
                raise Wrong(f"{where}: fit raised {told(raised[-1])}")
            if made:
                check_finite(made[-1], where)
                check_nobody_is_in(made[-1:])
                check_whole(made[-1], folder, kind == "changing")
            return word

        in_children(journal, work, filtered="ignore", name=name_of)
    return f"{len(PLACES)} hooks, {len(GRADIENTS)} settings, {len(CALLS)} calls"


if __name__ == "__main__":
    main(__file__)
