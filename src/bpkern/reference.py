"""Backpropagation in plain NumPy, to be read: the oracle of the tests and the baseline of the benchmarks.

The three functions have the signatures of `bpkern.kernels`, and room for `scratch` arrays besides; `MLP` has
the constructor and `fit` of `bpkern.MLP`, its gradients and predictions, and no more. Products are BLAS's and
outputs are allocated once; nothing else is made clever. Shapes: x (n, in), w (out, in), b (out,), a and delta
(n, out), with n the rows of the mini-batch.
"""

import math
from typing import Any

import numpy as np

from .data import as_rows, as_sample_weight, as_targets, classes_of
from .errors import DivergedError
from .history import History
from .optimizers import SGD
from .progress import make_progress
from .seeding import RandomState
from .settings import FitArguments, Settings

# Activations, in place on z; `scratch` is of its shape -----------------------------------------------------


def _identity(z, scratch):
    pass


def _relu(z, scratch):
    np.maximum(z, 0, out=z)


def _leaky_relu(z, scratch):
    np.maximum(z, np.multiply(z, 0.01, out=scratch), out=z)


def _sigmoid(z, scratch):
    with np.errstate(over="ignore"):  # exp(-z) is infinite where the result is 0
        np.exp(np.negative(z, out=z), out=z)
    z += 1
    np.reciprocal(z, out=z)


def _tanh(z, scratch):
    np.tanh(z, out=z)


# delta *= s'(z), in place, from a = s(z) -------------------------------------------------------------------


def _identity_backward(delta, a, scratch):
    pass


def _relu_backward(delta, a, scratch):
    delta *= a > 0


def _leaky_relu_backward(delta, a, scratch):
    np.multiply(np.greater(a, 0, out=scratch), 0.99, out=scratch)
    scratch += 0.01
    delta *= scratch


def _sigmoid_backward(delta, a, scratch):
    np.subtract(1, a, out=scratch)
    delta *= np.multiply(scratch, a, out=scratch)


def _tanh_backward(delta, a, scratch):
    np.multiply(a, a, out=scratch)
    delta *= np.subtract(1, scratch, out=scratch)


ACTIVATIONS = {
    "identity": (_identity, _identity_backward),
    "relu": (_relu, _relu_backward),
    "leaky_relu": (_leaky_relu, _leaky_relu_backward),
    "sigmoid": (_sigmoid, _sigmoid_backward),
    "tanh": (_tanh, _tanh_backward),
}

# The loss of each row (n,), and its derivative by the outputs a, written to delta --------------------------


def _mse(a, y, delta):
    np.subtract(a, y, out=delta)
    loss = np.square(delta).mean(axis=1)
    delta *= 2 / a.shape[1]
    return loss


def _squared_error(a, y, delta):
    np.subtract(a, y, out=delta)
    return np.square(delta).sum(axis=1) / 2


def _cross_entropy(a, y, delta):
    shifted = a - a.max(axis=1, keepdims=True)
    np.exp(shifted, out=delta)
    total = delta.sum(axis=1, keepdims=True)
    delta /= total
    if y.ndim == 1:
        rows = np.arange(len(y))
        delta[rows, y] -= 1
        return np.log(total[:, 0]) - shifted[rows, y]
    delta -= y
    return np.log(total[:, 0]) - (y * shifted).sum(axis=1)


def _binary_cross_entropy(a, y, delta):
    e = np.exp(-np.abs(a))
    loss = (np.maximum(a, 0) - a * y + np.log1p(e)).mean(axis=1)
    np.divide(np.where(a < 0, e, 1), 1 + e, out=delta)
    delta -= y
    delta /= a.shape[1]
    return loss


LOSSES = {
    "mse": _mse,
    "squared_error": _squared_error,
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
}


def _right(loss, a, y):
    """For each row, whether its class is right; for binary, the part of its outputs that is."""
    if loss == "binary_cross_entropy":
        return ((a > 0) == (y > 0.5)).mean(axis=1)
    return a.argmax(axis=1) == (y if y.ndim == 1 else y.argmax(axis=1))


