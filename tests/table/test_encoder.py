"""`TableEncoder`: the formulas of its scales, categories and gaps, tables of every library; refusals."""

import datetime
import json
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpkern._table import encoding, fitting
from bpkern.preprocessing import TableEncoder

NAN = float("nan")


def clip(s):
    """RealMLP's smooth clip."""
    return s / np.sqrt(1 + (s / 3) ** 2)


def close(found, expected):
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


# Numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_robust_scaling(offset):
    """Median and quartiles by hand; where the quartiles are equal, half of maximum minus minimum."""
    X = np.array([[0, 5], [1, 5], [2, 5], [3, 5], [10, 9]]) + offset
    s = np.array([[-2, 0], [-1, 0], [0, 0], [1, 0], [8, 4]]) / [2.0, 2.0]
    close(TableEncoder().fit_transform(X), clip(s))


def test_huge_numbers_are_clipped():
    X = np.array([[0.0], [1.0], [2.0], [3.0], [1e300]])
    encoder = TableEncoder().fit(X)
    close(encoder.transform([[-1e300], [1e300], [1.7e308]]), [[-3], [3], [3]])


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1e308])
def test_standard_scaling_of_any_size(size):
    numbers = np.array([-1.0, 0.25, 0.5, 1.0])
    found = TableEncoder(scaling="standard").fit_transform(numbers[:, None] * size)
    np.testing.assert_allclose(found[:, 0], (numbers - numbers.mean()) / numbers.std(), rtol=1e-6)


def test_numbers_beyond_float32_name_their_column():
    encoder = TableEncoder(scaling="standard").fit({"a": [0.0, 1.0], "b": [0.0, 2.0]})
    with pytest.raises(
        ValueError, match=r"column 'b', row 1 holds 1e\+300: too far from the numbers of the fit"
    ):
        encoder.transform({"a": [0.0, 1.0], "b": [0.0, 1e300]})


def test_standard_scaling():
    X = np.random.default_rng(0).normal(7, 3, (500, 3))
    found = TableEncoder(scaling="standard").fit_transform(X)
    close(found, (X - X.mean(0)) / X.std(0))


def test_quantile_scaling_makes_any_numbers_normal():
    x = np.random.default_rng(0).lognormal(0, 3, (4001, 1))
    found = TableEncoder(scaling="quantile").fit_transform(x)[:, 0]
    from statistics import NormalDist

    inverse = NormalDist().inv_cdf
    ranks = np.argsort(np.argsort(x[:, 0])) / 4000
    inner = (ranks > 0.01) & (ranks < 0.99)
    exact = np.array([inverse(p) for p in ranks[inner]])
    np.testing.assert_allclose(found[inner], exact, atol=0.03)
    assert -5.3 < found.min() < -5.1
    assert 5.1 < found.max() < 5.3


def test_quantiles_of_few_values():
    """A value that is many quantiles becomes their mean, in between are straight lines."""
    encoder = TableEncoder(scaling="quantile").fit([[0.0]] * 50 + [[1.0]] * 50)
    low, middle, high = encoder.transform([[0.0], [0.5], [1.0]])[:, 0]
    assert low == pytest.approx(-high)
    assert -1.3 < low < -0.7
    assert middle == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("scaling", ["robust", "standard", "quantile"])
def test_gaps_become_the_middle_and_an_indicator(scaling):
    x = np.array([1.0, NAN, 2, 3, NAN, 4, 7])
    encoder = TableEncoder(scaling=scaling)
    found = encoder.fit_transform({"x": x, "full": np.arange(7.0)})
    assert encoder.get_feature_names_out().tolist() == ["x", "full", "x_missing"]
    assert found[:, 2].tolist() == [0, 1, 0, 0, 1, 0, 0]
    assert found[[1, 4], 0].tolist() == [0, 0]
    full = TableEncoder(scaling=scaling).fit(x[~np.isnan(x)].reshape(-1, 1))
    close(found[~np.isnan(x), :1], full.transform(x[~np.isnan(x)].reshape(-1, 1)))
    later = encoder.transform({"x": [1.0], "full": [NAN]})  # a gap where fit saw none
    assert later[0, 1] == 0


