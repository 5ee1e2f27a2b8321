"""Encoders with their networks in ONNX, run by onnxruntime, and in C: docs/export.md."""

import ctypes
import re
import warnings

import numpy as np
import pytest
from export_helpers import compiled

import bpkern
from bpkern import export
from bpkern.preprocessing import TableEncoder, TableModel

N = 90
SCALINGS = ("robust", "standard", "quantile")


def table(seed=0, rows=N):
    """Columns of every kind; names that outputs and nodes have, too."""
    rng = np.random.default_rng(seed)
    texts = rng.choice(["a", "é x", '"\\', "", "b??="], rows).astype(object)
    texts[rng.integers(rows)] = None
    return {
        "size": rng.lognormal(30, 3, rows),
        "Cast_3": np.where(rng.random(rows) < 0.2, np.nan, rng.normal(size=rows)),
        "label": texts,
        "two": rng.choice(["no", "yes"], rows).astype(object),
        "same": np.full(rows, "x", object),
        "code": rng.integers(-4, 5, rows) * 1000,
        "": rng.random(rows) > 0.5,
        "lonely": np.where(rng.random(rows) < 0.5, np.nan, 1.5),
        "variable": rng.integers(0, 3, rows),
    }


def awkward():
    """The rows of another table with what the first did not have: unknown categories, and far numbers."""
    found = table(1, 40)
    found["label"][:3] = "never seen", None, "a"
    found["two"][:2] = None, "maybe"
    found["code"] = found["code"].astype(float)
    found["code"][:5] = 77, np.nan, -1e9, 1e15, -4000
    found["size"][:4] = 0, 1e40, -1e-300, np.nan
    found[""] = found[""].astype(object)
    found[""][:2] = None, False
    return found


def plain(name, values):
    """A column in the form of ONNX and C: texts, or float64."""
    if name in ("label", "two", "same"):
        return [("no such text" if each is None else each) for each in values]
    return [np.nan if each is None else float(each) for each in np.asarray(values, object)]


def run(made, given):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {}
    for each in session.get_inputs():
        name = "" if each.name == "x6" else each.name
        kind = object if each.type == "tensor(string)" else np.float64
        feeds[each.name] = np.array(plain(name, given[name]), kind).reshape(-1, 1)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def identity(encoder):
    """A model that predicts what the encoder returns."""
    width = len(encoder.get_feature_names_out())
    return TableModel(
        encoder, bpkern.MLP([width, width], loss="mse", init=[(np.eye(width), np.zeros(width))])
    )


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("most", [None, 2, 0])
def test_encoders_have_the_same_bits_in_onnx(scaling, most):
    pytest.importorskip("onnx")
    known = table()
    encoder = TableEncoder(scaling=scaling, categorical=["code"], max_one_hot=most).fit(known)
    made = export.to_onnx(identity(encoder))
    assert ("same" in [each.name for each in made.graph.input]) == (most == 0)  # it has codes, or nothing
    for given in (known, awkward()):
        [(name, found)] = run(made, given).items()
        assert name == "variable_"  # a column has the name
        expected = encoder.transform(given)
        if scaling == "quantile":  # np.interp adds in another order
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
        else:
            assert np.array_equal(found, expected.astype(np.float64))


def test_columns_without_names_are_one_input():
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    X = np.random.default_rng(0).normal(size=(30, 4))
    X[::5, 2], X[:, 1] = np.nan, X[:, 1].round()
    encoder = TableEncoder(categorical=[1]).fit(X)
    session = runtime.InferenceSession(export.to_onnx(identity(encoder)).SerializeToString())
    assert [each.name for each in session.get_inputs()] == ["X"]
    assert np.array_equal(session.run(None, {"X": X})[0], encoder.transform(X).astype(np.float64))


CASES = [
    ("td", 1, "texts"),
    ("td-s", 1, "values"),
    ("td", 3, "values"),
    ("td-s", 2, "numbers"),
    ("td", 2, "two targets"),
    ("td-s", 1, "booleans"),
]


