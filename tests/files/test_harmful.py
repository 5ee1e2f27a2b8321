"""Malicious files whose digest is right: they are refused by name, before they take memory or time."""

import json
import tracemalloc

import numpy as np
import pytest

import bpkern
from bpkern._files import container, npz

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 5))
LABELS = RNG.integers(0, 3, 12)


@pytest.fixture(params=[".npz", ".safetensors"])
def path(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    return tmp_path / f"net{request.param}"


def make(kind="PCG64", **settings):
    generator = np.random.Generator(getattr(np.random, kind)(3))
    model = bpkern.MLP([5, 4, 3], **{"loss": "cross_entropy", "dropout": 0.1, "seed": generator} | settings)
    model.fit(X, LABELS if model.loss == "cross_entropy" else X[:, :3], validation_split=0.25, verbose=0)
    return model


def changed(path, model, way, value):
    """Save the model with one value of its configuration changed."""
    model.save(path)
    config, arrays = container.read(path)
    *parents, key = way.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    assert key in place
    place[key] = value
    container.write(path, config, arrays)
    return path


def refused(path, message, **given):
    """Loading is refused by name; return the memory that it took, in bytes."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            bpkern.MLP.load(path, **given)
        assert str(path) in str(caught.value)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# Generators -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        # NumPy would read beyond its buffer, or before it.
        ("MT19937", "state.pos", 625, "pos must be at most 624, not 625"),
        ("MT19937", "state.pos", -1, "pos must be at least 0, not -1"),
        ("Philox", "buffer_pos", 5, "buffer_pos must be at most 4, not 5"),
        ("Philox", "buffer_pos", -(2**31), "buffer_pos must be at least 0"),
        ("PCG64", "has_uint32", 2, "has_uint32 must be at most 1, not 2"),
        ("PCG64", "state", [1], "the state of a bit generator must hold just state, inc"),
        ("PCG64", "state.inc", 2**128, "inc must be at most 340282366920938463463374607431768211455"),
        ("SFC64", "state.state", {"dtype": "uint64", "values": [1, 2, 3]}, "must be 4 of uint64"),
        (
            "SFC64",
            "state.state",
            {"dtype": "uint64", "values": [1, 2, 3, "4"]},
            "state must be a whole number",
        ),
    ],
)
@pytest.mark.parametrize("which", ["generator", "start"])
def test_states_of_generators(path, which, kind, name, value, message):
    changed(path, make(kind), f"training.random.{which}.{name}", value)
    refused(path, message)


@pytest.mark.parametrize("dtype", ["S100000000", "V100000000", "(1000000,)f4", "O", "uint64"])
def test_types_of_a_generators_words(path, dtype):
    """Only the generator's own dtype is accepted; any other, however large, is refused without parsing."""
    changed(
        path, make("MT19937"), "training.random.generator.state.key", {"dtype": dtype, "values": [1] * 624}
    )
    assert refused(path, "must be 624 of uint32") < 1 << 20


@pytest.mark.parametrize("place", ["generator.state", "generator.state.key", "split_seed"])
def test_what_is_deep(path, place):
    value = 1
    for _ in range(300):
        value = {"a": value}
    changed(path, make("MT19937"), f"training.random.{place}", value)
    refused(path, "bit generator must hold just|split_seed must be a whole number")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("split_seed", -1),
        ("split_seed", 2**63),
        ("split_seed", "1"),
        ("dropout_key", 2**64),
        ("dropout_key", 1.0),
    ],
)
def test_seeds(path, name, value):
    changed(path, make(), f"training.random.{name}", value)
    refused(path, f"{name} must be")


# Sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layers", [[5, 4, 10**7], [5, 10**7, 3], [5, 4, 3, 1], [5, 4], [1] * 20_000, "543", {}]
)
def test_sizes_are_those_of_the_arrays(path, layers):
    """The loss has one parameter per output, which must not be allocated for a false size."""
    changed(path, make(loss="huber"), "model.layers", layers)
    assert refused(path, "the layers must be those of the arrays") < 2 << 20


def test_lists_of_text(path):
    """NumPy would pad all strings to the length of the longest."""
    changed(path, make(loss="huber"), "model.loss", {"name": "huber", "delta": ["x" * 50_000] + ["y"] * 1000})
    assert refused(path, "delta must be a number") < 4 << 20


@pytest.mark.parametrize("code", ["f2", "f8", "i1", "?"])
def test_types_of_arrays(path, code):
    """Converted from a smaller dtype, the model's arrays would take many times the size of the file."""
    make().save(path)
    config, arrays = container.read(path)
    container.write(path, config, arrays | {"0.weight": arrays["0.weight"].astype(code)})
    refused(path, "the arrays must be of the model's dtype, float32")