def test_constant_and_empty_columns_are_left_out():
    table = {
        "constant": [4.0, 4, 4],
        "empty": [NAN, NAN, NAN],
        "nothing": np.array([None, None, None]),
        "one": ["a", "a", "a"],
        "constant or not there": [2.0, NAN, 2.0],
        "x": [1, 2, 3],
    }
    encoder = TableEncoder()
    found = encoder.fit_transform(table)
    assert encoder.get_feature_names_out().tolist() == ["x", "constant or not there_missing"]
    assert encoder.left_out_ == [0, 1, 2, 3]
    assert found[:, 1].tolist() == [0, 1, 0]


# Categories ------------------------------------------------------------------------------------------------


def test_one_hot_without_scaling():
    """In order; missing and unknown ones off."""
    table = {"colour": ["red", "blue", None, "green", "blue"]}
    encoder = TableEncoder(scaling="standard")
    expected = [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert encoder.fit_transform(table).tolist() == expected
    assert encoder.get_feature_names_out().tolist() == ["colour_blue", "colour_green", "colour_red"]
    assert encoder.transform({"colour": ["mauve", NAN]}).tolist() == [[0, 0, 0], [0, 0, 0]]


def test_two_categories_are_one_column():
    encoder = TableEncoder(scaling="standard")
    table = {"x": [True, False, None], "s": ["no", "yes", "no"], "only": ["a", None, "a"]}
    assert encoder.fit_transform(table).tolist() == [[1, -1, 1], [-1, 1, -1], [0, -1, 1]]
    assert encoder.get_feature_names_out().tolist() == ["x_True", "s_yes", "only_a"]


@given(
    st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=1, max_size=40),
    st.sampled_from([2, 3, 5]),
)
@settings(max_examples=60, deadline=None)
def test_robust_scaling_of_categories_is_that_of_their_columns(values, kinds):
    """As in RealMLP: the one-hot columns, each scaled as a column of numbers."""
    values = [value if value is None or value < "abcdef"[kinds] else None for value in values]
    plain = TableEncoder(scaling="standard").fit({"c": np.array(values, object)})
    names = plain.get_feature_names_out()
    encoder = TableEncoder()
    found = encoder.fit_transform({"c": np.array(values, object)})
    assert encoder.get_feature_names_out().tolist() == names.tolist()
    if found.shape[1]:
        columns = plain.transform({"c": np.array(values, object)}).astype(float)
        numbers = TableEncoder()
        close(found, numbers.fit_transform(columns))


def test_codes_for_embeddings():
    """More than max_one_hot categories: codes from 1, 0 for missing and unknown ones, at the end."""
    table = {"city": ["ulm", "bonn", "köln", None], "x": [1.0, 2, 3, 4], "yes": [True, False, True, True]}
    encoder = TableEncoder(max_one_hot=2)
    found = encoder.fit_transform(table)
    assert encoder.get_feature_names_out().tolist() == ["x", "yes_True", "city"]
    assert encoder.codes_ == {2: 4}
    assert encoder.categories_ == {0: ["bonn", "köln", "ulm"], 2: [False, True]}
    assert found[:, 2].tolist() == [3, 1, 2, 0]
    assert TableEncoder(max_one_hot=3).fit(table).codes_ == {}