def fitted(recipe, count, kind):
    pytest.importorskip("sklearn")
    from bpkern.sklearn import RealMLPClassifier, RealMLPRegressor

    known = table()
    value = np.log(known["size"]) + np.nan_to_num(known["Cast_3"]) + (known["two"] == "yes")
    estimator = RealMLPRegressor if kind in ("values", "two targets") else RealMLPClassifier
    y = 1e5 + 1e-3 * value
    if kind == "two targets":
        y = np.column_stack([y, 1e30 * value])
    elif kind == "booleans":
        y = value > 30
    elif kind != "values":
        y = np.array(["lo", "mid", "hi"] if kind == "texts" else [3, 5, 8])[np.digitize(value, [29, 31])]
    settings = {"n_epochs": 4, "n_models": count, "hidden_layer_sizes": (12, 8), "n_threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator(recipe, categorical=["code"], random_state=0, **settings).fit(known, y)


def assert_near(found, expected, unit, near=1e-5):
    """In units of the deviations, which may be small beside the values."""
    np.testing.assert_allclose((found - expected) / unit, 0, atol=near)


@pytest.mark.parametrize(("recipe", "count", "kind"), CASES)
def test_realmlp_in_onnx(recipe, count, kind, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = fitted(recipe, count, kind)
    made = export.to_onnx(model, tmp_path / "net.onnx")
    assert onnx.load(tmp_path / "net.onnx") == made
    onnx.checker.check_model(made, full_check=True)
    given = awkward()
    found = run(made, given)
    if kind in ("values", "two targets"):
        expected = model.predict(given).reshape(len(found["variable_"]), -1)
        assert_near(found["variable_"], expected, model.spread_)
    else:
        np.testing.assert_allclose(found["probabilities"], model.predict_proba(given), atol=2e-6)
        assert np.array_equal(found["label_"], model.predict(given))
    if count == 1 and kind != "two targets":
        again = export.to_onnx(model.to_table_model("y"))
        for name, values in run(again, given).items():
            assert np.array_equal(values, found[name])


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_pipelines_that_begin_with_an_encoder():
    pytest.importorskip("onnx")
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bpkern.sklearn import MLPClassifier

    known = table()
    y = known["two"] == "yes"
    model = make_pipeline(TableEncoder(), StandardScaler(), MLPClassifier((5,), max_iter=5, random_state=0))
    model.fit(known, y)
    given = awkward()
    found = run(export.to_onnx(model), given)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(given), atol=1e-5)


def by_c(library, name, given, outputs, dtype=np.float64):
    """The predictions of the C file, whose rows are made by its own `net_code`."""
    double = ctypes.c_double
    predict, code = getattr(library, f"{name}_predict"), getattr(library, f"{name}_code")
    code.restype, code.argtypes = double, (ctypes.c_int, ctypes.c_char_p)
    columns = []
    for place, (column, values) in enumerate(given.items()):
        values = plain(column, values)
        if column in ("label", "two", "same"):
            values = [code(place, text.encode()) for text in values]
        columns.append(values)
    rows, out = np.array(columns).T.copy(), np.empty(outputs, dtype)
    found = []
    for row in rows:
        predict(row.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p))
        found.append(out.copy())
    return np.array(found)


