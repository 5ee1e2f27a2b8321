"""The state of estimators in pickles and files: their parameters, numbers, strings, builtin containers and
arrays, so that skops can write and read it.

Estimators that were pickled before had a `Trainer` and a `History` in their state; these still load.
"""

from typing import Any

import numpy as np

from .._files.state import (
    MALFORMED,
    STATES,
    checked_state,
    loss_of,
    model_state,
    needs_python,
    optimizer_of,
    restore,
)
from .._model.core import core_of
from .._model.parameters import state_of
from ..history import History
from .trainer import RateMode, Trainer, check_layers

# Made again from the parameters, with the empty values that stand for them in the state.
MADE_AGAIN: dict[str, Any] = {"_networks": {}, "_noted": [], "_model": None}

Saved = dict[str, Any]


def plain(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of an estimator, with its trainer and history in plain form."""
    state = {**attributes, **{name: value for name, value in MADE_AGAIN.items() if name in attributes}}
    if isinstance(state.get("_trainer"), Trainer):
        state["_trainer"] = saved_trainer(state["_trainer"])
    history = state.get("history_")
    if isinstance(history, History):
        state["history_"] = {"iterations": history.iterations, "columns": history.columns()}
    return state


def with_history(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a state. The trainer stays in plain form until training continues with it."""
    history = state.get("history_")
    if history is None or isinstance(history, History):
        return state
    return {**state, "history_": History.of(history["iterations"], history["columns"])}


def saved_trainer(trainer: Trainer) -> Saved:
    """Everything that `partial_fit` continues with, except the weights, which the estimator has in `coefs_`.

    A loss or an optimiser that has Python code of the user is kept as an object.
    """
    core = core_of(trainer)
    config, arrays = model_state(core)
    model = config["model"]
    states = {name: array for name, array in arrays.items() if name.partition(".")[0] in STATES}
    return {
        "model": {**model, "init": None},
        "training": {**config["training"], "iterations": None, "metrics": []},
        "states": states,
        "loss": core.settings.given_loss if needs_python(model["loss"]) else None,
        "optimizer": core.settings.optimizer if needs_python(model["optimizer"]) else None,
        "rate_mode": None if trainer.rate_mode is None else tuple(trainer.rate_mode),
    }


def trainer_of(saved: Saved, coefs: list[np.ndarray], intercepts: list[np.ndarray]) -> Trainer:
    """The trainer of a saved one, with these parameters in its dtype.

    Raises
    ------
    ValueError
        If the parameters have other layers, and for a damaged state.
    """
    try:
        check_layers([coefs[0].shape[0], *map(len, intercepts)], saved["model"]["layers"])
        return _restored(saved, saved["model"], coefs, intercepts)
    except MALFORMED as error:
        raise ValueError(f"training cannot continue from the state of this estimator: {error}") from error


def _restored(
    saved: Saved, model: dict[str, Any], coefs: list[np.ndarray], intercepts: list[np.ndarray]
) -> Trainer:
    """As `trainer_of`. Raises one of MALFORMED."""
    dtype = np.dtype(model["dtype"])
    trainer = Trainer(
        [coef.astype(dtype) for coef in coefs],
        [intercept.astype(dtype) for intercept in intercepts],
        activation=model["activation"],
        loss=loss_of(model["loss"]) if saved["loss"] is None else saved["loss"],
        alpha=2 * model["l2"],
        optimizer=optimizer_of(model["optimizer"]) if saved["optimizer"] is None else saved["optimizer"],
        dropout=model["dropout"],
        dtype=dtype,
        seed=0,
    )
    core = core_of(trainer)
    arrays = {**state_of(core.get_weights()), **saved["states"]}
    restore(core, checked_state(core.settings, {"training": saved["training"]}, arrays))
    mode = saved["rate_mode"]
    trainer.rate_mode = None if mode is None else RateMode(*mode)
    return trainer
