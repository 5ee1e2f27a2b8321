"""Checkpoints of a fit: the model's whole state, the callbacks', and how far the fit is."""

# NumPy imports much at its first use; annotations that were evaluated would be one.
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from . import files, state
from .callbacks import CallbackList

if TYPE_CHECKING:
    from .mlp import MLP

PREFIX = "callbacks."


def write(model: MLP, path: str, callbacks: CallbackList, epochs: int) -> None:
    """After so many epochs of the fit under way."""
    config, arrays = state.model_state(model)
    values: dict[str, Any] = {}
    for name, value in callbacks.state_dict().items():
        if isinstance(value, np.ndarray):
            arrays[f"{PREFIX}{name}"] = value
        else:
            values[name] = value
    config["fit"] = {"epochs": epochs, "stopped": model.stop_training, "callbacks": values}
    files.write(path, config, arrays)


def resume(model: MLP, path: str, callbacks: CallbackList) -> int:
    """Put model and callbacks in the state of a checkpoint, where there is one; how many epochs were done.

    Raises
    ------
    ValueError
        For a file that is no checkpoint, or one of a model that was made otherwise.
    """
    files.remove_leftovers(path)
    if not os.path.exists(path):
        return 0
    config, arrays = files.read(path)
    if "fit" not in config:
        raise ValueError(f"{path} holds a model and no checkpoint of a fit")
    given, found = state.model_config(model._settings), config["model"]
    for name in given:
        if name != "optimizer" and given[name] != found[name]:
            raise ValueError(
                f"{path} is of a model with {name}={found[name]!r}, and this one has {given[name]!r}"
            )
    if given["optimizer"]["rule"] != found["optimizer"]["rule"]:
        raise ValueError(f"{path} is of a model with the optimizer {found['optimizer']['rule']!r}")
    callbacks.load_state_dict(
        config["fit"]["callbacks"]
        | {name.removeprefix(PREFIX): array for name, array in arrays.items() if name.startswith(PREFIX)}
    )
    state.restore(model, config, arrays)
    # A callback may have changed the rate on the way.
    if isinstance(found["optimizer"]["lr"], float) and not callable(model.optimizer.lr):
        model.optimizer.lr = found["optimizer"]["lr"]
    model.stop_training = config["fit"]["stopped"]
    return int(config["fit"]["epochs"])
