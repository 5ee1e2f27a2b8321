"""A small model with its data, and every public call of it: those that read it and those that change it."""

import copy
import os
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from hostile import one

import bpkern
from bpkern import losses, schedules
from bpkern.callbacks import Callback

Rng = np.random.Generator

# Those whose y are labels, which C uses as indices, come more often.
LOSSES = (
    *("cross_entropy", "cross_entropy", "cross_entropy", "binary_cross_entropy"),
    *("mse", "mae", "huber", "quantile", "poisson", "custom"),
)


def squares(outputs: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A user's loss."""
    with np.errstate(all="ignore"):
        difference = outputs - np.asarray(y).reshape(outputs.shape)
        return (difference * difference).mean(axis=1), 2 * difference / outputs.shape[1]


def targets_of(rng: Rng, loss: str, rows: int, width: int) -> np.ndarray:
    """y for a loss."""
    if loss == "cross_entropy" and rng.random() < 0.7:
        return rng.integers(0, width, rows)
    values = rng.random((rows, width))
    if loss == "cross_entropy":
        values /= values.sum(axis=1, keepdims=True)
    if loss == "binary_cross_entropy":
        return (values > 0.5).astype(rng.choice(["int64", "float32", "bool"]))
    return values.astype(rng.choice(["float32", "float64"]))


class World:
    """The settings of a model and the arguments of a fit of it. Two of equal generators are equal.

    Attributes
    ----------
    x, y, weights : ndarray
        The rows that are trained on; hostile code may change them.
    form : str
        How X and y are given to the fit, for messages.
    reading : (ndarray, ndarray)
        Other rows, for calls that only read.
    settings, arguments : dict
        Of the constructor, and of `fit`.
    """

    def __init__(self, rng: Rng, folder: str) -> None:
        self.folder, self.form = folder, "rows"
        self.loss = one(rng, LOSSES)
        inputs, hidden, outputs = (int(n) for n in rng.integers((1, 2, 2), 8))
        self.layers = [inputs, outputs] if rng.random() < 0.1 else [inputs, hidden, outputs]
        self.rows = int(rng.integers(8, 30))
        self.x = rng.standard_normal((self.rows, inputs)).astype(rng.choice(["float32", "float64"]))
        self.y = targets_of(rng, self.loss, self.rows, outputs)
        self.weights = rng.random(self.rows) + 0.5
        self.reading = (
            rng.standard_normal((5, inputs)).astype(np.float32),
            targets_of(rng, self.loss, 5, outputs),
        )
        self.settings: dict[str, Any] = dict(
            loss=self._loss(rng),
            dtype=one(rng, ("float32", "float64")),
            dropout=one(rng, (0.0, 0.0, 0.3)) if len(self.layers) > 2 else 0.0,
            l2=one(rng, (0.0, 1e-3)),
            seed=int(rng.integers(1000)),
        )
        self.optimizer = int(rng.integers(6))
        self.arguments: dict[str, Any] = dict(
            epochs=int(rng.integers(1, 4)),
            batch_size=int(rng.integers(1, 12)),
            shuffle=bool(rng.random() < 0.5),
            accumulate=one(rng, (1, 1, 2, 3)),
            clip_norm=one(rng, (None, None, 1.0)),
            ema=one(rng, (None, None, 0.5)),
            verbose=0,
        )
        if rng.random() < 0.5:
            self.arguments["validation_data"] = self.reading

    def _loss(self, rng: Rng) -> Any:
        if self.loss == "custom":
            return squares
        parametric = {"huber": losses.Huber(0.5), "quantile": losses.Quantile(0.3)}
        return parametric.get(self.loss, self.loss)

    def make_optimizer(self, lr: Any = 0.01) -> bpkern.optimizers.Optimizer:
        kinds: list[Callable[[], Any]] = [
            lambda: bpkern.SGD(lr),
            lambda: bpkern.SGD(lr, momentum=0.9),
            lambda: bpkern.RMSprop(lr, centered=True),
            lambda: bpkern.Adagrad(lr),
            lambda: bpkern.Adam(lr, amsgrad=True),
            lambda: bpkern.AdamW(lr),
        ]
        return kinds[self.optimizer]()

    def make(self, **others: Any) -> bpkern.MLP:
        """The model of these settings; `others` replace them."""
        given = {"optimizer": self.make_optimizer(), **self.settings, **others}
        return bpkern.MLP(self.layers, **given)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)


