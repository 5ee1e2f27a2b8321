"""An interrupted and resumed fit ends like an uninterrupted one: weights, history, callbacks, files."""

import csv
import errno
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bpkern
from bpkern import schedules
from bpkern._files import container, state
from bpkern._model.core import core_of
from bpkern.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 5))
LABELS = RNG.integers(0, 3, 60)
VALUES = RNG.standard_normal((60, 3))
EPOCHS = 7


class Stop(Callback):
    """Raises at ("begin", epoch), ("end", epoch) or, within an epoch, ("batch", epoch)."""

    def __init__(self, place=None, error=KeyboardInterrupt):
        self.place, self.error = place, error

    def at(self, *place):
        if place == self.place:
            raise self.error("broken off")

    def on_epoch_begin(self, model, epoch):
        self.epoch = epoch
        self.at("begin", epoch)

    def on_epoch_end(self, model, epoch, logs):
        self.at("end", epoch)


class StopInside(Stop):
    def on_batch_end(self, model, batch, logs):
        if batch == 2:
            self.at("batch", self.epoch)


class Remember(Callback):
    """Has state of every kind that a user's callback may have."""

    def on_fit_begin(self, model):
        self.state = {"lowest": np.inf, "none": None, "number": np.float32(0), "whole": np.int64(2**62)}
        self.state |= {"text": "é", "flag": np.bool_(True), "list": [], "nan": [np.nan, (1, -np.inf)]}
        self.state |= {"array": np.zeros(3), "scalar": np.array(2, np.int16)}

    def on_epoch_end(self, model, epoch, logs):
        self.state["lowest"] = min(self.state["lowest"], logs["loss"])
        self.state["number"] += np.float32(logs["loss"])
        self.state["list"] = [*self.state["list"], epoch]
        self.state["array"] = self.state["array"] + model.get_weights()[-1][1]

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = {**state, "number": np.float32(state["number"])}


def squares(outputs, y):
    difference = outputs - y
    return (difference**2).sum(axis=1), 2 * difference


class Batches:
    """A stream that yields the same batches every time."""

    def __iter__(self):
        for start in range(0, 60, 16):
            yield X[start : start + 16], LABELS[start : start + 16]


def model_of(seed=7, loss="cross_entropy", optimizer=None, layers=(5, 9, 3), **settings):
    optimizer = bpkern.Adam(lr=0.02) if optimizer is None else optimizer
    return bpkern.MLP(list(layers), loss=loss, optimizer=optimizer, seed=seed, **settings)


# Each returns a new model, the arguments of its fit and its callbacks, like another run of the same script.
def plain(folder):
    return model_of(optimizer=bpkern.SGD(lr=0.1, momentum=0.9)), dict(X=X, y=LABELS), []


def all_at_once(folder):
    model = model_of(
        dropout=0.3,
        l1=1e-4,
        label_smoothing=0.1,
        optimizer=bpkern.AdamW(lr=schedules.Cosine(0.05, 60, warmup=9)),
    )
    fit = dict(
        X=X,
        y=LABELS,
        validation_split=0.25,
        ema=0.9,
        clip_norm=1.0,
        accumulate=2,
        class_weight="balanced",
        sample_weight=np.arange(60) % 5,
        metrics=["accuracy", "f1"],
    )
    return model, fit, [EarlyStopping(patience=3)]


def early_stopping(folder):
    """Ends before the last epoch and restores the weights of an earlier one."""
    model = model_of(optimizer=bpkern.SGD(lr=1.0, momentum=0.5), layers=(5, 30, 3), seed=2)
    return (
        model,
        dict(X=X[:40], y=LABELS[:40], validation_data=(X[40:], LABELS[40:])),
        [EarlyStopping(patience=3)],
    )


def plateau(folder):
    model = model_of(optimizer=bpkern.SGD(lr=0.5))
    callbacks = [ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05, cooldown=1)]
    return model, dict(X=X, y=LABELS), callbacks


def written(folder):
    model = model_of(dropout=0.2, optimizer=bpkern.RMSprop(lr=0.01, centered=True))
    callbacks = [
        CSVLogger(folder / "log.csv"),
        ModelCheckpoint(folder / "best.npz"),
        ModelCheckpoint(folder / "net-{epoch}-{loss:.4f}.npz", save_best_only=False, every=2),
    ]
    return model, dict(X=X, y=LABELS, validation_split=0.2, ema=0.8), callbacks


