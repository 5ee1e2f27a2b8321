"""From gradients to new weights: clipping, the optimiser's step, and the average of the weights."""

import math

import numpy as np

from .._model.groups import Group
from .._model.scheduled import WEIGHT_DECAY
from ..schedules import rate
from .optimizers import STEPS, new_state


def clip_norm(gradients, limit):
    """Scale all gradients together to a norm of at most `limit`."""
    norm = math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients))
    coefficient = limit / (norm + 1e-6)  # the divisor is PyTorch's
    if coefficient < 1:
        for gradient in gradients:
            gradient *= coefficient


def clip_value(gradients, limit):
    """Clip each number to [-limit, limit]."""
    for gradient in gradients:
        np.clip(gradient, -limit, limit, out=gradient)


class Update:
    """Updates of the parameters, and their state from one to the next.

    Parameters
    ----------
    network : Network
    parameters : list of ndarray
        The network's, [W, b, W, b, ...]; changed in place.

    Attributes
    ----------
    iterations : int
        Updates so far, the argument of a schedule of the learning rate. (`History` counts mini-batches.)
    rate : float
        The learning rate of the last update.
    gradients, spare : list of ndarray
        Like the parameters: the gradients of a step, and arrays to overwrite.
    average : list of ndarray or None
        The exponential average of the parameters, if there is one.
    """

    def __init__(self, network, parameters):
        self._network = network
        self._parameters = parameters
        self._state = None
        self.iterations = 0
        self.rate = 0.0
        self.gradients = [np.empty_like(w) for w in parameters]
        self.spare = [np.empty_like(w) for w in parameters]
        self.average = None

    def step(self, optimizer, norm_limit=None, value_limit=None, ema=None):
        """Make one update from `gradients`, which are overwritten. The limits are those of clipping."""
        if self._state is None:
            self._state = [new_state(w, optimizer) for w in self._parameters]
        self._begin_average(ema)
        if optimizer.maximize:
            for gradient in self.gradients:
                np.negative(gradient, out=gradient)
        self._network.add_penalty(self.gradients, self.spare)
        groups = self._groups()
        moved = [i for i, group in enumerate(groups) if not group.frozen]
        gradients = [self.gradients[i] for i in moved]
        if norm_limit is not None:
            clip_norm(gradients, norm_limit)
        if value_limit is not None:
            clip_value(gradients, value_limit)
        lr = self.rate = rate(optimizer.lr, self.iterations)
        if callable(optimizer.weight_decay):
            decay = rate(optimizer.weight_decay, self.iterations, WEIGHT_DECAY)
            optimizer = optimizer.checked_copy()
            optimizer.weight_decay = decay
        self.iterations += 1
        move = STEPS[optimizer.rule]
        for i in moved:
            own = optimizer
            if groups[i].weight_decay != 1:
                own = optimizer.checked_copy()
                own.weight_decay *= groups[i].weight_decay
            w, gradient, state, spare = self._parameters[i], self.gradients[i], self._state[i], self.spare[i]
            move(w, gradient, state, self.iterations, lr * groups[i].lr, own, spare)
            if self.average is not None:
                self.average[i] *= ema
                self.average[i] += np.multiply(w, 1 - ema, out=spare)

    def _groups(self):
        """The group of each parameter, also of extra ones; biases that a layer does not have are frozen."""
        settings = self._network.settings
        groups = [group for layer in settings.groups for group in layer]
        for l, has_bias in enumerate(settings.bias):
            if not has_bias:
                groups[2 * l + 1] = Group(frozen=True)
        if settings.extra is not None:
            groups += [Group(*factors) for factors in settings.extra.factors()]
        return groups

    def _begin_average(self, ema):
        """Start the average, or drop it without `ema`: the weights move on, and an old one is outdated."""
        if ema is None:
            self.average = None
        elif self.average is None:
            self.average = [w.copy() for w in self._parameters]
