"""The callback classes, on a model with only the attributes that they use."""

import contextlib
import csv
import errno
import inspect
import json
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpkern import schedules
from bpkern._fit.callback_list import CallbackList, has_batch_hooks
from bpkern.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from bpkern.optimizers import SGD

NAN, INF = math.nan, math.inf


class Model:
    """A model whose weights count the epochs, with an optimiser and a list of the files it would write."""

    def __init__(self, lr=0.1):
        self.optimizer = SGD(lr)
        self.stop_training = False
        self.weights = np.zeros(3)
        self.history = None
        self.saved = []

    def __bpkern_core__(self):
        return self

    def get_parameters(self):
        return {"0.weight": self.weights.copy()}

    def set_parameters(self, parameters):
        self.weights = parameters["0.weight"].copy()

    def save(self, path):
        self.saved.append(path)


def log(values, name="val_loss"):
    return [{"loss": 0.5, name: value} for value in values]


def fit(model, callbacks, logs, state=None, first=0):
    """A fit as callbacks see it; returns the number of epochs and the callbacks' state after the last."""
    callbacks = CallbackList(callbacks)
    try:
        return fit_with(model, callbacks, logs, state, first)
    finally:
        callbacks.release()


def fit_with(model, callbacks, logs, state, first):
    """`fit` without its end, which the callbacks see even after an error."""
    model.stop_training = False
    callbacks.on_fit_begin(model)
    if state is not None:
        callbacks.load_state_dict(state)
    epoch = first - 1
    for epoch in range(first, len(logs)):
        callbacks.on_epoch_begin(model, epoch)
        model.weights = model.weights + 1
        callbacks.on_epoch_end(model, epoch, logs[epoch])
        state = callbacks.state_dict()
        if model.stop_training:
            break
    callbacks.on_fit_end(model)
    return epoch + 1 - first, state


def through_a_file(state):
    """A state after a round trip through a checkpoint: arrays are kept, the rest goes through JSON."""
    arrays = {key: value.copy() for key, value in state.items() if isinstance(value, np.ndarray)}
    rest = {key: value for key, value in state.items() if key not in arrays}
    return json.loads(json.dumps(rest, allow_nan=False)) | arrays


# The list ----------------------------------------------------------------------------------------------


class Recorder(Callback):
    def __init__(self, calls, name):
        self.calls, self.name = calls, name

    def on_fit_begin(self, model):
        self.calls.append((self.name, "fit begin"))

    def on_fit_end(self, model):
        self.calls.append((self.name, "fit end"))

    def on_epoch_begin(self, model, epoch):
        self.calls.append((self.name, "begin", epoch))

    def on_epoch_end(self, model, epoch, logs):
        self.calls.append((self.name, "end", epoch, dict(logs)))


class BatchRecorder(Recorder):
    def on_batch_begin(self, model, batch):
        self.calls.append((self.name, "batch begin", batch))

    def on_batch_end(self, model, batch, logs):
        self.calls.append((self.name, "batch end", batch, dict(logs)))


def test_hooks_are_called_in_order():
    calls = []
    callbacks = CallbackList([Recorder(calls, "a"), BatchRecorder(calls, "b"), Callback()])
    callbacks.on_fit_begin(None)
    callbacks.on_epoch_begin(None, 3)
    callbacks.on_batch_begin(None, 5)
    callbacks.on_batch_end(None, 5, {"loss": 2.0})
    callbacks.on_epoch_end(None, 3, {"loss": 1.0})
    callbacks.on_fit_end(None)
    assert calls == [
        ("a", "fit begin"),
        ("b", "fit begin"),
        ("a", "begin", 3),
        ("b", "begin", 3),
        ("b", "batch begin", 5),
        ("b", "batch end", 5, {"loss": 2.0}),
        ("a", "end", 3, {"loss": 1.0}),
        ("b", "end", 3, {"loss": 1.0}),
        ("a", "fit end"),
        ("b", "fit end"),
    ]
    assert len(callbacks) == 3


