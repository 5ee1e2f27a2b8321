"""A model's whole state as what files hold: a configuration of plain values, and arrays.

The configuration has the constructor's arguments under "model", and what training goes on from under
"training". Arrays "0.weight", "0.bias", ... are the parameters that predictions are by. Where that is an
average, those that are trained are "trained.0.weight", ...; the optimiser's states are "m.0.weight", "v...."
and "u....", and initial weights that were given are "init.0.weight", ....
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _checks, _core, losses, optimizers, schedules
from .._model.parameters import Weights, checked_weights, state_of, weights_of
from .._model.seeding import RandomState
from .._model.settings import DTYPES, Settings
from ..history import History

if TYPE_CHECKING:
    from .._model.core import Model

# What stands for a Python callable, which no file holds.
CALLABLE = {"callable": True}

# The stores beside the parameters and their average, by the names of their arrays.
STATES = ("m", "v", "u")

# What a configuration or arrays that no model has made are found out by.
MALFORMED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)

# So many updates a file may say that there have been: there is room to go on counting.
MOST_COUNT = 1 << 62

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
    # Somebody's own kind of schedule is a Python function like any other.
    if isinstance(lr, schedules.Schedule) and type(lr) in schedules.SCHEDULES.values():
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
    # Before anything is made of these sizes, which a file may claim.
    found = _sizes(arrays)
    if arguments["layers"] != found:
        raise ValueError(f"the layers must be those of the arrays, {found}")
    _checks.one_of("dtype", arguments["dtype"], DTYPES)
    arguments["loss"] = _loss_of(arguments["loss"]) if loss is None else loss
    arguments["optimizer"] = optimizer_of(arguments["optimizer"]) if optimizer is None else optimizer
    if arguments["init"] is None:
        arguments["init"] = _layers(arrays, "init.", len(arguments["layers"]) - 1)
    return arguments


def _sizes(arrays: Arrays) -> list[int]:
    """The sizes of the layers that the weights are of."""
    sizes: list[int] = []
    while (w := arrays.get(f"{len(sizes)}.weight")) is not None:
        sizes.append(w.shape[0])
    return [arrays["0.weight"].shape[1], *sizes]


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
        history = model.history_
        training = {
            "updates": updates,
            "batches": batches,
            "moves": net.moves,
            "random": model._random.config(),
            "one_dimension": model._fitted_1d,
            "iterations": None if history is None else history.iterations,
            "metrics": [] if history is None else list(history.columns()),
        }
    if not isinstance(settings.init, str):
        arrays |= _named("init.", settings.init)
    if history is not None:
        arrays |= {
            f"history.{name}": np.asarray(values, np.float64) for name, values in history.columns().items()
        }
    return {"model": model_config(settings), "training": training}, arrays


def _named(prefix: str, layers: Weights) -> Arrays:
    return {f"{prefix}{name}": array for name, array in state_of(layers).items()}


class State(NamedTuple):
    """What `restore` puts into a model, checked.

    Attributes
    ----------
    stores : dict of str to Weights
        The parameters that are trained and, where they are there, the optimiser's states and the average.
    counts : (int, int)
        Updates and mini-batches.
    moves : int
        Updates since the optimiser's states began.
    random : RandomState
    one_dimension : bool
    history : History or None
    """

    stores: dict[str, Weights]
    counts: tuple[int, int]
    moves: int
    random: RandomState
    one_dimension: bool
    history: History | None


def checked_state(settings: Settings, config: Config, arrays: Arrays) -> State:
    """The state of a model of these settings.

    Raises
    ------
    One of MALFORMED
        For what is no state, or that of another model.
    """
    training = config["training"]
    has_average = "trained.0.weight" in arrays
    prefixes = {"parameters": "trained.", "average": ""} if has_average else {"parameters": ""}
    prefixes |= {store: f"{store}." for store in STATES if f"{store}.0.weight" in arrays}
    count = len(settings.layers) - 1
    stores = {}
    for store, prefix in prefixes.items():
        layers = _layers(arrays, prefix, count)
        if any(array.dtype != settings.dtype for pair in layers for array in pair):
            raise ValueError(f"the arrays must be of the model's dtype, {settings.dtype}")
        stores[store] = checked_weights(layers, settings.layers, settings.dtype)
    updates, batches, moves = (
        _checks.whole(name, training[name], 0, MOST_COUNT) for name in ("updates", "batches", "moves")
    )
    return State(
        stores,
        (updates, batches),
        moves,
        RandomState.of(training["random"]),
        _checks.flag("one_dimension", training["one_dimension"]),
        None if training["iterations"] is None else _history(training, arrays),
    )


def _history(training: Config, arrays: Arrays) -> History:
    columns = {name: arrays[f"history.{name}"] for name in training["metrics"]}
    for name, values in columns.items():
        if values.shape != (len(columns["lr"]),) or values.dtype != np.float64:
            raise ValueError(f"the history must hold one number an epoch for {name}")
    iterations = _checks.whole("iterations", training["iterations"], 0, MOST_COUNT)
    return History.of(iterations, {name: values.tolist() for name, values in columns.items()})


def restore(model: Model, state: State) -> None:
    """Put a model into a state that was checked with its settings. The optimiser is left as it is."""
    net = model._net
    with net.writing():
        net.make_room(state.stores)  # before anything is changed
        model._tape = _core.Tape(net)  # gradients that are stored are of other weights
        net.keep_only(state.stores)
        for store, layers in state.stores.items():
            net.set_layers(layers, store)
        net.counts, net.moves = state.counts, state.moves
        net.set_dropout(model._settings.dropout, state.random.dropout_key)
        model._random, model.history_ = state.random, state.history
        model._fitted_1d, model.stop_training = state.one_dimension, False


def _layers(arrays: Arrays, prefix: str, count: int) -> list[tuple[Any, Any]]:
    names = {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix) and name.removeprefix(prefix)[:1].isdigit()
    }
    return weights_of(names, count)
