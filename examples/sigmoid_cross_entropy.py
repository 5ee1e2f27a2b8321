"""784-500-10 with a sigmoid after both layers, then softmax cross-entropy: five images of noise.

The outputs are logits between 0 and 1, so the loss cannot go below ln((e + 9) / e) = 1.461.
"""

import numpy as np

import bpkern

rng = np.random.default_rng(0)
X, y = rng.random((5, 784)).astype(np.float32), np.arange(5)
settings = dict(
    activation="sigmoid",
    output_activation="sigmoid",
    loss="cross_entropy",
    optimizer=bpkern.SGD(lr=0.01, momentum=0.9),
    seed=0,
)
kernels = bpkern.MLP([784, 500, 10], **settings).fit(X, y, epochs=200, batch_size=5)
numpy = bpkern.reference.MLP([784, 500, 10], **settings).fit(X, y, epochs=200, batch_size=5)
for epoch in (0, 1, 2, 9, 49, 199):
    print(f"epoch {epoch + 1:3d}: loss {kernels['loss'][epoch]:.6f}, NumPy's {numpy['loss'][epoch]:.6f}")
print(f"the floor is {np.log((np.e + 9) / np.e):.3f}")
