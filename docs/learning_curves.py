"""Make learning_curves.svg, the history in training.md: digits, dropout and a one-cycle schedule.

python docs/learning_curves.py [folder]
"""

import sys
from pathlib import Path

import matplotlib as mpl
from sklearn.datasets import load_digits

import bpkern
from bpkern.schedules import OneCycle

EPOCHS, BATCH = 40, 32

X, y = load_digits(return_X_y=True)
iterations = EPOCHS * -(-round(0.8 * len(X)) // BATCH)
model = bpkern.MLP(
    [64, 128, 64, 10],
    loss="cross_entropy",
    optimizer=bpkern.Adam(lr=OneCycle(0.005, iterations, final_div_factor=10)),
    dropout=0.2,
    seed=0,
)
history = model.fit(X / 16, y, epochs=EPOCHS, batch_size=BATCH, validation_split=0.2)

# Every run writes the same bytes: without a date, and without random names.
mpl.use("Agg")
mpl.rcParams["svg.hashsalt"] = "bpkern"
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
history.plot().savefig(folder / "learning_curves.svg", metadata={"Date": None})