def test_who_has_batch_hooks():
    class Begin(Callback):
        def on_batch_begin(self, model, batch): ...

    class End(Begin):
        on_batch_begin = Callback.on_batch_begin

        def on_batch_end(self, model, batch, logs): ...

    class Neither(End):
        on_batch_end = Callback.on_batch_end

    late = Callback()
    late.on_batch_end = lambda model, batch, logs: None
    with_hooks = [Begin(), End(), BatchRecorder([], "a"), late]
    without = [Callback(), Neither(), Recorder([], "a"), EarlyStopping(), ReduceLROnPlateau(), CSVLogger("a")]
    assert all(map(has_batch_hooks, with_hooks))
    assert not any(map(has_batch_hooks, without))
    assert CallbackList([*without, late]).has_batch_hooks
    assert not CallbackList(without).has_batch_hooks
    assert not CallbackList(()).has_batch_hooks


def test_one_callback_needs_no_list():
    assert len(CallbackList(EarlyStopping())) == 1
    assert len(CallbackList(each for each in (EarlyStopping(), Callback()))) == 2


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (5, "callbacks must be a sequence of bpkern.callbacks.Callback, not 5"),
        (None, "callbacks must be a sequence"),
        ([EarlyStopping], r"a callback must be .*, not <class .*: give an instance, as in EarlyStopping\(\)"),
        (EarlyStopping, "callbacks must be a sequence of bpkern.callbacks.Callback, not <class"),
        ([print], "a callback must be a bpkern.callbacks.Callback, not <built-in"),
        ("abc", "callbacks must be a sequence of bpkern.callbacks.Callback, not 'abc'"),
    ],
)
def test_what_is_no_callback(callbacks, message):
    with pytest.raises(TypeError, match=message):
        CallbackList(callbacks)


def test_repr():
    assert (
        repr(EarlyStopping("val_accuracy", patience=3)) == "EarlyStopping(monitor='val_accuracy', patience=3)"
    )
    assert repr(ReduceLROnPlateau()).startswith("ReduceLROnPlateau(monitor='val_loss', factor=0.")
    assert repr(ModelCheckpoint("best.npz")) == "ModelCheckpoint('best.npz')"
    assert repr(CSVLogger("log.csv")) == "CSVLogger('log.csv')"


def test_states_of_other_callbacks_are_refused():
    state = CallbackList([Callback(), EarlyStopping(), ReduceLROnPlateau()]).state_dict()
    assert set(state) >= {"1.EarlyStopping.best", "2.ReduceLROnPlateau.best"}
    CallbackList([Callback(), EarlyStopping(), ReduceLROnPlateau()]).load_state_dict(state)
    for others in (
        [EarlyStopping(), ReduceLROnPlateau()],
        [Callback(), EarlyStopping()],
        [Callback(), EarlyStopping(), ReduceLROnPlateau(), ModelCheckpoint("a")],
        [],
    ):
        with pytest.raises(ValueError, match="the state must "):
            CallbackList(others).load_state_dict(state)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({3: 1.0}, r"Mine\.state_dict\(\) must have strings as keys, not 3"),
        ({None: 1.0}, r"Mine\.state_dict\(\) must have strings as keys, not None"),
        (None, r"Mine\.state_dict\(\) must return a dict, not None"),
        ([1.0], r"Mine\.state_dict\(\) must return a dict, not \[1\.0\]"),
    ],
)
def test_states_that_would_not_come_back(state, message):
    """A file has only strings as keys."""

    class Mine(Callback):
        def state_dict(self):
            return state

    with pytest.raises(TypeError, match=message):
        CallbackList(Mine()).state_dict()


# The watched quantity ----------------------------------------------------------------------------------

WATCHERS = {
    EarlyStopping: {},
    ReduceLROnPlateau: {},
    ModelCheckpoint: {"path": "a.npz"},
}


@pytest.mark.parametrize("kind", WATCHERS)
def test_a_name_that_is_not_there(kind):
    with pytest.raises(
        ValueError, match="'val_loss' is not in the logs, which hold loss: val_ needs validation data"
    ):
        fit(Model(), kind(**WATCHERS[kind]), [{"loss": 1.0}])
    with pytest.raises(ValueError, match=r"'f1' is not in the logs, which hold loss, val_loss$"):
        fit(Model(), kind(monitor="f1", **WATCHERS[kind]), log([1.0]))


