"""The textbooks' network with two inputs, two hidden units and two outputs, whose loss is 0.2984."""

import bpkern

X, TARGET = [[0.05, 0.10]], [[0.01, 0.99]]


def two_two_two(dtype="float64", **settings):
    model = bpkern.MLP(
        [2, 2, 2],
        activation="sigmoid",
        output_activation="sigmoid",
        loss="squared_error",
        optimizer=bpkern.SGD(lr=0.5),
        dtype=dtype,
        **settings,
    )
    model.set_weights(
        [
            ([[0.15, 0.20], [0.25, 0.30]], [0.35, 0.35]),
            ([[0.40, 0.45], [0.50, 0.55]], [0.60, 0.60]),
        ]
    )
    return model