def custom_loss(folder):
    model = model_of(loss=squares, dropout=0.2, optimizer=bpkern.Adagrad(lr=0.05), dtype="float64")
    return model, dict(X=X, y=VALUES, accumulate=3, metrics=["mae"], validation_split=0.2), []


def custom_rate(folder):
    return model_of(optimizer=bpkern.Adam(lr=lambda t: 0.05 / (1 + t)), seed=None), dict(X=X, y=LABELS), []


def stream(folder):
    return model_of(dropout=0.2), dict(X=Batches(), accumulate=3, validation_data=(X, LABELS)), []


def own_state(folder):
    generator = np.random.Generator(np.random.MT19937(1))
    return model_of(seed=generator), dict(X=X, y=LABELS), [Remember(), Remember()]


def no_shuffle(folder):
    return model_of(layers=(5, 1), loss="mse"), dict(X=X, y=VALUES[:, 0], shuffle=False, batch_size=1), []


class Hasten(Callback):
    """Changes settings of the optimiser, starting from their current values."""

    def on_epoch_end(self, model, epoch, logs):
        model.optimizer.betas = (model.optimizer.betas[0] * 0.9, 0.99)
        model.optimizer.weight_decay += 0.01


def changed_settings(folder):
    return model_of(optimizer=bpkern.AdamW(lr=schedules.Step(0.01, 5))), dict(X=X, y=LABELS), [Hasten()]


SCRIPTS = [
    plain,
    changed_settings,
    all_at_once,
    early_stopping,
    plateau,
    written,
    custom_loss,
    stream,
    own_state,
    no_shuffle,
    custom_rate,
]


def run(script, folder, stop=None, error=KeyboardInterrupt, inside=False, **more):
    """Run the script in a folder, interrupted where `stop` says; return the model and its callbacks."""
    folder.mkdir(exist_ok=True)
    model, fit, callbacks = script(folder)
    stopper = (StopInside if inside else Stop)(stop, error)
    fit = {"batch_size": 8, "epochs": EPOCHS, **fit, **more}
    if "checkpoint" in fit:
        fit["checkpoint"] = folder / fit["checkpoint"]
    if stop is None:
        model.fit(**fit, callbacks=[*callbacks, stopper])
    else:
        with pytest.raises(error):
            model.fit(**fit, callbacks=[*callbacks, stopper])
    return model, callbacks


