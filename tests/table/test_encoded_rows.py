"""Rows of a large table, encoded when they are needed: the same numbers as those of the whole matrix."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest

from bpkern._table import encoded_rows, encoding
from bpkern._table.encoded_rows import EncodedRows
from bpkern._table.frames import as_frame
from bpkern.preprocessing import TableEncoder

ROWS = 300


@pytest.fixture(autouse=True)
def short_ranges(monkeypatch):
    """Several ranges and blocks in few rows."""
    monkeypatch.setattr(encoding, "READ", 128)
    monkeypatch.setattr(encoded_rows, "READ", 128)
    monkeypatch.setattr(encoding, "ROWS", 50)


def columns(seed=0, rows=ROWS):
    """Columns of every kind, with gaps; values and categories differ by seed."""
    rng = np.random.default_rng(seed)
    gap = rng.random(rows) < 0.2
    return {
        "float": np.where(gap, np.nan, rng.lognormal(size=rows)),
        "single": rng.normal(size=rows).astype(np.float32),
        "whole": rng.integers(0, 1000, rows),
        "constant": np.ones(rows),
        "place": rng.choice([*"abcdefghijkl"[: 10 + seed]], rows).astype(object),
        "answer": rng.choice(np.array(["no", "yes", None], object), rows),
        "bool": rng.random(rows) < 0.5,
        "code": rng.integers(0, 300 + seed, rows),
        "objects": np.array([None if g else v for g, v in zip(gap, rng.normal(size=rows), strict=True)]),
    }


def of_arrays(found):
    return found


def of_pandas(found):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({name: pd.Series(values) for name, values in found.items()})
    table["nullable"] = pd.Series(np.where(np.isnan(found["float"]), None, found["whole"]), dtype="Int64")
    table["categorical"] = table["place"].astype("category")
    table["codes"] = table["code"].astype("category")
    table["text"] = table["place"].astype("str")
    return table


def of_polars(found):
    pl = pytest.importorskip("polars")
    table = pl.DataFrame({name: values for name, values in found.items() if name != "objects"})
    return pl.concat([table[:100], table[100:]], rechunk=False).with_columns(
        nullable=pl.when(pl.col("float").is_nan()).then(None).otherwise(pl.col("whole")),
        enum=pl.col("place").cast(pl.Categorical),
    )


def of_arrow(found):
    pa = pytest.importorskip("pyarrow")
    table = pa.table(found)
    place = table.column("place").dictionary_encode()
    return table.append_column("dictionary", place)


KINDS = pytest.mark.parametrize("kind", [of_arrays, of_pandas, of_polars, of_arrow])


@KINDS
@pytest.mark.parametrize(
    "settings",
    [
        {"categorical": ["code"]},
        {"scaling": "quantile", "max_one_hot": 5},
        {"scaling": "standard", "max_categories": 3},
    ],
)
def test_rows_in_any_order_are_those_of_the_matrix(kind, settings):
    train, other = kind(columns()), kind(columns(seed=2))  # which has categories that fit has not seen
    encoder = TableEncoder(**settings).fit(train)
    whole = np.concatenate([encoder.transform(train), encoder.transform(other)])
    rows = EncodedRows([encoder.__bpkern_table__(as_frame(table)) for table in (train, other)])
    assert rows.shape == whole.shape
    index = np.random.default_rng(1).integers(0, len(whole), 500)  # of both, and with repetitions
    for part in (index, index[index < ROWS], index[index >= ROWS], index[:1], index[:0]):
        out = np.full((len(part), whole.shape[1]), 7, np.float32)
        rows.write(part, out)
        assert (out == whole[part]).all()


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_of_numbers_is_read_where_it_is(order):
    X = np.asarray(np.random.default_rng(0).normal(size=(ROWS, 6)), order=order)
    encoder = TableEncoder().fit(X)
    rows = EncodedRows([encoder.__bpkern_table__(as_frame(X))])
    whole = encoder.transform(X)
    index = np.random.default_rng(1).permutation(ROWS)
    assert (rows.some(index) == whole[index]).all()
    X[:, 2] = np.median(X[:, 2])
    assert (rows.some(index)[:, 2] == encoder.transform(X)[index, 2]).all()


class Counted:
    """A column of pyarrow's that counts the calls of its methods."""

    def __init__(self, column):
        self._column, self.calls = column, []

    def __getattr__(self, name):
        if callable(getattr(self._column, name)):
            self.calls.append(name)
        return getattr(self._column, name)


def test_chunks_are_joined_once():
    """A `take` of several chunks joins them all, in each block of an epoch."""
    pa = pytest.importorskip("pyarrow")
    values = np.random.default_rng(0).normal(size=ROWS)
    several = Counted(pa.chunked_array([values[:100], values[100:250], values[250:]]))
    one = Counted(pa.chunked_array([values]))
    columns = [several, one]
    table = SimpleNamespace(column_names=["a", "b"], shape=(ROWS, 2), column=columns.__getitem__)
    frame = as_frame(table)
    index = np.random.default_rng(1).permutation(ROWS)
    for part in (index[:50], index[50:], index):
        for place in range(2):
            assert (frame.values_at(place, part) == values[part]).all()
            assert (frame.values(place, 90, 120) == values[90:120]).all()
    assert several.calls == ["combine_chunks"]  # the result is what is read from then on
    assert "combine_chunks" not in one.calls


@KINDS
def test_blocks_are_parts_of_the_matrix(kind):
    table = kind(columns())
    encoder = TableEncoder(categorical=["code"]).fit(table)
    sizes = []

    def predict(block):
        sizes.append(len(block))
        return block.copy()

    found = encoder.__bpkern_by_blocks__(as_frame(table), predict)
    assert sizes == [128, 128, 44]
    assert (found == encoder.transform(table)).all()


def test_a_table_without_rows_is_one_block():
    encoder = TableEncoder().fit(columns())
    none = {name: values[:0] for name, values in columns().items()}
    found = encoder.__bpkern_by_blocks__(as_frame(none), np.copy)
    assert found.shape == (0, encoder.transform(none).shape[1])


@pytest.mark.parametrize(
    ("name", "value"), [("float", np.inf), ("place", 3.5), ("bool", "x"), ("objects", "x")]
)
def test_values_are_checked_before_the_first_row_is_needed(name, value):
    table = columns()
    encoder = TableEncoder().fit(table)
    wrong = table | {name: table[name].astype(object if isinstance(value, str) else table[name].dtype)}
    wrong[name][200] = value
    with pytest.raises((TypeError, ValueError)) as of_matrix:
        encoder.transform(wrong)
    with pytest.raises(of_matrix.type) as of_rows:
        encoder.__bpkern_table__(as_frame(wrong))
    assert str(of_rows.value) == str(of_matrix.value)
    assert repr(name) in str(of_rows.value)


def test_what_is_kept_beside_the_table(monkeypatch):
    """A byte per row and column of up to 255 categories, two for more, and nothing for numbers."""
    monkeypatch.undo()
    rows = 100_000
    rng = np.random.default_rng(0)
    table = {f"n{i}": rng.normal(size=rows) for i in range(4)}
    table |= {f"c{i}": rng.integers(0, 200, rows) for i in range(3)} | {"many": rng.integers(0, 300, rows)}
    encoder = TableEncoder(categorical=["c0", "c1", "c2", "many"]).fit(table)
    tracemalloc.start()
    try:
        kept = encoder.__bpkern_table__(as_frame(table))
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 5 * rows <= now < 5.2 * rows
    assert 4 * rows * kept.width > 3e8  # of the matrix
