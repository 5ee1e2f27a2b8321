"""JAX: one compiled program for an epoch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from peers_base import Peer

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
}


def _mse(outputs, y):
    return jnp.square(outputs - y).mean()


def _cross_entropy(outputs, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(outputs), y[:, None], axis=1).mean()


LOSSES = {"mse": _mse, "cross_entropy": _cross_entropy}


@functools.cache
def _forward(net):
    def forward(parameters, x):
        for l, (w, b) in enumerate(parameters):
            x = x @ w + b
            if l < len(parameters) - 1:
                x = ACTIVATIONS[net.activation](x)
        return x

    return forward


@functools.cache
def _inference(net):
    def predict(parameters, x):
        outputs = _forward(net)(parameters, x)
        return outputs.argmax(axis=1) if net.loss == "cross_entropy" else outputs

    return jax.jit(_forward(net)), jax.jit(predict)


@functools.cache
def _epoch(net):
    """A scan over the mini-batches of an epoch, gathered inside it; parameters and velocities are donated."""

    def loss(parameters, x, y):
        return LOSSES[net.loss](_forward(net)(parameters, x), y)

    def epoch(parameters, velocities, X, y, order, lr):
        def step(state, index):
            parameters, velocities = state
            value, gradients = jax.value_and_grad(loss)(parameters, X[index], y[index])
            if net.momentum:
                velocities = jax.tree.map(lambda v, g: net.momentum * v + g, velocities, gradients)
                gradients = velocities
            parameters = jax.tree.map(lambda p, g: p - lr * g, parameters, gradients)
            return (parameters, velocities), value

        return jax.lax.scan(step, (parameters, velocities), order)

    return jax.jit(epoch, donate_argnums=(0, 1))


class JaxPeer(Peer):
    """`jax.jit` of `jax.lax.scan`. NumPy makes the permutations, which is faster than JAX's sort of keys."""

    def __init__(self, net, weights, X, y, lr, threads):
        super().__init__(net, weights, X, y, lr, threads)
        self.parameters = [(jnp.array(w.T), jnp.array(b)) for w, b in weights]
        self.velocities = jax.tree.map(jnp.zeros_like, self.parameters) if net.momentum else None
        self.x, self.targets = jnp.array(X), jnp.array(y.astype(np.int32) if y.ndim == 1 else y)
        self.rng = np.random.default_rng(0)

    def epochs(self, count, shuffle=True):
        rows, epoch = len(self.X), _epoch(self.net)
        for _ in range(count):
            order = self.rng.permutation(rows) if shuffle else np.arange(rows)
            order = order.astype(np.int32).reshape(-1, self.net.batch)
            (self.parameters, self.velocities), _ = epoch(
                self.parameters, self.velocities, self.x, self.targets, order, self.lr
            )
        jax.block_until_ready(self.parameters)

    def weights(self):
        return [(np.asarray(w).T, np.asarray(b)) for w, b in self.parameters]

    def forward(self, X):
        return np.asarray(_inference(self.net)[0](self.parameters, X))

    def predict(self, X):
        return np.asarray(_inference(self.net)[1](self.parameters, X))