def _weighted_sum(values, weights):
    """In float64; None is a weight of 1 each."""
    return float(values.sum(dtype=np.float64) if weights is None else values @ weights)


# The three kernels -----------------------------------------------------------------------------------------


def linear_forward(x, w, b, activation="identity", out=None, *, scratch=None):
    """``a = s(x w' + b)``; see `bpkern.kernels.linear_forward`. `scratch` is of the result's shape."""
    out = np.matmul(x, w.T, out=out)
    out += b
    ACTIVATIONS[activation][0](out, np.empty_like(out) if scratch is None else scratch)
    return out


def delta_backward(delta_next, w_next, a, activation, *, z=None, out=None, scratch=None):
    """``delta = (delta_next w_next) * s'(z)``; see `bpkern.kernels.delta_backward`."""
    out = np.matmul(delta_next, w_next, out=out)
    ACTIVATIONS[activation][1](out, a, np.empty_like(out) if scratch is None else scratch)
    return out


def sgd_update(
    w, b, delta, x, lr, *, momentum=0.0, nesterov=False, weight_decay=0.0, vw=None, vb=None, scratch=None
):
    """One step of SGD in place; see `bpkern.kernels.sgd_update`. `scratch` is two arrays like w."""
    gradient, spare = (np.empty(w.shape, w.dtype) for _ in "ab") if scratch is None else scratch
    np.matmul(delta.T, x, out=gradient)
    _step(w, vw, gradient, spare, lr, momentum, nesterov, weight_decay)
    _step(b, vb, delta.sum(axis=0), np.empty(b.shape, b.dtype), lr, momentum, nesterov, weight_decay)


def _step(w, v, gradient, spare, lr, momentum, nesterov, weight_decay):
    if weight_decay:
        gradient += np.multiply(w, weight_decay, out=spare)
    if momentum:
        v *= momentum
        v += gradient
        if nesterov:
            gradient += np.multiply(v, momentum, out=spare)
        else:
            gradient = v
    w -= np.multiply(gradient, lr, out=spare)


# The trainer -----------------------------------------------------------------------------------------------


class _Buffers:
    """What one mini-batch of n rows writes, allocated once."""

    def __init__(self, n, settings, labels):
        sizes, dtype = settings.layers, settings.dtype
        self.x = np.empty((n, sizes[0]), dtype)
        self.y = np.empty(n, np.int64) if labels else np.empty((n, sizes[-1]), dtype)
        self.weights = None
        self.a = [np.empty((n, size), dtype) for size in sizes[1:]]
        self.delta = [np.empty((n, size), dtype) for size in sizes[1:]]
        self.scratch = [np.empty((n, size), dtype) for size in sizes[1:]]


