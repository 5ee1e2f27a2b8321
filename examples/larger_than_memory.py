"""
Quantiles from a file that is read in blocks
============================================

Training on rows that are read from a file block by block, to predict quantiles: an interval and the median.
"""

import tempfile
from pathlib import Path

import numpy as np

import bpkern

# %%
# Batches from a file
# -------------------
#
# An object whose ``__iter__`` starts a new pass yields the batches, which a thread reads ahead while the
# network trains. (To shuffle over the whole file, pass the memory map itself to ``fit`` as X.)

ROWS, BLOCK, BATCH = 200_000, 20_000, 500


class Batches:
    """Batches of a file's rows: blocks in random order, rows in random order within a block."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng

    def __iter__(self):
        rows = np.load(self.path, mmap_mode="r")
        for start in self.rng.permutation(range(0, len(rows), BLOCK)):
            block = self.rng.permutation(rows[start : start + BLOCK])  # only this is in memory
            for batch in np.split(block, BLOCK // BATCH):
                yield batch[:, :1], np.repeat(batch[:, 1:], 3, axis=1)


def write(path, rng):
    """Write rows (x, y), where the scatter of y grows with x."""
    file = np.lib.format.open_memmap(path, "w+", np.float32, (ROWS, 2))
    for start in range(0, ROWS, BLOCK):
        x = rng.uniform(0, 3, BLOCK)
        file[start : start + BLOCK] = np.stack(
            [x, np.sin(2 * x) + 0.3 * x * rng.standard_normal(BLOCK)], axis=1
        )
    file.flush()


# %%
# A loss for quantiles
# --------------------
#
# The quantile loss weighs an error by :math:`q` if the target is above the output :math:`a`, and by
# :math:`1 - q` if it is below:
#
# .. math::
#
#    E = \begin{cases} q \, (y - a) & a < y \\ (1 - q) \, (a - y) & a \ge y \end{cases}
#    \qquad
#    \frac{\partial E}{\partial a} = \begin{cases} -q & a < y \\ 1 - q & a > y \end{cases}
#
# At the minimum, the derivatives of all rows add up to 0: the fraction :math:`q` of the targets is below the
# output. The three outputs here predict the quantiles 0.1, 0.5 and 0.9.

rng = np.random.default_rng(0)
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "rows.npy"
    write(path, rng)
    model = bpkern.MLP(
        [1, 32, 32, 3],
        activation="silu",
        loss=bpkern.losses.Quantile([0.1, 0.5, 0.9]),
        optimizer=bpkern.Adam(lr=bpkern.schedules.Cosine(0.01, iterations=5 * ROWS // BATCH)),
        seed=0,
    )
    history = model.fit(Batches(path, rng), epochs=5)
    x, y = np.load(path).T

low, median, high = model.predict(x[:, None]).T
inside = (low < y) & (y < high)
print(f"{history.iterations} batches; 8 of 10 should be inside: {10 * inside.mean():.1f} are")
for at in (0.5, 1.5, 2.5):
    [(low, median, high)] = model.predict([[at]])
    print(f"x = {at}: from {low:5.2f} to {high:5.2f}, median {median:5.2f}; it is {np.sin(2 * at):5.2f}")
