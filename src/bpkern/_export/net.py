"""`Net`: what a trained model computes, from the values of its inputs to its predictions, for all exports."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from .._model.core import Core
from .._model.parameters import ACTIVATIONS, Weights
from .._model.scheduled import probability
from .._model.settings import Probability
from .front import Front, front_of

# By loss: the function of the outputs that `MLP.predict_proba` applies. Other losses have none.
FINAL = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid"}


class Scaling(NamedTuple):
    """Inputs become ``(x - center) * factor + offset``; all three are float64 of shape (in,)."""

    center: np.ndarray
    factor: np.ndarray
    offset: np.ndarray


@dataclass(frozen=True)
class Net:
    """A trained network without everything that only training needs, except dropout.

    Attributes
    ----------
    weights : list of (W, b)
        In the dtype, W of shape (out, in).
    activations : tuple of str
        One per layer, that of the outputs included.
    final : {"identity", "softmax", "sigmoid", "exp"}
        Makes predictions of the outputs: probabilities, rates or, by "identity", the outputs themselves.
    dtype : numpy.dtype
    dropout : tuple of (float or Schedule)
        One per hidden layer.
    bias : tuple of bool
        Whether each layer has biases; others have b of zeros. Empty: all have.
    input_dropout : float or Schedule
    update : int
        The number of the next update, for schedules.
    scaling : Scaling or None
        Applied to the inputs.
    classes : ndarray, shape (classes,), or None
        The labels of a classifier. None for models whose classes are numbers from 0, and for regressors.
    estimator : {"classifier", "multilabel", "regressor"} or None
        The kind of a scikit-learn estimator. None for a `bpkern.MLP`.
    front : Front or None
        Embeddings and factors in front of layer 0, behind the scaling.
    shares : tuple of (ndarray or None)
        One per hidden layer, the trained shares of its activation; empty: there are none.
    """

    weights: Weights
    activations: tuple[str, ...]
    final: str
    dtype: np.dtype[Any]
    dropout: tuple[Probability, ...] = ()
    bias: tuple[bool, ...] = ()
    input_dropout: Probability = 0.0
    update: int = 0
    scaling: Scaling | None = None
    classes: np.ndarray | None = None
    estimator: str | None = None
    front: Front | None = None
    shares: tuple[np.ndarray | None, ...] = ()

    @property
    def inputs(self) -> int:
        """The number of inputs: columns of X."""
        return int(self.weights[0][0].shape[1]) if self.front is None else self.front.columns

    def share(self, l: int) -> np.ndarray | None:
        """The trained shares of the activation of layer l."""
        return self.shares[l] if l < len(self.shares) else None

    @property
    def nbytes(self) -> int:
        """Of the weights and of what stands in front of them."""
        front = [] if self.front is None else self.front.arrays
        return sum(w.nbytes + b.nbytes for w, b in self.weights) + sum(each.nbytes for each in front)

    @property
    def outputs(self) -> int:
        """The number of outputs of the last layer."""
        return len(self.weights[-1][1])

    def probabilities(self) -> tuple[list[float], float]:
        """The probabilities of dropout as they are now: of the hidden layers, and of the inputs.

        Raises
        ------
        ValueError
            For a schedule that gives no probability below 1. Exports without dropout do not ask.
        """
        hidden = [probability(each, self.update) for each in self.dropout]
        return hidden, probability(self.input_dropout, self.update)

    def has_bias(self, l: int) -> bool:
        """Whether layer l has biases."""
        return not self.bias or self.bias[l]

    @property
    def both_classes(self) -> bool:
        """Whether the predictions are the probabilities of two classes, made from one output."""
        return self.estimator == "classifier" and self.outputs == 1

    @property
    def predictions(self) -> int:
        """The number of predictions of a row."""
        return 2 if self.both_classes else self.outputs


def net_of_core(core: Core) -> Net:
    """The network of a `bpkern.MLP`, with copies of the parameters that predict."""
    settings = core.settings
    front, shares = _extra(core)
    return Net(
        core.get_weights(),
        tuple(settings.activations),
        FINAL.get(settings.loss, "identity"),
        settings.dtype,
        tuple(settings.dropout),
        tuple(settings.bias),
        settings.input_dropout,
        core.net.counts[0],
        front=front,
        shares=shares,
    )


def _extra(core: Core) -> tuple[Front | None, tuple[np.ndarray | None, ...]]:
    """What stands in front of layer 0, and the shares of activations."""
    settings = core.settings
    if settings.extra is None:
        return None, ()
    with core.net.reading():
        named = settings.extra.named(core.net.get_extra("average" if core.net.has_average else "parameters"))
    front = None if settings.stage is None else front_of(settings.stage, named)
    if not any(settings.parametric):
        return front, ()
    return front, tuple(
        None if each is None else named[f"{ACTIVATIONS}{l}.alpha"].copy()
        for l, each in enumerate(settings.parametric)
    )


def with_dtype(net: Net, dtype: Any) -> Net:
    """The network with weights of this dtype, which is that of its inputs and predictions, too.

    Raises
    ------
    ValueError
        For weights beyond it.
    """

    def changed(array: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            found = array.astype(dtype)
        if not np.isfinite(found).all():
            raise ValueError(f"the weights must be finite in {np.dtype(dtype).name}")
        return found

    return replace(
        net,
        weights=[(changed(w), changed(b)) for w, b in net.weights],
        front=None if net.front is None else net.front.changed(changed),
        shares=tuple(None if each is None else changed(each) for each in net.shares),
        dtype=np.dtype(dtype),
    )


def layer_positions(net: Net) -> list[int]:
    """The position of each linear layer in the torch.nn.Sequential of the network.

    An activation stands between two of them, and a Dropout if the hidden layer has dropout; a Dropout stands
    before the first if the inputs have it.
    """
    dropout, of_inputs = net.probabilities()
    positions, at = [], int(of_inputs > 0)
    for l in range(len(net.weights)):
        positions.append(at)
        at += 3 if l < len(dropout) and dropout[l] else 2
    return positions


def unscaled(net: Net) -> Net:
    """The same network with its scaling multiplied into the first layer, computed in float64.

    The products and sums are rounded once, to the dtype. Inputs far from 0 in proportion to their spread lose
    digits, because x and center are no longer subtracted first.
    """
    if net.scaling is None:
        return net
    center, factor, offset = net.scaling
    w, b = net.weights[0]
    wide = w.astype(np.float64)
    shifted = b + wide @ (offset - center * factor)
    first = (wide * factor).astype(net.dtype), shifted.astype(net.dtype)
    return replace(
        net, weights=[first, *net.weights[1:]], bias=(True, *net.bias[1:]) if net.bias else (), scaling=None
    )