BAD = [
    ({"monitor": None}, TypeError, "monitor must be a name, not None"),
    ({"mode": "maximum"}, ValueError, "unknown mode 'maximum': allowed are auto, min, max"),
    ({"patience": -1}, ValueError, "patience must be at least 0, not -1"),
    ({"patience": 1.5}, TypeError, "patience must be a whole number, not 1.5"),
    ({"min_delta": -1}, ValueError, "min_delta must be finite and at least 0, not -1"),
    ({"factor": 1.0}, ValueError, "factor must be at least 0 and below 1, not 1"),
    ({"factor": -0.1}, ValueError, "factor must be at least 0 and below 1, not -0.1"),
    ({"cooldown": -1}, ValueError, "cooldown must be at least 0, not -1"),
    ({"min_lr": NAN}, ValueError, "min_lr must be finite and at least 0, not nan"),
    ({"every": 0}, ValueError, "every must be at least 1, not 0"),
    ({"save_best_only": 1}, TypeError, "save_best_only must be True or False, not 1"),
    ({"path": 5}, TypeError, "path must be a path, not 5"),
    ({"path": b"a"}, TypeError, "path must be a path of text, not b'a'"),
    ({"path": "{}"}, ValueError, "path may have fields like .*, not {}"),
    ({"path": "{0}"}, ValueError, "path may have fields like .*, not {0}"),
    ({"path": "{loss"}, ValueError, "expected '}'"),
]


@pytest.mark.parametrize(
    ("kind", "settings", "error", "message"),
    [
        (kind, *bad)
        for kind in WATCHERS
        for bad in BAD
        if set(bad[0]) <= set(inspect.signature(kind).parameters)
    ],
)
def test_bad_settings(kind, settings, error, message):
    with pytest.raises(error, match=message):
        kind(**WATCHERS[kind] | settings)


@pytest.mark.parametrize(
    ("name", "maximised"),
    [
        ("loss", False),
        ("val_loss", False),
        ("mae", False),
        ("val_rmse", False),
        ("my_own", False),
        *((name, True) for name in ("accuracy", "val_accuracy", "f1", "val_precision", "recall", "val_r2")),
    ],
)
def test_auto_knows_which_way_is_up(name, maximised):
    for mode, upwards in (("auto", maximised), ("min", False), ("max", True)):
        stopping = EarlyStopping(monitor=name, mode=mode, patience=100)
        fit(Model(), stopping, log([3.0, 1.0, 5.0, 2.0], name))
        assert stopping.best_ == (5 if upwards else 1)


# Early stopping ----------------------------------------------------------------------------------------


def test_early_stopping_stops_and_restores():
    model, stopping = Model(), EarlyStopping(patience=3)
    epochs, _ = fit(model, stopping, log([5, 4, 3, 3.5, 3, 4, 1, 1]))
    assert epochs == 6
    assert (stopping.best_, stopping.best_epoch_, stopping.stopped_epoch_) == (3, 2, 5)
    assert np.array_equal(model.weights, [3, 3, 3])


