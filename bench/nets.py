"""The measured networks: the standard ones, a grid and random shapes, and data for them.

All networks are float32 and trained with plain SGD, with momentum, or with Adam.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from machine import training_flops

WIDTHS = (1, 3, 7, 17, 33, 50, 100, 129, 257, 500, 784, 1000, 1025, 2048, 4096)
BATCHES = (1, 5, 16, 64, 256, 4096)
ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh")
LOSSES = ("mse", "cross_entropy")
DEPTHS = range(1, 9)
MOMENTUM = 0.9
# The most operations per step in the grid and the random shapes: about a second for a slow trainer.
MOST_FLOPS = 3e10
# A guess at a step's time, to choose the steps per epoch: operations per second, and seconds of overhead.
GUESSED_RATE, GUESSED_OVERHEAD = 5e10, 2e-6
EPOCH_SECONDS, EPOCH_STEPS = 0.05, (3, 2000)


@dataclass(frozen=True)
class Net:
    """A network, its loss and the way it is trained.

    Attributes
    ----------
    layers : tuple of int
        Sizes, input first.
    activation : str
        Of the hidden layers; the output layer has no activation.
    loss : {"mse", "cross_entropy"}
        The mean over all elements; the mean over the rows.
    batch : int
    momentum : float
    adam : bool
        Adam instead of SGD.
    dropout : float
        Rate in the hidden layers.
    """

    layers: tuple[int, ...]
    activation: str
    loss: str
    batch: int
    momentum: float = 0.0
    adam: bool = False
    dropout: float = 0.0

    @property
    def states(self) -> int:
        """The number of states that the optimiser keeps per parameter."""
        return 2 if self.adam else int(self.momentum != 0)

    @property
    def shape(self) -> str:
        """Sizes, activation and loss."""
        sizes = "-".join(map(str, self.layers))
        kind = [self.activation] if len(self.layers) > 2 else []
        return " ".join([sizes, *kind, "ce" if self.loss == "cross_entropy" else "mse"])

    @property
    def name(self) -> str:
        """The network's name in tables."""
        kind = ", adam" if self.adam else ", momentum" if self.momentum else ""
        return f"{self.shape} at {self.batch}{kind}{f', dropout {self.dropout}' if self.dropout else ''}"

    @property
    def flops(self) -> int:
        """Operations of a training step."""
        return training_flops(list(self.layers), self.batch)

    @property
    def weights(self) -> list[int]:
        """The number of weights of each layer, without biases."""
        return [n * m for n, m in pairwise(self.layers)]

    @property
    def steps(self) -> int:
        """Steps per epoch: about `EPOCH_SECONDS` for a good trainer, with enough rows for every class."""
        least, most = EPOCH_STEPS
        steps = int(EPOCH_SECONDS / (self.flops / GUESSED_RATE + GUESSED_OVERHEAD))
        steps = min(max(steps, least), most)
        return max(steps, -(-self.layers[-1] // self.batch)) if self.loss == "cross_entropy" else steps


STANDARD = (
    Net((2, 2, 2), "sigmoid", "mse", 1),
    Net((17, 64, 64, 6), "tanh", "mse", 64),
    Net((784, 500, 10), "sigmoid", "cross_entropy", 5, MOMENTUM),
    Net((784, 256, 128, 10), "relu", "cross_entropy", 64, MOMENTUM),
    Net((1024, 2048, 2048, 10), "relu", "cross_entropy", 256, MOMENTUM),
    Net((4096, 4096, 4096), "relu", "mse", 512),
)


def _shrunk(layers: tuple[int, ...], activation: str, loss: str, batch: int, momentum: float) -> Net:
    """The network with a loss that suits its outputs, and a batch size that `MOST_FLOPS` allows.

    Cross-entropy is for 3 to 1000 classes: scikit-learn replaces two classes by one sigmoid.
    """
    if not 3 <= layers[-1] <= 1000:
        loss = "mse"
    while batch > 1 and training_flops(list(layers), batch) > MOST_FLOPS:
        batch = max(size for size in (*BATCHES, batch // 2) if size < batch)
    return Net(layers, activation, loss, batch, momentum)


def grid() -> list[Net]:
    """60 networks: each width once with each activation, in nets of 1 to 8 layers.

    The first layer has that width; later layers take the other widths in steps that differ between networks.
    Batch sizes, losses and momentum alternate.
    """
    nets = []
    for a, activation in enumerate(ACTIVATIONS):
        for w in range(len(WIDTHS)):
            number = a * len(WIDTHS) + w
            depth = DEPTHS[(number + number // len(DEPTHS)) % len(DEPTHS)]
            layers = tuple(WIDTHS[(w + l * (4 + 3 * a)) % len(WIDTHS)] for l in range(depth + 1))
            batch = BATCHES[(number + a) % len(BATCHES)]
            loss, momentum = LOSSES[number // 2 % 2], MOMENTUM * (number % 3 > 0)
            nets.append(_shrunk(layers, activation, loss, batch, momentum))
    return nets


def random_nets(count: int, seed: int) -> list[Net]:
    """Networks of 1 to 8 layers; widths and batch sizes from 1 to 4096, uniform in the logarithm."""
    rng = np.random.default_rng(seed)
    nets = []
    for _ in range(count):
        sizes = np.exp2(rng.uniform(0, 12, rng.integers(DEPTHS[0], DEPTHS[-1] + 1) + 1)).round()
        activation, loss = rng.choice(ACTIVATIONS), rng.choice(LOSSES)
        batch, momentum = int(np.exp2(rng.uniform(0, 12)).round()), MOMENTUM * int(rng.integers(2))
        nets.append(_shrunk(tuple(map(int, sizes)), str(activation), str(loss), batch, momentum))
    return nets


def data(net: Net, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """X and y for `steps` batches: normal inputs; targets uniform from 0 to 1, or classes equally often."""
    rng = np.random.default_rng(seed)
    rows = steps * net.batch
    X = rng.standard_normal((rows, net.layers[0]), np.float32)
    if net.loss == "cross_entropy":
        return X, rng.permutation(np.arange(rows) % net.layers[-1])
    return X, rng.random((rows, net.layers[-1]), np.float32)
