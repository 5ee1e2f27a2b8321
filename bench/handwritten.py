"""Training in NumPy, written by hand for speed: the yardstick of the NumPy reference.

Outputs are allocated once, updates are in place, and nothing is computed that a plain net does not need.
"""

import numpy as np


def _relu_slope(delta, a, scratch):
    delta *= np.greater(a, 0, out=scratch)


def _leaky_relu(z, scratch):
    np.maximum(z, np.multiply(z, 0.01, out=scratch), out=z)


def _leaky_relu_slope(delta, a, scratch):
    np.greater(a, 0, out=scratch)
    scratch *= 0.99
    scratch += 0.01
    delta *= scratch


def _sigmoid(z, scratch):
    np.exp(np.negative(z, out=z), out=z)
    z += 1
    np.reciprocal(z, out=z)


def _sigmoid_slope(delta, a, scratch):
    np.subtract(1, a, out=scratch)
    scratch *= a
    delta *= scratch


def _tanh_slope(delta, a, scratch):
    np.multiply(a, a, out=scratch)
    delta *= np.subtract(1, scratch, out=scratch)


# Both in place: z becomes a = s(z), and delta becomes delta * s'(z).
ACTIVATIONS = {
    "relu": (lambda z, scratch: np.maximum(z, 0, out=z), _relu_slope),
    "leaky_relu": (_leaky_relu, _leaky_relu_slope),
    "sigmoid": (_sigmoid, _sigmoid_slope),
    "tanh": (lambda z, scratch: np.tanh(z, out=z), _tanh_slope),
}


class Loop:
    """A net trained in place.

    Its loss is "mse", the mean over all elements, or "cross_entropy", the mean over the rows.
    """

    def __init__(self, weights, batch, *, activation="relu", loss="cross_entropy", lr=0.1, momentum=0.0):
        self.W, self.b = [w.copy() for w, _ in weights], [b.copy() for _, b in weights]
        self.VW, self.Vb = [np.zeros_like(w) for w in self.W], [np.zeros_like(b) for b in self.b]
        self.dW, self.db = [np.empty_like(w) for w in self.W], [np.empty_like(b) for b in self.b]
        self.spare = [np.empty_like(w) for w in self.W]
        self.activate, self.slope = ACTIVATIONS[activation]
        self.loss, self.lr, self.momentum = loss, lr, momentum
        self.x = np.empty((batch, self.W[0].shape[1]), self.W[0].dtype)
        self.a, self.delta, self.scratch = (
            [np.empty((batch, len(b)), b.dtype) for b in self.b] for _ in range(3)
        )
        self.rows = np.arange(batch)

    def train(self, X, y, epochs, seed=0):
        """Train on the rows in a new order each epoch, or in their own order if seed is None.

        X is (n, in), n a multiple of the batch; y int64 (n,) for cross-entropy, (n, out) for mse. Returns
        the mean loss of the last epoch.
        """
        rng, batch = np.random.default_rng(seed), len(self.x)
        for _ in range(epochs):
            order, total = np.arange(len(X)) if seed is None else rng.permutation(len(X)), 0.0
            for start in range(0, len(X), batch):
                index = order[start : start + batch]
                np.take(X, index, axis=0, out=self.x, mode="clip")
                self.forward(self.x, self.a, self.scratch)
                total += self._output_delta(y[index])
                self._backward()
        return total / (len(X) // batch)

    def forward(self, x, outputs, scratch):
        """Compute the outputs of all layers into `outputs`; the last layer has no activation."""
        for l, (w, b) in enumerate(zip(self.W, self.b, strict=True)):
            np.matmul(x, w.T, out=outputs[l])
            x = outputs[l]
            x += b
            if l < len(self.W) - 1:
                self.activate(x, scratch[l])
        return x

    def _output_delta(self, y):
        z, delta = self.a[-1], self.delta[-1]
        if self.loss == "mse":
            np.subtract(z, y, out=delta)
            loss = np.vdot(delta, delta) / delta.size
            delta *= 2 / delta.size
            return float(loss)
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=delta)
        sums = delta.sum(axis=1, keepdims=True)
        loss = (np.log(sums[:, 0]) - z[self.rows, y]).sum() / len(z)
        delta /= sums
        delta[self.rows, y] -= 1
        delta *= 1 / len(z)
        return float(loss)

    def _backward(self):
        for l in reversed(range(len(self.W))):
            delta = self.delta[l]
            if l > 0:
                np.matmul(delta, self.W[l], out=self.delta[l - 1])
                self.slope(self.delta[l - 1], self.a[l - 1], self.scratch[l - 1])
            np.matmul(delta.T, self.a[l - 1] if l > 0 else self.x, out=self.dW[l])
            np.add.reduce(delta, axis=0, out=self.db[l])
            self._step(self.W[l], self.VW[l], self.dW[l], self.spare[l])
            self._step(self.b[l], self.Vb[l], self.db[l], self.db[l])

    def _step(self, w, velocity, gradient, spare):
        if self.momentum:
            velocity *= self.momentum
            velocity += gradient
            gradient = velocity
        w -= np.multiply(gradient, self.lr, out=spare)