def test_whole_numbers_on_request():
    table = {"zip": np.array([89073, 53111, NAN, 53111]), "x": [1, 2, 3, 4]}
    encoder = TableEncoder(categorical=["zip"], scaling="standard")
    assert encoder.fit_transform(table)[:, 1].tolist() == [1, -1, 0, -1]
    assert encoder.categories_ == {0: [53111, 89073]}
    assert encoder.transform({"zip": [53112, 89073], "x": [1, 1]})[:, 1].tolist() == [0, 1]
    by_number = TableEncoder(categorical=[0], scaling="standard")
    assert np.array_equal(by_number.fit_transform(table), encoder.transform(table))
    by_array = TableEncoder(categorical=np.array([0]), scaling="standard", max_categories=np.int64(5))
    by_array.fit(table)
    config, arrays = by_array.__bpkern_plain__()
    again = TableEncoder.__bpkern_of_plain__(json.loads(json.dumps(config)), arrays)  # as in a file
    assert np.array_equal(again.transform(table), encoder.transform(table))
    with pytest.raises(ValueError, match=r"column 'zip' is of categories, .* row 1 holds 1\.5"):
        encoder.transform({"zip": [1.0, 1.5], "x": [1, 2]})


def test_the_most_frequent_categories():
    table = {"c": list("abbbcddc")}
    encoder = TableEncoder(max_categories=2, scaling="standard").fit(table)
    assert encoder.categories_ == {0: ["b", "c"]}  # c and d are as frequent
    assert encoder.transform({"c": list("abcd")})[:, 0].tolist() == [0, -1, 1, 0]


# Tables ----------------------------------------------------------------------------------------------------

COLUMNS = {
    "number": [1.5, NAN, 2.5, 4.0],
    "whole": [3, 1, 4, 1],
    "text": ["x", "y", None, "z"],
    "flag": [True, False, True, True],
}


def tables():
    """The same table as each library has it."""
    yield "dictionary", COLUMNS
    yield "objects", np.array(list(COLUMNS.values()), dtype=object).T
    yield "lists", [list(row) for row in zip(*COLUMNS.values(), strict=True)]
    fields = [("number", "f4"), ("whole", "i2"), ("text", "O"), ("flag", "?")]
    yield "records", np.array(list(zip(*COLUMNS.values(), strict=True)), dtype=fields)


@pytest.mark.parametrize("table", [table for _, table in tables()], ids=[name for name, _ in tables()])
def test_tables_of_numpy_and_python(table):
    expected = TableEncoder().fit_transform(COLUMNS)
    assert expected.shape == (4, 7)
    assert np.array_equal(TableEncoder().fit_transform(table), expected)


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_of_libraries(library, categorical):
    module = pytest.importorskip(library, reason=f"{library} makes the table")
    given = COLUMNS | {
        "number": [1.5, None, 2.5, 4.0],
        "gap": [1, None, 2, 3],
        "doubt": [None, True, False, True],
    }
    if library == "pandas":
        table = module.DataFrame(COLUMNS)
        table["gap"] = module.array([1, None, 2, 3], dtype="Int64")
        table["doubt"] = module.array([None, True, False, True], dtype="boolean")
        if categorical:
            table["text"] = table["text"].astype("category")
    elif library == "polars":
        table = module.DataFrame(given)
        if categorical:
            table = table.with_columns(module.col("text").cast(module.Categorical))
    else:
        table = module.table(given)
        if categorical:
            table = table.set_column(2, "text", table.column("text").dictionary_encode())
    expected = TableEncoder().fit_transform(
        {**COLUMNS, "gap": [1.0, NAN, 2, 3], "doubt": np.array(given["doubt"], object)}
    )
    encoder = TableEncoder()
    assert np.array_equal(encoder.fit_transform(table), expected)
    assert encoder.feature_names_in_.tolist() == list(given)
    assert np.array_equal(encoder.transform(table[1:3]), expected[1:3])


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(1)
    table = {
        "x": np.where(rng.random(100) < 0.1, NAN, rng.normal(size=100)),
        "c": rng.choice(["a", "b", "c", None], 100),
        "z": rng.integers(0, 9, 100),
    }
    expected = TableEncoder(categorical=["z"], max_one_hot=5).fit_transform(table)
    for module in (encoding, fitting):
        monkeypatch.setattr(module, "READ", 32)
    monkeypatch.setattr(encoding, "ROWS", 5)
    assert np.array_equal(TableEncoder(categorical=["z"], max_one_hot=5).fit_transform(table), expected)


