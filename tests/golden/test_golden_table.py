"""Golden files of models with an encoder: they read tables and predict as when they were written."""

import sys
from pathlib import Path

import numpy as np
import pytest

import bpkern
from bpkern.preprocessing import TableModel

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from make_table import LABELS, TABLE  # noqa: E402


@pytest.mark.parametrize("scaling", ["robust", "standard", "quantile"])
def test_encoded_tables_and_predictions(scaling):
    path = FOLDER / f"v1_table_{scaling}.npz"
    model = TableModel.load(path)
    with np.load(FOLDER / "v1_table_predictions.npz", allow_pickle=False) as recorded:
        inputs, outputs = recorded[f"{scaling}.inputs"], recorded[f"{scaling}.outputs"]
    np.testing.assert_allclose(model.encoder.transform(TABLE), inputs, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(model.model.forward(inputs), outputs, rtol=1e-4, atol=1e-5)
    assert np.array_equal(bpkern.MLP.load(path).forward(inputs), model.model.forward(inputs))
    if scaling == "quantile":
        np.testing.assert_allclose(model.predict(TABLE), 350 + 200 * outputs[:, 0], rtol=1e-4)
    else:
        assert model.predict(TABLE).tolist() == model.classes_[outputs.argmax(1)].tolist()
        assert set(model.classes_) == set(LABELS)