def plain_value(value):
    """The value as a file returns it: NumPy numbers as Python numbers, tuples as lists."""
    if isinstance(value, (list, tuple)):
        return [plain_value(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def everything(model, callbacks, folder):
    """Everything that a script leaves behind, for comparison."""
    config, arrays = state.model_state(core_of(model))
    contents = {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
    left = {
        path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("checkpoint.")
    }
    states = [
        {name: repr(plain_value(value)) for name, value in each.state_dict().items()} for each in callbacks
    ]
    return config, contents, left, states, model.history_.lr, model.predict(X).tobytes()


PLACES = [(place, epoch) for epoch in (0, 1, 3, 5) for place in ("begin", "batch", "end")]


@pytest.mark.parametrize(
    "script", [each for each in SCRIPTS if each is not custom_rate], ids=lambda s: s.__name__
)
def test_broken_off_anywhere(script, tmp_path):
    unbroken = everything(*run(script, tmp_path / "unbroken", inside=True), tmp_path / "unbroken")
    assert everything(*run(script, tmp_path / "again"), tmp_path / "again") == unbroken
    broken = 0
    for place in PLACES:
        if place[1] >= len(unbroken[4]):
            continue
        folder = tmp_path / "-".join(map(str, place))
        settings = dict(checkpoint="checkpoint.npz", resume=True, inside=True)
        run(script, folder, place, **settings)
        assert everything(*run(script, folder, **settings), folder) == unbroken
        broken += 1
    assert broken >= 9


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_broken_off_again_and_again(tmp_path, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors", reason="safetensors reads and writes these files")
    unbroken = everything(*run(all_at_once, tmp_path / "unbroken"), tmp_path / "unbroken")
    settings = dict(checkpoint=f"checkpoint{suffix}", resume=True)
    for epoch in range(len(unbroken[4])):
        run(all_at_once, tmp_path / "broken", ("end", epoch), RuntimeError, **settings)
        run(all_at_once, tmp_path / "broken", ("begin", epoch), KeyboardInterrupt, **settings)
        if epoch + 1 < len(unbroken[4]):
            run(all_at_once, tmp_path / "broken", ("begin", epoch + 1), **settings)
    assert everything(*run(all_at_once, tmp_path / "broken", **settings), tmp_path / "broken") == unbroken


def test_a_seed_of_fresh_entropy_is_in_the_file(tmp_path):
    """So is the iteration, on which a user's learning rate depends."""
    first, _ = run(custom_rate, tmp_path, ("begin", 3), checkpoint="checkpoint.npz")
    resumed, _ = run(custom_rate, tmp_path, checkpoint="checkpoint.npz", resume=True)
    _, fit, _ = custom_rate(tmp_path)
    first.fit(**fit, batch_size=8, epochs=EPOCHS - 3)
    assert state_of(first) == state_of(resumed)
    assert resumed.history_.lr[3:] == first.history_.lr


def state_of(model):
    """The state without the history."""
    config, arrays = state.model_state(core_of(model))
    assert config["training"].pop("iterations")
    return config, {name: a.tobytes() for name, a in arrays.items() if not name.startswith("history.")}


@pytest.mark.parametrize("every", [2, 3, 100])
def test_checkpoints_every_so_many_epochs(tmp_path, every):
    unbroken = everything(*run(written, tmp_path / "unbroken"), tmp_path / "unbroken")
    settings = dict(checkpoint="checkpoint.npz", checkpoint_every=every, resume=True)
    folder = tmp_path / "broken"
    run(written, folder, ("begin", 5), **settings)
    if every > 5:
        assert not (folder / "checkpoint.npz").exists()
    else:
        assert container.read(folder / "checkpoint.npz")[0]["fit"]["epochs"] == 5 // every * every
    assert everything(*run(written, folder, **settings), folder) == unbroken
    # The last epoch's checkpoint is always written.
    assert container.read(folder / "checkpoint.npz")[0]["fit"]["epochs"] == EPOCHS


@pytest.mark.parametrize("script", SCRIPTS[:-1], ids=lambda script: script.__name__)
def test_a_finished_fit_trains_nothing(script, tmp_path):
    settings = dict(checkpoint="checkpoint.npz", resume=True)
    finished = everything(*run(script, tmp_path, **settings), tmp_path)
    before = (tmp_path / "checkpoint.npz").read_bytes()
    # Any further epoch or batch would raise.
    for place in ("begin", len(finished[4])), ("begin", len(finished[4]) - 1), ("begin", 0):
        model, fit, callbacks = script(tmp_path)
        fit = {"batch_size": 8, **fit, "checkpoint": tmp_path / "checkpoint.npz", "resume": True}
        model.fit(**fit, epochs=EPOCHS, callbacks=[*callbacks, Stop(place, RuntimeError)])
        assert everything(model, callbacks, tmp_path) == finished
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_early_stopping_has_stopped_early(tmp_path):
    """The scripts above rely on it: early stopping ends the fit and restores an earlier epoch's weights."""
    model, (stopping,) = run(early_stopping, tmp_path)
    assert stopping.stopped_epoch_ is not None
    assert len(model.history_["loss"]) < EPOCHS
    assert stopping.best_epoch_ < stopping.stopped_epoch_
    best = min(model.history_["val_loss"])
    assert model.evaluate(X[40:], LABELS[40:])["loss"] == best
    model, _ = run(plateau, tmp_path)
    assert len(set(model.history_.lr)) > 1


def test_a_larger_total_goes_on(tmp_path):
    unbroken = everything(*run(written, tmp_path / "unbroken"), tmp_path / "unbroken")
    settings = dict(checkpoint="checkpoint.npz", resume=True)
    run(written, tmp_path / "more", epochs=4, **settings)
    assert everything(*run(written, tmp_path / "more", **settings), tmp_path / "more") == unbroken


def test_a_smaller_total_is_all_there(tmp_path):
    settings = dict(checkpoint="checkpoint.npz", resume=True)
    finished = everything(*run(plain, tmp_path, **settings), tmp_path)
    for epochs in (0, 1, EPOCHS - 1):
        assert everything(*run(plain, tmp_path, epochs=epochs, **settings), tmp_path) == finished


@pytest.mark.parametrize("with_tqdm", [True, False])
def test_progress_goes_on_as_well(tmp_path, monkeypatch, with_tqdm):
    """The bar starts at the resumed epoch; if no epoch is left, there is no bar."""
    if with_tqdm:
        pytest.importorskip("tqdm", reason="tqdm draws this bar")
    else:
        monkeypatch.setitem(sys.modules, "tqdm", None)

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shown(epochs):
        monkeypatch.setattr(sys, "stderr", Terminal())
        run(plain, tmp_path, checkpoint="checkpoint.npz", resume=True, epochs=epochs)
        return sys.stderr.getvalue()

    assert "epoch 3/3, loss" in shown(3)
    text = shown(5)
    assert "epoch 5/5, loss" in text
    assert not any(f"epoch {epoch}/5" in text for epoch in (1, 2, 3))
    assert shown(5) == shown(4) == ""


def test_without_resume_it_starts_from_the_beginning(tmp_path):
    run(plain, tmp_path, ("begin", 4), checkpoint="checkpoint.npz")
    model, _ = run(plain, tmp_path, checkpoint="checkpoint.npz", epochs=2)
    assert len(model.history_["loss"]) == 2
    assert container.read(tmp_path / "checkpoint.npz")[0]["fit"]["epochs"] == 2


def test_a_model_that_was_trained_already_resumes_as_a_new_one(tmp_path):
    """As when a notebook cell is run again."""
    unbroken = everything(*run(all_at_once, tmp_path / "unbroken"), tmp_path / "unbroken")
    settings = dict(checkpoint=tmp_path / "checkpoint.npz", resume=True, batch_size=8, epochs=EPOCHS)
    (tmp_path / "again").mkdir()
    model, fit, callbacks = all_at_once(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model.fit(**fit, **settings, callbacks=[*callbacks, Stop(("end", 3))])
    model.train_on_batch(X, LABELS)
    model.fit(X, LABELS)
    model.fit(**fit, **settings, callbacks=[*callbacks, Stop()])
    assert everything(model, callbacks, tmp_path / "again") == unbroken


@pytest.mark.parametrize("place", [("begin", 4), ("end", 1), ("batch", 5)])
@pytest.mark.parametrize("broken", ["first", "second"])
def test_two_fits_one_after_the_other(tmp_path, place, broken):
    """Each has its own file; the first fit is complete when the second is interrupted."""

    def script(folder, stops):
        model, fit, callbacks = all_at_once(folder)
        settings = dict(epochs=EPOCHS, batch_size=8, resume=True)
        for name in ("first", "second"):
            stop = StopInside(stops.get(name))
            checkpoint = folder / f"checkpoint.{name}.npz"
            model.fit(**fit, **settings, checkpoint=checkpoint, callbacks=[*callbacks, stop])
            fit, callbacks = dict(X=X, y=LABELS), []
        return model

    (tmp_path / "unbroken").mkdir()
    unbroken = snapshot(script(tmp_path / "unbroken", {}))
    with pytest.raises(KeyboardInterrupt):
        script(tmp_path, {broken: place})
    assert snapshot(script(tmp_path, {})) == unbroken


def test_a_checkpoint_is_a_model(tmp_path):
    run(all_at_once, tmp_path, ("begin", 2), checkpoint="checkpoint.npz")
    model = bpkern.MLP.load(tmp_path / "checkpoint.npz")
    assert len(model.history_["loss"]) == 2
    expected, fit, _ = all_at_once(tmp_path)
    expected.fit(**fit, batch_size=8, epochs=2)
    for each in (model, expected):
        each.fit(**fit, batch_size=8)
    assert snapshot(model) == snapshot(expected)


def test_a_log_that_is_added_to(tmp_path):
    def script(folder):
        return model_of(), dict(X=X, y=LABELS), [CSVLogger(tmp_path / "log.csv", append=True)]

    run(script, tmp_path, epochs=2)
    kept = (tmp_path / "log.csv").read_text()
    run(script, tmp_path / "run", ("end", 4), checkpoint="checkpoint.npz", resume=True)
    run(script, tmp_path / "run", checkpoint="checkpoint.npz", resume=True)
    text = (tmp_path / "log.csv").read_text()
    assert text.startswith(kept)
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", *map(str, range(1, EPOCHS + 1))]


# What is refused -------------------------------------------------------------------------------------------


def snapshot(model):
    """Optimiser states that are all zero count as absent: they have not been used."""
    config, arrays = state.model_state(core_of(model))
    used = {name: a.tobytes() for name, a in arrays.items() if name[:2] not in ("m.", "v.", "u.") or a.any()}
    return config, used, model.optimizer.lr


def refused(folder, message, model=None, callbacks=(), error=ValueError):
    """The resumed fit raises and changes neither the model nor the file."""
    path = folder / "checkpoint.npz"
    model = model_of() if model is None else model
    before, content = snapshot(model), path.read_bytes()
    with pytest.raises(error, match=message):
        model.fit(X, LABELS, epochs=EPOCHS, checkpoint=path, resume=True, callbacks=callbacks)
    assert snapshot(model) == before
    assert path.read_bytes() == content
    model.fit(X, LABELS)


def checkpoint_of(folder, model=None, callbacks=()):
    model = model_of() if model is None else model
    model.fit(X, LABELS, epochs=2, checkpoint=folder / "checkpoint.npz", callbacks=callbacks)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(layers=(5, 8, 3)), r"checkpoint\.npz: .*layers=\[5, 8, 3\], and this one has \[5, 9, 3\]"),
        (dict(layers=(5, 9, 9, 3)), "layers="),
        (dict(activation="tanh"), r"activation=\['tanh'\], and this one has \['relu'\]"),
        (dict(loss="mse"), "loss='mse'"),
        (dict(loss=bpkern.losses.Huber(2.0)), r"loss=\{'delta': 2.0, 'name': 'huber'\}"),
        (dict(optimizer=bpkern.SGD()), "optimizer='sgd', and this one has 'adam'"),
        (dict(dtype="float64"), "dtype='float64'"),
        (dict(dropout=0.5), r"dropout=\[0.5\]"),
        (dict(l2=0.1), "l2=0.1, and this one has 0.0"),
        (dict(label_smoothing=0.1), "label_smoothing=0.1"),
        (dict(init="orthogonal"), "init='orthogonal'"),
    ],
)
def test_checkpoints_of_other_models(tmp_path, settings, message):
    model = model_of(**settings)
    y = LABELS if model.loss == "cross_entropy" else VALUES
    model.fit(X, y, checkpoint=tmp_path / "checkpoint.npz")
    refused(tmp_path, message)


def test_checkpoints_of_other_callbacks(tmp_path):
    checkpoint_of(tmp_path, callbacks=EarlyStopping("loss"))
    refused(tmp_path, r"checkpoint\.npz: the state must be that of callbacks")
    refused(tmp_path, "must hold that of callback", callbacks=ReduceLROnPlateau("loss"))

    class Picky(EarlyStopping):
        def load_state_dict(self, state):
            raise OSError("no more")

    Picky.__name__ = "EarlyStopping"
    refused(tmp_path, "no more", callbacks=Picky("loss"), error=OSError)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (bpkern.SGD(), bpkern.SGD(momentum=0.9)),
        (bpkern.Adam(), bpkern.Adam(amsgrad=True)),
        (bpkern.RMSprop(), bpkern.RMSprop(centered=True, momentum=0.5)),
        (bpkern.Adam(amsgrad=True), bpkern.Adam()),
    ],
    ids=repr,
)
def test_settings_of_the_optimiser_are_those_of_the_file(tmp_path, before, after):
    """A callback may have changed them during the fit, and the optimiser states in the file fit them."""
    checkpoint_of(tmp_path, model_of(optimizer=before))
    model = model_of(optimizer=after)
    model.fit(X, LABELS, epochs=4, checkpoint=tmp_path / "checkpoint.npz", resume=True)
    assert model.optimizer.settings() == before.settings()
    assert set(core_of(model).net.stores()) == {"parameters", *model_states(before)}
    assert len(model.history_["loss"]) == 4


