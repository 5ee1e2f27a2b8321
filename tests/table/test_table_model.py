"""`TableModel`: predictions from raw tables, files of network and encoder, harmful files."""

import copy
import itertools
import pickle
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpkern
from bpkern import export
from bpkern._files import container
from bpkern.preprocessing import TableEncoder, TableModel

TABLE = {
    "x": [1.0, float("nan"), 3.0, 4.0, 5.5, 6.0],
    "c": ["ä", "b", "\ud800", "b", None, "x\0y"],
    "flag": [True, False, True, True, False, True],
    "z": [1, 5, 1, 7, 7, 7],
}
LABELS = [["no", "yes"], [False, True], [-3, 5], [0.5, 1.5]]


def labelled(classes=None, scaling="robust", **settings):
    encoder = TableEncoder(scaling=scaling, categorical=["z"], **settings)
    X = encoder.fit_transform(TABLE)
    model = bpkern.MLP([X.shape[1], 4, 1], loss="binary_cross_entropy", optimizer=bpkern.Adam(0.05), seed=0)
    model.fit(X, [0, 1, 0, 1, 1, 0], epochs=200, verbose=0)
    return TableModel(encoder, model, classes=classes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    labelled(["no", "yes"], max_one_hot=2).save(path)
    return path


@pytest.mark.parametrize("classes", LABELS, ids=str)
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_labels_and_files(classes, suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors writes these files")
    model = labelled(classes)
    assert model.predict(TABLE).tolist() == [classes[i] for i in (0, 1, 0, 1, 1, 0)]
    proba = model.predict_proba(TABLE)
    assert np.array_equal(proba[:, 1:], model.model.predict_proba(model.encoder.transform(TABLE)))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    model.save(tmp_path / f"model{suffix}")
    for again in (TableModel.load(tmp_path / f"model{suffix}"), pickle.loads(pickle.dumps(model))):
        assert again.predict(TABLE).tolist() == model.predict(TABLE).tolist()
        assert np.array_equal(again.predict_proba(TABLE), proba)
        assert again.classes_.tolist() == classes
        assert again.classes_.dtype == model.classes_.dtype
        assert repr(again.encoder) == repr(model.encoder)
        assert (
            again.encoder.get_feature_names_out().tolist() == model.encoder.get_feature_names_out().tolist()
        )


def test_values_have_their_units(tmp_path):
    encoder = TableEncoder()
    X = encoder.fit_transform(TABLE)
    model = bpkern.MLP([X.shape[1], 4, 1], loss="mse", seed=0)
    model.fit(X, np.zeros(6), epochs=1, verbose=0)
    whole = TableModel(encoder, model, center=1e6, spread=2.0)
    whole.save(tmp_path / "values.npz")
    expected = 1e6 + 2 * model.predict(X).astype(float)
    assert np.array_equal(TableModel.load(tmp_path / "values.npz").predict(TABLE), expected)
    with pytest.raises(ValueError, match="predict_proba is for"):
        whole.predict_proba(TABLE)
    low, high = np.quantile(expected, [0.3, 0.7])
    TableModel(encoder, model, center=1e6, spread=2.0, limits=(low, high)).save(tmp_path / "cut.npz")
    found = TableModel.load(tmp_path / "cut.npz").predict(TABLE)
    assert np.array_equal(found, np.clip(expected, low, high))
    assert not np.array_equal(found, expected)
    for limits, kind in (((2, 1), ValueError), ((1, np.inf), ValueError), (3, TypeError)):
        with pytest.raises(kind, match="limit"):
            TableModel(encoder, model, limits=limits)


def test_a_python_loss_is_given_again(tmp_path):
    def own(outputs, y):
        return ((outputs - y) ** 2).sum(axis=1), 2 * (outputs - y)

    encoder = TableEncoder(categorical=["z"]).fit(TABLE)
    model = bpkern.MLP([len(encoder.get_feature_names_out()), 1], loss=own, seed=0)
    TableModel(encoder, model).save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match="give loss="):
        TableModel.load(tmp_path / "model.npz")
    again = TableModel.load(tmp_path / "model.npz", loss=own)
    assert np.array_equal(again.predict(TABLE), TableModel(encoder, model).predict(TABLE))


def test_the_network_alone(saved):
    """Other readers of the file see a network, to which the encoder adds nothing."""
    network = bpkern.MLP.load(saved)
    assert network.layers[0] == len(TableModel.load(saved).encoder.get_feature_names_out())


def test_a_network_without_an_encoder(tmp_path):
    bpkern.MLP([2, 1], loss="mse", seed=0).save(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"net\.npz holds a network without an encoder: MLP\.load"):
        TableModel.load(tmp_path / "net.npz")


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_estimators_bring_their_labels():
    pytest.importorskip("sklearn")
    from bpkern.sklearn import MLPClassifier

    encoder = TableEncoder()
    X, y = encoder.fit_transform(TABLE), np.array(list("aabbcc"))
    estimator = MLPClassifier(max_iter=40, learning_rate_init=0.01, random_state=0).fit(X, y)
    model = TableModel(encoder, estimator)
    assert model.predict(TABLE).tolist() == estimator.predict(X).tolist()
    np.testing.assert_allclose(model.predict_proba(TABLE), estimator.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (lambda e, m: (e, m, ["a"]), ValueError, "at least two different labels"),
        (lambda e, m: (e, m, ["a", "a"]), ValueError, "at least two different labels"),
        (lambda e, m: (e, m, list("abc")), ValueError, "classes must be 2 labels, not 3"),
        (lambda e, m: (e, m, ["a", 1]), TypeError, "texts, numbers or booleans alone, not int, str"),
        (lambda e, m: (m, m, None), TypeError, "encoder must be a bpkern.preprocessing.TableEncoder"),
        (lambda e, m: (e, "m", None), TypeError, "model must be a bpkern.MLP or a fitted estimator"),
        (lambda e, m: (TableEncoder(), m, None), ValueError, "not fitted"),
        (lambda e, m: (e, bpkern.MLP([3, 1], loss="mse"), None), ValueError, "the model 3 inputs"),
        (lambda e, m: (e, bpkern.MLP([m.layers[0], 1], loss="mse"), ["a", "b"]), ValueError, "not for mse"),
        (
            lambda e, m: (e, bpkern.MLP([m.layers[0], 2], loss="binary_cross_entropy"), None),
            ValueError,
            "several yes or no",
        ),
    ],
)
def test_parts_that_do_not_fit(arguments, kind, message):
    whole = labelled()
    encoder, model, classes = arguments(whole.encoder, whole.model)
    with pytest.raises(kind, match=message):
        TableModel(encoder, model, classes=classes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"center": 3}, "center, spread and limits are for models of values, not for binary_cross_entropy"),
        ({"limits": (0, 1)}, "center, spread and limits are for models of values"),
        ({"spread": 0}, "spread must be finite and above 0, not 0"),
        ({"spread": np.nan}, "spread must be finite and above 0, not nan"),
        ({"center": np.inf}, "center must be finite"),
    ],
)
def test_numbers_that_do_not_fit(given, message, saved):
    whole = TableModel.load(saved)
    with pytest.raises(ValueError, match=message):
        TableModel(whole.encoder, whole.model, **given)


