"""docs/file-format.md: readers that know only that page get the weights and predictions of bpkern's own."""

import ast
import hashlib
import json
import re
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers import ACTIVATIONS

import bpkern
from bpkern import activations, callbacks, losses, schedules
from bpkern._files import container
from bpkern.inputs import CategoryEmbedding, NumericEmbedding, Scale

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "file-format.md").read_text()
GOLDEN = ROOT / "tests" / "golden"

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 5))
LABELS = RNG.integers(0, 3, 24)
VALUES = RNG.standard_normal((24, 3))


# Two readers, written from the page alone: they import nothing of bpkern -----------------------------------

TYPES = {"BOOL": "|b1", "I8": "|i1", "U8": "|u1", "F16": "<f2", "BF16": "<u2"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iuf" for size in (2, 4, 8)
}


def read_npz(path):
    """(metadata, arrays) of a .npz: members without compression, in version 1.0 of NumPy's format."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            assert info.compress_type == zipfile.ZIP_STORED
            assert info.date_time[:3] == (1980, 1, 1)
            raw = archive.read(info)
            assert raw[:8] == b"\x93NUMPY\x01\x00"
            end = 10 + int.from_bytes(raw[8:10], "little")
            header = ast.literal_eval(raw[10:end].decode())
            assert not header["fortran_order"]
            array = np.frombuffer(raw, header["descr"], offset=end).reshape(header["shape"])
            arrays[info.filename.removesuffix(".npy")] = array
    return json.loads(arrays.pop("__metadata__").tobytes()), arrays


def read_safetensors(path):
    """(metadata, arrays) of a .safetensors: the length of the header, the header, the elements."""
    raw = Path(path).read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata, arrays = header.pop("__metadata__"), {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        elements = np.frombuffer(raw[start + first : start + last], TYPES[entry["dtype"]])
        ending = ".bfloat16" if entry["dtype"] == "BF16" else ""
        arrays[f"{name}{ending}"] = elements.reshape(entry["shape"])
    return metadata, arrays


def read(path):
    """(configuration, arrays) of either format, after comparison of the digest."""
    metadata, arrays = (read_npz if Path(path).suffix == ".npz" else read_safetensors)(path)
    assert metadata["format"] == "bpkern"
    config = json.loads(metadata["config"])
    model = config.get("model", {"dropout": [], "optimizer": {"weight_decay": 0}, "activation": []})
    may_be_scheduled = [*model["dropout"], model["optimizer"]["weight_decay"]]
    needs_2 = (
        "groups" in config
        or not {"inputs", "bias", "input_dropout"}.isdisjoint(model)
        or any(isinstance(each, dict) for each in may_be_scheduled)
        or any("parametric" in each for each in model["activation"])
    )
    assert metadata["version"] == ("2" if needs_2 else "1")
    sha = hashlib.sha256(json.dumps([metadata[key] for key in ("format", "version", "config")]).encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(json.dumps([name, array.dtype.str, array.shape]).encode() + array.tobytes())
    assert metadata["sha256"] == sha.hexdigest()
    return config, arrays


def forward(config, arrays, x):
    """The outputs of the network, in float64."""
    model = config["model"]
    assert model["layers"][0] == x.shape[1]
    a = x
    for l, name in enumerate([*model["activation"], model["output_activation"]]):
        w, b = arrays[f"{l}.weight"], arrays[f"{l}.bias"]
        assert w.shape == (model["layers"][l + 1], model["layers"][l])
        assert w.dtype == b.dtype == model["dtype"]
        a = ACTIVATIONS[name](a @ w.T.astype(np.float64) + b)
    return a


# Models that have everything --------------------------------------------------------------------------------


def cauchy(outputs, y):
    d = outputs - y
    return np.log1p(d**2).sum(axis=1), 2 * d / (1 + d**2)


def falling(iteration):
    return 0.1 / (iteration + 1)


def trained(y=LABELS, fit=None, **settings):
    model = bpkern.MLP([5, 4, 3], **{"loss": "cross_entropy", "seed": 0} | settings)
    model.fit(X, y, batch_size=8, verbose=0, **fit or {})
    return model


MODELS = {
    "plain": lambda: trained(),
    "untrained": lambda: bpkern.MLP([5, 3], loss="mse", seed=0),
    "momentum": lambda: trained(optimizer=bpkern.SGD(0.1, 0.9, nesterov=True), dropout=0.25),
    "rmsprop": lambda: trained(
        VALUES, loss="mse", optimizer=bpkern.RMSprop(momentum=0.5, centered=True), dtype="float64"
    ),
    "adagrad": lambda: trained(VALUES, loss=losses.Quantile(0.25), optimizer=bpkern.Adagrad()),
    "adam": lambda: trained(optimizer=bpkern.Adam(amsgrad=True), fit={"ema": 0.9, "validation_split": 0.25}),
    "adamw": lambda: trained(optimizer=bpkern.AdamW(lr=schedules.OneCycle(0.1, 20))),
    "huber": lambda: trained(VALUES, loss=losses.Huber([0.5, 1.0, 2.0]), l1=1e-4, l2=1e-3),
    "functions": lambda: trained(VALUES, loss=cauchy, optimizer=bpkern.SGD(falling)),
    "arrays": lambda: trained(init=trained().get_weights(), label_smoothing=0.1),
    **{
        kind: lambda kind=kind: trained(seed=np.random.Generator(getattr(np.random, kind)(3)))
        for kind in ("PCG64DXSM", "MT19937", "Philox", "SFC64")
    },
}


@pytest.fixture(params=[".npz", ".safetensors"])
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors writes these files")
    return request.param


def checkpoint(path, resume=False):
    """A checkpoint with the state of callbacks, among it arrays and an infinity."""
    model = bpkern.MLP([5, 4, 3], loss="cross_entropy", seed=0)
    stopping = [callbacks.EarlyStopping("loss"), callbacks.ReduceLROnPlateau("accuracy", patience=3)]
    model.fit(X, LABELS, epochs=2, callbacks=stopping, checkpoint=path, resume=resume, verbose=0)
    return model


# The tests --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_reader_of_the_page_gets_weights_and_predictions(name, suffix, tmp_path):
    """ "so that other programs can read them" """
    model = MODELS[name]()
    model.save(tmp_path / f"net{suffix}")
    config, arrays = read(tmp_path / f"net{suffix}")
    for key, array in model.state_dict().items():
        assert arrays[key].tobytes() == array.tobytes()
    outputs = forward(config, arrays, X)
    assert outputs == pytest.approx(model.forward(X), rel=1e-4, abs=1e-5)
    if config["model"]["loss"] == "cross_entropy":
        assert np.array_equal(outputs.argmax(axis=1), model.predict(X))
    if model.history_:
        columns = {key: arrays[f"history.{key}"].tolist() for key in config["training"]["metrics"]}
        assert columns.pop("lr") == model.history_.lr
        assert list(columns.items()) == list(model.history_.items())


def test_a_reader_of_the_page_gets_a_checkpoint(suffix, tmp_path):
    """ "a file of `MLP.save` and ... a checkpoint of `fit`" """
    model = checkpoint(tmp_path / f"fit{suffix}")
    config, arrays = read(tmp_path / f"fit{suffix}")
    assert config["fit"]["epochs"] == 2
    assert not config["fit"]["stopped"]
    assert config["fit"]["callbacks"]["0.EarlyStopping.best"] == min(model.history_["loss"])
    assert arrays["callbacks.0.EarlyStopping.parameters.0.weight"].shape == (4, 5)
    assert forward(config, arrays, X) == pytest.approx(model.forward(X), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("v1_c*.npz")) + sorted(GOLDEN.glob("v1_*.safetensors")))
def test_a_reader_of_the_page_reads_the_golden_files(file):
    """ "Every later version of bpkern reads the files of all earlier ones": these never change."""
    config, arrays = read(file)
    outputs = forward(config, arrays, X)
    pytest.importorskip("safetensors", reason="safetensors reads some of these files")
    assert outputs == pytest.approx(bpkern.MLP.load(file).forward(X), rel=1e-4, abs=1e-4)


def rows_of(heading):
    """The rows of all tables under a heading of the page, each a list of its cells."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S).group(1)
    lines = [line for line in section.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def patterns(heading):
    """The names in the first column of the tables under a heading, as regular expressions."""
    names = [name for row in rows_of(heading) for name in row[0].split(", ") if "`" in name]
    placeholders = {"*l*": r"\d+", "*i*": r"\d+", "*class*": r"\w+", "*name*": r"[\w.]+"}
    return [
        "".join(placeholders.get(part) or re.escape(part) for part in re.findall(r"\*\w+\*|[^*]+", name))
        for name in (name.replace("`", "") for name in names)
    ]


def known(name, allowed):
    return any(re.fullmatch(pattern, name) for pattern in allowed)


def keys_of(value, prefix=""):
    """The keys of nested objects, joined by points, down to what the page describes as one value."""
    described = ("model.loss", "model.optimizer.lr", "training.random.generator", "training.random.start")
    if not isinstance(value, dict) or prefix in described or "float" in value:
        return {prefix}
    return set().union(*(keys_of(item, f"{prefix}.{key}".lstrip(".")) for key, item in value.items()))


def test_the_page_names_every_key_and_every_array(tmp_path):
    """ "This page describes all that is in a file": no key or array of a file is missing there, none is only
    there."""
    keys, names = set(), set()
    for name, make in MODELS.items():
        make().save(tmp_path / f"{name}.npz")
    checkpoint(tmp_path / "checkpoint.npz")
    bpkern.MLP([5, 7, 3], loss="mse", seed=0).compress("bfloat16").save(tmp_path / "compressed.npz")
    stopped = bpkern.MLP([1, 1], loss="mse", seed=0)
    stopped.fit([[1.0]], [1.0], epochs=9, callbacks=bpkern.callbacks.EarlyStopping("loss", 1, 1e9))
    stopped.save(tmp_path / "stopped.npz")
    grouped = bpkern.MLP([5, 7, 3], loss="mse", bias=[False, True], input_dropout=0.5, seed=0)
    grouped.freeze(0)
    grouped.save(tmp_path / "grouped.npz")
    inputs = [NumericEmbedding(columns=[0]), CategoryEmbedding(column=1, categories=4, dim=2), Scale()]
    share = activations.Parametric("selu")
    bpkern.MLP([3, 7, 1], activation=share, loss="mse", inputs=inputs, seed=0).save(tmp_path / "extra.npz")
    for path in tmp_path.glob("*.npz"):
        config, arrays = read(path)
        keys |= keys_of(config)
        names |= set(arrays)
    for found, heading in ((keys, "The configuration"), (names, "Names of arrays")):
        allowed = patterns(heading)
        assert [name for name in sorted(found) if not known(name, allowed)] == []
        assert [p for p in allowed if not any(re.fullmatch(p, name) for name in found)] == []


def test_a_checkpoint_without_later_keys(suffix, tmp_path):
    """ "A checkpoint without `fit.settings` and `fit.data` is resumed, too" """
    path = tmp_path / f"fit{suffix}"
    whole = checkpoint(path)
    config, arrays = container.read(path)
    config["fit"].pop("settings", None)
    config["fit"].pop("data", None)
    container.write(path, config, arrays)
    assert checkpoint(path, resume=True).history_ == whole.history_


class Own(bpkern.SGD):
    """An optimiser of a user's own class."""


def test_own_classes(suffix, tmp_path):
    """ "A file holds ... not the code of an `own_class` ... `load` needs these as arguments" """
    path = tmp_path / f"net{suffix}"
    model = trained(optimizer=Own(0.1))
    model.save(path)
    config, arrays = read(path)
    assert config["model"]["optimizer"]["own_class"] == "Own"
    assert forward(config, arrays, X) == pytest.approx(model.forward(X), rel=1e-4, abs=1e-5)
    with pytest.raises(ValueError, match="optimizer="):
        bpkern.MLP.load(path)
    assert np.array_equal(bpkern.MLP.load(path, optimizer=Own(0.1)).predict(X), model.predict(X))


def test_the_page_names_the_states_of_each_rule():
    """The table of m, v and u: each optimiser, with every setting that adds a state, has just these."""
    rows = {
        name.strip("` "): row[1:] for row in rows_of("States of the optimisers") for name in row[0].split(",")
    }
    full = {
        "sgd": bpkern.SGD(0.1, 0.9),
        "rmsprop": bpkern.RMSprop(momentum=0.5, centered=True),
        "adagrad": bpkern.Adagrad(),
        "adam": bpkern.Adam(amsgrad=True),
        "adamw": bpkern.AdamW(amsgrad=True),
    }
    least = {"sgd": bpkern.SGD(), "rmsprop": bpkern.RMSprop(), "adam": bpkern.Adam(), "adamw": bpkern.AdamW()}
    for rule, optimizer in full.items():
        cells = {store: text for store, text in zip("mvu", rows[rule], strict=True) if text != "none"}
        held = held_by(optimizer)
        assert set(cells) == held
        if rule in least:
            optional = ("with momentum", "if centered", "with amsgrad")
            assert held - held_by(least[rule]) == {s for s, text in cells.items() if text.endswith(optional)}


def held_by(optimizer):
    net = trained(optimizer=optimizer).__bpkern_core__().net
    return set(net.stores()) - {"parameters"}


def test_the_metadata_are_those_of_the_page(suffix, tmp_path):
    """The table of the metadata, and "64 hexadecimal digits in lower case"."""
    trained().save(tmp_path / f"net{suffix}")
    metadata, _ = (read_npz if suffix == ".npz" else read_safetensors)(tmp_path / f"net{suffix}")
    assert sorted(metadata) == sorted(row[0].strip("`") for row in rows_of("The metadata")[1:])
    assert re.fullmatch("[0-9a-f]{64}", metadata["sha256"])


def test_numpy_reads_a_npz(tmp_path):
    """ "`numpy.load` reads the file." """
    model = trained()
    model.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        for key, array in model.state_dict().items():
            assert np.array_equal(file[key], array)


def test_the_same_model_makes_the_same_npz(tmp_path):
    """ "the same model makes the same `.npz`" """
    for name in "ab":
        trained().save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_elements_are_little_endian_in_c_order(suffix, tmp_path):
    """ "Elements are in C order ..., and their bytes are little-endian on every machine" """
    array = np.asfortranarray(np.arange(6).reshape(2, 3)).astype(">i4")
    container.write(tmp_path / f"a{suffix}", {}, {"a": array})
    assert np.arange(6, dtype="<i4").tobytes() in (tmp_path / f"a{suffix}").read_bytes()


@pytest.mark.parametrize("kind", ["?", *(f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)), *"efd"])
def test_types_of_arrays(kind, suffix, tmp_path):
    """ "booleans, signed and unsigned integers, or floats, of 1, 2, 4 or 8 bytes per element" """
    array = np.ones((2, 3), kind)
    container.write(tmp_path / f"a{suffix}", {}, {"a": array})
    assert read(tmp_path / f"a{suffix}")[1]["a"].dtype == array.dtype