# Calls that only read the model ----------------------------------------------------------------------------


Call = Callable[[World, bpkern.MLP], Any]


def _pickle(model: bpkern.MLP) -> None:
    try:
        pickle.loads(pickle.dumps(model))
    except (AttributeError, pickle.PicklingError) as error:
        if "local object" not in str(error):  # a function of these attacks, as the loss or the rate
            raise


READING: dict[str, Call] = {
    "forward": lambda world, model: model.forward(world.reading[0]),
    "forward, into an array": lambda world, model: model.forward(
        world.reading[0], out=np.empty((len(world.reading[0]), model.layers[-1]), model.dtype)
    ),
    "forward, a layer": lambda world, model: model.forward(world.reading[0], layer=0),
    "predict": lambda world, model: model.predict(world.reading[0]),
    "predict_proba": lambda world, model: model.predict_proba(world.reading[0]),
    "evaluate": lambda world, model: model.evaluate(*world.reading),
    "evaluate, weighted": lambda world, model: model.evaluate(*world.reading, sample_weight=np.ones(5)),
    "losses": lambda world, model: model.losses(*world.reading),
    "gradients": lambda world, model: model.gradients(*world.reading),
    "trace": lambda world, model: str(model.trace(*world.reading)),
    "trace, weighted": lambda world, model: model.trace(*world.reading, sample_weight=np.ones(5), steps=2),
    "get_weights": lambda world, model: model.get_weights(),
    "state_dict": lambda world, model: model.state_dict(),
    "summary": lambda world, model: str(model.summary(3)),
    "repr": lambda world, model: repr(model),
    "properties": lambda world, model: (model.layers, model.loss, model.dtype, model.optimizer),
    "history_": lambda world, model: repr(model.history_),
    "save": lambda world, model: model.save(world.path("read.npz")),
    "save, safetensors": lambda world, model: model.save(world.path("read.safetensors")),
    "copy": lambda world, model: model.copy(),
    "deepcopy": lambda world, model: copy.deepcopy(model),
    "pickle": lambda world, model: _pickle(model),
    "polyak_update of another": lambda world, model: world.make().polyak_update(model, 0.5),
    "fit of a copy": lambda world, model: model.copy().fit(*world.reading, verbose=0),
    "fit of another": lambda world, model: world.make().fit(*world.reading, verbose=0),
}


# Calls that change the model -------------------------------------------------------------------------------


def _by_hand(world: World, model: bpkern.MLP) -> None:
    outputs = model.forward(world.reading[0], train=True)
    model.backward(np.ones_like(outputs) / len(outputs))
    model.step(clip_norm=1.0)


def _many(world: World, model: bpkern.MLP) -> None:
    bpkern.fit_many([model, world.make(seed=9)], *world.reading, n_threads=2, verbose=0)


def _huge(model: bpkern.MLP, sign: int) -> None:
    """Set weights whose differences overflow."""
    largest = 0.6 * float(np.finfo(model.dtype).max)
    model.set_weights([(np.full(w.shape, sign * largest), b) for w, b in model.get_weights()])


def _blend_huge(world: World, model: bpkern.MLP) -> None:
    other = world.make(seed=5)
    _huge(other, 1)
    _huge(model, -1)
    model.polyak_update(other, 0.5)


def _edit_history(world: World, model: bpkern.MLP) -> None:
    if model.history_ is not None:
        model.history_["loss"] = [1.0, 2.0]


