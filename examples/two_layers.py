"""
Layers: from numbers to matrices
================================

The same chain rule for a layer of two neurons and then for two layers, with the three kernels that do all the
work of training: forward, delta and update.
"""

import numpy as np

from bpkern import kernels

np.set_printoptions(precision=5, suppress=True)

# %%
# A layer of two neurons
# ----------------------
#
# A layer holds its weights in a matrix :math:`W` of shape (outputs, inputs), and a mini-batch has its samples
# in rows:
#
# .. math::
#
#    z = x W^\mathsf{T} + b \qquad a = \sigma(z)
#
# Here the inputs are 1 and 2, so :math:`z_1 = 0.1 \cdot 1 + 0.2 \cdot 2 + 0.5 = 1` and
# :math:`z_2 = 0.3 \cdot 1 + 0.4 \cdot 2 + 0.5 = 1.6`.

x = np.array([[1.0, 2.0]])
w1, b1 = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.5, 0.5])
z1 = kernels.linear_forward(x, w1, b1)
a1 = kernels.linear_forward(x, w1, b1, "sigmoid")
print("z", z1[0], "a", a1[0])

# %%
# With targets of 1 and half the sum of the squared errors as the loss, each neuron has its own
# :math:`\delta`. Its product with each input is the derivative by that weight:
#
# .. math::
#
#    \delta = (a - 1) \odot a \odot (1 - a) \qquad
#    \frac{\partial E}{\partial W} = \delta^\mathsf{T} x \qquad
#    \frac{\partial E}{\partial b} = \delta
#
# The first :math:`\delta` is -0.05288, the second -0.02348. The row of derivatives that belongs to a neuron
# is its :math:`\delta` times the inputs 1 and 2.

delta = (a1 - 1) * a1 * (1 - a1)
print("delta", delta[0])
print(f"dW\n{delta.T @ x}")

# %%
# Two layers
# ----------
#
# Now the two activations are the inputs of one more neuron. The loss depends on them only through its sum, so
# the :math:`\delta` of the second layer goes back through the second layer's weights, and then through the
# slope of the first layer:
#
# .. math::
#
#    \delta_1 = (\delta_2 W_2) \odot \sigma'(z_1)
#
# This *delta recursion* is all that backpropagation adds to a single layer. However deep a network is, each
# layer's :math:`\delta` is computed once from the next one's.

w2, b2 = np.array([[0.5, -0.3]]), np.array([0.1])
a2 = kernels.linear_forward(a1, w2, b2, "sigmoid")
delta2 = (a2 - 1) * a2 * (1 - a2)
delta1 = kernels.delta_backward(delta2, w2, a1, "sigmoid")
print("delta of the first layer", delta1[0])

# %%
# Is it right?
# ------------
#
# A derivative can always be checked by its definition. Move one weight a little up and down, and compare the
# losses:
#
# .. math::
#
#    \frac{\partial E}{\partial w} \approx \frac{E(w + h) - E(w - h)}{2 h}


def loss(first_weights):
    hidden = kernels.linear_forward(x, first_weights, b1, "sigmoid")
    return 0.5 * float((kernels.linear_forward(hidden, w2, b2, "sigmoid") - 1)[0, 0] ** 2)


h = 1e-6
step = np.array([[h, 0.0], [0.0, 0.0]])
numeric = (loss(w1 + step) - loss(w1 - step)) / (2 * h)
print(f"dE/dW1[0, 0] is {(delta1.T @ x)[0, 0]:.8f}, by finite differences {numeric:.8f}")

# %%
# The update
# ----------
#
# The third kernel subtracts the learning rate times the derivatives, in place, without ever storing the
# derivatives:
#
# .. math::
#
#    W \leftarrow W - \eta \, \delta^\mathsf{T} x \qquad b \leftarrow b - \eta \sum_\text{rows} \delta

before = loss(w1)
kernels.sgd_update(w1, b1, delta1, x, 0.5)
print(f"the loss was {before:.5f} and is {loss(w1):.5f}")
