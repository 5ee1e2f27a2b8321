"""The forward and backward pass of one mini-batch."""

import numpy as np

from .activations import FROM_Z, functions_of
from .inputs import stage_of
from .kernels import delta_backward, linear_forward
from .losses import LOSSES, custom, right
from .shares import shares_of


class Batch:
    """The arrays of a mini-batch of n rows, allocated once.

    Attributes
    ----------
    x, y : ndarray
        Rows of X, and targets.
    inputs, embedded : ndarray
        Those of layer 0, and these before the factors of `inputs.Scale`; x itself without inputs.
    weights : ndarray, shape (n,), or None
        None is a weight of 1 for each row.
    masks : list of (ndarray or None)
        For each hidden layer, the factors of dropout; None without dropout.
    a, delta : list of ndarray
        For each weight matrix, the activations and the derivative of the loss by their z.
    z : list of (ndarray or None)
        The inputs of the activations of `FROM_Z`, and of parametric ones; None for others.
    difference : list of (ndarray or None)
        For each layer, after `Network.forward`, f(z) - z of a parametric activation.
    dropped : list of (ndarray or None)
        For each hidden layer with dropout, its activations times the mask.
    scratch : list of ndarray
        For each weight matrix, an array like `a` to overwrite.
    """

    def __init__(self, n, settings, labels):
        sizes, dtype = settings.layers, settings.dtype
        self.x = self.inputs = self.embedded = np.empty((n, sizes[0]), dtype)
        self.y = np.empty(n, np.int64) if labels else np.empty((n, sizes[-1]), dtype)
        self.weights = None
        self.masks = [None] * (len(sizes) - 2)
        self.a = [np.empty((n, size), dtype) for size in sizes[1:]]
        self.delta = [np.empty((n, size), dtype) for size in sizes[1:]]
        self.scratch = [np.empty((n, size), dtype) for size in sizes[1:]]
        parametric = [*settings.parametric, None]
        kept = [
            bool(share) or activation in FROM_Z
            for share, activation in zip(parametric, settings.activations, strict=True)
        ]
        self.z = [np.empty_like(a) if z else None for a, z in zip(self.a, kept, strict=True)]
        self.difference = [None] * len(self.a)
        self.dropped = [
            np.empty_like(a) if p else None for a, p in zip(self.a[:-1], settings.dropout, strict=True)
        ]

    def below(self, l):
        """The input of layer l: those of layer 0, or the activations of the layer before, after dropout."""
        if l == 0:
            return self.inputs
        return self.a[l - 1] if self.masks[l - 1] is None else self.dropped[l - 1]


