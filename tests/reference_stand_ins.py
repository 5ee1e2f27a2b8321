"""Optimisers by name, until bpkern has them all: then this file goes, and `getattr(bpkern, name)` is it."""

from types import SimpleNamespace

from bpkern import optimizers

ADAM = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
DEFAULTS = {
    "SGD": {"lr": 0.01, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0},
    "RMSprop": {
        "lr": 0.01,
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
    },
    "Adagrad": {
        "lr": 0.01,
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
    },
    "Adam": ADAM,
    "AdamW": ADAM | {"weight_decay": 0.01},
}


def optimizer(name, **settings):
    if hasattr(optimizers, "Adam"):
        return getattr(optimizers, name)(**settings)
    return SimpleNamespace(rule=name.lower(), **DEFAULTS[name] | settings)
