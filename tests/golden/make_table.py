"""Write the golden file of a `TableModel`, v<format>_table.npz, and what it predicts.

python tests/golden/make_table.py

It refuses to overwrite files. test_golden_table.py reads them.
"""

from pathlib import Path

import numpy as np

import bpkern
from bpkern.preprocessing import TableEncoder, TableModel

FOLDER = Path(__file__).resolve().parent

# Every kind of column: numbers with and without gaps, texts of one to many categories, booleans, codes.
TABLE = {
    "number": [float("nan") if i % 7 == 3 else (i * 37 % 64 - 32) / 8 for i in range(24)],
    "constant": [2.5] * 24,
    "colour": ["red", "grün", "blue", None] * 6,
    "flag": [i % 5 == 0 for i in range(24)],
    "place": [i * 7 % 11 + 10 for i in range(24)],
    "only": ["there" if i % 3 else None for i in range(24)],
}
LABELS = np.array(["ja", "nein", "vielleicht"], object)[np.arange(24) * 5 % 3]


def trained(scaling: str) -> TableModel:
    """A model of TABLE; that of "quantile" predicts values, the others labels."""
    encoder = TableEncoder(scaling=scaling, categorical=["place"], max_categories=10)
    X = encoder.fit_transform(TABLE)
    if scaling == "quantile":
        values = np.arange(24) * 3 % 8 * 100.0
        model = bpkern.MLP([X.shape[1], 5, 1], loss="mse", optimizer="adam", seed=1)
        model.fit(X, (values - 350) / 200, epochs=5, verbose=0)
        return TableModel(encoder, model, center=350, spread=200)
    model = bpkern.MLP([X.shape[1], 5, 3], loss="cross_entropy", optimizer="adam", seed=1)
    model.fit(X, np.unique(LABELS.astype(str), return_inverse=True)[1], epochs=5, verbose=0)
    return TableModel(encoder, model, target="answer", classes=["ja", "nein", "vielleicht"])


def main() -> None:
    recorded = {}
    for scaling in ("robust", "standard", "quantile"):
        path = FOLDER / f"v1_table_{scaling}.npz"
        if path.exists():
            raise FileExistsError(f"{path} is there already; golden files are never rewritten")
        model = trained(scaling)
        model.save(path)
        recorded[f"{scaling}.inputs"] = model.encoder.transform(TABLE)
        recorded[f"{scaling}.outputs"] = model.model.forward(recorded[f"{scaling}.inputs"])
    np.savez(FOLDER / "v1_table_predictions.npz", **recorded)


if __name__ == "__main__":
    main()
