"""Stands in for what bpkern.settings, .seeding and .data are being extended by; goes when they are."""

from types import SimpleNamespace

import numpy as np

from .. import _core, checks
from .. import settings as present
from ..optimizers import SGD
from .activations import ACTIVATIONS
from .losses import LOSSES


class Settings(present.Settings):
    def __init__(
        self,
        layers,
        activation,
        output_activation,
        loss,
        optimizer,
        dtype,
        init,
        l2,
        dropout,
        l1,
        label_smoothing,
    ):
        new_loss = callable(loss) or (loss in LOSSES and loss not in _core.LOSSES)
        new_optimizer = not isinstance(optimizer, SGD) and hasattr(optimizer, "rule")
        super().__init__(
            layers,
            "identity" if _all_new(activation) else activation,
            "identity" if _all_new(output_activation) else output_activation,
            "mse" if new_loss else loss,
            None if new_optimizer else optimizer,
            dtype,
            init,
            l2,
        )
        hidden = len(self.layers) - 2
        if _all_new(activation):
            self.activations[:-1] = [activation] * hidden if isinstance(activation, str) else list(activation)
        if _all_new(output_activation):
            self.activations[-1] = output_activation
        self.custom_loss = self.loss_parameters = None
        default = {"huber": 1.0, "quantile": 0.5}.get(str(loss))
        if default is not None:
            self.loss_parameters = np.full(self.layers[-1], default)
        if callable(loss):
            self.custom_loss, self.loss = loss, "custom"
        else:
            self.loss = loss
        if new_optimizer:
            self.optimizer = optimizer
        self.dropout = [float(p) for p in np.broadcast_to(dropout, (hidden,))]
        self.l1 = checks.real("l1", l1)
        self.label_smoothing = checks.real("label_smoothing", label_smoothing, 0.0, 1.0)

    def step(self):
        given = self.optimizer
        if not isinstance(given, SGD):
            return given
        return SimpleNamespace(
            rule="sgd",
            lr=given.lr,
            momentum=given.momentum,
            nesterov=given.nesterov,
            weight_decay=given.weight_decay,
        )


def _all_new(names):
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, (list, tuple)):
        return False
    return any(n in ACTIVATIONS and n not in _core.ACTIVATIONS for n in names)


class FitArguments(present.FitArguments):
    def __init__(
        self,
        epochs,
        batch_size,
        shuffle,
        validation_data,
        validation_split,
        n_threads,
        class_weight,
        clip_norm,
        clip_value,
        accumulate,
        ema,
    ):
        super().__init__(epochs, batch_size, shuffle, validation_data, validation_split, n_threads)
        self.class_weight = class_weight
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.accumulate = checks.whole("accumulate", accumulate, 1)
        self.ema = ema


def weigh_classes(weights, classes, class_weight):
    if class_weight is None:
        return weights
    names, number = np.unique(classes, return_inverse=True)
    if class_weight == "balanced":
        totals = np.bincount(number, weights)
        by_class = totals.sum() / (len(names) * totals)
    else:
        by_class = np.array([class_weight.get(int(name), 1.0) for name in names])
    return by_class[number] if weights is None else by_class[number] * weights