def test_no_rows_give_no_rows():
    encoder = TableEncoder().fit(COLUMNS)
    empty = {name: [] for name in COLUMNS}
    assert encoder.transform(empty).shape == (0, 7)


# Refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "kind", "message"),
    [
        (
            {"a": [1.0, 2], "when": np.array(["2024-01-01", "2024-01-02"], "M8[D]")},
            TypeError,
            "column 'when' holds dates",
        ),
        ({"when": [datetime.date(2024, 1, 1), None]}, TypeError, "column 'when' holds dates"),
        ({"when": ["2024-01-01", "2024-01-02 10:30"]}, TypeError, "column 'when' holds dates"),
        ({"x": [1.0, float("inf")]}, ValueError, "column 'x', row 1 holds infinity"),
        (
            {"x": np.array(["a", 3, None], object)},
            TypeError,
            "row 0 holds the text 'a', row 1 holds the number 3",
        ),
        ({"x": np.array([1, [2]], object)}, TypeError, "column 'x' must hold .* row 1 holds a list"),
        ({"x": [1j, 2j]}, TypeError, "column 'x' must hold numbers, texts or booleans, not complex128"),
        ({"x": [1.0], "y": [1.0, 2]}, ValueError, "'y' has 2 rows, 'x' has 1"),
        ([[1.0, "a"], [2.0, 3.0]], TypeError, "column 1 must hold values of one kind"),
        ([1.0, 2.0], ValueError, "Expected 2D array"),
        ([[1.0], [2.0, 3.0]], ValueError, "same length"),
        ({"id": [f"person {i}" for i in range(5000)]}, ValueError, "column 'id' has 5000 categories"),
        ({}, ValueError, "minimum of 1 is required"),
    ],
)
def test_bad_tables(table, kind, message):
    encoder = TableEncoder().fit(COLUMNS)
    with pytest.raises(kind, match=message):
        encoder.fit(table)
    assert encoder.n_features_in_ == 4  # nothing has changed


def test_sparse_rows_are_refused():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match="not a sparse"):
        TableEncoder().fit(sparse.csr_array(np.eye(3)))


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"number": ["a", "b"]}, TypeError, "column 'number' must hold numbers, as in fit, and holds texts"),
        ({"text": [1, 2]}, TypeError, "column 'text' must hold texts, as in fit, and holds numbers"),
        ({"text": np.array([[], "x"], object)}, TypeError, "column 'text' .* row 0 holds a list"),
        ({"flag": ["yes", "no"]}, TypeError, "column 'flag' must hold booleans, as in fit, and holds texts"),
        ({"whole": [1.0, -np.inf]}, ValueError, "column 'whole', row 1 holds infinity"),
        ({"more": [1, 2]}, ValueError, "Feature names unseen at fit time:\n- more"),
    ],
)
def test_other_columns_in_transform(changes, kind, message):
    encoder = TableEncoder().fit(COLUMNS)
    table = {name: values[:2] for name, values in COLUMNS.items()} | changes
    with pytest.raises(kind, match=message):
        encoder.transform(table)


def test_names_and_order_are_compared():
    encoder = TableEncoder().fit(COLUMNS)
    fewer = {name: values for name, values in COLUMNS.items() if name != "whole"}
    with pytest.raises(ValueError, match="now missing:\n- whole"):
        encoder.transform(fewer)
    with pytest.raises(ValueError, match=r"same order .*\nColumn 2 is 'flag', and was 'text'"):
        encoder.transform({name: COLUMNS[name] for name in ("number", "whole", "flag", "text")})
    rows = [list(row) for row in zip(*COLUMNS.values(), strict=True)]
    with pytest.raises(ValueError, match="X has 3 features, but TableEncoder is expecting 4"):
        encoder.transform([row[:3] for row in rows])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert np.array_equal(encoder.transform(rows), encoder.transform(COLUMNS))