def model_states(optimizer):
    model = model_of(optimizer=optimizer)
    model.fit(X, LABELS)
    return core_of(model).net.stores()


@pytest.mark.parametrize("ema", [None, 0.9])
def test_data_that_are_refused_leave_the_model_as_of_the_checkpoint(tmp_path, ema):
    """The batches of a stream are not compared with those before; other data are."""
    path = tmp_path / "checkpoint.npz"
    model_of().fit([(X, LABELS)], epochs=2, checkpoint=path, ema=ema)
    model, bad = model_of(), np.full_like(X, np.nan)
    with pytest.raises(ValueError, match="X holds nan at row"):
        model.fit([(bad, LABELS)], epochs=4, checkpoint=path, resume=True, ema=ema)
    assert snapshot(model) == snapshot(bpkern.MLP.load(path))


def test_files_that_are_no_checkpoints(tmp_path):
    model = model_of()
    model.fit(X, LABELS)
    model.save(tmp_path / "checkpoint.npz")
    refused(tmp_path, r"checkpoint\.npz holds a model and no checkpoint of a fit")
    (tmp_path / "checkpoint.npz").write_bytes(b"")
    refused(tmp_path, r"checkpoint\.npz is no bpkern file, or was damaged")
    checkpoint_of(tmp_path)
    content = (tmp_path / "checkpoint.npz").read_bytes()
    _, arrays = container.read(tmp_path / "checkpoint.npz")
    (tmp_path / "checkpoint.npz").write_bytes(content[:-7])
    refused(tmp_path, "damaged")
    damaged = bytearray(content)
    damaged[content.index(arrays["0.weight"].tobytes())] ^= 4  # the middle of the file may be a date
    (tmp_path / "checkpoint.npz").write_bytes(damaged)
    refused(tmp_path, "damaged")


