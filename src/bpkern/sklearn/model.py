"""The network of a fitted estimator as a `bpkern.MLP`, for `model_`."""

import copy
from typing import Any

import numpy as np

from .._files.state import STATES, State, restore
from .._model.core import core_of
from .._model.parameters import Weights
from .._model.seeding import RandomState
from ..history import History
from ..losses import Loss
from ..mlp import MLP
from ..optimizers import Optimizer
from .trainer import Trainer


def new_model(
    weights: Weights,
    *,
    activation: list[str],
    loss: str | Loss,
    optimizer: Optimizer | None,
    penalty: float,
    dropout: Any,
    dtype: "np.dtype[Any]",
    one_dimension: bool,
    history: History | None,
    trainer: Trainer | None,
) -> MLP:
    """A model that predicts by these weights, and trains on from the state of a trainer.

    Parameters
    ----------
    weights : list of (W, b)
        W of shape (out, in).
    activation : list of str
        One per hidden layer, by this package's names.
    loss : str or Loss
    optimizer : Optimizer or None
        Copied.
    penalty : float
        ``l2`` of the model.
    dropout : float or list of float
    dtype : numpy.dtype
    one_dimension : bool
        Whether the predictions of a single value have the shape (n,).
    history : History or None
        Copied.
    trainer : Trainer or None
        Its optimiser's states and counts of updates are copied if it has these layers and this dtype.

    Returns
    -------
    MLP
    """
    model = MLP(
        [weights[0][0].shape[1], *(len(b) for _, b in weights)],
        activation=activation,
        loss=loss,
        optimizer=copy.deepcopy(optimizer),
        l2=penalty,
        dropout=dropout,
        dtype=dtype,
        init=weights,
        seed=0,
    )
    core = core_of(model)
    if trainer is not None and (trainer.layers, trainer.dtype) == (model.layers, model.dtype):
        source = core_of(trainer)
        with source.net.reading():
            states = {name: source.net.get_layers(name) for name in source.net.stores() if name in STATES}
            counts, moves = source.net.counts, source.net.moves
        random = RandomState.of(source.random.config())
        restore(
            core,
            State({"parameters": core.get_weights(), **states}, counts, moves, random, False, None, {}),
        )
    core.fitted_1d, core.history = one_dimension, copy.deepcopy(history)
    return model
