"""Checkpoints of a fit: the model's whole state, the callbacks', and how far the fit is."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks
from .._fit.callback_list import CallbackList
from ..optimizers import Optimizer
from . import container, state

if TYPE_CHECKING:
    from ..mlp import MLP

PREFIX = "callbacks."


def write(model: MLP, path: str, callbacks: CallbackList, epochs: int) -> None:
    """After so many epochs of the fit under way.

    Raises
    ------
    TypeError
        For a callback's state that no file holds.
    OSError
        Where the file cannot be written; as for `files.write`.
    """
    config, arrays = state.model_state(model)
    values: dict[str, Any] = {}
    for name, value in callbacks.state_dict().items():
        if isinstance(value, np.ndarray):
            arrays[f"{PREFIX}{name}"] = value
        else:
            values[name] = _plain(name, value)
    config["fit"] = {"epochs": epochs, "stopped": model.stop_training, "callbacks": values}
    container.write(path, config, arrays)


def resume(model: MLP, path: str, callbacks: CallbackList) -> int:
    """Put model and callbacks in the state of a checkpoint, where there is one; how many epochs were done.

    Raises
    ------
    ValueError
        For a file that is no checkpoint, or one of a model or of callbacks that were made otherwise; nothing
        was changed.
    """
    container.remove_leftovers(path)
    try:
        config, arrays = container.read(path)
    except FileNotFoundError:  # and no other: who cannot read it does not start from the beginning
        return 0
    if "fit" not in config:
        raise ValueError(f"{path} holds a model and no checkpoint of a fit")
    try:
        _check_model(model, config["model"])
        found = state.checked_state(model._settings, config, arrays)
        epochs = _checks.whole("epochs", config["fit"]["epochs"], 1)
        stopped = _checks.flag("stopped", config["fit"]["stopped"])
        values = {name: _unplain(value) for name, value in config["fit"]["callbacks"].items()}
        values |= {
            name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)
        }
        optimizer = _optimizer(model.optimizer, config["model"]["optimizer"])
        callbacks.load_state_dict(values)
    except state.MALFORMED as error:
        raise ValueError(f"{path}: {error}") from error
    state.restore(model, found)
    for name, value in optimizer.settings().items():
        setattr(model.optimizer, name, value)
    model.stop_training = stopped
    return epochs


def _optimizer(own: Optimizer, found: state.Config) -> Optimizer:
    """One with the settings of the checkpoint, which a callback may have changed on the way. A rate that is a
    function stays."""
    settings = {name: value for name, value in found.items() if name != "rule"}
    if callable(own.lr) or not isinstance(settings["lr"], float):
        settings["lr"] = own.lr
    return type(own)(**settings)


def _check_model(model: MLP, found: state.Config) -> None:
    """Raise ValueError where the checkpoint is of a model that was made otherwise."""
    for name, given in state.model_config(model._settings).items():
        other = found[name]
        # Of the optimiser only its kind: settings may change on the way.
        if name == "optimizer":
            given, other = given["rule"], other["rule"]
        if given != other:
            raise ValueError(f"it is of a model with {name}={other!r}, and this one has {given!r}")


def _plain(name: str, value: Any) -> Any:
    """A value of a callback's state as JSON gives it back."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(name, each) for each in value]
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"a callback's state is numbers, strings, None, lists of these and arrays: {name} is {value!r}"
        )
    return value


def _unplain(value: Any) -> Any:
    if isinstance(value, dict):
        return float(value["float"])
    return [_unplain(each) for each in value] if isinstance(value, list) else value
