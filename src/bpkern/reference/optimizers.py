"""Optimisers, as PyTorch defines them: ``step(w, gradient, state, t, lr, settings, spare)`` moves w in place.

`state` holds the arrays of `STATE`, initialised by `new_state`; t counts updates from 1; `settings` has the
attributes of the optimiser; the gradient may be overwritten, and `spare` is an array of its shape to
overwrite.
"""

import math

import numpy as np


def _decay(w, gradient, settings, spare):
    if settings.weight_decay:
        gradient += np.multiply(w, settings.weight_decay, out=spare)


def _average(mean, value, keep, spare):
    """mean <- keep mean + (1 - keep) value, with `keep` the decay factor; `value` may be `spare`."""
    np.subtract(value, mean, out=spare)
    spare *= 1 - keep
    mean += spare


def _average_square(square, gradient, keep, spare):
    """square <- keep square + (1 - keep) gradient^2."""
    np.square(gradient, out=spare)
    spare *= 1 - keep
    square *= keep
    square += spare


def _sgd(w, gradient, state, t, lr, settings, spare):
    _decay(w, gradient, settings, spare)
    if settings.momentum:
        velocity = state["velocity"]
        velocity *= settings.momentum
        if t > 1 and settings.dampening:
            gradient *= 1 - settings.dampening
        velocity += gradient
        if settings.nesterov:
            gradient += np.multiply(velocity, settings.momentum, out=spare)
        else:
            gradient = velocity
    w -= np.multiply(gradient, lr, out=spare)


def _rmsprop(w, gradient, state, t, lr, settings, spare):
    _decay(w, gradient, settings, spare)
    square, mean, velocity = state["square"], state["mean"], state["velocity"]
    _average_square(square, gradient, settings.alpha, spare)
    if settings.centered:
        _average(mean, gradient, settings.alpha, spare)
        np.square(mean, out=spare)
        np.subtract(square, spare, out=spare)
        np.maximum(spare, 0, out=spare)  # rounding may make the variance of equal gradients negative
        np.sqrt(spare, out=spare)
    else:
        np.sqrt(square, out=spare)
    spare += settings.eps
    gradient /= spare
    if settings.momentum:
        velocity *= settings.momentum
        velocity += gradient
        gradient = velocity
    w -= np.multiply(gradient, lr, out=spare)


def _adagrad(w, gradient, state, t, lr, settings, spare):
    _decay(w, gradient, settings, spare)
    total = state["total"]
    total += np.square(gradient, out=spare)
    np.sqrt(total, out=spare)
    spare += settings.eps
    gradient /= spare
    gradient *= lr / (1 + (t - 1) * settings.lr_decay)
    w -= gradient


def _adam(w, gradient, state, t, lr, settings, spare):
    _decay(w, gradient, settings, spare)
    _adam_step(w, gradient, state, t, lr, settings, spare)


def _adamw(w, gradient, state, t, lr, settings, spare):
    w *= 1 - lr * settings.weight_decay
    _adam_step(w, gradient, state, t, lr, settings, spare)


def _adam_step(w, gradient, state, t, lr, settings, spare):
    (keep_mean, keep_square), mean, square = settings.betas, state["mean"], state["square"]
    _average(mean, gradient, keep_mean, spare)
    _average_square(square, gradient, keep_square, spare)
    if settings.amsgrad:
        square = np.maximum(state["largest"], square, out=state["largest"])
    # Both averages start at zero: the factor 1 - beta^t corrects that.
    correction = math.sqrt(1 - keep_square**t)
    np.sqrt(square, out=spare)
    if settings.eps_hat:
        spare += settings.eps
        spare /= correction
    else:
        spare /= correction
        spare += settings.eps
    np.divide(mean, spare, out=spare)
    spare *= lr / (1 - keep_mean**t)
    w -= spare


def _nadam(w, gradient, state, t, lr, settings, spare):
    if settings.decoupled_weight_decay:
        w *= 1 - lr * settings.weight_decay
    else:
        _decay(w, gradient, settings, spare)
    (keep_mean, keep_square), mean, square = settings.betas, state["mean"], state["square"]
    _average(mean, gradient, keep_mean, spare)
    _average_square(square, gradient, keep_square, spare)
    momenta = keep_mean * (1 - 0.5 * 0.96 ** (np.arange(1, t + 2) * settings.momentum_decay))
    gradient *= (1 - momenta[-2]) / (1 - momenta[:-1].prod())
    gradient += np.multiply(mean, momenta[-1] / (1 - momenta.prod()), out=spare)
    np.sqrt(square, out=spare)
    spare /= math.sqrt(1 - keep_square**t)
    spare += settings.eps
    gradient /= spare
    gradient *= lr
    w -= gradient


STEPS = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adagrad": _adagrad,
    "adam": _adam,
    "adamw": _adamw,
    "nadam": _nadam,
}

STATE = {
    "sgd": ("velocity",),
    "rmsprop": ("square", "mean", "velocity"),
    "adagrad": ("total",),
    "adam": ("mean", "square", "largest"),
    "adamw": ("mean", "square", "largest"),
    "nadam": ("mean", "square"),
}


def new_state(w, settings):
    """The initial state of an optimiser for one array of parameters."""
    state = {name: np.zeros_like(w) for name in STATE[settings.rule]}
    if settings.rule == "adagrad":
        state["total"] += settings.initial_accumulator_value
    return state