CHANGING: dict[str, Call] = {
    "fit": lambda world, model: model.fit(*world.reading, batch_size=2, shuffle=False, verbose=0),
    "fit, no epochs": lambda world, model: model.fit(*world.reading, epochs=0, verbose=0),
    "fit, larger batch": lambda world, model: model.fit(
        *world.reading, batch_size=64, shuffle=False, verbose=0
    ),
    "fit, accumulating": lambda world, model: model.fit(
        *world.reading, batch_size=2, shuffle=False, accumulate=2, clip_norm=0.1, verbose=0
    ),
    "fit, averaging": lambda world, model: model.fit(*world.reading, ema=0.9, verbose=0),
    "fit of batches": lambda world, model: model.fit([world.reading] * 2, verbose=0),
    "fit, checkpoint": lambda world, model: model.fit(
        *world.reading, checkpoint=world.path("nested.npz"), resume=True, verbose=0
    ),
    "fit_many": _many,
    "train_on_batch": lambda world, model: model.train_on_batch(*world.reading),
    "forward, train": lambda world, model: model.forward(world.reading[0], train=True),
    "by hand": _by_hand,
    "step": lambda world, model: model.step(),
    "apply_gradients": lambda world, model: model.apply_gradients(
        [(0.01 * w, 0.01 * b) for w, b in model.get_weights()]
    ),
    "reset": lambda world, model: model.reset(),
    "freeze": lambda world, model: model.freeze(0),
    "unfreeze": lambda world, model: model.unfreeze(),
    "set_factors": lambda world, model: model.set_factors(-1, lr=0.5, weights=False),
    "set_weights": lambda world, model: model.set_weights([(0.5 * w, b + 1) for w, b in model.get_weights()]),
    "load_state_dict": lambda world, model: model.load_state_dict(model.state_dict()),
    "polyak_update": lambda world, model: model.polyak_update(world.make(seed=5), 0.5),
    "set_weights, huge": lambda world, model: _huge(model, 1),
    "polyak_update of huge": _blend_huge,
    "optimizer": lambda world, model: setattr(model, "optimizer", bpkern.Adam(0.1)),
    "lr": lambda world, model: setattr(model.optimizer, "lr", 0.001),
    "lr, schedule": lambda world, model: setattr(model.optimizer, "lr", schedules.Step(0.1, 2)),
    "stop_training": lambda world, model: setattr(model, "stop_training", True),
    "history_, None": lambda world, model: setattr(model, "history_", None),
    "history_, edited": _edit_history,
    "__init__": lambda world, model: model.__init__(  # type: ignore[misc]
        [3, 2, 4], loss="mse", optimizer=bpkern.SGD()
    ),
}

# The calls after which the trained parameters are the same, as long as the optimiser keeps no states.
NEUTRAL: dict[str, Call] = {
    "fit, no epochs": CHANGING["fit, no epochs"],
    "set_weights, the same": lambda world, model: model.set_weights(model.get_weights()),
    "load_state_dict, the same": CHANGING["load_state_dict"],
    "forward, train": CHANGING["forward, train"],
    "polyak_update, 0": lambda world, model: model.polyak_update(world.make(seed=5), 0.0),
}


def _still(work: Call) -> Call:
    """The call, during which the learning rate is 0."""

    def call(world: World, model: bpkern.MLP) -> None:
        before, model.optimizer.lr = model.optimizer.lr, 0.0
        try:
            work(world, model)
        finally:
            model.optimizer.lr = before

    return call


for _name in ("fit", "fit, larger batch", "fit, accumulating", "fit of batches", "train_on_batch", "by hand"):
    NEUTRAL[f"{_name}, lr 0"] = _still(CHANGING[_name])


class Hook(Callback):
    """Calls `at` with the name of each hook and its arguments."""

    def __init__(self, at: Callable[..., None]) -> None:
        self._at = at

    def on_fit_begin(self, model: Any) -> None:
        self._at("on_fit_begin", model)

    def on_fit_end(self, model: Any) -> None:
        self._at("on_fit_end", model)

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        self._at("on_epoch_begin", model)

    def on_epoch_end(self, model: Any, epoch: int, logs: Any) -> None:
        self._at("on_epoch_end", model, logs)

    def on_batch_begin(self, model: Any, batch: int) -> None:
        self._at("on_batch_begin", model)

    def on_batch_end(self, model: Any, batch: int, logs: Any) -> None:
        self._at("on_batch_end", model, logs)

    def state_dict(self) -> dict[str, Any]:
        self._at("state_dict", None)
        return {"number": 1}

    def load_state_dict(self, state: Any) -> None:
        self._at("load_state_dict", None, state)
