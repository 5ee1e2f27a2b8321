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
loss, [(dw1, db1), (dw2, db2)] = model.gradients(X, y)

# %%
# Forward
# -------
#
# A rectifier passes positive numbers on, and is 0 for negative ones. The softmax turns the 10 outputs into
# probabilities:
#
# .. math::
#
#    h = \max(0, X W_1^\mathsf{T} + b_1) \qquad s = h W_2^\mathsf{T} + b_2 \qquad
#    p_k = \frac{e^{s_k}}{\sum_j e^{s_j}}
#
# The loss is the mean of :math:`-\log p` of the right classes, and the penalty:
#
# .. math::
#
#    E = -\frac{1}{N} \sum_i \log p_{i, y_i} + \lambda \left( \sum W_1^2 + \sum W_2^2 \right)

(w1, b1), (w2, b2) = model.get_weights()
h = np.maximum(X @ w1.T + b1, 0)
p = np.exp(h @ w2.T + b2)
p /= p.sum(axis=1, keepdims=True)
by_hand = -np.log(p[np.arange(5), y]).mean() + l2 * ((w1**2).sum() + (w2**2).sum())
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
#    \delta_2 = \frac{p - Y}{N} \qquad \delta_1 = (\delta_2 W_2) \odot [h > 0]
#
# The penalty adds :math:`2 \lambda W` to the derivatives by the weights. Biases have no penalty:
#
# .. math::
#
#    \frac{\partial E}{\partial W_2} = \delta_2^\mathsf{T} h + 2 \lambda W_2 \qquad
#    \frac{\partial E}{\partial b_2} = \sum_\text{rows} \delta_2

delta2 = (p - np.eye(10)[y]) / 5
delta1 = (delta2 @ w2) * (h > 0)
for name, got, expected in (
    ("dW2", dw2, delta2.T @ h + 2 * l2 * w2),
    ("db2", db2, delta2.sum(axis=0)),
    ("dW1", dw1, delta1.T @ X + 2 * l2 * w1),
    ("db1", db1, delta1.sum(axis=0)),
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