@pytest.mark.parametrize("kind", ["g", "F", "O", "S3", "M8[s]", [("a", "f4")]])
def test_other_types_of_arrays_are_refused(kind, suffix, tmp_path):
    """As above, and "bytes per element | 8"."""
    with pytest.raises(TypeError, match="must hold booleans, integers or floats"):
        container.write(tmp_path / f"a{suffix}", {}, {"a": np.zeros(2, kind)})
    assert list(tmp_path.iterdir()) == []


def test_a_reader_ignores_keys_that_it_does_not_know(suffix, tmp_path):
    """ "a reader ignores keys that it does not know": in the training, in the fit, and beside them."""
    path = tmp_path / f"net{suffix}"
    model = checkpoint(path)
    config, arrays = container.read(path)
    config["later"] = config["training"]["later"] = config["fit"]["later"] = [1, {"a": None}]
    container.write(path, config, arrays | {"later.a": np.ones(3)})
    assert np.array_equal(bpkern.MLP.load(path).predict(X), model.predict(X))


def test_a_newer_version_is_refused(suffix, tmp_path, monkeypatch):
    """ "A file of a newer version is refused with a ValueError that names both versions." """
    path = tmp_path / f"net{suffix}"
    trained().save(path)
    container.write(path, *container.read(path), version=7)
    with pytest.raises(ValueError, match=r"format 7.*reads up to 2"):
        bpkern.MLP.load(path)


