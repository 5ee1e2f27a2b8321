"""What `save` wrote, `load` reads, whatever a user has changed. Else the error comes before the writing."""

import copy
import os
import pickle

import numpy as np
import pytest
from helpers import everything
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bpkern
from bpkern import losses, schedules
from bpkern.callbacks import Callback

X, Y = np.arange(20.0).reshape(10, 2) / 20, np.arange(10.0)


def net(**settings):
    settings = {"loss": "mse", "optimizer": bpkern.SGD(lr=0.01, momentum=0.5), "seed": 0} | settings
    return bpkern.MLP([2, 3, 1], **settings)


@pytest.fixture
def model():
    made = net()
    made.fit(X, Y, epochs=3, validation_data=(X, Y), metrics="mae")
    return made


class During(Callback):
    """Does something to the model after each epoch."""

    def __init__(self, do):
        self.do = do

    def on_epoch_end(self, model, epoch, logs):
        self.do(model)


def ways(model, folder):
    """The copies of a model by every way there is."""
    path = folder / "net.npz"
    model.save(path)
    return [bpkern.MLP.load(path), model.copy(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]


# Histories ------------------------------------------------------------------------------------------------


def longer(history):
    history["loss"].append(1.0)


def shorter(history):
    del history["mae"][1:]
    history.lr.pop()


def empty(history):
    history.clear()
    history.lr.clear()


def more(history):
    history["seconds"] = [1, 2]
    history["7"] = (0.5, None, np.float32(3))
    history["é/..\n"] = np.arange(3)


def strange(history):
    history["loss"] = [True, np.inf, -np.inf, np.nan, 1e308, 2**53]
    history.iterations = np.int64(0)


@pytest.mark.parametrize("edit", [longer, shorter, empty, more, strange])
def test_edited_histories(model, tmp_path, edit):
    """Lists may have any lengths, and new names; they come back as floats."""
    edit(model.history_)
    for other in ways(model, tmp_path):
        assert everything(other) == everything(model)
        assert list(other.history_) == list(model.history_)
        assert other.history_.lr == model.history_.lr
        for name, values in model.history_.items():
            assert np.array_equal(other.history_[name], np.array(values, float), equal_nan=True)
        other.fit(X, Y)


@pytest.mark.parametrize("edit", [longer, shorter, more, strange])
def test_edits_in_a_callback(tmp_path, edit):
    """The checkpoint holds them, and the fit resumes."""
    path = tmp_path / "fit.npz"
    settings = dict(X=X, y=Y, metrics="mae", checkpoint=path, resume=True)
    settings["callbacks"] = During(lambda model: edit(model.history_))
    for epochs in (1, 2, 4):
        made = net()
        made.fit(**settings, epochs=epochs)
        assert everything(bpkern.MLP.load(path)) == everything(made)


WRONG = [
    (lambda history: history["loss"].append("much"), r"history_\['loss'\] must be a list of numbers"),
    (lambda history: history["loss"].append([1.0]), r"history_\['loss'\] must be a list of numbers"),
    (lambda history: history["loss"].append(1j), r"history_\['loss'\] must be a list of numbers"),
    (lambda history: history["loss"].append(10**400), r"history_\['loss'\] must be a list of numbers"),
    (lambda history: history.update(best=3.0), r"history_\['best'\] must be a list of numbers, not 3\.0"),
    (lambda history: history.update(best=np.eye(2)), r"history_\['best'\] must be a list of numbers"),
    (lambda history: history.update(best=None), r"history_\['best'\] must be a list of numbers, not None"),
    (lambda history: history.update(best={"a": 1}), r"history_\['best'\] must be a list of numbers"),
    (lambda history: history.update({7: [1.0]}), "the names in history_ must be strings, not 7"),
    (lambda history: history.update(lr=[0.1]), "no list in history_ must be called 'lr'"),
    (lambda history: history.lr.append("x"), r"history_\['lr'\] must be a list of numbers"),
    (lambda history: setattr(history, "lr", 0.1), r"history_\['lr'\] must be a list of numbers, not 0\.1"),
    (lambda history: setattr(history, "iterations", "many"), "iterations must be a whole number, not 'many'"),
    (lambda history: setattr(history, "iterations", -1), "iterations must be at least 0, not -1"),
]


@pytest.mark.parametrize(("edit", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_histories_that_are_no_lists_of_numbers(model, tmp_path, edit, message):
    """They are refused before the old file is replaced, and a pickle is not made that could not be read."""
    path = tmp_path / "net.npz"
    model.save(path)
    before = path.read_bytes()
    edit(model.history_)
    for call in (lambda: model.save(path), model.copy, lambda: pickle.dumps(model)):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.npz"]


@pytest.mark.parametrize(("edit", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_a_good_checkpoint_is_not_replaced_by_a_bad_one(tmp_path, edit, message):
    path = tmp_path / "fit.npz"
    settings = dict(X=X, y=Y, checkpoint=path, resume=True)
    net().fit(**settings)
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError), match=message):
        net().fit(**settings, epochs=3, callbacks=During(lambda model: edit(model.history_)))
    assert path.read_bytes() == before
    net().fit(**settings, epochs=2)


@pytest.mark.parametrize("wrong", [{"loss": [1.0]}, [1.0], 3, "history", bpkern.History])
def test_a_history_is_a_history(model, wrong):
    before = model.history_
    with pytest.raises(TypeError, match=r"history_ must be a bpkern\.History or None, not"):
        model.history_ = wrong
    assert model.history_ is before
    model.history_ = None
    assert model.history_ is None


# Settings -------------------------------------------------------------------------------------------------


def set_in(optimizer, **values):
    for name, value in values.items():
        setattr(optimizer, name, value)


UNSET = [
    (bpkern.SGD(momentum=0.5), dict(momentum=5.0), "momentum must be from 0 to 1, not 5"),
    (bpkern.SGD(momentum=0.5), dict(momentum="half"), "momentum must be a number, not 'half'"),
    (bpkern.SGD(momentum=0.5, nesterov=True), dict(momentum=0.0), "nesterov needs a momentum above 0"),
    (bpkern.SGD(lambda t: 0.1), dict(weight_decay=-1.0), "weight_decay must be finite and at least 0"),
    (bpkern.SGD(), dict(lr="fast"), "lr must be a number"),
    (bpkern.SGD(), dict(lr=np.nan), "lr must be finite"),
    (bpkern.SGD(), dict(lr=10**400), "lr must be finite"),
    (bpkern.Adam(), dict(betas=(0.9, 2.0)), "beta"),
    (bpkern.Adam(), dict(eps=None), "eps must be a number, not None"),
]


@pytest.mark.parametrize(("optimizer", "values", "message"), UNSET, ids=[message for *_, message in UNSET])
def test_settings_that_are_not_allowed(tmp_path, optimizer, values, message):
    path = tmp_path / "fit.npz"
    made = net(optimizer=copy.copy(optimizer))
    made.fit(X, Y, checkpoint=path)
    before = path.read_bytes()
    set_in(made.optimizer, **values)
    for call in (lambda: made.save(path), made.copy, lambda: pickle.dumps(made)):
        with pytest.raises((TypeError, ValueError), match=message):
            call()
    other = net(optimizer=copy.copy(optimizer))
    with pytest.raises((TypeError, ValueError), match=message):
        other.fit(X, Y, checkpoint=path, callbacks=During(lambda model: set_in(model.optimizer, **values)))
    assert path.read_bytes() == before
    again = net(optimizer=copy.copy(optimizer))
    again.fit(X, Y, epochs=2, checkpoint=path, resume=True)


def test_a_stop_of_any_kind_is_true_or_false(tmp_path):
    path = tmp_path / "fit.npz"
    for stop in (1, np.bool_(True), "yes", [0]):
        made, resumed = net(), net()
        made.fit(
            X,
            Y,
            epochs=3,
            checkpoint=path,
            callbacks=During(lambda m, s=stop: setattr(m, "stop_training", s)),
        )
        resumed.fit(X, Y, epochs=3, checkpoint=path, resume=True)
        assert len(resumed.history_["loss"]) == 1


# Classes of users -----------------------------------------------------------------------------------------


class Warm(bpkern.SGD):
    """A user's optimiser."""


class Slow(schedules.Step):
    """A user's schedule."""


class Soft(losses.Huber):
    """A user's loss."""


@pytest.mark.parametrize(
    ("settings", "name", "missing"),
    [
        (
            dict(optimizer=Warm(0.1, 0.5)),
            "optimizer",
            r"of the class Warm, which no file holds: give optimizer=",
        ),
        (
            dict(optimizer=bpkern.SGD(Slow(0.1, 2))),
            "optimizer",
            "a Python function as its learning rate, .* give opt",
        ),
        (dict(loss=Soft(0.5)), "loss", r"loss is of the class Soft, which no file holds: give loss="),
    ],
    ids=["optimiser", "schedule", "loss"],
)
def test_classes_of_users(tmp_path, settings, name, missing):
    """A file does not hold their code, so `load` needs the object, as for a Python function."""
    path = tmp_path / "net.npz"
    made = net(**settings)
    made.fit(X, Y, epochs=2, checkpoint=path)
    for save in (lambda: None, lambda: made.save(path)):
        save()
        with pytest.raises(ValueError, match=missing):
            bpkern.MLP.load(path)
        loaded = bpkern.MLP.load(path, **settings)
        assert everything(loaded) == everything(made)
        if name == "optimizer":
            assert loaded.optimizer is settings["optimizer"]
    for other in (made.copy(), pickle.loads(pickle.dumps(made))):
        assert type(other.optimizer) is type(made.optimizer)
        assert everything(other) == everything(made)


# Anything at all ------------------------------------------------------------------------------------------

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.floats(), st.none(), st.text(max_size=2)), max_size=4),
    st.just(np.eye(2)),
    st.just(np.float32(0.25)),
    st.just(1j),
    st.dictionaries(st.text(max_size=1), st.floats(), max_size=1),
)
EDITS = st.lists(
    st.one_of(
        st.tuples(
            st.just("column"), st.sampled_from(["loss", "mae", "lr", "new", "", "\0", "\ud800"]), VALUES
        ),
        st.tuples(st.just("append"), st.sampled_from(["loss", "mae"]), VALUES),
        st.tuples(st.just("history"), st.sampled_from(["iterations", "lr"]), VALUES),
        st.tuples(
            st.just("optimizer"), st.sampled_from(["lr", "momentum", "nesterov", "weight_decay"]), VALUES
        ),
        st.tuples(st.just("model"), st.sampled_from(["stop_training", "note"]), VALUES),
    ),
    max_size=4,
)


def edit_model(model, kind, name, value):
    if kind == "column":
        model.history_[name] = value
    elif kind == "append" and isinstance(model.history_[name], list):
        model.history_[name].append(value)
    elif kind != "append":
        setattr({"history": model.history_, "optimizer": model.optimizer, "model": model}[kind], name, value)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS, suffix=st.sampled_from([".npz", ".safetensors"]))
def test_whatever_was_edited(edits, suffix, tmp_path):
    """A file is either loaded as it was written, or the call that writes it raises and leaves the old one."""
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    path = tmp_path / f"net{suffix}"
    made = net()
    made.fit(X, Y, epochs=2, metrics="mae", checkpoint=path)
    before = path.read_bytes()
    for edit in edits:
        edit_model(made, *edit)
    try:
        made.save(path)
    except (TypeError, ValueError):
        assert path.read_bytes() == before
        return
    assert everything(bpkern.MLP.load(path)) == everything(made)
    assert everything(pickle.loads(pickle.dumps(made))) == everything(made)
