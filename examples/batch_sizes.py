"""Batch, stochastic and mini-batch descent: batch sizes n, 1 and B, and the iterations of an epoch."""

import numpy as np

import bpkern

rng = np.random.default_rng(0)
X = rng.standard_normal((50_000, 8)).astype(np.float32)
y = np.tanh(X @ rng.standard_normal(8))

for name, batch_size, epochs in (("batch", len(X), 1), ("stochastic", 1, 1), ("mini-batch", 256, 10)):
    model = bpkern.MLP([8, 16, 1], loss="mse", optimizer=bpkern.SGD(lr=0.01), seed=0)
    history = model.fit(X, y, epochs=epochs, batch_size=batch_size)
    print(
        f"{name:10} batch size {batch_size:5d}: {history.iterations // epochs:5d} iterations an epoch, "
        f"{history.iterations:5d} in {epochs}; loss {history['loss'][-1]:.4f}"
    )
