"""The numbers of a trace: `Layer`, `Step`, and the `Setting` that all steps have in common."""

# Lazy annotations: evaluating them would import the slow parts of NumPy.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._model.groups import Groups
from ..schedules import Schedule

# The arrays of a state for W (out, in) and b (out), by the state's name.
States = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Layer:
    """One layer in one training step of n rows. All arrays are copies, in the model's dtype.

    Attributes
    ----------
    activation : str
    dropout : float
        The probability that an activation of this layer was dropped.
    x : ndarray, shape (n, in)
        The inputs: those of the network, after `input_dropout`, or the activations of the layer before.
    W : ndarray, shape (out, in)
    b : ndarray, shape (out,)
        The parameters before the update.
    z : ndarray, shape (n, out)
        ``x @ W.T + b``
    a : ndarray, shape (n, out)
        ``activation(z)``, after dropout: what the next layer receives.
    slope : ndarray, shape (n, out)
        The derivative da/dz: ``activation'(z)``, after dropout. It is 0 where `a` was dropped, and divided by
        ``1 - dropout`` elsewhere.
    delta : ndarray, shape (n, out)
        The derivative of the loss by `z`.
    dW : ndarray, shape (out, in)
        The derivative of the loss with its penalties by `W`, as `MLP.gradients` defines it: ``delta.T @ x + 2
        * l2 * W + l1 * sign(W)``. The weight decay of an optimiser belongs to the update, not to this.
    db : ndarray, shape (out,)
        The derivative by `b`: the sums of the columns of `delta`.
    dx : ndarray, shape (n, in)
        The derivative of the loss by `x`: ``delta @ W``.
    new_W, new_b : ndarray
        The parameters after the update.
    states, new_states : dict of str to (ndarray, ndarray)
        The optimiser's states for W and b before and after the update, by the names that `bpkern.reference`
        gives them: "velocity" of SGD with momentum; "square", "mean" and "velocity" of RMSprop; "total" of
        Adagrad; "mean", "square" and, with amsgrad, "largest" of Adam, AdamW and NAdam. Only those in use.
    """

    activation: str
    dropout: float
    x: np.ndarray
    W: np.ndarray
    b: np.ndarray
    z: np.ndarray
    a: np.ndarray
    slope: np.ndarray
    delta: np.ndarray
    dW: np.ndarray
    db: np.ndarray
    dx: np.ndarray
    new_W: np.ndarray
    new_b: np.ndarray
    states: States
    new_states: States

    def __repr__(self) -> str:
        out, fan_in = self.W.shape
        return f"<Layer {fan_in} -> {out}, {self.activation}>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Setting:
    """What all steps of a trace have in common. `bpkern.Trace` documents the attributes."""

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    dropout: tuple[float | Schedule, ...]
    loss: str
    loss_parameters: np.ndarray | None
    label_smoothing: float
    l1: float
    l2: float
    optimizer: Any
    dtype: np.dtype[Any]
    targets: np.ndarray
    row_weights: np.ndarray
    bias: tuple[bool, ...]
    groups: Groups


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Step:
    """One training step: forward, backward and update.

    Attributes
    ----------
    number : int
        In the trace, from 0.
    update : int
        The number of updates that the model had made before this one.
    loss : float
        Before the update, with the penalties: what `MLP.train_on_batch` returns.
    penalty : float
        The part of `loss` that is ``l1 * sum(abs(W)) + l2 * sum(W**2)``.
    learning_rate : float
    outputs : ndarray, shape (n, out)
        Of the last layer, as in training, before the update.
    probabilities : ndarray, shape (n, out), or None
        Their softmax or sigmoid, if the loss is one of the two cross-entropies.
    doutputs : ndarray, shape (n, out)
        The derivative of the loss by the outputs.
    layers : tuple of Layer
        ``layers[0]`` is the first after the inputs, as in `MLP.get_weights`.
    setting : Setting
        The attributes that all steps have in common, those of the `Trace`: targets, loss, optimiser, ...
    """

    number: int
    update: int
    loss: float
    penalty: float
    learning_rate: float
    outputs: np.ndarray
    probabilities: np.ndarray | None
    doutputs: np.ndarray
    layers: tuple[Layer, ...]
    setting: Setting

    def __repr__(self) -> str:
        return f"<Step {self.number}: loss {self.loss:.6g}, learning rate {self.learning_rate:.6g}>"


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TraceData(Setting):
    """A setting and its steps."""

    steps: tuple[Step, ...]
