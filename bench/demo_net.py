"""The demo's network on one thread: kernels, reference and a hand-written loop, taking turns.

python bench/demo_net.py [--epochs 20]

Prints microseconds per step (medians over rounds, with quartiles) and two ratios: the reference to the
hand-written loop, and the reference to the kernels.
"""

import argparse
import time

import numpy as np
from handwritten import Loop
from machine import fma_peak, training_flops
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import bpkern

LAYERS, BATCH, ROUNDS = [64, 128, 64, 10], 32, 15
LR, MOMENTUM = 0.1, 0.9


def model(trainer):
    optimizer = bpkern.SGD(lr=LR, momentum=MOMENTUM)
    return trainer(LAYERS, loss="cross_entropy", optimizer=optimizer, seed=0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=20, help="epochs per round (20)")
    epochs = parser.parse_args().epochs
    X, y = load_digits(return_X_y=True)
    rows = len(y) // BATCH * BATCH
    X, y = (X[:rows] / 16).astype(np.float32), y[:rows].astype(np.int64)
    steps = epochs * rows // BATCH
    weights = model(bpkern.MLP).get_weights()
    runs = {
        "kernels": lambda m: m.fit(X, y, epochs=epochs, batch_size=BATCH, verbose=0, n_threads=1),
        "reference": lambda m: m.fit(X, y, epochs=epochs, batch_size=BATCH, verbose=0),
        "hand-written": lambda loop: loop.train(X, y, epochs),
    }
    makers = {
        "kernels": lambda: model(bpkern.MLP),
        "reference": lambda: model(bpkern.reference.MLP),
        "hand-written": lambda: Loop(weights, BATCH, lr=LR, momentum=MOMENTUM),
    }
    times = {name: [] for name in runs}
    with threadpool_limits(1):
        for _ in range(ROUNDS):
            for name, run in runs.items():
                subject = makers[name]()
                began = time.perf_counter()
                run(subject)
                times[name].append((time.perf_counter() - began) / steps * 1e6)
    print(f"{'-'.join(map(str, LAYERS))}, batch {BATCH}, momentum {MOMENTUM}, float32, on {bpkern.isa()}")
    medians = {name: float(np.median(values)) for name, values in times.items()}
    for name, values in times.items():
        low, high = np.quantile(values, [0.25, 0.75])
        print(f"{name:12} {medians[name]:7.1f} us a step ({low:.1f} to {high:.1f})")
    peak = fma_peak(bpkern.isa(), "float32")
    rate = training_flops(LAYERS, BATCH) / medians["kernels"] * 1e6
    print(f"the kernels make {rate / 1e9:.0f} GFLOP/s, {100 * rate / peak:.0f} % of the FMA peak")
    print(f"reference / hand-written {medians['reference'] / medians['hand-written']:.2f}")
    print(f"reference / kernels      {medians['reference'] / medians['kernels']:.2f}")


if __name__ == "__main__":
    main()