@pytest.mark.parametrize("dtype", ["f4", "(2,)f4", "a5", ["f4"], {"names": ["a"], "formats": ["f4"]}])
def test_types_of_the_model(path, dtype):
    changed(path, make(), "model.dtype", dtype)
    refused(path, "dtype must be a name, one of|unknown dtype")


@pytest.mark.parametrize("name", ["updates", "batches", "moves", "iterations"])
def test_counts(path, name):
    """The model continues counting from them."""
    changed(path, make(), f"training.{name}", 2**63 - 1)
    refused(path, f"{name} must be at most 4611686018427387904")
    changed(path, make(), f"training.{name}", 2**62)
    assert bpkern.MLP.load(path).fit(X, LABELS, verbose=0)


def test_an_optimizer_in_place_of_one_that_is_none(path):
    for value in (5, {}, None):
        changed(path, make(), "model.optimizer", value)
        refused(path, r"net\.", optimizer=bpkern.Adam())


# Text -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unit", ["[],", '{"":[]},', "[[[[]]]],", '{"":{"":0}},', "1.5,", '"\\ud834\\udd1e",']
)
def test_what_is_parsed_takes_twice_the_file_and_32_mib_at_most(path, unit):
    text = f'{{"a":[{unit * ((container.MOST_TEXT - 1000) // len(json.dumps(unit)[1:-1]))}0]}}'
    metadata = {"format": "bpkern", "version": "1", "config": text}
    metadata["sha256"] = container.digest(metadata, {})
    raw = json.dumps(metadata).encode()
    with open(path, "wb") as file:
        if path.suffix == ".npz":
            npz.write(file, metadata, {})
        else:
            file.write(len(raw).to_bytes(8, "little") + raw)
    assert path.stat().st_size < container.MOST_TEXT + 1000
    assert refused(path, r"net\.") < 2 * len(raw) + (32 << 20)


def test_lists_and_objects_are_counted_where_they_are_written(path):
    container.write(path, {"a": [[]] * (container.MOST_CONTAINERS - 5)}, {})
    assert len(container.read(path)[0]["a"]) == container.MOST_CONTAINERS - 5
    with pytest.raises(
        ValueError, match="config and arrays must be at most 32768 lists and objects in a file"
    ):
        container.write(path, {"a": [[]] * container.MOST_CONTAINERS}, {})
    assert len(container.read(path)[0]["a"]) == container.MOST_CONTAINERS - 5


def test_what_is_just_short_enough_is_read_again(path):
    config = {"a": "x" * (container.MOST_TEXT - 400)}
    container.write(path, config, {"b": np.ones(3)})
    assert container.read(path)[0] == config
    numbers = {f"{i}.weight": np.ones((1, 1)) for i in range(5000)}
    container.write(path, {}, numbers)
    assert len(container.read(path)[1]) == 5000


@pytest.mark.parametrize("version", ["1e999", "-1e999", "9" * 5000])
def test_versions_that_are_no_numbers(tmp_path, version):
    path = tmp_path / "net.npz"
    text = f'{{"format":"bpkern","version":{version},"config":"{{}}","sha256":""}}'
    member = {"__metadata__": np.frombuffer(text.encode(), np.uint8)}
    np.savez(path, **member)
    with pytest.raises(ValueError, match=r"net\.npz is no bpkern file"):
        container.read(path)


def test_shapes_without_elements_that_no_machine_word_holds(tmp_path):
    path = tmp_path / "net.npz"
    container.write(path, {}, {"a": np.ones((0, 1))})
    raw = path.read_bytes()
    assert raw.count(b"(0, 1), }" + b" " * 30) == 1
    path.write_bytes(raw.replace(b"(0, 1), }" + b" " * 30, b"(0, 1" + b"0" * 30 + b"), }"))
    with pytest.raises(ValueError, match=r"net\.npz is no bpkern file"):
        container.read(path)


# Checkpoints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("updates", 2**63),
        ("batches", 2**64),
        ("moves", 10**30),
        ("random.dropout_key", 2**70),
        ("random.dropout_key", "k"),
    ],
)
def test_a_checkpoint_that_is_refused_changes_nothing(path, name, value):
    def fresh():
        return bpkern.MLP([5, 4, 3], loss="cross_entropy", dropout=0.1, seed=1)

    fresh().fit(X, LABELS, checkpoint=path, verbose=0)
    config, arrays = container.read(path)
    *parents, key = f"training.{name}".split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[key] = value
    container.write(path, config, arrays)
    model = fresh()
    with pytest.raises(ValueError, match=rf"{path.name}: {key} must be"):
        model.fit(X, LABELS, epochs=2, checkpoint=path, resume=True, verbose=0)
    for found, expected in zip(model.get_weights(), fresh().get_weights(), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert model.history_ is None
