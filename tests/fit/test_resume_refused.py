"""A fit resumes only if it was called as before. Any other change is refused by its name."""

import numpy as np
import pytest
from helpers import everything

import bpkern
from bpkern._files import container
from bpkern.callbacks import Callback

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5))
LABELS = RNG.integers(0, 3, 60)
WEIGHTS = RNG.random(60)
COUNT = RNG.integers(0, 9, (60, 5)).astype(np.float32)


def net(seed=0, optimizer=None, loss="cross_entropy", outputs=3):
    optimizer = bpkern.SGD(lr=0.1, momentum=0.5) if optimizer is None else optimizer
    return bpkern.MLP([5, 8, outputs], loss=loss, optimizer=optimizer, seed=seed)


def changed(array, place=-1):
    other = array.copy()
    other[place] = 1 - other[place] if other.dtype.kind == "i" else other[place] + 1
    return other


class Stream:
    def __iter__(self):
        for start in range(0, 60, 20):
            yield X[start : start + 20], LABELS[start : start + 20]


def csr(array):
    return pytest.importorskip("scipy.sparse", reason="SciPy makes sparse matrices").csr_array(array)


# All arguments that determine the bits of a fit, then other values of them.
BASE = dict(
    X=X,
    y=LABELS,
    batch_size=16,
    sample_weight=WEIGHTS,
    class_weight={0: 2.0},
    metrics=["accuracy", "f1"],
    clip_norm=1.0,
    clip_value=0.5,
    accumulate=2,
    ema=0.9,
    validation_data=(X[:20], LABELS[:20]),
)
OTHERS = [
    ("batch_size", 8, "batch_size=16, and this one has 8"),
    ("shuffle", False, "shuffle=True, and this one has False"),
    ("accumulate", 1, "accumulate=2, and this one has 1"),
    ("clip_norm", None, "clip_norm=1.0, and this one has None"),
    ("clip_value", 0.25, "clip_value=0.5, and this one has 0.25"),
    ("ema", 0.99, "ema=0.9, and this one has 0.99"),
    ("ema", None, "ema=0.9, and this one has None"),
    ("metrics", None, r"metrics=\['accuracy', 'f1'\], and this one has \['accuracy'\]"),
    ("metrics", ["f1", "accuracy"], r"this one has \['f1', 'accuracy'\]"),
    ("metrics", ["accuracy", "f1", "recall"], "this one has .*'recall'"),
    ("X", changed(X, (30, 2)), "another X;"),
    ("X", X.astype(np.float32), "another X;"),
    ("X", X[:, ::-1], "another X;"),
    ("y", changed(LABELS), "another y;"),
    ("sample_weight", changed(WEIGHTS), "another sample_weight;"),
    ("sample_weight", None, "another sample_weight;"),
    ("class_weight", None, "another class_weight;"),
    ("class_weight", {0: 2.0, 1: 0.5}, "another class_weight;"),
    ("class_weight", "balanced", "another class_weight;"),
    ("validation_data", None, "another validation_data;"),
    ("validation_data", (X[:20], changed(LABELS[:20])), "another validation_data;"),
    ("validation_data", (changed(X[:20], (0, 0)), LABELS[:20]), "another validation_data;"),
    ("validation_data", (X[:20], LABELS[:20], WEIGHTS[:20]), "another validation_data;"),
]


