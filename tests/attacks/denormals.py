"""The cost of numbers near zero.

python tests/attacks/denormals.py [--trials N]
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from journal import ROOT, Journal, attack, main

sys.path.insert(0, str(ROOT / "tests" / "support"))

from helpers import ISAS, using

import bpkern
from bpkern._model.core import core_of

MOST = 1.5
ROUNDS = 15
SIZES, ROWS, BATCH = [64, 128, 128, 10], 512, 32


class Near:
    """A model and rows, with some numbers near the smallest of the dtype, or with none."""

    def __init__(self, dtype: str, small: str) -> None:
        rng = np.random.default_rng(3)
        self.small, self.tiny = small, {"float32": 1e-40, "float64": 1e-310}[dtype]
        self.edge = 3 * float(np.finfo(dtype).tiny)
        self.x, self.y, self.deltas = (
            rng.standard_normal((ROWS, width)).astype(dtype) for width in (SIZES[0], SIZES[-1], SIZES[1])
        )
        optimizer = bpkern.Adam(1e-6) if small == "adam states" else bpkern.SGD(1e-6, momentum=0.9)
        self.model = bpkern.MLP(
            SIZES, activation="tanh", loss="mse", optimizer=optimizer, dtype=dtype, seed=0
        )
        self.model.fit(self.x, self.y, batch_size=BATCH, n_threads=1)
        # Made in advance: made between the calls, they would leave the caches cold for one of the two.
        self.sets = {really: self.numbers(really) for really in (True, False)}

    def numbers(self, really: bool) -> tuple[dict, np.ndarray, np.ndarray]:
        """Stores, rows and deltas with the small numbers, or with those of an ordinary fit."""
        small = self.small if really else ""
        states = self.tiny if small in ("velocities", "adam states") else 1.0
        weights = {"weights": self.tiny, "weights at the edge": self.edge}.get(small, 1.0)
        stores = {
            name: [
                tuple(scaled(array, weights if name == "parameters" else states) for array in pair)
                for pair in core_of(self.model).net.get_layers(name)
            ]
            for name in core_of(self.model).net.stores()
        }
        rows = scaled(self.x, self.tiny if small == "inputs" else 1.0)
        return stores, rows, scaled(self.deltas, self.tiny if small == "deltas" else 1.0)

    def prepare(self, really: bool) -> None:
        """Set the start, which is the same for every round."""
        stores, self.rows, self.delta = self.sets[really]
        for name, layers in stores.items():
            core_of(self.model).net.set_layers(layers, name)
        self.first = core_of(self.model).net.get_layers()[0]
        self.velocities = core_of(self.model).net.get_layers("m")[0]

    def epoch(self) -> None:
        self.model.fit(self.rows, self.y, batch_size=BATCH, n_threads=1, shuffle=False)

    def predict(self) -> None:
        self.model.forward(self.rows)

    def kernels(self) -> None:
        (w, b), (vw, vb) = self.first, self.velocities
        bpkern.kernels.linear_forward(self.rows, w, b, "tanh")
        bpkern.kernels.delta_backward(self.delta, w, self.rows, "tanh")
        bpkern.kernels.sgd_update(w, b, self.delta, self.rows, 1e-6, momentum=0.9, vw=vw, vb=vb)


def scaled(array: np.ndarray, factor: float) -> np.ndarray:
    """Numbers of about that size with the array's signs."""
    if factor == 1.0:
        return array.copy()
    spread = 0.5 + np.abs(np.random.default_rng(array.size).standard_normal(array.shape))
    return np.asarray(np.where(array < 0, -1, 1) * spread * factor, array.dtype)


def ratio(problem: Near, call: Callable[[], None]) -> float:
    """The ratio of the call's times with small and with ordinary numbers, measured in turns. The time is that
    of this thread, so that other programs do not count."""
    times: dict[bool, list[float]] = {True: [], False: []}
    for really in [True, False] * (ROUNDS + 1):
        problem.prepare(really)
        start = time.thread_time()
        call()
        times[really].append(time.thread_time() - start)
    return statistics.median(times[True][1:]) / statistics.median(times[False][1:])


SMALL = ["weights", "weights at the edge", "velocities", "adam states", "inputs", "deltas"]
CHAINS = "epoch", "predict", "kernels"
SLOW = list(itertools.product(ISAS, ("float32", "float64"), SMALL, CHAINS))


@attack(trials=len(SLOW))
def denormals(journal: Journal) -> str:
    """Numbers near 1e-40 (float64: 1e-310) slow epochs, predictions and kernels at most 1.5 times."""
    for trial in journal:
        isa, dtype, small, what = SLOW[trial]
        if isa not in bpkern.available_isas():
            journal.count("not on this processor")
            continue
        with using(isa):
            problem = Near(dtype, small)
            times = ratio(problem, getattr(problem, what))
        journal.keep("most", max, times)
        if times > MOST:
            journal.fail(trial, f"{what} with small {small} on {isa} in {dtype}: {times:.2f} times as long")
    left_out = journal.figures.get("not on this processor", 0)
    return f"at most {journal.figures['most']:.2f} times as long" + (
        f"; {left_out} not made" if left_out else ""
    )


if __name__ == "__main__":
    main(__file__)