# Arguments that version 0.1 does not have.
OPTIONS_OF_2 = {
    "bias": {"bias": [True, False]},
    "inputs": {"inputs": [Scale()]},
    "input_dropout": {"input_dropout": 0.1},
    "parametric": {"activation": activations.Parametric("selu")},
    "dropout": {"dropout": schedules.FlatCos(0.1, 100)},
    "weight_decay": {"optimizer": bpkern.AdamW(weight_decay=schedules.FlatCos(0.1, 100))},
}


@pytest.mark.parametrize("change", ["freeze", "set_factors", *OPTIONS_OF_2])
def test_version_0_1_refuses_what_it_would_train_otherwise(change, suffix, tmp_path, monkeypatch):
    """ "Version 2 adds ...": a reader of version 1 names both versions, for a model and for a checkpoint."""
    model = trained(**OPTIONS_OF_2.get(change, {}))
    if change == "freeze":
        model.freeze(0)
    elif change == "set_factors":
        model.set_factors(weights=False, weight_decay=0.0)
    saved, checkpoint = tmp_path / f"net{suffix}", tmp_path / f"fit{suffix}"
    model.save(saved)
    model.fit(X, LABELS, checkpoint=checkpoint, verbose=0)
    for path in (saved, checkpoint):
        read(path)
        assert repr(bpkern.MLP.load(path)) == repr(model)
        with monkeypatch.context() as context:
            context.setattr(container, "VERSION", 1)
            with pytest.raises(ValueError, match=r"written by a newer bpkern \(format 2\).*reads up to 1"):
                bpkern.MLP.load(path)
    if change in ("freeze", "set_factors"):
        model.unfreeze()
        model.set_factors(lr=1.0, weight_decay=1.0)
        model.save(saved)
        read(saved)  # as version 1


