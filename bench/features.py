"""The cost of each feature of the trainer per step, compared with plain SGD.

python bench/features.py [--net 784-256-128-10] [--batch 64] [--rounds 9]

Whole shuffled epochs of `bpkern.MLP.fit` on one thread, in turns. Prints medians, and the median over rounds
of the ratio to plain SGD.
"""

import argparse

from pinning import pin

RELU = {"activation": "relu"}


def cases(bpkern):
    """(name, arguments of the constructor, arguments of fit) of each case."""
    sgd = {"optimizer": bpkern.SGD(lr=1e-3)} | RELU
    adam = {"optimizer": bpkern.Adam(lr=1e-4)} | RELU
    cosine = bpkern.schedules.Cosine(1e-3, iterations=10**9)
    return {
        "plain SGD": (sgd, {}),
        "SGD, momentum 0.9": ({"optimizer": bpkern.SGD(lr=1e-3, momentum=0.9)} | RELU, {}),
        "SGD, cosine schedule": ({"optimizer": bpkern.SGD(lr=cosine)} | RELU, {}),
        "SGD, l2": (sgd | {"l2": 1e-4}, {}),
        "SGD, l1 and l2": (sgd | {"l1": 1e-5, "l2": 1e-4}, {}),
        "SGD, dropout 0.2": (sgd | {"dropout": 0.2}, {}),
        "SGD, clip_norm": (sgd, {"clip_norm": 1.0}),
        "SGD, accumulate 4": (sgd, {"accumulate": 4}),
        "SGD, ema 0.999": (sgd, {"ema": 0.999}),
        "SGD, metrics f1": (sgd, {"metrics": ("accuracy", "f1")}),
        "SGD, batch hook": (sgd, {"callbacks": [Hook()]}),
        "SGD, tanh": (sgd | {"activation": "tanh"}, {}),
        "SGD, elu": (sgd | {"activation": "elu"}, {}),
        "SGD, gelu": (sgd | {"activation": "gelu"}, {}),
        "SGD, silu": (sgd | {"activation": "silu"}, {}),
        "RMSprop": ({"optimizer": bpkern.RMSprop(lr=1e-4)} | RELU, {}),
        "Adagrad": ({"optimizer": bpkern.Adagrad(lr=1e-4)} | RELU, {}),
        "Adam": (adam, {}),
        "AdamW": ({"optimizer": bpkern.AdamW(lr=1e-4)} | RELU, {}),
        "Adam, dropout 0.2": (adam | {"dropout": 0.2}, {}),
        "Adam, dropout 0.2, clip_norm, ema": (adam | {"dropout": 0.2}, {"clip_norm": 1.0, "ema": 0.999}),
    }


class Hook:
    """Becomes a callback class after bpkern is imported, which must be after the process is pinned."""

    def __new__(cls):
        from bpkern.callbacks import Callback

        class Counter(Callback):
            batches = 0

            def on_batch_end(self, model, batch, logs):
                self.batches += 1

        return Counter()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", default="784-256-128-10", help="layer sizes (784-256-128-10)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9, help="rounds to take medians of (9)")
    args = parser.parse_args()
    pin(1)

    import numpy as np
    from nets import Net, data
    from timing import in_turns, microseconds, repeats_for

    import bpkern

    net = Net(tuple(map(int, args.net.split("-"))), "relu", "cross_entropy", args.batch)
    X, y = data(net, net.steps)
    runs = {}
    for name, (made, fitted) in cases(bpkern).items():
        model = bpkern.MLP(net.layers, loss=net.loss, seed=0, **made)

        def run(count, model=model, fitted=fitted):
            model.fit(X, y, epochs=count, batch_size=net.batch, n_threads=1, verbose=0, **fitted)

        runs[name] = run, repeats_for(run)
    samples = in_turns(runs, args.rounds, float("inf"))
    plain = np.array(samples["plain SGD"].seconds)
    print(f"{args.net} at {args.batch}, cross_entropy, float32, {bpkern.isa()}, 1 thread\n")
    print(f"{'':36} {'us/step':>9} {'x plain':>8}")
    for name, sample in samples.items():
        step = sample.quartiles()[1] / net.steps
        ratio = np.median(np.array(sample.seconds) / plain)
        print(f"{name:36} {microseconds(step):>9} {ratio:8.2f}")


if __name__ == "__main__":
    main()