class MLP:
    """`bpkern.MLP` in plain NumPy: the same arguments, initial weights, shuffles and, to rounding, losses."""

    def __init__(
        self,
        layers,
        *,
        activation="relu",
        output_activation="identity",
        loss,
        optimizer=None,
        dtype="float32",
        init="auto",
        l2=0.0,
        seed=None,
    ):
        self._settings = Settings(layers, activation, output_activation, loss, optimizer, dtype, init, l2)
        settings = self._settings
        self._random = RandomState(seed)
        self.w, self.b = [], []
        for w, b in self._random.initial_weights(settings.layers, settings.activations, settings.dtype):
            self.w.append(w)
            self.b.append(b)
        self.vw = [np.zeros_like(w) for w in self.w]
        self.vb = [np.zeros_like(b) for b in self.b]
        self._w_scratch = [(np.empty_like(w), np.empty_like(w)) for w in self.w]
        self._fitted_1d = False
        self.history_ = None

    @property
    def optimizer(self) -> SGD:
        """The settings of the optimiser."""
        return self._settings.optimizer

    def fit(
        self,
        X,
        y,
        *,
        epochs=1,
        batch_size=32,
        shuffle=True,
        validation_data=None,
        validation_split=0.0,
        sample_weight=None,
        verbose="auto",
        n_threads=None,
    ) -> History:
        """Train; see `bpkern.MLP.fit`. BLAS has threads of its own: n_threads is not looked at."""
        settings = self._settings
        settings.step()
        arguments = FitArguments(epochs, batch_size, shuffle, validation_data, validation_split, None)
        x, targets, weights = self._read(X, y, sample_weight)
        order = np.arange(len(x))
        validation = None
        if validation_data is not None:
            validation = self._read(validation_data[0], validation_data[1], None)
        if validation_split:
            order, held_out = self._random.split(len(x), validation_split, classes_of(targets, settings))
            validation = (x[held_out], targets[held_out], None if weights is None else weights[held_out])
        rows = len(order)
        batch_size = min(arguments.batch_size, rows)
        buffers = {n: _Buffers(n, settings, targets.ndim == 1) for n in {batch_size, rows % batch_size} if n}
        held_out_batch = None if validation is None else self._batch_of(*validation)
        self._fitted_1d = np.ndim(y) == 1
        history = self.history_ = History()
        progress = make_progress(verbose)
        progress.begin(epochs, rows)
        for epoch in range(epochs):
            index = order[self._random.generator.permutation(rows)] if shuffle else order
            loss = accuracy = total = 0.0
            iterations = 0
            for start in range(0, rows, batch_size):
                batch = index[start : start + batch_size]
                into = buffers[len(batch)]
                np.take(x, batch, axis=0, out=into.x, mode="clip")
                np.take(targets, batch, axis=0, out=into.y, mode="clip")
                into.weights = None if weights is None else weights[batch]
                batch_loss, batch_accuracy, batch_total = self._train(into)
                if not math.isfinite(batch_loss):
                    raise DivergedError(
                        "the loss is no longer finite", epoch, history.iterations + iterations
                    )
                loss, accuracy, total = loss + batch_loss, accuracy + batch_accuracy, total + batch_total
                iterations += 1
            metrics = self._metrics(loss, accuracy, total)
            if held_out_batch is not None:
                values = self._measure(held_out_batch)
                metrics.update({f"val_{name}": value for name, value in values.items()})
            history.add_epoch(metrics, iterations)
            progress.epoch(epoch + 1, metrics)
        progress.close()
        return history

    def _train(self, batch):
        """One step; returns the batch's weight times its loss and its accuracy, and its weight."""
        loss, accuracy, total = self._loss(batch)
        if total == 0 or not math.isfinite(loss):
            return loss, accuracy, total
        self._output_delta(batch, total)
        sgd, l2 = self.optimizer, self._settings.l2
        step = sgd.lr, sgd.momentum, sgd.nesterov
        for l in reversed(range(len(self.w))):
            if l > 0:
                self._delta(batch, l)
            x = batch.a[l - 1] if l > 0 else batch.x
            gradient, spare = self._w_scratch[l]
            np.matmul(batch.delta[l].T, x, out=gradient)
            _step(self.w[l], self.vw[l], gradient, spare, *step, sgd.weight_decay + 2 * l2)
            bias_gradient = batch.delta[l].sum(axis=0)
            _step(self.b[l], self.vb[l], bias_gradient, None, *step, sgd.weight_decay)
        return loss, accuracy, total

    def _forward(self, batch):
        x = batch.x
        for w, b, name, a, scratch in zip(
            self.w, self.b, self._settings.activations, batch.a, batch.scratch, strict=True
        ):
            x = linear_forward(x, w, b, name, a, scratch=scratch)

    def _loss(self, batch):
        """The batch's weight times its loss and its accuracy, and its weight; the last delta is the
        derivative of each row's loss."""
        total = len(batch.x) if batch.weights is None else float(batch.weights.sum())
        self._forward(batch)
        name, a = self._settings.loss, batch.a[-1]
        loss = _weighted_sum(LOSSES[name](a, batch.y, batch.delta[-1]), batch.weights)
        accuracy = 0.0
        if self._settings.has_accuracy:
            accuracy = _weighted_sum(_right(name, a, batch.y), batch.weights)
        return loss + total * self._penalty(), accuracy, total

    def _output_delta(self, batch, total):
        """The last delta as the recursion takes it: with the 1/n of the mean, and through the activation."""
        delta = batch.delta[-1]
        delta *= 1 / total if batch.weights is None else (batch.weights / total)[:, None]
        ACTIVATIONS[self._settings.activations[-1]][1](delta, batch.a[-1], batch.scratch[-1])

    def _delta(self, batch, l):
        """The delta of layer l - 1, from layer l's weights before they are updated."""
        delta_backward(
            batch.delta[l],
            self.w[l],
            batch.a[l - 1],
            self._settings.activations[l - 1],
            out=batch.delta[l - 1],
            scratch=batch.scratch[l - 1],
        )

    def _penalty(self):
        l2 = self._settings.l2
        return l2 * sum(float(np.sum(np.square(w), dtype=np.float64)) for w in self.w) if l2 else 0.0

    def gradients(self, X, y):
        """(loss, [(dW, db), ...]); see `bpkern.MLP.gradients`."""
        x, targets, _ = self._read(X, y, None)
        batch = self._batch_of(x, targets, None)
        loss, _, total = self._loss(batch)
        self._output_delta(batch, total)
        gradients: list[tuple[np.ndarray, np.ndarray]] = []
        for l in reversed(range(len(self.w))):
            if l > 0:
                self._delta(batch, l)
            below = batch.a[l - 1] if l > 0 else batch.x
            dw = batch.delta[l].T @ below + 2 * self._settings.l2 * self.w[l]
            gradients.insert(0, (dw, batch.delta[l].sum(axis=0)))
        return loss / total, gradients

    def _batch_of(self, x, targets, weights):
        batch = _Buffers(len(x), self._settings, targets.ndim == 1)
        batch.x[...], batch.y[...], batch.weights = x, targets, weights
        return batch

    def forward(self, X):
        """Outputs (n, out); see `bpkern.MLP.forward`."""
        a = np.asarray(as_rows(X, self._settings.layers[0]), self._settings.dtype)
        for w, b, name in zip(self.w, self.b, self._settings.activations, strict=True):
            a = linear_forward(a, w, b, name)
        return a

    def predict(self, X):
        """Classes or values; see `bpkern.MLP.predict`."""
        outputs = self.forward(X)
        if self._settings.loss == "cross_entropy":
            return outputs.argmax(axis=1)
        if self._settings.loss == "binary_cross_entropy":
            classes = (outputs > 0).astype(np.int64)
            return classes[:, 0] if classes.shape[1] == 1 else classes
        return outputs[:, 0] if self._fitted_1d else outputs

    def evaluate(self, X, y):
        """Loss and accuracy; see `bpkern.MLP.evaluate`."""
        return self._measure(self._batch_of(*self._read(X, y, None)))

    def get_weights(self):
        """Copies [(W, b), ...]."""
        return [(w.copy(), b.copy()) for w, b in zip(self.w, self.b, strict=True)]

    def set_weights(self, weights):
        """Set them from [(W, b), ...]."""
        for l, (w, b) in enumerate(weights):
            self.w[l][...], self.b[l][...] = w, b

    def _measure(self, batch):
        return self._metrics(*self._loss(batch))

    def _metrics(self, loss, accuracy, weight):
        metrics = {"loss": loss / weight}
        if self._settings.has_accuracy:
            metrics["accuracy"] = accuracy / weight
        return metrics

    def _read(self, X, y, sample_weight) -> tuple[np.ndarray, np.ndarray, Any]:
        x = np.asarray(as_rows(X, self._settings.layers[0]), self._settings.dtype)
        if len(x) == 0:
            raise ValueError("X has no rows")
        targets = as_targets(y, len(x), self._settings)
        if targets.ndim == 2:
            targets = np.asarray(targets, self._settings.dtype)
        if not (np.isfinite(x).all() and np.isfinite(targets).all()):
            raise ValueError("X and y must be finite")
        return x, targets, as_sample_weight(sample_weight, len(x))
