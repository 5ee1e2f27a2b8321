"""The gain of `fit_many` from a second thread, compared with that of the multiply-add units.

python bench/many.py [--models 16] [--threads 2] [--rounds 9] [--seconds 0.5]

Every round measures, in turns, fits one after another, `fit_many` on one thread and on several, and the FMA
peak of one thread and of several; the results are medians of the ratios within a round. The goal is 0.9 of
the peak's gain. Other programs disturb the fits more than the peak, which is the best of short runs: the load
is printed, too.
"""

import argparse
import os
import time

import numpy as np
from machine import fma_peak
from nets import Net, data

import bpkern

# Rows and net. The first has the size of scikit-learn's digits, the others are smaller and larger.
NETS = {
    "digits": (1797, Net((64, 32, 10), "relu", "cross_entropy", 32)),
    "digits, Adam, dropout": (1797, Net((64, 32, 10), "relu", "cross_entropy", 32, adam=True, dropout=0.1)),
    "wine": (178, Net((13, 16, 3), "relu", "cross_entropy", 32)),
    "one row a batch": (1797, Net((8, 8, 2), "tanh", "mse", 1)),
    "wider": (1797, Net((64, 128, 64, 10), "relu", "cross_entropy", 64)),
}


def fresh(net: Net, count: int) -> list:
    """`count` new models with different seeds."""
    optimizer = bpkern.Adam(1e-4) if net.adam else bpkern.SGD(1e-4)
    settings = dict(activation=net.activation, loss=net.loss, optimizer=optimizer, dropout=net.dropout)
    return [bpkern.MLP(net.layers, seed=seed, **settings) for seed in range(count)]


def cases(rows: int, net: Net, count: int, threads: int) -> dict:
    """By name, a function that trains for a given number of epochs."""
    X, y = data(net, -(-rows // net.batch))
    X, y, models = X[:rows], y[:rows], fresh(net, count)

    def one_by_one(epochs):
        for model in models:
            model.fit(X, y, epochs=epochs, batch_size=net.batch, n_threads=1, verbose=0)

    def many(n_threads):
        return lambda epochs: bpkern.fit_many(
            models, X, y, epochs=epochs, batch_size=net.batch, n_threads=n_threads, verbose=0
        )

    return {"one by one": one_by_one, "one thread": many(1), "threads": many(threads)}


def seconds(run, epochs: int) -> float:
    began = time.perf_counter()
    run(epochs)
    return time.perf_counter() - began


def load() -> str:
    """The system's load in the last minute, including this program's own."""
    return f"{os.getloadavg()[0]:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9, help="rounds to take medians of (9)")
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds of fits on one thread (0.5)")
    args = parser.parse_args()
    print(f"{args.models} models, {bpkern.isa()}, gain from 1 to {args.threads} threads; load {load()}\n")
    heads = ("ms/epoch", "fit_many", "over fits", "FMA peak", "of peak", "quartiles")
    print(f"{'':24}" + "".join(f"{head:>11}" for head in heads))
    for name, (rows, net) in NETS.items():
        runs = cases(rows, net, args.models, args.threads)
        seconds(runs["one thread"], 2)
        epochs = max(2, int(args.seconds / (seconds(runs["one thread"], 4) / 4)))
        each, gains, over, peaks = [], [], [], []
        for _ in range(args.rounds):
            took = {kind: seconds(run, epochs) for kind, run in runs.items()}
            peaks.append(fma_peak(bpkern.isa(), "float32", args.threads) / fma_peak(bpkern.isa(), "float32"))
            each.append(1e3 * took["one thread"] / epochs / args.models)
            gains.append(took["one thread"] / took["threads"])
            over.append(took["one by one"] / took["threads"])
        low, middle, high = np.quantile(np.array(gains) / peaks, [0.25, 0.5, 0.75])
        cells = "".join(f"{np.median(values):11.2f}" for values in (gains, over, peaks))
        print(
            f"{name:24}{np.median(each):11.3f}{cells}{middle:11.2f}{f'{low:.2f}-{high:.2f}':>11}", flush=True
        )
    print(f"\nload {load()}")


if __name__ == "__main__":
    main()