def encoded_by_the_page(config, arrays, table):
    """A table encoded as docs/file-format.md says, value by value, for "robust"."""
    numbers, indicators, results, codes = [], [], [], []
    number = 0
    for i, kind in enumerate(config["kinds"]):
        values = list(table.values())[i]
        if kind == "number":
            center, factor = arrays["table.center"][number], arrays["table.factor"][number]
            s = [(x - center) * factor for x in values]
            if factor:
                numbers.append([0.0 if x != x else x / (1 + (x / 3) ** 2) ** 0.5 for x in s])
            if number in config["gaps"]:
                indicators.append([float(x != x) for x in values])
            number += 1
            continue
        if kind == "text":
            ends = [0, *arrays[f"table.{i}.ends"]]
            raw = arrays[f"table.{i}.text"].tobytes()
            known = [raw[a:b].decode("utf-8", "surrogatepass") for a, b in itertools.pairwise(ends)]
        else:
            known = arrays[f"table.{i}.categories"].tolist()
        found = [known.index(value) + 1 if value in known else 0 for value in values]
        result = arrays.get(f"table.{i}.results")
        if result is None:
            codes.append(found)
        elif result.ndim == 1:
            results.append([result[code] for code in found])
        else:
            for place, (off, on) in enumerate(result.T, 1):
                results.append([on if code == place else off for code in found])
    return np.array([*numbers, *indicators, *results, *codes], np.float32).T


@pytest.mark.parametrize("max_one_hot", [None, 2])
def test_the_format_is_that_of_the_page(max_one_hot, tmp_path):
    model = labelled(max_one_hot=max_one_hot)
    model.save(tmp_path / "model.npz")
    config, arrays = container.read(tmp_path / "model.npz")
    expected = encoded_by_the_page(config["table"], arrays, TABLE)
    np.testing.assert_allclose(model.encoder.transform(TABLE), expected, rtol=1e-6, atol=1e-7)


# Files of other origin -------------------------------------------------------------------------------------