def test_encoders_have_the_same_bits_in_c(tmp_path):
    known, given = table(), awkward()
    encoders = {
        f"{scaling}{most}": TableEncoder(scaling=scaling, categorical=["code"], max_one_hot=most).fit(known)
        for scaling in SCALINGS
        for most in (None, 2, 0)
    }
    texts = [export.to_c(identity(each), name=name) for name, each in encoders.items()]
    texts += [export.to_c(identity(encoders["robustNone"]), name="given", data=given)]
    names = [*encoders, "given"]
    library = compiled("\n".join(texts), tmp_path, options=[f"-D{name.upper()}_TEST" for name in names])
    for name, encoder in encoders.items():
        for rows in (known, given):
            expected = encoder.transform(rows)
            found = by_c(library, name, rows, expected.shape[1])
            if name.startswith("quantile"):
                np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
            else:
                assert np.array_equal(found, expected)
    for name in names:
        assert getattr(library, f"{name}_test")() == 0


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize(("recipe", "kind"), [("td", "texts"), ("td", "values"), ("td-s", "values")])
def test_realmlp_in_c(recipe, kind, weights, tmp_path):
    model, given = fitted(recipe, 1, kind), awkward()
    text = export.to_c(model, name="own", weights=weights, data=given)
    library = compiled(text, tmp_path, options=["-DOWN_TEST"])
    assert library.own_test() == 0
    if kind == "values":
        found = by_c(library, "own", given, 1)
        expected, unit = model.predict(given)[:, None], model.spread_[0]
    else:
        found = by_c(library, "own", given, 3, np.float32)
        expected, unit = model.predict_proba(given), 1.0
    assert_near(found, expected, unit, 0.05 if weights == "int8" else 1e-5)
    assert export.to_c(model.to_table_model("y"), name="own", weights=weights, data=given) == text


def test_files_of_tables_on_the_command_line(tmp_path, capsys):
    from bpkern._cli import main

    given = {name: values for name, values in table().items() if name in ("size", "two", "code")}
    width = len((encoder := TableEncoder().fit(given)).get_feature_names_out())
    model = TableModel(encoder, bpkern.MLP([width, 2], loss="cross_entropy", seed=0), classes=["p", "q"])
    model.save(tmp_path / "model.npz")
    rows = "size,two,code\n1e13,yes,2000\n,no,-1000\n"
    (tmp_path / "rows.csv").write_text(rows)
    paths = {name: str(tmp_path / name) for name in ("model.npz", "rows.csv", "net.c")}
    assert main(["export", paths["model.npz"], "--c", paths["net.c"], "--data", paths["rows.csv"]]) == 0
    data = {"size": [1e13, np.nan], "two": ["yes", "no"], "code": [2000, -1000]}
    assert (tmp_path / "net.c").read_text() == export.to_c(model, data=data)
    (tmp_path / "rows.csv").write_text(rows.replace("two", "three"))
    assert main(["export", paths["model.npz"], "--c", paths["net.c"], "--data", paths["rows.csv"]]) == 1
    assert "'two'" in capsys.readouterr().err


def test_what_c_does_not_have_is_refused():
    model = fitted("td-s", 2, "numbers")
    with pytest.raises(ValueError, match="one network, not 2"):
        export.to_c(model)
    given = {"a": np.array(["x", "y\0z", "x"], object), "b": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match="null character"):
        export.to_c(identity(TableEncoder().fit(given)))


@pytest.mark.parametrize("function", [export.to_onnx, export.to_c])
def test_categories_that_files_do_not_have_are_refused(function):
    given = {"a": np.array([-(1 << 54), 2, 1]), "b": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match=r"column 'a': .* below 2\*\*53 .* not -18014398509481984"):
        function(identity(TableEncoder(categorical=["a"]).fit(given)))
    given["a"] = np.array(["x", "\udc80", "é"], object)
    with pytest.raises(ValueError, match=r"column 'a': a category is not Unicode: '\\udc80'"):
        function(identity(TableEncoder().fit(given)))


def test_columns_without_a_name_get_a_free_one():
    pytest.importorskip("onnx")
    given = {"": np.array([1.0, 2, 4]), "x0": np.array([3.0, 1, 2])}
    model = identity(TableEncoder().fit(given))
    made = export.to_onnx(model)
    assert [each.name for each in made.graph.input] == ["x0_", "x0"]


def numbers_by_c(text, X, dtype, folder):
    """The values (n, 1) that a C file predicts for rows of numbers, both of this dtype."""
    library, X = compiled(text, folder), np.array(X, dtype)
    found = np.empty((len(X), 1), dtype)
    for row, out in zip(X, found, strict=True):
        library.net_predict(*(ctypes.c_void_p(each.ctypes.data) for each in (row, out)))
    return found


