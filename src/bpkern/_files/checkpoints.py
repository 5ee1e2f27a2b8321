"""Checkpoints of a fit: the whole state of the model, the states of the callbacks, the number of epochs."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import _checks
from .._fit.callback_list import CallbackList
from .._fit.fingerprint import Fingerprint
from .._model.core import Core
from .._model.initializers import AUTO
from .._model.settings import Settings
from ..optimizers import Optimizer
from . import container, replacing, state

# The prefix of the names of the callbacks' arrays.
PREFIX = "callbacks."


def write(core: Core, path: str, callbacks: CallbackList, fingerprint: Fingerprint, epochs: int) -> None:
    """Write the checkpoint of a fit that has finished `epochs` epochs.

    Raises
    ------
    TypeError
        For a callback's state that no file can hold.
    ValueError, TypeError, OSError
        As for `state.loadable_state` and `container.write`; an old file is unchanged.
    """
    config, arrays = state.loadable_state(core)
    values: dict[str, Any] = {}
    for name, value in callbacks.state_dict().items():
        if isinstance(value, np.ndarray):
            arrays[f"{PREFIX}{name}"] = value
        else:
            values[name] = _to_json(name, value)
    config["fit"] = {
        "epochs": epochs,
        "stopped": bool(core.stop_training),
        "callbacks": values,
        "settings": fingerprint.settings,
        "data": fingerprint.data,
    }
    container.write(path, config, arrays)


def find(path: str) -> tuple[state.Config, state.Arrays] | None:
    """What a checkpoint holds, or None if it does not exist.

    Raises
    ------
    ValueError
        For a file that is not a checkpoint.
    OSError
        If the file exists and cannot be read.
    """
    replacing.remove_leftovers(path)
    try:
        config, arrays = container.read(path)
    except FileNotFoundError:  # only this one: a fit does not start again because its file is unreadable
        return None
    if "fit" not in config:
        raise ValueError(f"{path} holds a model and no checkpoint of a fit")
    return config, arrays


def resume(
    core: Core,
    path: str,
    found: tuple[state.Config, state.Arrays],
    callbacks: CallbackList,
    fingerprint: Fingerprint,
) -> int:
    """Restore model and callbacks from what `find` has returned; returns the checkpoint's number of epochs.

    Raises
    ------
    ValueError
        For a checkpoint that is not of the same model, fit and callbacks; nothing has changed.
    """
    config, arrays = found
    try:
        _check_model(core.settings, config["model"] | {"init": state.init_in(config)})
        _check_fit(fingerprint, config)
        restored = state.checked_state(core.settings, config, arrays)
        epochs = _checks.whole("epochs", config["fit"]["epochs"], 1)
        stopped = _checks.flag("stopped", config["fit"]["stopped"])
        values = {name: _from_json(value) for name, value in config["fit"]["callbacks"].items()}
        values |= {
            name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)
        }
        own = core.settings.optimizer
        optimizer = _optimizer(own, config["model"]["optimizer"])
        groups = state.groups_in(config, len(core.settings.groups))
        callbacks.load_state_dict(values)
    except state.MALFORMED as error:
        raise ValueError(f"{path}: {error}") from error
    state.restore(core, restored)
    core.set_groups(groups)  # a callback may have changed them during the fit
    for name, value in optimizer.settings().items():
        setattr(own, name, value)
    if core.settings.optimizer is not own:  # a callback has replaced it: the new one starts without states
        core.net.discard_states()
    core.stop_training = stopped
    return epochs


def _optimizer(own: Optimizer, found: state.Config) -> Optimizer:
    """An optimiser with the settings of the checkpoint, which a callback may have changed during the fit.

    A learning rate or a weight decay that is a function is kept.
    """
    settings = {name: value for name, value in found.items() if name not in ("rule", state.OWN_CLASS)}
    for name in ("lr", "weight_decay"):
        given = getattr(own, name)
        if callable(given) or isinstance(settings[name], dict):
            settings[name] = given
    return type(own)(**settings)


def _check_model(settings: Settings, found: state.Config) -> None:
    """Raise ValueError if the checkpoint is of a model with other settings."""
    # What files leave out.
    absent: state.Config = {"input_dropout": 0.0, "bias": [True] * len(settings.bias), "inputs": []}
    found = absent | found
    for name, given in (absent | state.model_config(settings)).items():
        other = found[name]
        # Only the kind of the optimiser: its settings may change during the fit.
        if name == "optimizer":
            given, other = (each.get(state.OWN_CLASS, each["rule"]) for each in (given, other))
        if name == "init" and (given, other) == (AUTO, "auto"):
            continue  # of version 0.1: the weights of the checkpoint replace the initial ones
        if given != other:
            raise ValueError(f"it is of a model with {name}={other!r}, and this one has {given!r}")


def _check_fit(fingerprint: Fingerprint, config: state.Config) -> None:
    """Raise ValueError if the checkpoint is of a fit with other arguments or data."""
    fit, columns = config["fit"], config["training"]["metrics"]
    if "settings" in fit:
        fingerprint.check(fit["settings"], fit["data"])
        return
    # Older files have no fingerprint. A name that their history lacks would get a list without their epochs.
    missing = [name for name in fingerprint.columns if name not in columns]
    if missing:
        raise ValueError(f"it is of a fit without {', '.join(missing)} in its history")


def _to_json(name: str, value: Any) -> Any:
    """A value of a callback's state in a form that JSON can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if isinstance(value, (list, tuple)):
        return [_to_json(name, each) for each in value]
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"a callback's state is numbers, strings, None, lists of these and arrays: {name} is {value!r}"
        )
    return value


def _from_json(value: Any) -> Any:
    """The inverse of `_to_json`."""
    if isinstance(value, dict):
        return float(value["float"])
    return [_from_json(each) for each in value] if isinstance(value, list) else value
