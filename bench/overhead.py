"""The cost of a call beyond its arithmetic: one-row predictions, single steps and short fits.

python bench/overhead.py

Prints microseconds per call, medians over rounds in which the calls take turns. The 2-2-2 net has hardly any
arithmetic: its column is the fixed cost.
"""

import time

import numpy as np

import bpkern

NETS = {
    "2-2-2": ([2, 2, 2], "sigmoid", "mse"),
    "17-64-64-6": ([17, 64, 64, 6], "tanh", "mse"),
    "784-256-128-10": ([784, 256, 128, 10], "relu", "cross_entropy"),
}
BATCH, ROUNDS, SAMPLE_SECONDS = 64, 15, 0.01


def calls(layers, activation, loss):
    """The calls by name, on float32 rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((BATCH, layers[0])).astype(np.float32)
    y = rng.integers(0, layers[-1], BATCH)
    if loss == "mse":
        y = rng.standard_normal((BATCH, layers[-1])).astype(np.float32)
    model = bpkern.MLP(layers, activation=activation, loss=loss, optimizer=bpkern.SGD(1e-3, 0.9), seed=0)
    return {
        "forward, 1 row": lambda: model.forward(X[:1]),
        "predict, 1 row": lambda: model.predict(X[:1]),
        "evaluate, 1 row": lambda: model.evaluate(X[:1], y[:1]),
        "train_on_batch, 1 row": lambda: model.train_on_batch(X[:1], y[:1]),
        f"train_on_batch, {BATCH} rows": lambda: model.train_on_batch(X, y),
        f"fit, 1 epoch of {BATCH} rows": lambda: model.fit(X, y, batch_size=BATCH, verbose=0),
    }


def seconds(call, repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - began) / repeats


def main() -> None:
    table = {name: calls(*net) for name, net in NETS.items()}
    cells = [(name, what, call) for name, net in table.items() for what, call in net.items()]
    repeats, times = {}, {}
    for name, what, call in cells:
        call()
        repeats[name, what] = max(1, int(SAMPLE_SECONDS / seconds(call, 3)))
        times[name, what] = []
    for _ in range(ROUNDS):
        for name, what, call in cells:
            times[name, what].append(1e6 * seconds(call, repeats[name, what]))
    print(f"{'us a call':28}" + "".join(f"{name:>16}" for name in NETS))
    for what in next(iter(table.values())):
        print(f"{what:28}" + "".join(f"{np.median(times[name, what]):16.2f}" for name in NETS))


if __name__ == "__main__":
    main()
