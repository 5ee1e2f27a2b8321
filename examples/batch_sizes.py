"""
Descent: batch, stochastic, mini-batch, momentum
================================================

Gradient descent has a few variants. They differ in how many rows an update reads, and in what it remembers of
the updates before.
"""

import matplotlib.pyplot as plt
import numpy as np

import bpkern

# %%
# How many updates an epoch has
# -----------------------------
#
# All variants move against the gradient of the mean loss of :math:`B` rows:
#
# .. math::
#
#    w \leftarrow w - \eta \, \frac{1}{B} \sum_{i \in \text{batch}} \frac{\partial E_i}{\partial w}
#
# *Batch* gradient descent takes all :math:`n` rows for each update, *stochastic* gradient descent a single
# one, and *mini-batch* gradient descent a number between. An epoch reads each row once, so it has
# :math:`\lceil n / B \rceil` updates: for 50000 rows and batches of 256 there are 196, the last one of 80
# rows.

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

# %%
# Momentum
# --------
#
# Momentum keeps a velocity :math:`v`, a sum of all gradients :math:`g` so far in which old ones fade:
#
# .. math::
#
#    v \leftarrow \mu v + g \qquad w \leftarrow w - \eta v
#
# Gradients that agree add up, to :math:`1 / (1 - \mu)` times one of them, which is 5 for :math:`\mu = 0.8`.
# Gradients that alternate cancel each other. So momentum is fast along a valley, and calm across it.
#
# The same on a map
# -----------------
#
# A linear neuron with two weights has a loss that can be drawn: a valley, long in one direction because the
# second input is smaller than the first. A callback notes the weights after every update.

rng = np.random.default_rng(1)
inputs = rng.standard_normal((200, 2)) * [1.0, 0.3]
targets = inputs @ [1.0, 1.0] + 0.3 * rng.standard_normal(200)


class Path(bpkern.callbacks.Callback):
    """The weights after each update."""

    def on_fit_begin(self, model):
        self.points = [model.get_weights()[0][0][0]]

    def on_batch_end(self, model, batch, logs):
        self.points.append(model.get_weights()[0][0][0])


def path(batch_size, updates, **settings):
    model = bpkern.MLP(
        [2, 1], loss="squared_error", optimizer=bpkern.SGD(**settings), dtype="float64", seed=0
    )
    model.set_weights([([[-1.0, -1.0]], [0.0])])
    callback = Path()
    per_epoch = -(-len(inputs) // batch_size)
    model.fit(inputs, targets, epochs=-(-updates // per_epoch), batch_size=batch_size, callbacks=callback)
    return np.array(callback.points[: updates + 1])


runs = {
    "batch": path(200, 60, lr=0.5),
    "mini-batch of 20": path(20, 60, lr=0.5),
    "stochastic": path(1, 60, lr=0.5),
    "batch, momentum 0.8": path(200, 60, lr=0.5, momentum=0.8),
}

# The loss at every point of the map; the bias has little to do here, and is left out.
grid = np.stack(np.meshgrid(np.linspace(-1.6, 2.6, 120), np.linspace(-1.6, 2.6, 120)), axis=-1)
losses = ((grid @ inputs.T - targets) ** 2).mean(axis=-1) / 2

figure, axes = plt.subplots(2, 2, figsize=(8, 7.2), sharex=True, sharey=True, layout="constrained")
for ax, (name, points) in zip(axes.flat, runs.items(), strict=True):
    ax.contour(
        grid[..., 0], grid[..., 1], losses, levels=np.geomspace(0.05, 5, 14), colors="0.75", linewidths=0.8
    )
    ax.plot(*points.T, ".-", color="#0072B2", linewidth=1, markersize=4)
    ax.plot(*points[0], "o", color="#0072B2", label="start")
    ax.plot(*points[-1], "s", color="#D55E00", label="after 60 updates")
    ax.set_title(name)
axes[0, 0].legend(loc="lower right")
figure.supxlabel("first weight")
figure.supylabel("second weight")
plt.show()

# %%
# Batch gradient descent follows the slope exactly, and creeps along the valley. A mini-batch reads a tenth of
# the rows for an update and takes almost the same way. Single rows point in very different directions: the
# path is noisy, and stays noisy near the minimum unless the learning rate falls (:mod:`bpkern.schedules`).
# Momentum goes through the valley in curves, and arrives first.
