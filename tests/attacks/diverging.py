"""Fits that are likely to diverge, and their expected outcome, for divergence.py.

The expected outcome is found without the trainer: a callback records all parameters and states before each
step of the same fit, and the reference computes whether the loss of that step is finite.
"""

import copy
import math
from types import SimpleNamespace

import numpy as np
from helpers import ACTIVATIONS

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback
from bpkern.reference import dropout as drop
from bpkern.reference.losses import LOSSES
from bpkern.reference.network import Batch, Network

# If scaling by this margin changes whether the loss is finite, rounding decides: such a step shows nothing.
MARGIN = 8.0

NEWS = "the loss is no longer finite", "the weights overflowed"


def squares(outputs, targets):
    """A user's loss."""
    with np.errstate(all="ignore"):
        difference = outputs - targets
        return (difference * difference).mean(axis=1), 2 * difference / outputs.shape[1]


class Kick:
    """A learning rate that is huge at one update, or from one update on."""

    def __init__(self, base: float, huge: float, at: int, stays: bool) -> None:
        self.base, self.huge, self.at, self.stays = base, huge, at, stays

    def __call__(self, update: int) -> float:
        return self.huge if update == self.at or (self.stays and update > self.at) else self.base


class Problem:
    """The model, data and arguments of one trial, all drawn from its generator."""

    def __init__(self, rng: np.random.Generator, whole_fits: bool = True) -> None:
        self.rng = rng
        self.isa = str(rng.choice(bpkern.available_isas()))
        self.dtype = str(rng.choice(["float32", "float64"]))
        decades = 37 if self.dtype == "float32" else 300
        # The updates of the wider nets are proved not to overflow, or copied (csrc/trainer/epochs.c).
        self.layers = [int(n) for n in rng.integers(1, rng.choice([20, 20, 120]), rng.integers(2, 5))]
        self.loss = rng.choice([*LOSSES, squares], p=[0.7 / len(LOSSES)] * len(LOSSES) + [0.3])
        if rng.random() < 0.15:  # trained on the online path
            self.layers, self.batch_size = [int(n) for n in rng.integers(1, 5, 3)], 1
        else:
            self.batch_size = int(rng.integers(1, 30))
        self.rows = int(rng.integers(5, 60))
        self.epochs = int(rng.integers(1, 6))
        batches = -(-self.rows // self.batch_size)
        self.accumulate = int(rng.choice([1, 1, 1, 2, 3])) if whole_fits else 1
        updates = -(-batches // self.accumulate) * self.epochs
        self.scale = 10.0 ** rng.choice([0, 0, 0, rng.uniform(-2, decades / 2)])
        base, largest = 10.0 ** rng.uniform(-4, -2), 38.5 if self.dtype == "float32" else 308.2
        huge = 10.0 ** rng.choice([rng.uniform(2, decades), rng.uniform(0.9 * largest, largest)])
        kind = rng.choice(["constant", "kick", "last of an epoch", "blip"])
        at = int(rng.integers(updates))
        if kind == "last of an epoch":
            at = int(rng.integers(1, self.epochs + 1)) * (updates // self.epochs) - 1
        self.lr = (
            10.0 ** rng.uniform(-1, decades) if kind == "constant" else Kick(base, huge, at, kind != "blip")
        )
        momentum = float(rng.choice([0.0, 0.9, 0.99]))
        self.optimizer = rng.choice(
            [
                lambda: bpkern.SGD(self.lr, momentum, nesterov=momentum > 0.95),
                lambda: bpkern.SGD(self.lr, momentum, weight_decay=0.01),
                lambda: bpkern.RMSprop(self.lr, momentum=momentum, centered=momentum > 0.95),
                lambda: bpkern.Adagrad(self.lr),
                lambda: bpkern.Adam(self.lr, amsgrad=momentum > 0.95),
                lambda: bpkern.AdamW(self.lr),
            ]
        )
        hidden = len(self.layers) - 2
        self.settings = dict(
            activation=[str(name) for name in rng.choice(list(ACTIVATIONS), hidden)],
            output_activation=str(rng.choice(["identity", "identity", "tanh", "relu", "softplus"])),
            loss=self.loss,
            dtype=self.dtype,
            l2=float(rng.choice([0, 0, 1e-3])),
            l1=float(rng.choice([0, 0, 1e-3])),
            dropout=float(rng.choice([0, 0, 0.3])) if hidden else 0.0,
            seed=int(rng.integers(1000)),
        )
        self.arguments = dict(
            epochs=self.epochs,
            batch_size=self.batch_size,
            shuffle=bool(rng.random() < 0.5),
            accumulate=self.accumulate,
            ema=0.9 if rng.random() < 0.25 else None,
            clip_norm=10.0 if rng.random() < 0.15 else None,
            clip_value=1.0 if rng.random() < 0.15 else None,
        )
        self.weights = rng.choice([0.0, 0.5, 2.0], self.rows) if rng.random() < 0.25 else None
        if self.weights is not None:
            self.weights[rng.integers(self.rows)] = 1.0
        x = rng.standard_normal((self.rows, self.layers[0]))
        # Sometimes only a few rows are large, so that a batch other than the first overflows.
        x[rng.random(self.rows) < rng.choice([0.1, 1.0])] *= self.scale
        self.x = np.ascontiguousarray(x, self.dtype)
        self.y = self.targets()
        if rng.random() < 0.02:  # each loss is finite, their sum is not
            self.dtype = self.settings["dtype"] = "float64"
            self.loss = self.settings["loss"] = "mae"
            self.batch_size, self.layers[-1], self.weights = 1, 1, None
            self.arguments["batch_size"] = 1
            self.x, self.y = self.x.astype("float64"), np.full((self.rows, 1), 1e308)

    def targets(self) -> np.ndarray:
        shape = self.rows, self.layers[-1]
        if self.loss == "cross_entropy":
            return self.rng.integers(0, shape[1], self.rows)
        if self.loss in ("binary_cross_entropy", "poisson"):
            return np.asarray(self.rng.random(shape), self.dtype)
        if self.loss in ("hinge", "squared_hinge"):
            return np.asarray(self.rng.choice([-1.0, 1.0], shape), self.dtype)
        return np.asarray(self.rng.standard_normal(shape), self.dtype)

    def model(self) -> bpkern.MLP:
        return bpkern.MLP(self.layers, optimizer=self.optimizer(), **self.settings)

    def batches(self, order: np.ndarray) -> list[np.ndarray]:
        return [order[at : at + self.batch_size] for at in range(0, len(order), self.batch_size)]

    def mild(self) -> list[np.ndarray]:
        """X and y without large numbers."""
        return [np.clip(a, -1, 1) if a.dtype.kind == "f" else a for a in (self.x, self.y)]

    def describe(self) -> str:
        own = f"{self.layers} {self.settings} {self.optimizer()} {self.arguments}"
        return f"{own} {self.isa} scale {self.scale:g}"


class Stream:
    """The rows as batches that can be iterated again."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def __iter__(self):
        p = self.problem
        for rows in p.batches(np.arange(p.rows)):
            yield (p.x[rows], p.y[rows]) if p.weights is None else (p.x[rows], p.y[rows], p.weights[rows])


# The recording, and the expected outcome -----------------------------------------------------------------


def stores(model: bpkern.MLP) -> dict[str, np.ndarray]:
    """Copies of the parameters, the optimiser states and the average."""
    net = core_of(model).net
    return {
        name: np.concatenate([array.ravel() for pair in net.get_layers(name) for array in pair])
        for name in net.stores()
    }


def finite(kept: dict[str, np.ndarray]) -> bool:
    return all(np.isfinite(array).all() for array in kept.values())


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def counts(model: bpkern.MLP) -> tuple[int, ...]:
    return (*core_of(model).net.counts, core_of(model).net.moves)


class Recorder(Callback):
    """Records stores and counts before each step, stores after an epoch's last step, and the row orders."""

    def __init__(self, shuffles: bool, rows: int) -> None:
        self.shuffles, self.rows = shuffles, rows
        self.epochs: list[SimpleNamespace] = []

    def on_epoch_begin(self, model, epoch):
        order = np.arange(self.rows)
        if self.shuffles:
            order = copy.deepcopy(core_of(model).random.generator).permutation(self.rows)
        self.epochs.append(SimpleNamespace(order=order, before=[], losses=[], after=None))

    def on_batch_begin(self, model, batch):
        self.epochs[-1].before.append((stores(model), counts(model), core_of(model).get_parameters()))

    def on_batch_end(self, model, batch, logs):
        self.epochs[-1].after = stores(model)
        self.epochs[-1].losses.append(logs["loss"])


def reference_losses(model, problem, rows, batch_number, parameters, scale) -> set[float]:
    """The losses that a mini-batch may have, computed by the reference with everything that could overflow
    scaled. There are two if a product overflows before a bounded activation: the order of its sum then
    decides whether the activation is at its limit or NaN."""
    settings, dtype = core_of(model).settings, getattr(np, problem.dtype)
    batch = Batch(len(rows), settings, problem.y.ndim == 1)
    layers = range(len(settings.layers) - 1)
    names = [f"{l}.{kind}" for l in layers for kind in ("weight", "bias")]
    net = Network(settings, [np.asarray(parameters[name] * dtype(scale)) for name in names])
    batch.x[...] = problem.x[rows] * dtype(scale)
    batch.y[...] = problem.y[rows]
    batch.weights = None if problem.weights is None else problem.weights[rows]
    for l, p in enumerate(settings.dropout):
        if p:
            key = core_of(model).random.dropout_key
            batch.masks[l] = drop.mask(p, settings.dtype, key, batch_number, l, *batch.a[l].shape)
    losses = {net.loss(batch)[0]}
    if problem.isa == "scalar" and np.isfinite(batch.a[-1]).all():
        losses = {loss_in_double(settings, net, batch)}
    if not all(np.isfinite(parameters[name]).all() for name in names):
        return losses
    a = batch.x
    for l in layers:
        z = np.asarray(a.astype(np.longdouble) @ net.w[l].T.astype(np.longdouble) + net.b[l], dtype)
        if not np.isfinite(z).all() and settings.activations[l] not in ("identity", "leaky_relu"):
            return {0.0, math.nan}
        a = ACTIVATIONS[settings.activations[l]](z)
        if l < len(batch.masks) and batch.masks[l] is not None:
            a = a * batch.masks[l]
    return losses


def loss_in_double(settings, net, batch) -> float:
    """The loss of the scalar kernels, which compute losses and squares of weights in double."""
    if settings.custom_loss:
        losses = net._row_losses(batch)
    else:
        outputs, targets = (
            a.astype(np.float64) if a.dtype.kind == "f" else a for a in (batch.a[-1], batch.y)
        )
        losses = LOSSES[settings.loss](outputs, targets, np.empty_like(outputs), net._loss_parameter)
    parameters = [array.astype(np.float64) for pair in zip(net.w, net.b, strict=True) for array in pair]
    total = len(losses) if batch.weights is None else float(batch.weights.sum())
    weighted = losses.sum() if batch.weights is None else losses @ batch.weights
    return float(weighted) + total * Network(settings, parameters).penalty()


def loss_is_finite(model, problem, rows, batch_number, parameters) -> bool | None:
    """Whether the loss is finite; None if that depends on rounding."""
    if problem.weights is not None and not problem.weights[rows].any():
        return True  # a batch of zero weight has no loss
    with np.errstate(all="ignore"):
        told = {
            math.isfinite(loss)
            for scale in (1 / MARGIN, 1.0, MARGIN)
            for loss in reference_losses(model, problem, rows, batch_number, parameters, scale)
        }
    return told.pop() if len(told) == 1 else None


def expected(model, problem, recorder) -> SimpleNamespace | None:
    """The divergence that the recorded steps imply, or None. `unsure` counts the steps that depend on
    rounding, for which the fit's own outcome is taken."""
    done, unsure = 0, 0
    for number, epoch in enumerate(recorder.epochs):
        first = epoch.before[0]
        batches = problem.batches(epoch.order)
        for at, (kept, counted, parameters) in enumerate(epoch.before):
            is_last = number + 1 == len(recorder.epochs) and at + 1 == len(epoch.before)
            went_on = not is_last or (at + 1 == len(batches) and recorder.ended)
            told = loss_is_finite(model, problem, batches[at], counted[1], parameters)
            if told is None:
                unsure, told = unsure + 1, went_on
            if not told:
                left = (kept, counted) if finite(kept) else first[:2]
                return SimpleNamespace(
                    news=NEWS[0], epoch=number, iteration=done + at, left=left, unsure=unsure, at_loss=True
                )
        done += len(batches)
        if len(epoch.losses) < len(batches):
            continue
        weights = [len(rows) if problem.weights is None else problem.weights[rows].sum() for rows in batches]
        total = sum(
            loss * float(weight) for loss, weight in zip(epoch.losses, weights, strict=True) if weight
        )
        if not (finite(epoch.after) and math.isfinite(total)):
            news = NEWS[finite(epoch.after) ^ 1]
            return SimpleNamespace(
                news=news, epoch=number, iteration=done, left=first[:2], unsure=unsure, at_loss=False
            )
    return None
