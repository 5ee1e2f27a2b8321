"""A model of a training step on many ranks, from figures that `ranks_measure.py` takes on one machine.

A rank computes its rows of the mini-batch from the last layer down. The gradient of a layer travels as soon
as it is complete, one layer after another, while lower layers are computed:

    exchange = 2 (latency + (P - 1) message + bytes (P - 1) / P / bandwidth)

for P ranks: each sends a P-th of its gradient to every other, adds up its own part, and gets the others'.
Then every rank updates all parameters. A step ends when its slowest rank does; of P ranks whose times spread
by a standard deviation, the slowest is expected sqrt(2 ln P) deviations above the mean, the asymptotic
maximum of P normal numbers.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from nets import Net


@dataclass(frozen=True)
class Transport:
    """What a message between two ranks costs.

    Attributes
    ----------
    name : str
    latency : float
        Seconds from sending a small message to its arrival.
    message : float
        Seconds of processor time per message.
    bandwidth : float
        Bytes per second.
    """

    name: str
    latency: float
    message: float
    bandwidth: float

    def exchange(self, size: float, ranks: int) -> float:
        """Seconds to add up `size` bytes of all ranks, which all ranks have afterwards."""
        if ranks == 1:
            return 0.0
        moved = size * (ranks - 1) / ranks / self.bandwidth
        return 2 * (self.latency + (ranks - 1) * self.message + moved)


# Between machines: usual figures of MPI's small messages and streams, to be replaced by those of a cluster.
NETWORKS = (
    Transport("10 Gb/s Ethernet, TCP", 25e-6, 2e-6, 1.1e9),
    Transport("100 Gb/s, RDMA", 2e-6, 0.3e-6, 11e9),
)


# The net that is compared with threads and with PyTorch, and the nets of the model.
COMPARED = Net((784, 1024, 1024, 10), "relu", "cross_entropy", 512, 0.9)
SCALED = (
    Net((784, 256, 128, 10), "relu", "cross_entropy", 64, 0.9),
    COMPARED,
    Net((1024, 2048, 2048, 10), "relu", "cross_entropy", 256, 0.9),
)


@dataclass(frozen=True)
class Figures:
    """A net on one rank of one thread.

    Attributes
    ----------
    net : Net
    seconds : dict of int to float
        Rows of a mini-batch, ascending, and the seconds of a step with them.
    spread : float
        The standard deviation of a step's time, relative to the time.
    """

    net: Net
    seconds: dict[int, float]
    spread: float
    _fixed: float = field(init=False, repr=False, default=0.0)

    def __post_init__(self) -> None:
        rows, seconds = list(self.seconds), list(self.seconds.values())
        slope = (seconds[1] - seconds[0]) / (rows[1] - rows[0])
        object.__setattr__(self, "_fixed", max(seconds[0] - slope * rows[0], 0.0))

    @property
    def update(self) -> float:
        """Seconds of an update: its part of the passes over the parameters, which do not depend on the rows.

        Forward and delta read the weights, and the gradients are written; the update reads these, and reads
        and writes the parameters and states.
        """
        passes = 3 + 2 * self.net.states
        return self._fixed * passes / (passes + 3)

    def compute(self, rows: float) -> float:
        """Seconds of a step of these rows without its update."""
        measured, seconds = list(self.seconds), list(self.seconds.values())
        if rows > measured[-1]:
            return seconds[-1] - self.update + (seconds[-1] - self._fixed) * (rows / measured[-1] - 1)
        return max(float(np.interp(rows, measured, seconds)) - self.update, 0.0)


def step(figures: Figures, transport: Transport, ranks: int, batch: int, accumulate: int = 1) -> float:
    """Seconds of an update from `accumulate` mini-batches of `batch` rows on that many ranks."""
    slow = 1 + figures.spread * math.sqrt(2 * math.log(ranks)) if ranks > 1 else 1.0
    computing = figures.compute(batch / ranks) * slow
    work = figures.net.weights
    whole = 3 * sum(work) - work[0]
    done = computing * sum(work) / whole  # forward
    free = done  # when the transport is
    for l in reversed(range(len(work))):
        done += computing * work[l] / whole
        size = 4 * (work[l] + figures.net.layers[l + 1])
        free = max(free, done) + transport.exchange(size, ranks)
        if l:
            done += computing * work[l] / whole  # the delta of the layer below
    agreeing = transport.latency * math.ceil(math.log2(ranks))  # on the losses and on errors
    return (accumulate - 1) * (computing + agreeing) + max(free, done) + agreeing + figures.update * slow


@dataclass(frozen=True)
class Way:
    """A way to train a net: rows of a mini-batch on all ranks, and mini-batches per update."""

    batch: int
    accumulate: int = 1

    @property
    def name(self) -> str:
        return f"{self.batch}" + (f", accumulate={self.accumulate}" if self.accumulate > 1 else "")


def speeds(figures: Figures, transport: Transport, way: Way, most: int = 1024) -> dict[int, float]:
    """Rows per second on 1, 2, 4, ... ranks, divided by those of one rank; up to a row per rank."""
    counts = [1 << k for k in range(most.bit_length()) if 1 << k <= min(most, way.batch)]
    times = {ranks: step(figures, transport, ranks, way.batch, way.accumulate) for ranks in counts}
    return {ranks: times[1] / seconds for ranks, seconds in times.items()}


def end_of_scaling(found: dict[int, float]) -> tuple[int, int]:
    """The number of ranks that is fastest, and the largest that uses at least half of its ranks."""
    fastest = max(found, key=found.__getitem__)
    return fastest, max(ranks for ranks, speed in found.items() if speed >= ranks / 2)