@pytest.mark.parametrize(("center", "spread"), [(1e9, 1e-3), (0, 1e39), (-1, 1e-50)])
def test_values_of_every_size_in_c(center, spread, tmp_path):
    X = np.random.default_rng(0).normal(size=(20, 2))
    model = TableModel(
        TableEncoder().fit(X), bpkern.MLP([2, 3, 1], loss="mse", seed=0), center=center, spread=spread
    )
    found = numbers_by_c(export.to_c(model), X, np.float64, tmp_path)
    np.testing.assert_allclose((found - model.predict(X)) / spread, 0, atol=5e-4 if center > 1 else 1e-6)


def test_doubles_of_32_bits_have_the_bound_of_far_numbers(tmp_path):
    model = identity(TableEncoder().fit(np.arange(5.0)[:, None]))
    text = re.sub(r"\b(\d+\.\d+|\d+e[+-]\d+)\b(?!f)", r"\1f", export.to_c(model)).replace("double", "float")
    found = numbers_by_c(text, [[1e21], [-1e30], [2.0]], np.float32, tmp_path)
    assert found[:, 0] == pytest.approx([3, -3, 0], rel=1e-6)


def test_the_heading_has_the_names_of_columns_and_the_bytes_of_constants():
    given = {"net_income": [1.0, 2, 3], 'NET_ "*/': ["a", "static const double a[100000]", "c"]}
    text = export.to_c(identity(TableEncoder().fit(given)), name="own")
    heading = text.partition("*/")[0]
    assert '0 "net_income": a number, or NAN' in heading
    assert '1 "NET_ \\"* /": own_code(1, text)' in heading
    # Weights and biases; place, center and factor; three texts and their pointers; off and on; values.
    flash = 4 * (4 * 4 + 4) + (4 + 8 + 8) + (2 + 30 + 2 + 3 * 8) + 2 * 3 * 4 + 2 * 4 * 8
    assert f"Flash: {flash} bytes" in heading


def test_self_tests_have_gaps_and_unknown_texts():
    given = {"a": [1.0, np.nan, 3], "b": [1.0, 2, 3], "c": ["p", "q", "q"]}
    rows = export.to_c(identity(TableEncoder().fit(given))).partition("net_test_x")[2].partition("net_test_y")
    first = rows[0].partition("{\n    {")[2].partition("}")[0].split(",")
    assert first[0].strip() == "NAN"
    assert float(first[2]) == 0


def test_data_that_are_not_finite_are_refused_by_the_name_of_the_column():
    given = {"a": [1.0, 2, 3]}
    with pytest.raises(ValueError, match=r"column 'a', row 1 holds infinity"):
        export.to_c(identity(TableEncoder().fit(given)), data={"a": [1.0, np.inf]})


def test_models_that_other_forms_do_not_have_are_refused(tmp_path):
    model = identity(TableEncoder().fit({"a": [1.0, 2, 3]}))
    for function in (export.to_torch, lambda each: export.to_safetensors(each, tmp_path / "a.safetensors")):
        with pytest.raises(
            TypeError, match=r"TableModel reads raw tables, which only to_onnx and to_c export"
        ):
            function(model)
    pytest.importorskip("sklearn")
    from sklearn.pipeline import Pipeline

    for function in (export.to_onnx, export.to_c, export.to_torch):
        with pytest.raises(TypeError, match="the last step of the Pipeline must be an estimator"):
            function(Pipeline([("a", "passthrough")]))


def test_files_are_written_after_all_forms_have_been_accepted(tmp_path, capsys):
    pytest.importorskip("safetensors")
    from bpkern._cli import main

    encoder = TableEncoder(max_one_hot=0).fit({"a": np.array(["x", "y", "z"], object)})
    inputs = [bpkern.inputs.CategoryEmbedding(0, 4, 2)]
    TableModel(encoder, bpkern.MLP([1, 1], loss="mse", inputs=inputs)).save(tmp_path / "model.npz")
    files = [str(tmp_path / name) for name in ("model.npz", "net.c", "net.safetensors")]
    assert main(["export", files[0], "--c", files[1], "--safetensors", files[2]]) == 1
    assert "torch and safetensors" in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == ["model.npz"]