class Network:
    """The formulas of a network, on parameters of the caller.

    Parameters
    ----------
    settings : Settings
    parameters : list of ndarray
        [W, b, W, b, ...], input first, then those of the inputs, and the shares of parametric activations.
    """

    def __init__(self, settings, parameters):
        self.settings = settings
        of_layers = parameters[: 2 * len(settings.activations)]
        self.w, self.b = of_layers[0::2], of_layers[1::2]
        self.stage = stage_of(settings, parameters)
        self.shares = shares_of(settings, parameters)
        self._loss_parameter = _loss_parameter(settings)

    def __setstate__(self, state):
        """Pickles of version 0.1 lack the stage and the shares, which it did not have."""
        vars(self).update({"stage": None, "shares": {}} | state)

    def outputs(self, x):
        """The outputs (n, out) of x (n, in), without dropout."""
        if self.stage is not None:
            x, _ = self.stage.forward(x)
        for l, activation in enumerate(self.settings.activations):
            share = self.shares.get(l)
            x = linear_forward(x, self.w[l], self.b[l], "identity" if share else activation)
            if share:
                share.forward(x.copy(), x, np.empty_like(x))
        return x

    def forward(self, batch):
        """Compute the activations of the batch."""
        if self.stage is not None:
            batch.inputs, batch.embedded = self.stage.forward(batch.x)
        for l, activation in enumerate(self.settings.activations):
            a, z = batch.a[l], batch.z[l]
            if z is None:
                linear_forward(batch.below(l), self.w[l], self.b[l], activation, a, scratch=batch.scratch[l])
            else:
                linear_forward(batch.below(l), self.w[l], self.b[l], "identity", z)
                if share := self.shares.get(l):
                    batch.difference[l] = share.forward(z, a, batch.scratch[l])
                else:
                    np.copyto(a, z)
                    functions_of(activation)[0](a, batch.scratch[l])
            if l < len(batch.masks) and batch.masks[l] is not None:
                np.multiply(a, batch.masks[l], out=batch.dropped[l])

    def loss(self, batch):
        """Forward pass; returns the batch's weight times its loss, weight times accuracy, and weight.

        The last delta becomes the derivative of each row's loss by the outputs.
        """
        self.forward(batch)
        a, y = batch.a[-1], batch.y
        total = len(a) if batch.weights is None else float(batch.weights.sum())
        loss = _weighted_sum(self._row_losses(batch), batch.weights)
        accuracy = 0.0
        if self.settings.has_accuracy:
            accuracy = _weighted_sum(right(self.settings.loss, a, y), batch.weights)
        return loss + total * self.penalty(), accuracy, total

    def _row_losses(self, batch):
        a, y, delta = batch.a[-1], batch.y, batch.delta[-1]
        if self.settings.custom_loss is not None:
            return custom(self.settings.custom_loss, a, y, delta, weighted=batch.weights is not None)
        return LOSSES[self.settings.loss](a, y, delta, self._loss_parameter)

    def backward(self, batch, total, gradients, spare, add=False):
        """After `loss`: the gradients of the sum of w * loss, divided by `total`, without the penalties.

        Parameters
        ----------
        batch : Batch
        total : float
            The weight of all rows of the mean, which may be those of several batches.
        gradients, spare : list of ndarray
            Like the parameters. Gradients are overwritten, or added to with `add`.
        """
        delta = batch.delta[-1]
        delta *= 1 / total if batch.weights is None else (batch.weights / total)[:, None]
        self._through_activation(batch)
        for l in reversed(range(len(self.w))):
            if l > 0:
                self._delta(batch, l, gradients, add)
            dw, db = (spare if add else gradients)[2 * l : 2 * l + 2]
            np.matmul(batch.delta[l].T, batch.below(l), out=dw)
            batch.delta[l].sum(axis=0, out=db)
            if add:
                gradients[2 * l] += dw
                gradients[2 * l + 1] += db
        if self.stage is not None:
            found = self.stage.backward(batch.x, batch.embedded, batch.delta[0] @ self.w[0])
            first = 2 * len(self.w)
            for gradient, new in zip(gradients[first : first + len(found)], found, strict=True):
                gradient[...] = gradient + new if add else new

    def _through_activation(self, batch):
        """Turn the last delta from the derivative by the outputs into that by their z."""
        activation = self.settings.activations[-1]
        by = batch.z[-1] if activation in FROM_Z else batch.a[-1]
        functions_of(activation)[1](batch.delta[-1], by, batch.scratch[-1])

    def _delta(self, batch, l, gradients, add):
        """Compute the delta of layer l - 1 from that of layer l, and the gradient of its share, if any."""
        share = self.shares.get(l - 1)
        delta = delta_backward(
            batch.delta[l],
            self.w[l],
            batch.a[l - 1],
            "identity" if share else self.settings.activations[l - 1],
            z=None if share else batch.z[l - 1],
            out=batch.delta[l - 1],
            scratch=batch.scratch[l - 1],
        )
        if batch.masks[l - 1] is not None:
            delta *= batch.masks[l - 1]
        if share:
            found = share.backward(delta, batch.z[l - 1], batch.difference[l - 1])
            gradient = gradients[share.place]
            gradient[...] = gradient + found if add else found

    def penalty(self):
        """l2 sum W^2 + l1 sum |W|."""
        l2, l1 = self.settings.l2, self.settings.l1
        penalty = 0.0
        if l2:
            penalty += l2 * sum(float(np.sum(np.square(w), dtype=np.float64)) for w in self.w)
        if l1:
            penalty += l1 * sum(float(np.sum(np.abs(w), dtype=np.float64)) for w in self.w)
        return penalty

    def add_penalty(self, gradients, spare):
        """Add the derivative of the penalty, 2 l2 W + l1 sign(W), to the gradients."""
        l2, l1 = self.settings.l2, self.settings.l1
        if not (l2 or l1):
            return
        count = 2 * len(self.w)
        for w, gradient, room in zip(self.w, gradients[:count:2], spare[:count:2], strict=True):
            if l2:
                gradient += np.multiply(w, 2 * l2, out=room)
            if l1:
                np.sign(w, out=room)
                gradient += np.multiply(room, l1, out=room)


def _loss_parameter(settings):
    """The last argument of the functions in `LOSSES`."""
    if settings.has_accuracy:
        return settings.label_smoothing
    given = settings.loss_parameters
    return None if given is None else np.asarray(given, settings.dtype)


def _weighted_sum(values, weights):
    """The sum over rows, in float64; weights of None are 1 for each row."""
    return float(values.sum(dtype=np.float64) if weights is None else values @ weights)