def test_early_stopping_restores_where_the_fit_ran_to_its_end():
    model, stopping = Model(), EarlyStopping(patience=3)
    assert fit(model, stopping, log([5, 4, 3, 3.5]))[0] == 4
    assert (stopping.best_, stopping.best_epoch_, stopping.stopped_epoch_) == (3, 2, None)
    assert np.array_equal(model.weights, [3, 3, 3])

    # And if another callback ended the fit.
    class Enough(Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = True

    fit(model, [stopping, Enough()], log([5, 4]))
    assert np.array_equal(model.weights, [4, 4, 4])


@pytest.mark.parametrize(("patience", "epochs"), [(0, 3), (1, 3), (2, 4), (3, 6)])
def test_patience(patience, epochs):
    assert (
        fit(Model(), EarlyStopping(patience=patience), log([2, 1, 1, 1, 0.5, 1][: epochs + 1]))[0] == epochs
    )


def test_min_delta():
    stopping = EarlyStopping(patience=2, min_delta=0.5)
    assert fit(Model(), stopping, log([4.0, 3.5, 3.25, 3.0, 2.5, 2.0, 2.25]))[0] == 7
    assert (stopping.best_, stopping.best_epoch_, stopping.stopped_epoch_) == (2.5, 4, 6)
    rising = EarlyStopping("val_f1", patience=2, min_delta=0.5)
    assert fit(Model(), rising, log([0.0, 0.5, 0.75, 1.5, 1.5, 1.9, 9], "val_f1"))[0] == 6
    assert (rising.best_, rising.best_epoch_) == (1.5, 3)


def test_values_that_are_not_finite_are_no_improvement():
    model, stopping = Model(), EarlyStopping(patience=3)
    assert fit(model, stopping, log([NAN, 2.0, -INF, NAN, INF, 0]))[0] == 5
    assert stopping.best_epoch_ == 1
    assert np.array_equal(model.weights, [2, 2, 2])
    nothing = EarlyStopping(patience=2)
    model = Model()
    assert fit(model, nothing, log([NAN, NAN, NAN]))[0] == 2
    assert nothing.best_ is None
    assert np.array_equal(model.weights, [2, 2, 2])


def test_a_fit_without_epochs():
    model, stopping = Model(), EarlyStopping()
    fit(model, stopping, log([1.0]))
    model.weights = np.full(3, 8.0)
    fit(model, stopping, [])
    assert stopping.best_ is stopping.best_epoch_ is None
    assert np.array_equal(model.weights, [8, 8, 8])


def test_the_best_parameters_are_no_view():
    model, stopping = Model(), EarlyStopping(patience=5)
    callbacks = CallbackList([stopping])
    callbacks.on_fit_begin(model)
    for epoch, value in enumerate([1.0, 2.0, 3.0]):
        model.weights += 1
        callbacks.on_epoch_end(model, epoch, {"val_loss": value})
    callbacks.on_fit_end(model)
    assert np.array_equal(model.weights, [1, 1, 1])


# Plateaus ----------------------------------------------------------------------------------------------


class Rates(Callback):
    """The learning rate after each epoch."""

    def on_fit_begin(self, model):
        self.rates = []

    def on_epoch_end(self, model, epoch, logs):
        self.rates.append(model.optimizer.lr)


def rates_after(values, lr=1.0, **settings):
    rates = Rates()
    fit(Model(lr), [ReduceLROnPlateau(**settings), rates], log(values))
    return rates.rates


def test_reduce_on_a_plateau():
    values = [5, 4, 4, 4, 4, 4, 3, 3]
    assert rates_after(values, factor=0.5, patience=2) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert rates_after(values, factor=0.5, patience=2, cooldown=1) == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5]
    assert rates_after(values, factor=0.5, patience=1) == [1, 1, 0.5, 0.25, 0.125, 0.0625, 0.0625, 0.03125]
    assert rates_after(values, factor=0.5, patience=0) == rates_after(values, factor=0.5, patience=1)
    assert rates_after(values, factor=0.5, patience=1, min_lr=0.2)[-1] == 0.2
    assert rates_after(values, lr=0.1, factor=0.5, patience=1, min_lr=0.2) == [0.1] * 8
    assert rates_after([3, 2.5, 2.2, 2.0], factor=0.5, patience=1, min_delta=0.4) == [1, 1, 0.5, 0.5]
    assert rates_after([1.0, NAN, NAN], factor=0.5, patience=2) == [1, 1, 0.5]


@given(
    values=st.lists(st.integers(0, 6).map(float), min_size=1, max_size=30),
    patience=st.integers(1, 4),
    cooldown=st.integers(0, 3),
    min_delta=st.sampled_from([0.0, 1.0]),
)
def test_plateaus_are_pytorchs(values, patience, cooldown, min_delta):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        factor=0.5,
        patience=patience - 1,
        cooldown=cooldown,
        threshold=min_delta,
        threshold_mode="abs",
        min_lr=0.01,
        eps=0.0,
    )
    expected = []
    for value in values:
        scheduler.step(value)
        expected.append(optimizer.param_groups[0]["lr"])
    got = rates_after(
        values, factor=0.5, patience=patience, cooldown=cooldown, min_delta=min_delta, min_lr=0.01
    )
    assert got == expected


