"""
The 2-2-2 network of the textbooks
==================================

Two inputs, two hidden and two output neurons with sigmoids: forward, backward and one update, digit by digit.
The numbers are those of Matt Mazur's "A step by step backpropagation example", where the biases stay as they
are.
"""

import numpy as np

import bpkern

np.set_printoptions(precision=4, suppress=True)

# %%
# The network
# -----------
#
# The loss is half the sum of the squared errors, and the learning rate is 0.5. The inputs are 0.05 and 0.10,
# the targets 0.01 and 0.99.

model = bpkern.MLP(
    [2, 2, 2],
    activation="sigmoid",
    output_activation="sigmoid",
    loss="squared_error",
    optimizer=bpkern.SGD(lr=0.5),
    dtype="float64",
)
model.set_weights(
    [
        ([[0.15, 0.20], [0.25, 0.30]], [0.35, 0.35]),
        ([[0.40, 0.45], [0.50, 0.55]], [0.60, 0.60]),
    ]
)
x, target = [[0.05, 0.10]], [[0.01, 0.99]]

# %%
# All numbers of a step
# ---------------------
#
# :meth:`bpkern.MLP.trace` returns what training would do, and changes nothing. Printed, it has the formula
# beside each block of numbers. Layers count from 0, here as in ``trace.steps[0].layers``.

trace = model.trace(x, target)
print(trace)
trace

# %%
# Forward
# -------
#
# .. math::
#
#    a_0 = \sigma(x W_0^\mathsf{T} + b_0) = (0.5933, 0.5969) \qquad
#    a_1 = \sigma(a_0 W_1^\mathsf{T} + b_1) = (0.7514, 0.7729)
#
# .. math::
#
#    E = \frac{1}{2} \left( (0.7514 - 0.01)^2 + (0.7729 - 0.99)^2 \right) = 0.2984

print("outputs", model.forward(x)[0])
loss, [(dw0, db0), (dw1, db1)] = model.gradients(x, target)
print(f"loss {loss:.4f}")

# %%
# A weight of the last layer
# --------------------------
#
# Many texts call the first weight of the last layer :math:`w_5`. One path leads from it to the loss:
#
# .. math::
#
#    \frac{\partial E}{\partial w_5}
#    = \frac{\partial E}{\partial a_1} \cdot \frac{\partial a_1}{\partial z_1}
#    \cdot \frac{\partial z_1}{\partial w_5}
#    = 0.7414 \cdot 0.1868 \cdot 0.5933 = 0.0822

explanation = trace.explain("layers[1].W[0, 0]")
print(explanation)

# %%
# A weight of the first layer
# ---------------------------
#
# :math:`w_1`, the first weight of the first layer, acts on both outputs. Its derivative is a sum over two
# paths: 0.0004.

trace.explain("layers[0].W[0, 0]")

# %%
# All gradients
# -------------

print(f"dW0\n{dw0}\ndb0 {db0}\ndW1\n{dw1}\ndb1 {db1}")

# %%
# The update
# ----------
#
# Each parameter moves by the learning rate times its derivative, for example
# :math:`w_5 \leftarrow 0.40 - 0.5 \cdot 0.0822 = 0.3589`. Training makes the same step, to the bit:

model.train_on_batch(x, target)
for l, (w, b) in enumerate(model.get_weights()):
    print(f"after one update: W{l}\n{w}\nb{l} {b}")
    assert (w == trace.steps[0].layers[l].new_W).all()

# %%
# Ten steps, one after the other; the slider goes through them:

model.trace(x, target, steps=10)

# %%
# After 10000 updates the outputs are close to the targets:

model.fit(x, target, epochs=9999, verbose=0)
print("after 10000 updates: outputs", model.forward(x)[0])
