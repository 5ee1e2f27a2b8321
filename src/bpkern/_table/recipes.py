"""The published settings of RealMLP, and networks made by them.

Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and boosted trees on tabular
data" (2024), arXiv:2407.04491; the numbers are those of pytabkit 1.8.0, which docs/design-inputs.md explains.
"""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .._model.core import core_of
from ..activations import Parametric
from ..inputs import CategoryEmbedding, Input, NumericEmbedding, Scale
from ..mlp import MLP
from ..optimizers import Adam, AdamW
from ..schedules import CosLog4, FlatCos

HIDDEN = (256, 256, 256)
EPOCHS, BATCH = 256, 256
BETAS, EPS = (0.9, 0.95), 1e-8

# Factors of the learning rate. In pytabkit's updates, weight decay is multiplied by their squares: one is in
# the learning rate here, and the other a factor of the decay.
OF_BIASES, OF_SCALE, OF_EMBEDDINGS, OF_ACTIVATIONS = 0.1, 6.0, 0.1, 0.1

# Of "td", at first: both fall to 0 in the second half.
DROPOUT, DECAY = 0.15, 0.02
# Its embeddings: of numbers, and of categories, of which columns with more than 8 get one.
PERIODIC: dict[str, Any] = {"hidden": 16, "dim": 4, "sigma": 0.1}
CATEGORY_DIM, MAX_ONE_HOT = 8, 8

# The most rows that initial weights are chosen by.
INITIAL_ROWS = 1 << 14


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
    is_full : bool
        Whether it has the parts that "td" adds: embeddings, parametric activations, dropout, weight decay,
        initial weights by the data, and predictions within the range of the training rows.
    """

    activation: str
    lr: float
    label_smoothing: float
    monitor: str
    is_full: bool

    @property
    def max_one_hot(self) -> int | None:
        """That of `TableEncoder`."""
        return MAX_ONE_HOT if self.is_full else None

    def but(self, **changes: Any) -> Recipe:
        """The recipe with other values of the named attributes."""
        return self._replace(**changes)


OF_CLASSES = {
    "td": Recipe("selu", 0.04, 0.1, "val_accuracy", is_full=True),
    "td-s": Recipe("selu", 0.04, 0.1, "val_accuracy", is_full=False),
}
OF_VALUES = {
    "td": Recipe("mish", 0.2, 0.0, "val_loss", is_full=True),
    "td-s": Recipe("mish", 0.07, 0.0, "val_loss", is_full=False),
}


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
    numbers : int
        How many of the first columns are scaled numbers.
    codes : mapping of int to int
        By number of a column that holds codes, how many codes there are.
    """

    inputs: int
    outputs: int
    hidden: Sequence[int]
    loss: str
    numbers: int = 0
    codes: Mapping[int, int] = {}


def new_network(
    recipe: Recipe, shape: Shape, updates: int, generator: np.random.Generator, X: np.ndarray
) -> MLP:
    """An untrained network.

    Parameters
    ----------
    recipe : Recipe
    shape : Shape
    updates : int
        The updates of the whole training, over which the learning rate makes its four waves.
    generator : Generator
        For the initial weights, and then for the order of the rows.
    X : ndarray, shape (n, inputs)
        Rows to train on, by which "td" chooses initial weights.
    """
    sizes = [shape.inputs, *shape.hidden, shape.outputs]
    shared: dict[str, Any] = {
        "loss": shape.loss,
        "label_smoothing": recipe.label_smoothing,
        "seed": generator,
    }
    # Adam adds eps to sqrt(in) times the root that pytabkit adds it to, so eps is multiplied by sqrt(width).
    # One eps for all is exact for the layers behind the first, if they have one width.
    adam: dict[str, Any] = {
        "lr": CosLog4(recipe.lr, updates),
        "betas": BETAS,
        "eps": EPS * math.sqrt(sizes[-2]),
    }
    if not recipe.is_full:
        model = MLP(
            sizes,
            activation=recipe.activation,
            optimizer=Adam(**adam),
            init=_initial(sizes, generator),
            inputs=[Scale(lr_factor=OF_SCALE)],
            **shared,
        )
    else:
        model = MLP(
            sizes,
            activation=Parametric(recipe.activation, lr_factor=OF_ACTIVATIONS, decay_factor=OF_ACTIVATIONS),
            optimizer=AdamW(**adam, weight_decay=FlatCos(DECAY, updates)),
            dropout=FlatCos(DROPOUT, updates),
            inputs=_embedded(shape),
            **shared,
        )
        model.initialize(X, weights="std", biases="he+5")
    model.set_ntk_factors()
    model.set_factors(weights=False, lr=OF_BIASES, weight_decay=0.0)
    return model


def _embedded(shape: Shape) -> list[Input]:
    """Embeddings of numbers and codes, and a factor for each of the results."""
    found: list[Input] = []
    if shape.numbers:
        columns = range(shape.numbers)
        found.append(
            NumericEmbedding(columns, **PERIODIC, lr_factor=OF_EMBEDDINGS, decay_factor=OF_EMBEDDINGS)
        )
    found += [CategoryEmbedding(column, count, CATEGORY_DIM) for column, count in shape.codes.items()]
    return [*found, Scale(lr_factor=OF_SCALE, decay_factor=OF_SCALE)]


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
    """The same function as a network without `inputs`, which exports and traces take, of a network of "td-s".

    The factors of the inputs are multiplied into the weights of the first layer. The optimiser is new: it has
    the recipe's `betas` and `eps`, and a constant learning rate.
    """
    [(w, b), *others] = model.get_weights()
    core = core_of(model)
    trained = model.optimizer
    assert isinstance(trained, Adam)
    plain = MLP(
        model.layers,
        activation=recipe.activation,
        loss=model.loss,
        optimizer=Adam(betas=trained.betas, eps=trained.eps),
        label_smoothing=recipe.label_smoothing,
        init=[(w * model.state_dict()["inputs.0.scale"], b), *others],
        seed=core.random.generator,
    )
    own = core_of(plain)
    own.fitted_1d, own.history = core.fitted_1d, core.history
    return plain
