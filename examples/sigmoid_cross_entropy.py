"""
Sigmoids before the softmax: a floor for the loss
=================================================

784-500-10 with a sigmoid after both layers, then softmax cross-entropy: five images of noise. Some tutorials
build this network. It trains, but its loss cannot become small, and one line of algebra shows why.
"""

import warnings

import numpy as np

import bpkern

# bpkern warns about such a network; here it is wanted.
warnings.filterwarnings("ignore", "the loss cross_entropy applies its own softmax")

# %%
# The floor
# ---------
#
# After a sigmoid, all 10 outputs are between 0 and 1. The best that the softmax can make of them is an output
# of 1 for the right class and of 0 for the other nine:
#
# .. math::
#
#    E \ge -\log \frac{e^1}{e^1 + 9 e^0} = \log \frac{e + 9}{e} = 1.461

print(f"the floor is {np.log((np.e + 9) / np.e):.3f}")

# %%
# The gradient passes through two slopes: that of the cross-entropy, :math:`p - Y`, and that of the last
# sigmoid, :math:`a (1 - a)`:
#
# .. math::
#
#    \delta_2 = \frac{p - Y}{N} \odot a_2 \odot (1 - a_2) \qquad
#    \delta_1 = (\delta_2 W_2) \odot a_1 \odot (1 - a_1)
#
# The second factor vanishes as an output approaches 0 or 1, so the last steps towards the floor are the
# slowest.
#
# Training
# --------
#
# SGD with momentum, by the kernels and by the reference in NumPy, from the same weights:

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

# %%
# Without the last sigmoid
# ------------------------
#
# With ``output_activation="identity"``, the default, the outputs are logits of any size, and nothing stops
# the loss:

settings["output_activation"] = "identity"
logits = bpkern.MLP([784, 500, 10], **settings).fit(X, y, epochs=200, batch_size=5)
print(f"epoch 200: loss {logits['loss'][-1]:.4f}")
