"""Settings that change from update to update: learning rate, weight decay and probabilities of dropout."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import numpy as np

from ..optimizers import Optimizer
from ..schedules import rate, rates
from .settings import Probability, Settings

# What the values are, for messages.
WEIGHT_DECAY = "weight decay"
DROPOUT = "dropout"


def decays(optimizer: Optimizer, first: int, count: int) -> np.ndarray | None:
    """The weight decays of `count` updates from number `first` on; None if it is a number.

    Raises
    ------
    ValueError, TypeError
        For values that are not allowed, as all functions of this module.
    """
    if not callable(optimizer.weight_decay):
        return None
    return np.asarray(rates(optimizer.weight_decay, first, count, WEIGHT_DECAY))


def dropouts(settings: Settings, first: int, count: int) -> np.ndarray | None:
    """The probabilities of dropout, as `_core.Network.train` takes them; None if all are numbers."""
    given = [*settings.dropout, settings.input_dropout]
    if not any(map(callable, given)):
        return None
    found = np.empty((count, len(given)))
    for column, each in enumerate(given):
        found[:, column] = rates(each, first, count, DROPOUT, below=1.0)
    return found


def as_of(optimizer: Optimizer, update: int) -> Optimizer:
    """A copy of the optimiser whose learning rate and weight decay are the numbers of this update."""
    numbers = {
        "lr": rate(optimizer.lr, update),
        "weight_decay": rate(optimizer.weight_decay, update, WEIGHT_DECAY),
    }
    return type(optimizer)(**(optimizer.settings() | numbers))


def probability(given: Probability, update: int) -> float:
    """A probability of dropout in this update."""
    return rate(given, update, DROPOUT, below=1.0)


def probabilities(settings: Settings, update: int) -> tuple[list[float], float]:
    """The probabilities of dropout in this update: of the hidden layers, and of the inputs."""
    hidden = [probability(each, update) for each in settings.dropout]
    return hidden, probability(settings.input_dropout, update)