def test_checkpoints_that_are_not_whole(tmp_path):
    checkpoint_of(tmp_path, callbacks=EarlyStopping("loss"))
    config, arrays = container.read(tmp_path / "checkpoint.npz")
    wrong = [
        {**config, "fit": None},
        {**config, "fit": {**config["fit"], "epochs": -1}},
        {**config, "fit": {**config["fit"], "epochs": 1.5}},
        {**config, "fit": {**config["fit"], "stopped": 3}},
        {**config, "fit": {**config["fit"], "callbacks": []}},
        {**config, "fit": {**config["fit"], "callbacks": {"0.EarlyStopping.best": {}}}},
        {**config, "training": {}},
        {**config, "model": {}},
    ]
    for each in wrong:
        container.write(tmp_path / "checkpoint.npz", each, arrays)
        refused(tmp_path, r"checkpoint\.npz: ", callbacks=EarlyStopping("loss"))
    for name in ("0.weight", "m.1.bias", "history.loss"):
        container.write(tmp_path / "checkpoint.npz", config, {**arrays, name: np.zeros((2, 2))})
        refused(tmp_path, r"checkpoint\.npz: ", callbacks=EarlyStopping("loss"))


@pytest.mark.parametrize(
    ("fit", "error", "message"),
    [
        (dict(checkpoint="net.pt"), ValueError, r"must end in \.npz or \.safetensors, not .*net\.pt"),
        (dict(checkpoint="net"), ValueError, "must end in"),
        (dict(checkpoint="nowhere/net.npz"), FileNotFoundError, "nowhere"),
        (dict(checkpoint=3), TypeError, "checkpoint must be a path, not 3"),
        (dict(checkpoint=b"net.npz"), TypeError, "checkpoint must be a path of text"),
        (dict(resume=True), ValueError, "resume needs the checkpoint to resume from"),
        (dict(checkpoint="net.npz", checkpoint_every=0), ValueError, "checkpoint_every must be at least 1"),
        (dict(checkpoint="net.npz", resume=1), TypeError, "resume must be True or False"),
    ],
)
def test_bad_arguments_are_refused_before_training(tmp_path, monkeypatch, fit, error, message):
    monkeypatch.chdir(tmp_path)
    model = model_of()
    before = snapshot(model)
    with pytest.raises(error, match=message):
        model.fit(X, LABELS, **fit, callbacks=Stop(("begin", 0), RuntimeError))
    assert snapshot(model) == before
    assert list(tmp_path.iterdir()) == []


