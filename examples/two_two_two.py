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
# beside each block of numbers. Its ``layers[0]`` and ``layers[1]`` are the first and the second layer of the
# text.

trace = model.trace(x, target)
print(trace)
trace

# %%
# Forward
# -------
#
# .. math::
#
#    a_1 = \sigma(x W_1^\mathsf{T} + b_1) = (0.5933, 0.5969) \qquad
#    a_2 = \sigma(a_1 W_2^\mathsf{T} + b_2) = (0.7514, 0.7729)
#
# .. math::
#
#    E = \frac{1}{2} \left( (0.7514 - 0.01)^2 + (0.7729 - 0.99)^2 \right) = 0.2984

print("outputs", model.forward(x)[0])
loss, [(dw1, db1), (dw2, db2)] = model.gradients(x, target)
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
#    = \frac{\partial E}{\partial a_2} \cdot \frac{\partial a_2}{\partial z_2}
#    \cdot \frac{\partial z_2}{\partial w_5}
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

print(f"dW1\n{dw1}\ndb1 {db1}\ndW2\n{dw2}\ndb2 {db2}")

# %%
# The update
# ----------
#
# Each parameter moves by the learning rate times its derivative, for example
# :math:`w_5 \leftarrow 0.40 - 0.5 \cdot 0.0822 = 0.3589`. Training makes the same step, to the bit:

model.train_on_batch(x, target)
for l, (w, b) in enumerate(model.get_weights(), start=1):
    print(f"after one update: W{l}\n{w}\nb{l} {b}")
    assert (w == trace.steps[0].layers[l - 1].new_W).all()

# %%
# Ten steps, one after the other; the slider goes through them:

model.trace(x, target, steps=10)

# %%
# After 10000 updates the outputs are close to the targets:

model.fit(x, target, epochs=9999, verbose=0)
print("after 10000 updates: outputs", model.forward(x)[0])
