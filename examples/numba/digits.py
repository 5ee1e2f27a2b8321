"""A training loop in Numba on the three kernels of bpkern, called without Python.

python ../data/export_digits.py digits.csv
python digits.py digits.csv
"""

import sys

import numba
import numpy as np

from bpkern import c_api

functions, constants = c_api.functions(), c_api.constants()
forward, backward, update = functions.linear_forward, functions.delta_backward, functions.sgd_update
probabilities = functions.probabilities
FLOAT64, TANH, IDENTITY = (constants[f"BPKERN_{name}"] for name in ("FLOAT64", "TANH", "IDENTITY"))
CROSS_ENTROPY = constants["BPKERN_CROSS_ENTROPY"]


# fmt: off
@numba.njit
def outputs(x, w1, b1, w2, b2, a1, a2):
    """a1 (n, hidden) and a2 (n, classes) of the rows x (n, pixels), contiguous; the sum of both statuses."""
    n, hidden, classes, pixels = len(x), len(w1), len(w2), x.shape[1]
    status = forward(FLOAT64, 1, n, pixels, hidden, x.ctypes, pixels, w1.ctypes, pixels, b1.ctypes, TANH,
                     a1.ctypes, hidden)
    return status + forward(FLOAT64, 1, n, hidden, classes, a1.ctypes, hidden, w2.ctypes, hidden, b2.ctypes,
                            IDENTITY, a2.ctypes, classes)


@numba.njit
def train(x, labels, w1, b1, w2, b2, epochs, batch, lr):
    """Trains one hidden layer of tanh by SGD without momentum; returns the sum of all statuses."""
    n, hidden, classes, pixels = len(x), len(w1), len(w2), x.shape[1]
    a1, delta1 = np.empty((batch, hidden)), np.empty((batch, hidden))
    a2, delta2 = np.empty((batch, classes)), np.empty((batch, classes))
    status = 0
    for _ in range(epochs):
        for start in range(0, n, batch):
            rows = x[start : start + batch]
            m = len(rows)
            status += outputs(rows, w1, b1, w2, b2, a1, a2)
            status += probabilities(FLOAT64, CROSS_ENTROPY, m, classes, a2.ctypes, delta2.ctypes)
            for i in range(m):
                delta2[i, labels[start + i]] -= 1
            delta2 /= m
            status += backward(FLOAT64, 1, m, hidden, classes, delta2.ctypes, classes, w2.ctypes, hidden,
                               a1.ctypes, hidden, TANH, delta1.ctypes, hidden)
            # Without momentum, no velocities are read: the pointers to them may be any.
            status += update(FLOAT64, 1, m, hidden, classes, w2.ctypes, hidden, b2.ctypes, delta2.ctypes,
                             classes, a1.ctypes, hidden, w2.ctypes, hidden, b2.ctypes, lr, 0.0, 0, 0.0)
            status += update(FLOAT64, 1, m, pixels, hidden, w1.ctypes, pixels, b1.ctypes, delta1.ctypes,
                             hidden, rows.ctypes, pixels, w1.ctypes, pixels, b1.ctypes, lr, 0.0, 0, 0.0)
    return status
# fmt: on


digits = np.loadtxt(sys.argv[1], delimiter=",", dtype=np.int64)
x, labels = digits[:, :-1] / 16, digits[:, -1].copy()
rng = np.random.default_rng(0)
w1, b1 = rng.uniform(-0.2, 0.2, (64, 64)), np.zeros(64)
w2, b2 = rng.uniform(-0.3, 0.3, (10, 64)), np.zeros(10)
assert train(x[:1437], labels[:1437], w1, b1, w2, b2, 30, 32, 0.3) == 0
a1, a2 = np.empty((360, 64)), np.empty((360, 10))
assert outputs(x[1437:], w1, b1, w2, b2, a1, a2) == 0
print(f"accuracy on 360 other digits: {(a2.argmax(1) == labels[1437:]).mean():.4f}")
