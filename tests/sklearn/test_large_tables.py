"""RealMLP on tables that are too large to be encoded at once: the same bits, in little memory."""

import tracemalloc

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6", reason="scikit-learn 1.6 has tags and lists of checks")

from bpkern._data import gathered
from bpkern._data.gathered import GatheredRows
from bpkern._table import encoding, fitted_table, training
from bpkern.preprocessing import TableModel
from bpkern.sklearn import RealMLPClassifier, RealMLPRegressor

BOTH = pytest.mark.parametrize("estimator", [RealMLPClassifier, RealMLPRegressor])
SMALL = dict(hidden_layer_sizes=(8, 8), n_epochs=4, batch_size=48, random_state=0, n_threads=2, recipe="td-s")


@pytest.fixture
def gathers(monkeypatch):
    """From the call on, all tables are large, and blocks have as few rows as predictions take at once."""

    def begin():
        monkeypatch.setattr(fitted_table, "WHOLE_BYTES", 0)
        monkeypatch.setattr(gathered, "BLOCK_ROWS", 256)

    return begin


def table(rows=700, seed=0):
    """Numbers with gaps, texts of which some are rare, and targets that follow from them."""
    rng = np.random.default_rng(seed)
    columns = {
        "size": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(50, 20, rows)),
        "place": rng.choice([*"abcdefghijklmno"], rows).astype(object),
        "new": rng.random(rows) < 0.5,
        "code": rng.integers(100, 104 + seed, rows),
    }
    value = np.nan_to_num(columns["size"]) + 30 * (columns["place"] == "c") + rng.normal(0, 5, rows)
    return columns, value


def targets(estimator, value):
    return (
        np.where(value > 60, "dear", np.where(value > 40, "fair", "cheap"))
        if is_classifier(estimator)
        else value
    )


def is_classifier(estimator):
    return estimator is RealMLPClassifier


def fitted(estimator, arguments, **parameters):
    X, value = table()
    given = {"sample_weight": np.random.default_rng(5).integers(0, 4, len(value)) / 2}
    if "X_val" in arguments:
        given["X_val"], other = table(300, seed=3)  # with categories that X does not have
        given["y_val"] = targets(estimator, other)
    if "sample_weight" not in arguments:
        del given["sample_weight"]
    return estimator(**SMALL | parameters).fit(X, targets(estimator, value), **given)


def bits(model):
    """All that training and prediction give."""
    X, _ = table(900, seed=3)
    found = [model.predict(X), model.validation_scores_]
    if isinstance(model, RealMLPClassifier):
        found.append(model.predict_proba(X))
    for each in model.models_:
        found += [np.asarray(values) for values in each.history_.values()]
        found += [values for pair in each.get_weights() for values in pair]
        found.append(np.asarray(each.history_.best_epoch))
    return found


@BOTH
@pytest.mark.parametrize(
    ("arguments", "parameters"),
    [
        (("sample_weight",), {"validation_fraction": 0.4}),
        (("X_val", "sample_weight"), {"recipe": "td"}),
        ((), {"n_models": 2, "ensemble": "bags", "categorical": ["code"]}),
        ((), {"validation_fraction": 0, "batch_size": 300}),
    ],
)
def test_the_same_bits_as_by_the_whole_matrix(estimator, arguments, parameters, gathers):
    whole = bits(fitted(estimator, arguments, **parameters))
    gathers()
    for one, other in zip(whole, bits(fitted(estimator, arguments, **parameters)), strict=True):
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


def test_the_log_loss_chooses_the_epoch(gathers):
    whole = bits(fitted(RealMLPClassifier, (), metric="log_loss"))
    gathers()
    assert all(map(np.array_equal, whole, bits(fitted(RealMLPClassifier, (), metric="log_loss"))))


@BOTH
def test_predictions_of_many_rows_in_blocks(estimator, monkeypatch, tmp_path):
    model = fitted(estimator, ())
    X, _ = table(900, seed=3)
    whole = TableModel(model.encoder_, model.model_)  # of raw outputs
    asked = [model.predict(X), whole.predict(X), model.to_table_model().predict(X)]
    monkeypatch.setattr(encoding, "READ", 256)
    for before, after in zip(
        asked, [model.predict(X), whole.predict(X), model.to_table_model().predict(X)], strict=True
    ):
        assert (before == after).all()


def test_wrong_validation_rows_are_named(gathers):
    gathers()
    X, value = table()
    other, _ = table(50)
    other["size"][3] = np.inf
    with pytest.raises(ValueError, match=r"X_val: column 'size', row 3 holds infinity"):
        RealMLPRegressor(**SMALL).fit(X, value, X_val=other, y_val=value[:50])


@BOTH
def test_the_matrix_is_never_in_memory(estimator, gathers, monkeypatch):
    """Blocks of 256 rows, for training, validation and calibration, and nothing else of the same width."""
    rows, rng = 6000, np.random.default_rng(0)
    X = {f"n{i}": rng.normal(size=rows) for i in range(3)}
    X |= {f"c{i}": rng.integers(0, 250, rows) for i in range(2)}
    y = rng.normal(size=rows)
    written, write = [], gathered.GatheredRows.some
    gathers()
    monkeypatch.setattr(training, "INITIAL_ROWS", 512)

    def some(self, index):
        written.append(len(index))
        return write(self, index)

    monkeypatch.setattr(GatheredRows, "some", some)
    model = estimator(**SMALL | dict(n_epochs=1, batch_size=128, categorical=["c0", "c1"]))
    tracemalloc.start()
    try:
        model.fit(X, targets(estimator, 20 * y + 50))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written == [512]  # for the initial weights
    assert peak < 0.3 * 4 * rows * len(model.encoder_.get_feature_names_out())