def test_the_table_of_versions():
    """The last row is the version that this bpkern writes, and every version has golden files."""
    rows = rows_of("Versions")[1:]
    assert [int(row[0]) for row in rows] == list(range(1, container.VERSION + 1))
    for version, writers, _ in rows:
        assert list(GOLDEN.glob(f"v{version}_*.npz"))
        writes = bpkern.__version__.startswith(tuple(writers.split(", ")))
        assert writes or int(version) < container.VERSION


# The keys and the settings of optimisers that version 0.1 knows; it refuses any other.
KEYS_OF_0_1 = (
    """layers activation output_activation loss optimizer dtype init l2 dropout l1 label_smoothing"""
)
SETTINGS_OF_0_1 = {
    "sgd": "lr momentum nesterov weight_decay",
    "rmsprop": "lr alpha eps weight_decay momentum centered",
    "adagrad": "lr lr_decay weight_decay initial_accumulator_value eps",
}


@pytest.mark.parametrize("rule", SETTINGS_OF_0_1)
def test_version_0_1_reads_files_of_models_that_it_can_have(rule, suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    model = trained(optimizer=rule)
    model.save(path)
    found = read(path)[0]["model"]
    assert sorted(found) == sorted(KEYS_OF_0_1.split())
    assert sorted(found["optimizer"]) == sorted(["rule", *SETTINGS_OF_0_1[rule].split()])
    assert found["init"] in ("auto", "glorot_uniform")
    loaded = bpkern.MLP.load(path)
    assert repr(loaded) == repr(model)
    for each in (model, loaded):
        each.reset()
    assert all(map(np.array_equal, sum(model.get_weights(), ()), sum(loaded.get_weights(), ())))


def test_the_limits_of_the_page(suffix, tmp_path):
    """The table of limits: what is within is written and read, and what is beyond is refused by its limit."""
    limits = {row[0]: row[1] for row in rows_of("Limits")}
    text = int(
        re.search(r"\((\d+) bytes\)", limits["configuration, names and shapes, as the text of a file"])[1]
    )
    lists = int(limits["lists and objects in these texts"])
    path = tmp_path / f"a{suffix}"
    for fits, beyond, message in (
        ({"a": "x" * (text - 1000)}, {"a": "x" * text}, f"at most {text} bytes"),
        ({"a": [[]] * (lists - 10)}, {"a": [[]] * lists}, f"at most {lists} lists and objects"),
    ):
        container.write(path, fits, {})
        before = path.read_bytes()
        with pytest.raises(ValueError, match=message):
            container.write(path, beyond, {})
        assert path.read_bytes() == before
        assert container.read(path)[0] == fits


def test_non_finite_parameters_are_refused(suffix, tmp_path):
    """ "all their elements are finite" """
    path = tmp_path / f"net{suffix}"
    trained().save(path)
    config, arrays = container.read(path)
    for bad in (np.nan, np.inf):
        container.write(path, config, arrays | {"1.bias": np.full_like(arrays["1.bias"], bad)})
        with pytest.raises(ValueError, match=re.escape(path.name)):
            bpkern.MLP.load(path)


@pytest.mark.parametrize("layers", [[5, 4, 4], [5, 3], [5, 4, 3, 3]])
def test_sizes_are_those_of_the_arrays(layers, suffix, tmp_path):
    """ "Layers must have the sizes of the arrays" """
    path = tmp_path / f"net{suffix}"
    trained().save(path)
    config, arrays = container.read(path)
    assert [arrays[f"{l}.weight"].shape[::-1] for l in range(2)] == list(pairwise(config["model"]["layers"]))
    config["model"]["layers"] = layers
    container.write(path, config, arrays)
    with pytest.raises(ValueError, match="the layers must be those of the arrays"):
        bpkern.MLP.load(path)


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_compressed_models(tmp_path, suffix):
    """ "bfloat16, the type of the weights of a compressed model, is the upper 16 bits of a float32." """
    if suffix == "safetensors":
        pytest.importorskip("safetensors")
    model = bpkern.MLP([5, 7, 3], loss="mse", seed=0).compress("bfloat16")
    model.save(tmp_path / f"model.{suffix}")
    config, arrays = read(tmp_path / f"model.{suffix}")
    assert config["compressed"] == "bfloat16"
    assert sorted(arrays) == ["0.bias", "0.weight.bfloat16", "1.bias", "1.weight.bfloat16"]
    for l, (w, b) in enumerate(model.get_weights()):
        bits = arrays[f"{l}.weight.bfloat16"].astype(np.uint32) << 16
        assert np.array_equal(bits.view(np.float32), w)
        assert np.array_equal(arrays[f"{l}.bias"], b)