def test_without_safetensors_it_is_refused_before_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    model = model_of()
    with pytest.raises(ModuleNotFoundError, match="needs safetensors"):
        model.fit(
            X, LABELS, checkpoint=tmp_path / "net.safetensors", callbacks=Stop(("begin", 0), RuntimeError)
        )


class Remove(Callback):
    def __init__(self, folder):
        self.folder = folder

    def on_epoch_end(self, model, epoch, logs):
        if epoch == 2:
            shutil.rmtree(self.folder)


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    (tmp_path / "run").mkdir()
    model, other = model_of(), model_of()
    with pytest.raises(FileNotFoundError):
        model.fit(
            X,
            LABELS,
            epochs=EPOCHS,
            checkpoint=tmp_path / "run" / "net.npz",
            callbacks=Remove(tmp_path / "run"),
        )
    other.fit(X, LABELS, epochs=3)
    assert snapshot(model) == snapshot(other)
    model.fit(X, LABELS)
    other.fit(X, LABELS)
    assert snapshot(model) == snapshot(other)


@pytest.mark.parametrize("value", [{"a": 1}, 1j, b"bytes", object(), [[{}]], np.array(["text"])], ids=repr)
def test_states_that_no_file_holds(tmp_path, value):
    class Strange(Callback):
        def state_dict(self):
            return {"thing": value}

    with pytest.raises(TypeError, match=r"0\.Strange\.thing"):
        model_of().fit(X, LABELS, checkpoint=tmp_path / "net.npz", callbacks=Strange())
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_cannot_be_looked_at_is_not_begun_anew(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    model_of().fit(X, LABELS, checkpoint=path)
    before = path.read_bytes()
    look = os.stat

    def refuse(which, **settings):
        if which == str(path):
            raise OSError(errno.EIO, "refused", which)
        return look(which, **settings)

    monkeypatch.setattr(os, "stat", refuse)
    with monkeypatch.context() as patches:
        patches.setattr(container, "read", lambda path: refuse(str(path)))
        model = model_of()
        weights = snapshot(model)
        with pytest.raises(OSError, match="refused"):
            model.fit(X, LABELS, epochs=2, checkpoint=path, resume=True)
    assert path.read_bytes() == before
    assert snapshot(model) == weights


def test_leftovers_of_a_killed_run_are_removed(tmp_path):
    left = [
        tmp_path / f".{name}.0123456789abcdef.tmp" for name in ("checkpoint.npz", "best.npz", "other.npz")
    ]
    for path in left:
        path.touch()
    run(written, tmp_path, checkpoint="checkpoint.npz", resume=True)
    assert [path.exists() for path in left] == [False, False, True]


def test_killed_at_random_moments():
    """A short run of bench/kill.py: SIGKILL at random moments, and the same bits at the end."""
    attack = Path(__file__).parents[2] / "bench" / "kill.py"
    command = [sys.executable, str(attack), "--trials", "2", "--epochs", "6", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = r"2 of 2 trials ended with the same bits, after ([0-9]+) kills, .*; 0 temporary files left"
    kills = re.fullmatch(verdict, done.stdout.splitlines()[-1])
    assert int(kills[1]) >= 2


@pytest.mark.parametrize("optimizer", [bpkern.Adam(lr=0.01), bpkern.SGD(lr=0.01, momentum=0.5)], ids=repr)
def test_an_optimiser_replaced_while_the_callbacks_load(tmp_path, optimizer):
    """It trains with its own settings from states of zero, from the weights of the checkpoint."""

    class Replaces(Callback):
        def on_fit_begin(self, model):
            self.model = model

        def state_dict(self):
            return {"is": 1}

        def load_state_dict(self, state):
            self.model.optimizer = optimizer

    first = bpkern.SGD(lr=0.1, momentum=0.9)
    checkpoint_of(tmp_path, model_of(optimizer=first), callbacks=Replaces())
    model = model_of(optimizer=first)
    expected = bpkern.MLP.load(tmp_path / "checkpoint.npz")
    settings = optimizer.settings()
    path = tmp_path / "checkpoint.npz"
    model.fit(X, LABELS, epochs=3, checkpoint=path, resume=True, callbacks=Replaces())
    expected.optimizer = optimizer
    expected.fit(X, LABELS)
    assert model.optimizer is optimizer
    assert optimizer.settings() == settings
    assert state_of(model) == state_of(expected)