def test_a_schedule_cannot_be_reduced():
    for lr in (schedules.Step(0.1, 5), lambda iteration: 0.1):
        with pytest.raises(TypeError, match="ReduceLROnPlateau needs a learning rate that is a number, not"):
            fit(Model(lr), ReduceLROnPlateau(), [])


# Files -------------------------------------------------------------------------------------------------


def saved(values, **settings):
    model = Model()
    fit(model, ModelCheckpoint(**settings), log(values))
    return model.saved


def test_checkpoints(tmp_path):
    values = [3.0, 4.0, 2.0, 2.0, 1.0]
    assert saved(values, path="a.npz") == ["a.npz"] * 3
    assert saved(values, path="{epoch:02d}-{val_loss:.1f}.npz") == ["01-3.0.npz", "03-2.0.npz", "05-1.0.npz"]
    assert saved(values, path="{epoch}", save_best_only=False) == ["1", "2", "3", "4", "5"]
    assert saved(values, path="{epoch}", save_best_only=False, every=2) == ["2", "4"]
    assert saved(values, path="{epoch}", every=2) == ["2", "4"]
    assert saved(values, path="{epoch}", mode="max") == ["1", "2"]
    assert saved(values, path=tmp_path / "{{{epoch}}}") == [str(tmp_path / f"{{{n}}}") for n in (1, 3, 5)]
    assert saved([1.0], path="a", monitor="nowhere", save_best_only=False) == ["a"]


def test_a_field_that_is_not_there():
    with pytest.raises(ValueError, match=r"path has the field {accuracy}: allowed are epoch, loss, val_loss"):
        saved([1.0], path="{accuracy}.npz")


def rows(path, separator=","):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter=separator))


def test_csv(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    fit(Model(), logger, [])
    assert not path.exists()
    values = [0.1, 1 / 3, NAN]
    fit(Model(), logger, log(values))
    assert rows(path) == [
        ["epoch", "loss", "val_loss"],
        ["1", "0.5", "0.1"],
        ["2", "0.5", repr(1 / 3)],
        ["3", "0.5", "nan"],
    ]
    fit(Model(), logger, log([7.0]))
    assert rows(path)[1:] == [["1", "0.5", "7.0"]]


def test_csv_is_complete_after_each_epoch(tmp_path):
    logger = CSVLogger(tmp_path / "log.csv", separator=";")
    logger.on_fit_begin(None)
    for epoch in range(3):
        logger.on_epoch_end(None, epoch, {"loss": 1.0})
        assert (tmp_path / "log.csv").read_bytes().endswith(b"\n%d;1.0\n" % (epoch + 1))


def test_csv_appends(tmp_path):
    path = tmp_path / "log.csv"
    for _ in range(2):
        fit(Model(), CSVLogger(path, append=True), log([1.0, 2.0]))
    assert [row[0] for row in rows(path)] == ["epoch", "1", "2", "1", "2"]
    before = path.read_bytes()
    for others in (log([1.0], "val_f1"), [{"loss": 1.0}]):
        with pytest.raises(
            ValueError, match=r"has the columns \['epoch', 'loss', 'val_loss'\], and this fit"
        ):
            fit(Model(), CSVLogger(path, append=True), others)
    assert path.read_bytes() == before
    (tmp_path / "empty.csv").touch()
    fit(Model(), CSVLogger(tmp_path / "empty.csv", append=True), log([1.0]))
    assert len(rows(tmp_path / "empty.csv")) == 2


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"path": None}, TypeError, "path must be a path, not None"),
        ({"append": "a"}, TypeError, "append must be True or False, not 'a'"),
        (
            {"separator": ""},
            ValueError,
            "separator must be one character, no quote and no line break, not ''",
        ),
        ({"separator": "\n"}, ValueError, "separator must be one character"),
        ({"separator": 5}, TypeError, "separator must be a character, not 5"),
    ],
)
def test_bad_csv(settings, error, message):
    with pytest.raises(error, match=message):
        CSVLogger(**{"path": "a.csv"} | settings)


# Several fits, and resumed fits ------------------------------------------------------------------------


def everything(path):
    return [
        EarlyStopping(patience=4),
        ReduceLROnPlateau(factor=0.5, patience=2, cooldown=1, min_delta=0.0),
        ModelCheckpoint("{epoch}"),
        CSVLogger(path),
        Rates(),
    ]


