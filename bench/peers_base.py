"""The interface of every trainer in the comparison."""

import numpy as np


class LeftOutError(Exception):
    """The trainer does not support the task; the reason is printed instead of a time."""


class Peer:
    """A trainer with its own copy of the weights, bound to one data set.

    Parameters
    ----------
    net : Net
    weights : list of (W, b)
        float32, W of shape (out, in).
    X, y : ndarray
        float32 (n, in), n a multiple of the batch; int64 (n,) for cross_entropy, or float32 (n, out).
    lr : float
    threads : int

    Raises
    ------
    LeftOutError
        If the trainer does not support the net.
    """

    def __init__(self, net, weights, X, y, lr, threads):
        self.net, self.X, self.y, self.lr, self.threads = net, X, y, lr, threads

    def epochs(self, count: int, shuffle: bool = True) -> None:
        """Train on the rows in a new order each epoch, or in their own order; return when it is complete."""
        raise NotImplementedError

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The current weights and biases, in the shapes they were given; the caller must not change them."""
        raise NotImplementedError

    def forward(self, X: np.ndarray) -> np.ndarray:
        """The outputs (n, out), before any softmax."""
        raise NotImplementedError

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The classes (n,) for cross_entropy, otherwise the outputs."""
        outputs = self.forward(X)
        return outputs.argmax(axis=1) if self.net.loss == "cross_entropy" else outputs
