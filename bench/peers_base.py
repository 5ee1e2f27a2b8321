"""What every trainer in the comparison can do, in as few words as possible."""

import numpy as np


class LeftOutError(Exception):
    """This trainer cannot do that: the reason is printed in its place."""


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
        For a net that it does not know.
    """

    def __init__(self, net, weights, X, y, lr, threads):
        self.net, self.X, self.y, self.lr, self.threads = net, X, y, lr, threads

    def epochs(self, count: int, shuffle: bool = True) -> None:
        """Train: in a new order of the rows each epoch, or in theirs. Done when it returns."""
        raise NotImplementedError

    def weights(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The weights and biases now, in the shapes they came in; the caller only reads them."""
        raise NotImplementedError

    def forward(self, X: np.ndarray) -> np.ndarray:
        """The outputs (n, out), before any softmax."""
        raise NotImplementedError

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The classes (n,) for cross_entropy, or else the outputs."""
        outputs = self.forward(X)
        return outputs.argmax(axis=1) if self.net.loss == "cross_entropy" else outputs
