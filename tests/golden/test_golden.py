"""Golden files of every format version load: models predict and train as when they were written."""

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import ACTIVATIONS, ULP, product_bound

import bpkern
from bpkern._files import container
from bpkern._model.core import core_of

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))

from make import NAMES, TARGETS, X, fit_with  # noqa: E402


@pytest.fixture(params=[".npz", ".safetensors"])
def suffix(request):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads these files")
    return request.param


@pytest.fixture(params=TARGETS)
def name(request):
    return request.param


@pytest.fixture
def version(name):
    [version] = [version for version, names in NAMES.items() if name in names]
    return version


@pytest.fixture
def path(version, name, suffix):
    return FOLDER / f"v{version}_{name}{suffix}"


@pytest.fixture
def expected(version, name):
    """The arrays recorded when the file was written, by name."""
    with np.load(FOLDER / f"v{version}_predictions.npz", allow_pickle=False) as recorded:
        return {key.removeprefix(f"{name}."): recorded[key] for key in recorded if key.startswith(f"{name}.")}


def error_of(model):
    """A bound on the error of the outputs. Each layer passes on the errors of the layer before, multiplied by
    its weights and by its activation's slope, which is at most 1.2, and adds the errors of its product and
    its activation."""
    a, error = X, np.zeros_like(X)
    for (w, b), activation in zip(model.get_weights(), core_of(model).settings.activations, strict=True):
        w, b = w.astype(np.float64), b.astype(np.float64)
        bound = product_bound(len(w.T), np.abs(a) @ np.abs(w).T + np.abs(b), model.dtype)
        error = 1.2 * (error @ np.abs(w).T + bound)
        a = ACTIVATIONS[activation](a @ w.T + b)
        error += (ULP[activation] + 1) * np.finfo(model.dtype).eps * np.abs(a)
    return error


def test_parameters_and_predictions(isa, path, expected):
    model = bpkern.MLP.load(path)
    assert {key: array.tobytes() for key, array in model.state_dict().items()} == {
        key: array.tobytes() for key, array in expected.items() if key[0].isdigit() or "inputs." in key
    }
    if core_of(model).settings.stage is None:
        # The recorded and the new outputs are each within the bound of the exact outputs.
        assert (np.abs(model.forward(X) - expected["forward"]) <= 2 * error_of(model)).all()
    assert model.forward(X) == pytest.approx(expected["forward"], rel=1e-4, abs=1e-5)
    assert model.predict(X).shape == expected["predict"].shape
    assert model.predict(X) == pytest.approx(expected["predict"], rel=1e-4)


def test_training_goes_on(isa, name, path, expected):
    """Training continues with the file's optimiser states, average, dropout and row order."""
    model = bpkern.MLP.load(path)
    loss = model.fit(X, TARGETS[name], batch_size=4, verbose=0)["loss"]
    assert loss == pytest.approx(expected["loss"], rel=1e-3 if model.dtype == "float32" else 1e-9)


def test_every_version_has_files():
    assert list(NAMES) == list(range(1, container.VERSION + 1))


def test_everything_is_in_those_of_version_1(suffix):
    stores, kinds, activations, histories = set(), set(), set(), set()
    for name in NAMES[1]:
        model = bpkern.MLP.load(FOLDER / f"v1_{name}{suffix}")
        stores |= set(core_of(model).net.stores())
        kinds.add(type(core_of(model).random.generator.bit_generator).__name__)
        activations |= set(core_of(model).settings.activations)
        histories |= set(model.history_)
    assert stores == {"parameters", "m", "v", "u", "average"}
    assert kinds == {"PCG64", "Philox"}
    # Those of the version of bpkern that has written version 1 of the format.
    assert activations == set(bpkern._core.ACTIVATIONS) - {"selu", "mish"}
    assert histories == {"loss", "accuracy", "f1", "val_loss", "val_accuracy", "val_f1"}


def test_groups_and_inputs_are_in_those_of_version_2(suffix):
    model = bpkern.MLP.load(FOLDER / f"v2_groups{suffix}")
    settings = core_of(model).settings
    assert (settings.bias, settings.input_dropout) == ([True, False, True], 0.25)
    first, *_, last = model.parameter_groups
    assert first == {"layer": 0, "kind": "weights", "lr": 1.0, "weight_decay": 1.0, "frozen": True}
    assert last == {"layer": 2, "kind": "biases", "lr": 0.5, "weight_decay": 2.0, "frozen": False}
    embedded = bpkern.MLP.load(FOLDER / f"v2_embedded{suffix}").state_dict()
    assert embedded["inputs.1.scale"].shape == (7,)


def test_a_checkpoint_goes_on(suffix, tmp_path):
    path = tmp_path / f"net{suffix}"
    path.write_bytes((FOLDER / f"v1_checkpoint{suffix}").read_bytes())
    history = fit_with(path, epochs=4).history_
    before = bpkern.MLP.load(FOLDER / f"v1_checkpoint{suffix}").history_
    assert len(history["loss"]) == 4
    assert history["loss"][:2] == before["loss"]


def test_both_suffixes_hold_the_same(version, name):
    pytest.importorskip("safetensors", reason="safetensors reads these files")
    (config, arrays), (other_config, others) = (
        container.read(FOLDER / f"v{version}_{name}{suffix}") for suffix in (".npz", ".safetensors")
    )
    assert config == other_config
    assert list(arrays) == list(others)
    for key, array in arrays.items():
        assert array.dtype == others[key].dtype
        assert array.shape == others[key].shape
        assert array.tobytes() == others[key].tobytes()


def test_auto_of_version_0_1_stays_what_it_was():
    """He's range before gelu, Glorot's before tanh and identity, biases of 0; also when it is saved again."""
    model = bpkern.MLP.load(FOLDER / "v1_classes.npz")
    for each in (model, model.copy()):
        each.reset()
        rng = np.random.default_rng(5)
        for (w, b), fans in zip(each.get_weights(), [5, 7 + 6, 6 + 3], strict=True):
            limit = np.sqrt(6 / fans)
            assert np.array_equal(w, rng.uniform(-limit, limit, w.shape).astype(np.float32))
            assert not b.any()


def test_auto_is_saved_by_its_name(tmp_path):
    model = bpkern.MLP([5, 7, 3], loss="mse", seed=5)
    initial, path = model.get_weights(), tmp_path / "net.npz"
    model.fit(X, np.zeros((len(X), 3)), verbose=0)
    model.save(path)
    config, _ = container.read(path)
    assert config["init"] == "glorot_biased"
    assert config["model"]["init"] == "glorot_uniform"  # a name that version 0.1 reads
    loaded = bpkern.MLP.load(path)
    loaded.reset()
    assert all(
        np.array_equal(a, b) for a, b in zip(sum(initial, ()), sum(loaded.get_weights(), ()), strict=True)
    )
    assert repr(loaded) == repr(model)


def test_a_checkpoint_of_version_0_1_resumes_with_auto(tmp_path, monkeypatch):
    model, y, path = bpkern.MLP([5, 7, 3], loss="mse", seed=5), np.zeros((len(X), 3)), tmp_path / "fit.npz"
    model.fit(X, y, epochs=2, checkpoint=path, verbose=0)
    config, arrays = container.read(path)
    config["model"]["init"] = "auto"
    del config["init"]
    container.write(path, config, arrays)
    again = bpkern.MLP([5, 7, 3], loss="mse", seed=5)
    again.fit(X, y, epochs=3, checkpoint=path, resume=True, verbose=0)
    model.fit(X, y, verbose=0)
    assert np.array_equal(again.predict(X), model.predict(X))
