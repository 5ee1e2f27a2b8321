"""One epoch of `fit`, every instruction set, against the NumPy reference.

pytest bench/bench_fit.py --benchmark-columns=median,iqr,rounds
"""

import numpy as np
import pytest
from machine import training_flops

import bpkern

# layers, activation, loss, batch size, rows per epoch, momentum
NETS = [
    ([2, 2, 2], "sigmoid", "mse", 1, 1000, 0.0),
    ([17, 64, 64, 6], "tanh", "mse", 64, 64 * 50, 0.0),
    ([64, 128, 64, 10], "relu", "cross_entropy", 32, 32 * 50, 0.9),
    ([784, 500, 10], "sigmoid", "cross_entropy", 5, 5 * 50, 0.9),
    ([784, 256, 128, 10], "relu", "cross_entropy", 64, 64 * 20, 0.9),
]


@pytest.mark.parametrize("net", NETS, ids=lambda net: "-".join(map(str, net[0])))
def test_fit(rated, who, net):
    layers, activation, loss, batch, rows, momentum = net
    rng = np.random.default_rng(0)
    X = rng.random((rows, layers[0])).astype(np.float32)
    y = rng.integers(0, layers[-1], rows) if loss == "cross_entropy" else rng.random((rows, layers[-1]))
    trainer = bpkern.reference.MLP if who == "reference" else bpkern.MLP
    optimizer = bpkern.SGD(lr=1e-4, momentum=momentum)
    model = trainer(layers, activation=activation, loss=loss, optimizer=optimizer, seed=0)
    name = f"epoch {'-'.join(map(str, layers))} {activation} at {batch}"
    rated(lambda: model.fit(X, y, batch_size=batch, verbose=0), training_flops(layers, rows), name)
