"""Checks that a timed trainer computes the right thing: weights after a few steps, against float64 NumPy."""

import math

import numpy as np
from nets import Net, data

import bpkern

# The allowed error, relative to how far the steps moved a layer's weights, in the Frobenius norm. Rectifiers
# need more: rounding decides the sign of a few of a million z, and below a narrow layer each of them counts.
TRAINED, TRAINED_RECTIFIERS = 2e-3, 5e-2
# A further allowance per step, relative to the weights, for their rounding to float32.
ROUNDED = float(np.finfo(np.float32).eps)
# The allowed relative error of the outputs, and the number of rows compared.
FORWARD, FORWARD_ROWS = 1e-4, 256
# About how far all steps together move the weights, relative to these; it determines the learning rate.
MOVED = 0.05
# The number of steps; from LARGE operations per step on only two, of which the second has a velocity.
STEPS, LARGE, FEW_STEPS = 5, 1e9, 2


class WrongError(Exception):
    """A trainer's results differ from the reference's."""


def _norm(pairs) -> float:
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for pair in pairs for array in pair))


class Check:
    """One network's data, initial weights, expected weights after training, and learning rate.

    Attributes
    ----------
    X, y : ndarray
    weights : list of (W, b)
        The initial weights.
    lr : float
    expected : list of (W, b)
        The expected weights after one pass over X in order.
    inputs, outputs : ndarray
        Of the net with its initial weights.
    """

    def __init__(self, net: Net):
        steps = FEW_STEPS if net.flops > LARGE else STEPS
        if net.loss == "cross_entropy":  # scikit-learn needs every class in the data
            steps = max(steps, -(-net.layers[-1] // net.batch))
        self.net, self.steps = net, steps
        self.X, self.y = data(net, steps, seed=1)
        kind = dict(activation=net.activation, loss=net.loss, seed=0)
        rng = np.random.default_rng(2)
        self.weights = [  # with biases: zeros would hide a trainer that leaves them out
            (w, b + 0.1 * rng.random(b.shape, b.dtype))
            for w, b in bpkern.MLP(net.layers, **kind).get_weights()
        ]
        optimizer = bpkern.SGD(momentum=net.momentum)
        exact = bpkern.reference.MLP(net.layers, optimizer=optimizer, dtype="float64", **kind)
        exact.set_weights(self.weights)
        self.inputs = rng.standard_normal((FORWARD_ROWS, net.layers[0]), np.float32)
        self.outputs = exact.forward(self.inputs)
        _, gradients = exact.gradients(self.X[: net.batch], self.y[: net.batch])
        self.lr = min(1.0, MOVED / steps * _norm(self.weights) / _norm(gradients))
        optimizer.lr = self.lr
        exact.fit(self.X, self.y, batch_size=net.batch, shuffle=False, verbose=0)
        self.expected = exact.get_weights()

    def training(self, peer) -> None:
        """Run the steps and compare the weights layer by layer.

        Raises
        ------
        WrongError
        """
        peer.epochs(1, shuffle=False)
        layers = zip(peer.weights(), self.expected, self.weights, strict=True)
        for l, (found, expected, start) in enumerate(layers):
            for name, w, exact, w0 in zip("Wb", found, expected, start, strict=True):
                error, moved = _norm([[w - exact]]), _norm([[exact - w0]])
                trained = TRAINED_RECTIFIERS if "relu" in self.net.activation else TRAINED
                allowed = trained * moved + self.steps * ROUNDED * _norm([[exact]])
                if not error <= allowed:
                    raise WrongError(
                        f"{name} of layer {l + 1} is {error:.2g} off after {self.steps} steps that moved it"
                        f" {moved:.2g}; allowed are {allowed:.2g}"
                    )

    def inference(self, peer) -> None:
        """Compare the outputs with the initial weights.

        Raises
        ------
        WrongError
        """
        found, expected = np.asarray(peer.forward(self.inputs), np.float64), self.outputs
        if self.net.loss == "cross_entropy":  # constants per row make no difference to the softmax
            found, expected = (a - a.mean(axis=1, keepdims=True) for a in (found, expected))
        error, size = _norm([[found - expected]]), _norm([[self.outputs]])
        if not error <= FORWARD * size:
            raise WrongError(f"the outputs are {error:.2g} off in a norm of {size:.2g}")
