"""One sigmoid neuron by the chain rule, node by node; then a layer of two, and two layers, with kernels."""

import numpy as np

from bpkern import kernels


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


# L = 1/2 (y - s(w x + b))^2, from the loss back to the parameters.
x, y, w, b = 1.5, 1.0, 0.4, -0.2
z = w * x + b
prediction = sigmoid(z)
dL_dprediction = prediction - y
dprediction_dz = prediction * (1 - prediction)
dL_dz = dL_dprediction * dprediction_dz
print(f"one neuron: z {z:.4f}, prediction {prediction:.4f}, dL/dw {dL_dz * x:.5f}, dL/db {dL_dz:.5f}")
print(f"s(w x + b) at x=1, w=0, b=0: d/dw = {sigmoid(0.0) * (1 - sigmoid(0.0)):.2f}")

# A layer of two neurons with targets 1: delta by hand from the kernel's outputs.
x1 = np.array([[1.0, 2.0]])
w1, b1 = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.5, 0.5])
a1 = kernels.linear_forward(x1, w1, b1, "sigmoid")
delta = (a1 - 1) * a1 * (1 - a1)
with np.printoptions(precision=5, suppress=True):
    print("a layer of two: z", kernels.linear_forward(x1, w1, b1)[0], "delta", delta[0])
    print(f"dW\n{delta.T @ x1}")

# Two layers: delta1 = (delta2 W2) * s'(z1).
w2, b2 = np.array([[0.5, -0.3]]), np.array([0.1])
a2 = kernels.linear_forward(a1, w2, b2, "sigmoid")
delta2 = (a2 - 1) * a2 * (1 - a2)
delta1 = kernels.delta_backward(delta2, w2, a1, "sigmoid")


def loss(first_weights):
    hidden = kernels.linear_forward(x1, first_weights, b1, "sigmoid")
    return 0.5 * float((kernels.linear_forward(hidden, w2, b2, "sigmoid") - 1)[0, 0] ** 2)


step = 1e-6 * np.eye(2)[[0]].T @ np.eye(2)[[0]]
numeric = (loss(w1 + step) - loss(w1 - step)) / 2e-6
print(f"two layers: dL/dW1[0, 0] is {(delta1.T @ x1)[0, 0]:.8f}, by finite differences {numeric:.8f}")
