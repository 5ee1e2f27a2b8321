"""The published settings of RealMLP, and networks made by them.

Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular
data" (2024), arXiv:2407.04491; the numbers are those of pytabkit 1.8.0, which docs/design-inputs.md explains.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .._model.core import core_of
from ..inputs import Scale
from ..mlp import MLP
from ..optimizers import Adam
from ..schedules import CosLog4

HIDDEN = (256, 256, 256)
EPOCHS, BATCH = 256, 256

# Factors of the learning rate.
OF_BIASES, OF_SCALE = 0.1, 6.0


class Recipe(NamedTuple):
    """What differs between the recipes, and between classes and values.

    Attributes
    ----------
    activation : str
        Of the hidden layers.
    lr : float
        The highest learning rate.
    label_smoothing : float
    monitor : str
        "val_accuracy" or "val_loss", which chooses the epoch.
    """

    activation: str
    lr: float
    label_smoothing: float
    monitor: str


OF_CLASSES = {"td-s": Recipe("selu", 0.04, 0.1, "val_accuracy")}
OF_VALUES = {"td-s": Recipe("mish", 0.07, 0.0, "val_loss")}


class Shape(NamedTuple):
    """A network between a table and a target.

    Attributes
    ----------
    inputs, outputs : int
        The columns of an encoded table; the classes, or the columns of values.
    hidden : sequence of int
        The widths of the hidden layers.
    loss : str
        "cross_entropy" or "mse".
    """

    inputs: int
    outputs: int
    hidden: Sequence[int]
    loss: str


def new_network(recipe: Recipe, shape: Shape, updates: int, generator: np.random.Generator) -> MLP:
    """An untrained network.

    Parameters
    ----------
    recipe : Recipe
    shape : Shape
    updates : int
        The updates of the whole training, over which the learning rate makes its four waves.
    generator : Generator
        For the initial weights, and then for the order of the rows.
    """
    sizes = [shape.inputs, *shape.hidden, shape.outputs]
    model = MLP(
        sizes,
        activation=recipe.activation,
        loss=shape.loss,
        optimizer=Adam(lr=CosLog4(recipe.lr, updates), betas=(0.9, 0.95)),
        label_smoothing=recipe.label_smoothing,
        init=_initial(sizes, generator),
        inputs=[Scale(lr_factor=OF_SCALE)],
        seed=generator,
    )
    model.set_ntk_factors()
    model.set_factors(weights=False, lr=OF_BIASES)
    return model


def _initial(sizes: list[int], generator: np.random.Generator) -> list[tuple[Any, Any]]:
    """Weights and biases: standard normal in the NTK parametrisation, and 0 in the output layer."""
    layers = [
        (
            (generator.standard_normal((n_out, n_in)) / math.sqrt(n_in)).astype(np.float32),
            generator.standard_normal(n_out).astype(np.float32),
        )
        for n_in, n_out in pairwise(sizes[:-1])
    ]
    return [*layers, (np.zeros((sizes[-1], sizes[-2]), np.float32), np.zeros(sizes[-1], np.float32))]


def without_scale(model: MLP, recipe: Recipe) -> MLP:
    """The same function as a network without `inputs`, which exports and traces take.

    The factors of the inputs are multiplied into the weights of the first layer. Optimiser and states are new.
    """
    [(w, b), *others] = model.get_weights()
    core = core_of(model)
    plain = MLP(
        model.layers,
        activation=recipe.activation,
        loss=model.loss,
        optimizer=Adam(),
        label_smoothing=recipe.label_smoothing,
        init=[(w * model.state_dict()["inputs.0.scale"], b), *others],
        seed=core.random.generator,
    )
    own = core_of(plain)
    own.fitted_1d, own.history = core.fitted_1d, core.history
    return plain
