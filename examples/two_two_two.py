"""The 2-2-2 sigmoid network of many textbooks, digit by digit: forward, backward and one update."""

import numpy as np

import bpkern

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

np.set_printoptions(precision=4, suppress=True)
print("outputs", model.forward(x)[0])
loss, [(dw1, db1), (dw2, db2)] = model.gradients(x, target)
print(f"loss {loss:.4f}")
print(f"dW1\n{dw1}\ndb1 {db1}\ndW2\n{dw2}\ndb2 {db2}")

model.train_on_batch(x, target)
for l, (w, b) in enumerate(model.get_weights(), start=1):
    print(f"after one update: W{l}\n{w}\nb{l} {b}")
