"""
Rectifiers, softmax and a penalty
=================================

A classifier as in courses on images: a hidden layer of 20 rectifiers, the softmax over 10 classes, 3072
inputs, and an L2 penalty on the weights. Each gradient is computed by hand, and compared with that of the
kernels.
"""

import numpy as np

import bpkern

rng = np.random.default_rng(0)
X, y = rng.standard_normal((5, 3072)), rng.integers(0, 10, 5)
l2 = 0.05
model = bpkern.MLP([3072, 20, 10], loss="cross_entropy", dtype="float64", l2=l2, seed=0)
loss, [(dw0, db0), (dw1, db1)] = model.gradients(X, y)

# %%
# Forward
# -------
#
# Layers count from 0. A rectifier passes positive numbers on, and is 0 for negative ones. The softmax turns
# the 10 outputs into probabilities:
#
# .. math::
#
#    h = \max(0, X W_0^\mathsf{T} + b_0) \qquad s = h W_1^\mathsf{T} + b_1 \qquad
#    p_k = \frac{e^{s_k}}{\sum_j e^{s_j}}
#
# The loss is the mean of :math:`-\log p` of the right classes, and the penalty:
#
# .. math::
#
#    E = -\frac{1}{N} \sum_i \log p_{i, y_i} + \lambda \left( \sum W_0^2 + \sum W_1^2 \right)

(w0, b0), (w1, b1) = model.get_weights()
h = np.maximum(X @ w0.T + b0, 0)
p = np.exp(h @ w1.T + b1)
p /= p.sum(axis=1, keepdims=True)
by_hand = -np.log(p[np.arange(5), y]).mean() + l2 * ((w0**2).sum() + (w1**2).sum())
print(f"loss {loss:.6f}, by hand {by_hand:.6f}")

# %%
# Backward
# --------
#
# The derivative of :math:`-\log p_y` by the outputs is the simplest of all: the probabilities minus the
# target, which is 1 for the right class and 0 for the others. For one row,
#
# .. math::
#
#    \frac{\partial}{\partial s_k} \left( \log \sum_j e^{s_j} - s_y \right)
#    = \frac{e^{s_k}}{\sum_j e^{s_j}} - [k = y] = p_k - [k = y]
#
# The mean over the rows divides it by :math:`N`. A rectifier's slope is 1 where its output is positive, and 0
# elsewhere:
#
# .. math::
#
#    \delta_1 = \frac{p - Y}{N} \qquad \delta_0 = (\delta_1 W_1) \odot [h > 0]
#
# The penalty adds :math:`2 \lambda W` to the derivatives by the weights. Biases have no penalty:
#
# .. math::
#
#    \frac{\partial E}{\partial W_1} = \delta_1^\mathsf{T} h + 2 \lambda W_1 \qquad
#    \frac{\partial E}{\partial b_1} = \sum_\text{rows} \delta_1

delta1 = (p - np.eye(10)[y]) / 5
delta0 = (delta1 @ w1) * (h > 0)
for name, got, expected in (
    ("dW1", dw1, delta1.T @ h + 2 * l2 * w1),
    ("db1", db1, delta1.sum(axis=0)),
    ("dW0", dw0, delta0.T @ X + 2 * l2 * w0),
    ("db0", db0, delta0.sum(axis=0)),
):
    print(f"{name}: largest difference from the formula {np.abs(got - expected).max():.1e}")

# %%
# One weight, explained
# ---------------------
#
# A weight of the last layer gets a product from each row whose hidden neuron is on, and the penalty's part:

trace = model.trace(X, y)
print(trace.explain("layers[1].W[2, 7]"))

# %%
# So many weights are drawn as heat maps:

trace
