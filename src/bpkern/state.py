"""A model's whole state as what files hold: a configuration of plain values, and arrays.

The configuration has the constructor's arguments under "model", and what training goes on from under
"training". Arrays "0.weight", "0.bias", ... are the parameters that predictions are by. Where that is an
average, those that are trained are "trained.0.weight", ...; the optimiser's states are "m.0.weight", "v...."
and "u....", and initial weights that were given are "init.0.weight", ....
"""

# NumPy imports much at its first use; annotations that were evaluated would be one.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import losses, optimizers, schedules
from .history import History
from .parameters import Weights, checked_weights, state_of, weights_of
from .settings import Settings

if TYPE_CHECKING:
    from .model import Model

# What stands for a Python callable, which no file holds.
CALLABLE = {"callable": True}

# The stores beside the parameters and their average, by the names of their arrays.
STATES = ("m", "v", "u")

Config = dict[str, Any]
Arrays = dict[str, np.ndarray]


# What a model is made of ------------------------------------------------------------------------------------


def model_config(settings: Settings) -> Config:
    """The constructor's arguments but for the seed."""
    return {
        "layers": settings.layers,
        "activation": settings.activations[:-1],
        "output_activation": settings.activations[-1],
        "loss": _loss_config(settings),
        "optimizer": optimizer_config(settings.optimizer),
        "dtype": settings.dtype.name,
        "init": settings.init if isinstance(settings.init, str) else None,
        "l2": settings.l2,
        "dropout": settings.dropout,
        "l1": settings.l1,
        "label_smoothing": settings.label_smoothing,
    }


def _loss_config(settings: Settings) -> Any:
    given = settings.given_loss
    if isinstance(given, losses.Loss):
        return {"name": given.name, **_plain(given.settings())}
    return CALLABLE if settings.custom_loss else settings.loss


def optimizer_config(optimizer: optimizers.Optimizer) -> Config:
    """The settings of an optimiser, and its rule."""
    settings = _plain({name: value for name, value in optimizer.settings().items() if name != "lr"})
    lr = optimizer.lr
    if isinstance(lr, schedules.Schedule):
        rate: Any = {"schedule": type(lr).__name__, **_plain(lr.settings())}
    else:
        rate = CALLABLE if callable(lr) else float(lr)
    return {"rule": optimizer.rule, "lr": rate, **settings}


def _plain(settings: Mapping[str, Any]) -> Config:
    """NumPy's numbers as Python's, and tuples as lists."""
    return {
        name: np.asarray(value).tolist() if value is not None else None for name, value in settings.items()
    }


def arguments_of(config: Config, arrays: Arrays, loss: Any, optimizer: Any) -> dict[str, Any]:
    """The constructor's arguments of a configuration. `loss` and `optimizer`, where they are not None, take
    the place of those in it; they have to where these were Python callables."""
    arguments = dict(config["model"])
    arguments["loss"] = _loss_of(arguments["loss"]) if loss is None else loss
    arguments["optimizer"] = optimizer_of(arguments["optimizer"]) if optimizer is None else optimizer
    if arguments["init"] is None:
        arguments["init"] = _layers(arrays, "init.", len(arguments["layers"]) - 1)
    return arguments


def _loss_of(config: Any) -> Any:
    if isinstance(config, str):
        return config
    if config == CALLABLE:
        raise ValueError("the model has a Python function as its loss, which no file holds: give loss=")
    settings = dict(config)
    return losses.BY_NAME[settings.pop("name")](**settings)


def optimizer_of(config: Config) -> optimizers.Optimizer:
    """The optimiser of a configuration."""
    settings = dict(config)
    kind, lr = optimizers.OPTIMIZERS[settings.pop("rule")], settings.pop("lr")
    if lr == CALLABLE:
        raise ValueError(
            "the model has a Python function as its learning rate, which no file holds: give optimizer="
        )
    if isinstance(lr, dict):
        schedule = dict(lr)
        lr = schedules.SCHEDULES[schedule.pop("schedule")](**schedule)
    return kind(lr=lr, **settings)


# Its state --------------------------------------------------------------------------------------------------


def model_state(model: Model) -> tuple[Config, Arrays]:
    """All of it, of one moment."""
    net, settings = model._net, model._settings
    with net.reading():
        stores = net.stores()
        arrays = state_of(net.get_layers("average" if "average" in stores else "parameters"))
        if "average" in stores:
            arrays |= _named("trained.", net.get_layers("parameters"))
        for store in STATES:
            if store in stores:
                arrays |= _named(f"{store}.", net.get_layers(store))
        updates, batches = net.counts
    if not isinstance(settings.init, str):
        arrays |= _named("init.", settings.init)
    history = model.history_
    training = {
        "updates": updates,
        "batches": batches,
        "random": model._random.config(),
        "one_dimension": model._fitted_1d,
        "iterations": None if history is None else history.iterations,
        "metrics": [] if history is None else list(history.columns()),
    }
    if history is not None:
        arrays |= {
            f"history.{name}": np.asarray(values, np.float64) for name, values in history.columns().items()
        }
    return {"model": model_config(settings), "training": training}, arrays


def _named(prefix: str, layers: Weights) -> Arrays:
    return {f"{prefix}{name}": array for name, array in state_of(layers).items()}


def restore(model: Model, config: Config, arrays: Arrays) -> None:
    """Put a model of the same layers and dtype into a state. The optimiser is left as it is."""
    net, settings, training = model._net, model._settings, config["training"]
    count = len(settings.layers) - 1
    layers = {
        prefix: checked_weights(_layers(arrays, prefix, count), settings.layers, settings.dtype)
        for prefix in ("", "trained.", *(f"{store}." for store in STATES))
        if f"{prefix}0.weight" in arrays
    }
    history = None
    if training["iterations"] is not None:
        columns = {name: arrays[f"history.{name}"].tolist() for name in training["metrics"]}
        history = History.of(training["iterations"], columns)
    random = type(model._random).of(training["random"])
    with net.writing():
        net.forget()
        net.set_layers(layers.get("trained.", layers[""]))
        if "trained." in layers:
            net.set_layers(layers[""], "average")
        for store in STATES:
            if f"{store}." in layers:
                net.set_layers(layers[f"{store}."], store)
        net.counts = training["updates"], training["batches"]
        net.set_dropout(settings.dropout, random.dropout_key)
        model._random, model.history_ = random, history
        model._fitted_1d = training["one_dimension"]


def _layers(arrays: Arrays, prefix: str, count: int) -> list[tuple[Any, Any]]:
    names = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix) and name.removeprefix(prefix)[:1].isdigit()
    }
    return weights_of(names, count)