def places(config, way=()):
    """All places in a configuration."""
    yield way
    if isinstance(config, dict | list):
        for key, value in config.items() if isinstance(config, dict) else enumerate(config):
            yield from places(value, (*way, key))


ODD = [None, -1, 10**9, 2.5, "x", "number", "boolean", "integer", "text", [], [1, 2], {}, True]


@pytest.mark.filterwarnings("ignore:X has feature names")
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_changed_configurations_are_refused_or_work(saved, data):
    config, arrays = container.read(saved)
    *way, last = data.draw(st.sampled_from([way for way in places(config["table"]) if way]))
    inner = config["table"]
    for key in way:
        inner = inner[key]
    inner[last] = data.draw(st.sampled_from(ODD))
    _loads_or_raises(config, arrays)


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_changed_arrays_are_refused_or_work(saved, data):
    config, arrays = container.read(saved)
    name = data.draw(st.sampled_from([name for name in arrays if name.startswith("table.")]))
    array = arrays.pop(name)
    change = data.draw(st.sampled_from(["gone", "empty", "longer", "wider", "other type", "negative", "nan"]))
    if change == "empty":
        arrays[name] = array[:0]
    elif change == "longer":
        arrays[name] = np.concatenate([array, array])
    elif change == "wider":
        arrays[name] = array.reshape(1, *array.shape)
    elif change == "other type":
        arrays[name] = array.astype(np.float64 if array.dtype.kind in "iu" else np.int64)
    elif change == "negative":
        arrays[name] = (
            (-array.astype(np.int64)).astype(array.dtype) - 1 if array.dtype.kind in "iu" else -array
        )
    elif change == "nan" and array.dtype.kind == "f":
        arrays[name] = np.full_like(array, np.nan)
    _loads_or_raises(config, arrays)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("table.1.ends", lambda ends: ends + 1, "ends of texts must increase up to the last byte"),
        ("table.classes.ends", lambda ends: ends[::-1], "ends of texts must increase"),
        ("table.center", lambda center: center * np.nan, "center must be 1 finite numbers"),
        ("table.2.results", lambda results: results[:2], "results of 2 categories"),
        ("table.2.categories", lambda categories: categories + 1, "booleans must be 0 and 1"),
        ("table.3.categories", lambda categories: categories[::-1], "categories must be in order"),
    ],
)
def test_arrays_that_are_no_encoder(saved, name, change, message):
    config, arrays = container.read(saved)
    arrays[name] = change(arrays[name])
    with (
        mock.patch.object(container, "read", return_value=(config, arrays)),
        pytest.raises(ValueError, match=f"^changed.npz: .*{message}"),
    ):
        TableModel.load("changed.npz")


def _loads_or_raises(config, arrays):
    try:
        with mock.patch.object(container, "read", return_value=(config, arrays)):  # as if it had this digest
            model = TableModel.load("changed.npz")
    except (ValueError, TypeError) as error:
        assert "changed.npz" in str(error)  # noqa: PT017
        return
    try:
        result = model.predict_proba(TABLE)
    except (ValueError, TypeError):
        return  # a table with other columns, or of another kind
    assert result.shape == (6, 2)


def test_old_files_stay_if_a_save_fails(saved):
    whole = TableModel.load(saved)
    broken = copy.copy(whole)
    broken.encoder = TableEncoder()
    with pytest.raises(ValueError, match="not fitted"):
        broken.save(saved)
    assert TableModel.load(saved).predict(TABLE).tolist() == whole.predict(TABLE).tolist()


# Exports ---------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_exports_of_an_encoder():
    """Numbers that are scaled as by StandardScaler; all else has a place in ONNX and C alone."""
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from bpkern.sklearn import MLPRegressor

    X = np.random.default_rng(0).normal(3, 2, (40, 3))
    own = make_pipeline(TableEncoder(scaling="standard"), MLPRegressor(max_iter=3, random_state=0)).fit(
        X, X[:, 0]
    )
    theirs = make_pipeline(StandardScaler(), own[1])
    theirs[0].fit(X)
    scalings = [export.net_of(pipeline).scaling for pipeline in (own, theirs)]
    for found, expected in zip(*scalings, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    robust = make_pipeline(TableEncoder(), own[1])
    robust[0].fit(X)
    with pytest.raises(
        TypeError,
        match=r"TableEncoder\(\) can be exported to torch .* only if it is TableEncoder\(scaling='sta",
    ):
        export.to_safetensors(robust, "net.safetensors")
    with pytest.raises(
        TypeError, match=r"TableModel reads raw tables, .*: export its network \(TableModel\.model"
    ):
        export.to_safetensors(labelled(), "net.safetensors")