def refused(path, call, message):
    """The call raises and changes nothing: neither the model nor the file."""
    content = path.read_bytes()
    model = net()
    before = everything(model)
    with pytest.raises(ValueError, match=rf"fit\.npz: it is of a fit with .*{message}"):
        call(model)
    assert everything(model) == before
    assert path.read_bytes() == content


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_all_arguments_as_before_are_accepted(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    path = tmp_path / f"fit{suffix}"
    net().fit(**BASE, epochs=2, checkpoint=path)
    resumed, whole = net(), net()
    resumed.fit(**BASE, epochs=4, checkpoint=path, resume=True)
    whole.fit(**BASE, epochs=4)
    assert everything(resumed) == everything(whole)


@pytest.mark.parametrize(("name", "value", "message"), OTHERS, ids=lambda value: str(value)[:20])
def test_another_argument_is_refused_by_its_name(tmp_path, name, value, message):
    path = tmp_path / "fit.npz"
    net().fit(**BASE, epochs=2, checkpoint=path)
    refused(
        path,
        lambda model: model.fit(**BASE | {name: value}, epochs=4, checkpoint=path, resume=True),
        message,
    )


def test_other_rows_held_out(tmp_path):
    path = tmp_path / "fit.npz"
    net().fit(X, LABELS, validation_split=0.25, checkpoint=path)
    for other in (0.5, 0.0):
        refused(
            path,
            lambda model, other=other: model.fit(
                X, LABELS, epochs=2, validation_split=other, checkpoint=path, resume=True
            ),
            f"validation_split=0.25, and this one has {other}",
        )


@pytest.mark.parametrize("part", [0, 1])
def test_other_splits_of_fit_many(tmp_path, part):
    path = tmp_path / "fit.npz"
    settings = dict(each=[{"checkpoint": path}], resume=True)
    split = [np.arange(40), np.arange(40, 60)]
    bpkern.fit_many([net()], X, LABELS, splits=[split], **settings)
    bpkern.fit_many([net()], X, LABELS, epochs=2, splits=[split], **settings)
    split[part] = split[part][::-1]
    refused(
        path,
        lambda model: bpkern.fit_many([model], X, LABELS, epochs=3, splits=[split], **settings),
        "another split;",
    )


def test_another_seed(tmp_path):
    path = tmp_path / "fit.npz"
    settings = dict(X=X, y=LABELS, checkpoint=path, resume=True)
    net(seed=7).fit(**settings)
    refused(path, lambda model: model.fit(**settings, epochs=2), "seed=7, and this one has 0")
    reset = net(seed=7)
    reset.fit(X, LABELS)
    reset.reset()
    for same in (net(seed=np.int64(7)), reset):
        same.fit(**settings, epochs=2)
    refused(path, lambda model: model.fit(**settings, epochs=2), "seed=7, and this one has 0")


@pytest.mark.parametrize("seed", [None, np.random.default_rng(1), np.random.SeedSequence(3)], ids=repr)
def test_a_seed_that_is_no_number_is_that_of_the_file(tmp_path, seed):
    path = tmp_path / "fit.npz"
    net(seed).fit(X, LABELS, checkpoint=path)
    resumed, loaded = net(None), bpkern.MLP.load(path)
    resumed.fit(X, LABELS, epochs=2, checkpoint=path, resume=True)
    loaded.fit(X, LABELS)
    assert resumed.state_dict()["0.weight"].tobytes() == loaded.state_dict()["0.weight"].tobytes()


def test_other_sparse_rows(tmp_path):
    path = tmp_path / "fit.npz"
    net().fit(csr(COUNT), LABELS, checkpoint=path)
    net().fit(csr(COUNT), LABELS, epochs=2, checkpoint=path, resume=True)
    for other in (csr(changed(COUNT, (7, 1))), COUNT):
        refused(
            path,
            lambda model, other=other: model.fit(other, LABELS, epochs=3, checkpoint=path, resume=True),
            "another X;",
        )


def test_streams(tmp_path):
    """Their batches are not compared; rows in memory are no stream."""
    path = tmp_path / "fit.npz"
    settings = dict(checkpoint=path, resume=True)
    net().fit(Stream(), class_weight={1: 3.0}, **settings)
    net().fit(list(Stream()), class_weight={1: 3.0, 2: 1.0}, epochs=2, batch_size=7, **settings)
    refused(path, lambda model: model.fit(Stream(), epochs=3, **settings), "another class_weight;")
    refused(
        path, lambda model: model.fit(X, LABELS, epochs=3, **settings), "batch_size=None, and this one has 32"
    )


def test_another_class_of_optimiser(tmp_path):
    class Own(bpkern.SGD):
        pass

    path = tmp_path / "fit.npz"
    settings = dict(X=X, y=LABELS, checkpoint=path, resume=True)
    net(optimizer=Own()).fit(**settings)
    net(optimizer=Own()).fit(**settings, epochs=2)
    with pytest.raises(ValueError, match=r"a model with optimizer='Own', and this one has 'sgd'"):
        net().fit(**settings, epochs=3)


ALLOWED = [
    ("epochs", 5),
    ("n_threads", 2),
    ("verbose", 0),
    ("checkpoint_every", 2),
    ("X", np.asfortranarray(X)),
    ("X", X.tolist()),
    ("y", LABELS.astype(np.int8)),
    ("y", LABELS.tolist()),
    ("sample_weight", 4 * WEIGHTS),  # only their ratios count
    ("class_weight", {0: 2.0, 1: 1.0}),
    ("callbacks", Callback()),
]


@pytest.mark.parametrize(("name", "value"), ALLOWED, ids=lambda value: str(value)[:20])
def test_what_may_change(tmp_path, name, value):
    """What has no influence on the bits."""
    path = tmp_path / "fit.npz"
    net().fit(**BASE, epochs=2, checkpoint=path)
    resumed, whole = net(), net()
    resumed.fit(**{**BASE, "epochs": 4, "checkpoint": path, "resume": True, name: value})
    whole.fit(**BASE, epochs=5 if name == "epochs" else 4)
    assert everything(resumed) == everything(whole)


def test_batches_of_all_rows_are_one_size(tmp_path):
    path = tmp_path / "fit.npz"
    net().fit(X, LABELS, batch_size=60, checkpoint=path)
    net().fit(X, LABELS, epochs=2, batch_size=1000, checkpoint=path, resume=True)


# Checkpoints of versions without a fingerprint -------------------------------------------------------------


def older(path):
    """Take the fingerprint out of a checkpoint."""
    config, arrays = container.read(path)
    del config["fit"]["settings"], config["fit"]["data"]
    container.write(path, config, arrays)


def test_older_checkpoints_resume(tmp_path):
    path = tmp_path / "fit.npz"
    net().fit(**BASE, epochs=2, checkpoint=path)
    older(path)
    resumed, whole = net(), net()
    resumed.fit(**BASE, epochs=4, checkpoint=path, resume=True)
    whole.fit(**BASE, epochs=4)
    assert everything(resumed) == everything(whole)


@pytest.mark.parametrize(
    ("more", "names"),
    [
        (dict(metrics=["accuracy", "recall"]), "recall"),
        (dict(validation_data=(X, LABELS)), "val_loss, val_accuracy"),
        (dict(validation_split=0.5), "val_loss, val_accuracy"),
    ],
)
def test_older_checkpoints_without_a_column_are_refused(tmp_path, more, names):
    path = tmp_path / "fit.npz"
    net().fit(X, LABELS, checkpoint=path)
    older(path)
    content, model = path.read_bytes(), net()
    before = everything(model)
    with pytest.raises(ValueError, match=f"a fit without {names} in its history"):
        model.fit(X, LABELS, epochs=2, checkpoint=path, resume=True, **more)
    assert everything(model) == before
    assert path.read_bytes() == content


@pytest.mark.parametrize("fingerprint", [{"settings": 3}, {"settings": {}}, {"settings": {}, "data": []}])
def test_fingerprints_that_are_none(tmp_path, fingerprint):
    path = tmp_path / "fit.npz"
    net().fit(X, LABELS, checkpoint=path)
    older(path)
    config, arrays = container.read(path)
    config["fit"] |= fingerprint
    container.write(path, config, arrays)
    with pytest.raises(ValueError, match=r"fit\.npz: "):
        net().fit(X, LABELS, epochs=2, checkpoint=path, resume=True)