def outcome(model, callbacks, path):
    stopping = callbacks[0]
    return (
        model.weights.tolist(),
        model.optimizer.lr,
        model.saved,
        path.read_bytes(),
        (stopping.best_, stopping.best_epoch_, stopping.stopped_epoch_),
    )


def test_a_second_fit_starts_anew(tmp_path):
    path = tmp_path / "log.csv"
    callbacks = everything(path)
    fit(Model(), callbacks, log([0.1, 0.5, 0.5, 0.5, 0.5, 0.5]))
    again, other = Model(), Model()
    values = [5.0, 4.0, 6.0, 3.0, 7.0]
    fit(again, callbacks, log(values))
    second = outcome(again, callbacks, path)
    fresh = everything(path)
    fit(other, fresh, log(values))
    assert second == outcome(other, fresh, path)


@given(
    values=st.lists(st.sampled_from([1.0, 2.0, 3.0, NAN]), min_size=2, max_size=14),
    cut=st.integers(1, 13),
    lost=st.integers(0, 2),
)
def test_a_resumed_fit_ends_as_an_unbroken_one(values, cut, lost, tmp_path_factory):
    """The process dies `lost` epochs after the checkpoint."""
    path = tmp_path_factory.mktemp("resumed") / "log.csv"
    whole, callbacks = Model(), everything(path)
    epochs, _ = fit(whole, callbacks, log(values))
    expected = outcome(whole, callbacks, path)
    cut = min(cut, epochs - 1)

    model, before = Model(), CallbackList(everything(path))
    before.on_fit_begin(model)
    checkpoint = None
    for epoch in range(min(cut + lost, len(values))):
        if epoch == cut:
            checkpoint = SimpleNamespace(
                weights=model.weights,
                lr=model.optimizer.lr,
                saved=list(model.saved),
                state=before.state_dict(),
            )
        model.weights = model.weights + 1
        before.on_epoch_end(model, epoch, log(values)[epoch])
    if checkpoint is None:
        checkpoint = SimpleNamespace(
            weights=model.weights, lr=model.optimizer.lr, saved=list(model.saved), state=before.state_dict()
        )
    before.release()  # as the system does for a dead process

    resumed, after = Model(checkpoint.lr), everything(path)
    resumed.weights, resumed.saved = checkpoint.weights, checkpoint.saved
    fit(resumed, after, log(values), through_a_file(checkpoint.state), cut)
    assert outcome(resumed, after, path) == expected


def test_a_resumed_log_that_is_lost_or_cut_begins_anew(tmp_path):
    path = tmp_path / "log.csv"
    _, state = fit(Model(), CSVLogger(path), log([1.0, 2.0]))
    for spoil in (path.unlink, lambda: path.write_bytes(b"epoch,loss,val_loss\n")):
        spoil()
        fit(Model(), CSVLogger(path), log([1.0, 2.0, 3.0]), state, 2)
        assert rows(path) == [["epoch", "loss", "val_loss"], ["3", "0.5", "3.0"]]


@pytest.mark.parametrize("resumed", [False, True])
def test_a_log_that_cannot_be_looked_at_is_not_begun_anew(tmp_path, monkeypatch, resumed):
    path = tmp_path / "log.csv"
    _, state = fit(Model(), CSVLogger(path), log([1.0, 2.0]))
    before = path.read_text()
    look = os.stat

    def refuse(which, **settings):
        if which == str(path):
            raise OSError(errno.EIO, "refused", which)
        return look(which, **settings)

    monkeypatch.setattr(os, "stat", refuse)
    with contextlib.suppress(OSError):  # or the file is opened without calling os.stat
        if resumed:
            fit(Model(), CSVLogger(path), log([1.0, 2.0, 3.0]), state, 2)
        else:
            fit(Model(), CSVLogger(path, append=True), log([1.0]))
    monkeypatch.undo()
    assert path.read_text().startswith(before)


def test_errors_of_the_log_name_it(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full") as caught:
        fit(Model(), CSVLogger(tmp_path / "log.csv"), log([1.0]))
    assert caught.value.filename == str(tmp_path / "log.csv")