@pytest.mark.parametrize(
    ("parameters", "kind", "message"),
    [
        (
            {"scaling": "minmax"},
            ValueError,
            "unknown scaling 'minmax': allowed are robust, standard, quantile",
        ),
        ({"categorical": "zip"}, TypeError, "categorical must be a sequence"),
        ({"categorical": ["zip"]}, ValueError, "categorical names 'zip'"),
        ({"categorical": [4]}, ValueError, "at most 3, not 4"),
        ({"max_one_hot": -1}, ValueError, "max_one_hot must be at least 0"),
        ({"max_categories": 0.5}, TypeError, "max_categories must be a whole number"),
    ],
)
def test_bad_parameters(parameters, kind, message):
    with pytest.raises(kind, match=message):
        TableEncoder(**parameters).fit(COLUMNS)


def test_not_fitted():
    with pytest.raises(ValueError, match="is not fitted"):
        TableEncoder().transform(COLUMNS)
    with pytest.raises(ValueError, match="is not fitted"):
        TableEncoder().get_feature_names_out()


# With scikit-learn -----------------------------------------------------------------------------------------


def test_scikit_learns_checks():
    checks = pytest.importorskip("sklearn.utils.estimator_checks")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = checks.check_estimator(TableEncoder(), on_skip=None)
    assert len(results) > 30


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_in_a_pipeline():
    pytest.importorskip("sklearn")
    from sklearn.base import clone
    from sklearn.pipeline import make_pipeline

    from bpkern.sklearn import MLPRegressor

    rng = np.random.default_rng(0)
    names = rng.choice(["a", "b", "c"], 200)
    X = np.stack([rng.normal(50, 100, 200).astype(object), names.astype(object)], axis=1)
    y = X[:, 0].astype(float) / 100 + (names == "b")
    model = make_pipeline(
        TableEncoder(),
        MLPRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, random_state=0, max_iter=60),
    )
    clone(model).set_params(tableencoder__scaling="standard").fit(X, y)
    assert model.fit(X, y).score(X, y) > 0.9
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), model.predict(X))
    assert list(again[0].get_params()) == ["scaling", "categorical", "max_one_hot", "max_categories"]


def test_skops():
    skops = pytest.importorskip("skops.io")
    encoder = TableEncoder(max_one_hot=1).fit(COLUMNS)
    raw = skops.dumps(encoder)
    assert skops.get_untrusted_types(data=raw) == ["bpkern.preprocessing.TableEncoder"]
    loaded = skops.loads(raw, trusted=["bpkern.preprocessing.TableEncoder"])
    assert np.array_equal(loaded.transform(COLUMNS), encoder.transform(COLUMNS))


@pytest.mark.parametrize("scaling", ["robust", "standard", "quantile"])
@pytest.mark.parametrize("fitted", [False, True])
def test_pickles(scaling, fitted):
    encoder = TableEncoder(scaling=scaling, categorical=["whole"])
    if not fitted:
        assert repr(pickle.loads(pickle.dumps(encoder))) == repr(encoder)
        return
    encoder.fit(COLUMNS)
    again = pickle.loads(pickle.dumps(encoder))
    assert np.array_equal(again.transform(COLUMNS), encoder.transform(COLUMNS))
    assert again.get_feature_names_out().tolist() == encoder.get_feature_names_out().tolist()


def test_decimals_and_fractions_are_numbers():
    x = np.array([Fraction(1, 2), Fraction(3, 2), None, Fraction(7, 2)], object)
    expected = TableEncoder().fit_transform({"x": [0.5, 1.5, NAN, 3.5]})
    assert np.array_equal(TableEncoder().fit_transform({"x": x}), expected)


def test_memory_of_transform():
    """At most the result and a fifth of the table, here of 300,000 rows."""
    import tracemalloc

    rng = np.random.default_rng(0)
    table = {f"x{i}": rng.normal(size=300_000) for i in range(15)} | {
        "c": rng.choice(np.array(list("abc"), object), 300_000)
    }
    encoder = TableEncoder().fit({name: values[:5000] for name, values in table.items()})
    size = sum(values.nbytes for values in table.values())
    tracemalloc.start()
    result = encoder.transform(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - result.nbytes < 0.2 * size
