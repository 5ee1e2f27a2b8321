"""
One neuron
==========

A sigmoid neuron with one input: its output, its error, and the derivatives by its weight and its bias, by
hand, as a graph, and by the kernels that train.
"""

import numpy as np

import bpkern
from bpkern.graph import from_trace, sigmoid, variables

# %%
# The neuron and its slope
# ------------------------
#
# A neuron adds up its weighted inputs and its bias, and applies a function to the sum:
#
# .. math::
#
#    z = w x + b \qquad a = \sigma(z) = \frac{1}{1 + e^{-z}}
#
# The derivative of the sigmoid is a function of its own value, so that no second exponential is needed:
#
# .. math::
#
#    \sigma'(z) = \sigma(z) \, (1 - \sigma(z))
#
# It is largest at :math:`z = 0`, where it is :math:`0.5 \cdot (1 - 0.5) = 0.25`. That is the derivative by
# the weight of a neuron with :math:`x = 1`, :math:`w = 0` and :math:`b = 0`:

w, x, b = variables(w=0, x=1, b=0)
a = sigmoid(w * x + b).named("a")
a.backward()
print(f"a = {a.value}, da/dw = {w.gradient}")
a

# %%
# The chain rule
# --------------
#
# With a target :math:`y` and the loss :math:`E = \frac{1}{2} (a - y)^2`, the derivative by the weight is a
# product of three local derivatives:
#
# .. math::
#
#    \frac{\partial E}{\partial w}
#    = \frac{\partial E}{\partial a} \cdot \frac{\partial a}{\partial z} \cdot \frac{\partial z}{\partial w}
#    = (a - y) \cdot a (1 - a) \cdot x
#
# The first two factors together are called :math:`\delta = \partial E / \partial z`. The derivative by the
# bias is :math:`\delta` itself, because :math:`\partial z / \partial b = 1`.
#
# For :math:`x = 1.5`, :math:`y = 1`, :math:`w = 0.4` and :math:`b = -0.2`:

x, y, w, b = 1.5, 1.0, 0.4, -0.2
z = w * x + b
a = 1 / (1 + np.exp(-z))
delta = (a - y) * a * (1 - a)
print(f"z = {z:.4f}, a = {a:.4f}, dE/da = {a - y:.4f}, da/dz = {a * (1 - a):.4f}")
print(f"delta = dE/db = {delta:.4f}, dE/dw = {delta * x:.4f}")

# %%
# In numbers,
#
# .. math::
#
#    \frac{\partial E}{\partial w} = -0.4013 \cdot 0.2403 \cdot 1.5 = -0.1446
#
# The same by training
# --------------------
#
# A network with one input and one output is this neuron. :meth:`bpkern.MLP.trace` makes a training step with
# all its numbers, and ``explain`` writes the chain rule for one of them:

model = bpkern.MLP(
    [1, 1], output_activation="sigmoid", loss="squared_error", optimizer=bpkern.SGD(lr=0.5), dtype="float64"
)
model.set_weights([([[w]], [b])])
trace = model.trace([[x]], [[y]])
print(trace.explain("layers[0].W[0, 0]"))
trace

# %%
# The step as an expression, in which every operation is a node:

from_trace(trace.steps[0])

# %%
# The update moves the weight against its derivative, by the learning rate :math:`\eta = 0.5`:
#
# .. math::
#
#    w \leftarrow w - \eta \, \frac{\partial E}{\partial w} = 0.4 + 0.5 \cdot 0.1446 = 0.4723

[layer] = trace.steps[0].layers
print(f"w is now {layer.new_W[0, 0]:.4f}, b is now {layer.new_b[0]:.4f}")
