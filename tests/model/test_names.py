"""Names may be NumPy's strings, or of another class of str: they mean the same as plain ones."""

import csv
import pickle

import numpy as np
import pytest
from helpers import everything, fitting

import bpkern
from bpkern import kernels, losses, reference, schedules
from bpkern._core import ACTIVATIONS, LOSSES
from bpkern._model.initializers import NAMES as INITS

RNG = np.random.default_rng(0)
X, LABELS, VALUES = RNG.random((20, 4)), RNG.integers(0, 2, 20), RNG.random((20, 2))


def targets(loss):
    return LABELS if loss == "cross_entropy" else fitting(loss, VALUES)


class Own(str):
    """A str of a user's class, equal to nothing."""

    def __eq__(self, other):
        return False

    __hash__ = str.__hash__


@pytest.fixture(params=[np.str_, Own, lambda name: np.array([name])[0]], ids=["numpy", "user", "array"])
def kind(request):
    return request.param


@pytest.mark.parametrize("trainer", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize("loss", LOSSES)
def test_losses(kind, trainer, loss):
    histories = []
    for name in (loss, kind(loss)):
        model = trainer([4, 3, 2], loss=name, seed=0)
        model.fit(X, targets(loss), epochs=2)
        histories.append(model.history_["loss"])
    assert histories[0] == histories[1]


@pytest.mark.parametrize("trainer", [bpkern.MLP, reference.MLP])
@pytest.mark.parametrize(
    "settings", [*({"activation": name} for name in ACTIVATIONS), {"output_activation": "tanh"}]
)
def test_activations(kind, trainer, settings):
    [(argument, name)] = settings.items()
    histories = []
    for given in (name, kind(name), [kind(name)]):
        if isinstance(given, list) and argument == "output_activation":
            continue
        model = trainer([4, 3, 2], loss="mse", seed=0, **{argument: given})
        histories.append(model.fit(X, VALUES, epochs=2)["loss"])
    assert all(history == histories[0] for history in histories)


@pytest.mark.parametrize("init", INITS)
def test_initialisers(kind, init):
    first, second = (bpkern.MLP([4, 3, 2], loss="mse", seed=0, init=name) for name in (init, kind(init)))
    assert everything(first) == everything(second)


def all_names(kind, folder):
    """A fit in which every name is of that kind."""
    model = bpkern.MLP(
        [4, 3, 2],
        loss=kind("cross_entropy"),
        activation=kind("tanh"),
        output_activation=kind("identity"),
        init=kind("he_normal"),
        dtype=np.str_("float64") if kind is not str else "float64",
        optimizer=bpkern.SGD(schedules.OneCycle(0.1, 20, anneal=kind("linear"))),
        seed=0,
    )
    model.fit(
        X,
        LABELS,
        epochs=3,
        metrics=[kind("accuracy"), kind("f1")],
        validation_data=(X, LABELS),
        class_weight=str.__str__(kind("balanced")) if kind is Own else kind("balanced"),
        callbacks=[
            bpkern.callbacks.EarlyStopping(monitor="val_f1", mode=kind("max")),
            bpkern.callbacks.ModelCheckpoint(folder / "best.npz", mode=kind("min"), monitor="loss"),
            bpkern.callbacks.CSVLogger(str(folder / "log.csv"), separator=np.str_(";")),
        ],
        checkpoint=str(folder / "fit.npz"),
        verbose=0,
    )
    return model


def test_everything_at_once(kind, tmp_path):
    (tmp_path / "plain").mkdir(), (tmp_path / "other").mkdir()
    plain, other = all_names(str, tmp_path / "plain"), all_names(kind, tmp_path / "other")
    assert everything(plain) == everything(other)
    assert repr(plain) == repr(other)
    assert str(plain.summary()) == str(other.summary())
    for name in ("fit.npz", "best.npz", "log.csv"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    with open(tmp_path / "other" / "log.csv", newline="") as file:
        assert len(list(csv.reader(file, delimiter=";"))) == 4
    other.save(tmp_path / "net.npz")
    loaded = bpkern.MLP.load(tmp_path / "net.npz", loss=kind("cross_entropy"))
    for copied in (loaded, other.copy(), pickle.loads(pickle.dumps(other))):
        assert everything(copied) == everything(plain)
        assert type(copied.loss) is str
    assert np.array_equal(other.predict_proba(X), plain.predict_proba(X))


def test_kernels():
    x, w, b = RNG.random((3, 4)), RNG.random((2, 4)), RNG.random(2)
    expected = kernels.linear_forward(x, w, b, "tanh")
    assert np.array_equal(kernels.linear_forward(x, w, b, np.str_("tanh")), expected)


def test_unknown_names_are_refused_as_before(kind):
    for settings in ({"loss": kind("none")}, {"activation": kind("none")}, {"init": kind("none")}):
        with pytest.raises(ValueError, match=r"unknown .* 'none': allowed are"):
            bpkern.MLP(**{"layers": [4, 3, 2], "loss": "mse"} | settings)
    with pytest.raises(ValueError, match="unknown metric 'none'"):
        bpkern.MLP([4, 2], loss="mse").fit(X, VALUES, metrics=kind("none"))


def test_names_of_callables(tmp_path):
    def metric(true, predicted):
        return 1.0

    metric.__name__ = Own("hit")
    model = bpkern.MLP([4, 2], loss=losses.Huber(), seed=0)
    model.fit(X, VALUES, metrics=metric, checkpoint=tmp_path / "fit.npz")
    assert list(bpkern.MLP.load(tmp_path / "fit.npz").history_) == ["loss", "hit"]
