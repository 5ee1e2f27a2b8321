"""Write a golden pickle. Since version 0.1.0, which wrote it, the modules of its classes have moved.

python tests/golden/make_reference_pickle.py

writes reference.pickle, a dictionary of a pickled `bpkern.reference.MLP`, its outputs, a pickled summary and
the text of the summary. It refuses to overwrite the file. test_pickles.py reads it.
"""

import pickle
from pathlib import Path

import numpy as np

import bpkern

FILE = Path(__file__).resolve().parent / "reference.pickle"
X = np.random.default_rng(5).standard_normal((12, 4))
Y = np.arange(12) % 3


def reference() -> bpkern.reference.MLP:
    """A trained model with momentum, dropout and a validation split, which a further fit continues."""
    model = bpkern.reference.MLP(
        [4, 6, 3],
        loss="cross_entropy",
        optimizer=bpkern.SGD(0.1, 0.9),
        dropout=0.2,
        seed=5,
        init=["he_uniform", "glorot_uniform"],
    )
    model.fit(X, Y, epochs=2, batch_size=5, validation_split=0.25, verbose=0)
    return model


def main() -> None:
    if FILE.exists():
        raise SystemExit(f"{FILE.name} exists, and is never overwritten")
    model, summary = reference(), bpkern.MLP([4, 6, 3], loss="cross_entropy", seed=5).summary(8)
    contents = {
        "model": pickle.dumps(model, protocol=4),
        "outputs": model.forward(X).tolist(),
        "summary": pickle.dumps(summary, protocol=4),
        "text": str(summary),
    }
    FILE.write_bytes(pickle.dumps(contents, protocol=4))


if __name__ == "__main__":
    main()
