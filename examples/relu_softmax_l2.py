"""A hidden layer of 20 rectifiers, softmax over 10 classes, 3072 inputs, and a penalty on the weights."""

import numpy as np

import bpkern

rng = np.random.default_rng(0)
X, y = rng.standard_normal((5, 3072)), rng.integers(0, 10, 5)
l2 = 0.05
model = bpkern.MLP([3072, 20, 10], loss="cross_entropy", dtype="float64", l2=l2, seed=0)
loss, [(dw1, db1), (dw2, db2)] = model.gradients(X, y)

# By hand: delta2 = (p - y) / N and dW2 = delta2' h1 + 2 l2 W2.
(w1, b1), (w2, b2) = model.get_weights()
h1 = np.maximum(X @ w1.T + b1, 0)
p = np.exp(h1 @ w2.T + b2)
p /= p.sum(axis=1, keepdims=True)
by_hand = -np.log(p[np.arange(5), y]).mean() + l2 * ((w1**2).sum() + (w2**2).sum())
delta2 = (p - np.eye(10)[y]) / 5
delta1 = (delta2 @ w2) * (h1 > 0)
print(f"loss {loss:.6f}, by hand {by_hand:.6f}")
for name, got, expected in (
    ("dW2", dw2, delta2.T @ h1 + 2 * l2 * w2),
    ("db2", db2, delta2.sum(axis=0)),
    ("dW1", dw1, delta1.T @ X + 2 * l2 * w1),
    ("db1", db1, delta1.sum(axis=0)),
):
    print(f"{name}: largest difference from the formula {np.abs(got - expected).max():.1e}")
