"""Models in files: `MLP.save` and `MLP.load`."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from .._model.conventions import Conventions
from .._model.core import Core
from .._model.settings import Settings, checked_loss, checked_optimizer
from . import container, state
from .state import Arrays, Config


def save(core: Core, path: str | os.PathLike[str], more: tuple[Config, Arrays] = ({}, {})) -> None:
    """As `MLP.save`; `more` has further keys and arrays for the file, which `MLP.load` ignores."""
    config, arrays = state.loadable_state(core)
    container.write(path, config | more[0], arrays | more[1], state.version_of(config))


def load(
    path: str | os.PathLike[str], loss: Any, optimizer: Any, conventions: Callable[[Settings], Conventions]
) -> Core:
    """As `MLP.load`, for a class of models with these conventions."""
    if loss is not None:
        checked_loss(loss)
    if optimizer is not None:
        checked_optimizer(optimizer)
    return core_of_contents(path, *container.read(path), loss, optimizer, conventions)


def core_of_contents(
    path: str | os.PathLike[str],
    config: Config,
    arrays: Arrays,
    loss: Any,
    optimizer: Any,
    conventions: Callable[[Settings], Conventions],
) -> Core:
    """The core of a model of a file that was read; the path is for messages."""
    try:
        core = state.new_core(
            state.arguments_of(config, arrays, loss, optimizer), config, arrays, conventions
        )
        rule = config["model"]["optimizer"]["rule"]
    except state.MALFORMED as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    if core.settings.optimizer.rule != rule:
        core.net.discard_states()  # those of another rule have another meaning
    return core
