"""What people are told without asking: once, in words that they can act on, and never about good data."""

import sys
import warnings

import numpy as np
import pytest

import bpkern
from bpkern import callbacks
from bpkern._data.scales import LARGE
from bpkern.preprocessing import TableEncoder

RNG = np.random.default_rng(0)
ROWS = 400
SCALED = RNG.normal(size=(ROWS, 5))
LABELS = (SCALED[:, 0] > 0).astype(int)
VALUES = SCALED @ [1.0, 2.0, 0.0, -1.0, 0.5]


def model(**settings):
    return bpkern.MLP(**{"layers": [5, 8, 2], "loss": "cross_entropy", "seed": 0} | settings)


def warned(function):
    """The texts of the warnings of a call, and the files that they name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    return [str(each.message) for each in caught], {each.filename for each in caught}


# Large columns -----------------------------------------------------------------------------------------


def test_large_columns_are_named_with_the_remedy():
    X = SCALED * [1, 500, 1, 1, 70]
    told, files = warned(lambda: model().fit(X, LABELS, epochs=20))
    assert len(told) == 1
    assert told[0].startswith("2 of 5 columns of X hold large numbers: 1 (about ")
    sizes = np.sqrt((X**2).mean(axis=0))
    assert f"1 (about {sizes[1]:.0f}), 4 (about {sizes[4]:.0f})." in told[0]
    assert "scale each column to mean 0 and deviation 1, by (X - X.mean(axis=0)) / X.std(axis=0)" in told[0]
    assert "sklearn.preprocessing.StandardScaler or bpkern.preprocessing.TableEncoder" in told[0]
    trained = TableEncoder(scaling="standard").fit_transform(X)
    assert warned(lambda: model().fit(trained, LABELS, epochs=20))[0] == []
    assert files == {__file__}


def test_codes_of_categories_are_not_large():
    inputs = [bpkern.inputs.CategoryEmbedding(1, 600, 2)]
    X = SCALED.copy()
    X[:, 1] = np.arange(len(X)) % 600
    assert warned(lambda: model(inputs=inputs).fit(X, LABELS, epochs=20))[0] == []
    [told] = warned(lambda: model(inputs=inputs).fit(X * [1, 1, 1, 1, 70], LABELS, epochs=20))[0]
    assert told.startswith("1 of 5 columns of X hold large numbers: 4 (about ")


def test_columns_of_a_table_are_named_by_their_names():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        SCALED + np.array([0, 0, 300, 0, 0]), columns=["a", "b", "weight in kg", "d", "e"]
    )
    [told], _ = warned(lambda: model().fit(table, LABELS, epochs=20))
    assert "1 of 5 columns of X hold large numbers: 'weight in kg' (about 300)." in told


def test_many_models_are_told_once():
    X = SCALED * 1e9
    models = [model(seed=seed, optimizer=bpkern.SGD(lr=0.0)) for seed in range(2)]
    told, files = warned(lambda: bpkern.fit_many(models, X, LABELS, epochs=20))
    assert len(told) == 1
    assert told[0].startswith("5 of 5 columns")
    assert "(about 1.0e+09)" in told[0]
    assert told[0].count("about") == 4
    assert "), ...." in told[0]
    assert files == {__file__}


@pytest.mark.parametrize(
    "X",
    [
        SCALED,
        SCALED + 5,
        np.clip(SCALED, -1, 1) * LARGE,
        RNG.integers(0, 17, size=(ROWS, 5)),
        np.eye(5)[RNG.integers(0, 5, size=ROWS)],
        np.vstack([np.full((1, 5), 200.0), SCALED[1:]]),  # one outlier makes no large column
        SCALED.astype(np.float16),
        np.zeros((ROWS, 5), bool),
    ],
)
def test_nobody_is_told_about_good_columns(X):
    assert warned(lambda: model().fit(X, LABELS, epochs=20)) == ([], set())


def test_short_fits_are_not_checked():
    """A check would be a measurable part of them."""
    assert warned(lambda: model().fit(SCALED[:50] * 500, LABELS[:50], epochs=1, batch_size=50))[0] == []


# Sigmoids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_a_second_sigmoid(loss, tmp_path):
    made = []
    told, files = warned(lambda: made.append(model(loss=loss, output_activation="sigmoid")))
    own = "softmax" if loss == "cross_entropy" else "sigmoid"
    assert told == [
        f"the loss {loss} applies its own {own} to the outputs, and output_activation='sigmoid' applies a "
        "sigmoid before that: use 'identity'; predict_proba returns the probabilities"
    ]
    assert files == {__file__}
    made[0].save(tmp_path / "net.npz")
    assert warned(lambda: (made[0].copy(), bpkern.MLP.load(tmp_path / "net.npz")))[0] == []


@pytest.mark.parametrize(
    "settings", [{"loss": "mse", "output_activation": "sigmoid"}, {"activation": "sigmoid"}, {}]
)
def test_no_second_sigmoid(settings):
    assert warned(lambda: model(**settings))[0] == []


# The end of a fit ------------------------------------------------------------------------------------------


class Worse(callbacks.Callback):
    """Raises the learning rate so far that no further epoch is better."""

    def on_epoch_end(self, model, epoch, logs):
        if epoch == 2:
            model.optimizer.lr = 0.0


REASON = "val_loss has not improved for 3 epochs; the weights are those of epoch 3, where it was "


@pytest.mark.parametrize("verbose", [1, 2, True])
def test_early_stopping_says_so(verbose, tmp_path, capsys):
    stopping = callbacks.EarlyStopping(patience=3)
    trained = model(optimizer=bpkern.SGD(lr=0.01))
    history = trained.fit(
        SCALED, LABELS, epochs=50, validation_split=0.2, callbacks=[Worse(), stopping], verbose=verbose
    )
    assert history.best_epoch == stopping.best_epoch_ == 2
    assert history.stop_reason == f"{REASON}{stopping.best_:.4g}"
    assert repr(history).endswith(f"; stopped: {history.stop_reason})")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 7
    assert lines[-2].startswith("epoch 6/50, loss ")
    assert lines[-1] == f"stopped after epoch 6 of 50: {history.stop_reason}"
    trained.save(tmp_path / "net.npz")
    for kept in (bpkern.MLP.load(tmp_path / "net.npz").history_, trained.copy().history_):
        assert (kept, kept.stop_reason, kept.best_epoch) == (history, history.stop_reason, 2)


def test_a_fit_to_its_end_has_no_reason(capsys):
    history = model().fit(
        SCALED, LABELS, epochs=3, callbacks=callbacks.EarlyStopping("loss", patience=2), verbose=2
    )
    assert (history.stop_reason, history.best_epoch) == (None, 2)
    assert "stopped" not in capsys.readouterr().err + repr(history)
    assert (model().fit(SCALED, LABELS).best_epoch, model().fit(SCALED, LABELS).stop_reason) == (None, None)


def test_other_callbacks_stop_as_well():
    class Stop(callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 1

    history = model().fit(SCALED, LABELS, epochs=9, callbacks=Stop())
    assert (len(history["loss"]), history.stop_reason) == (2, "a callback has set stop_training")

    class GoOn(callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = False

    stopping = callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    history = model().fit(SCALED, LABELS, epochs=4, callbacks=[stopping, GoOn()])
    assert (len(history["loss"]), history.stop_reason, history.best_epoch) == (4, None, 0)


def test_a_resumed_fit_says_again_why_it_had_stopped(tmp_path):
    fit = dict(epochs=50, validation_split=0.2, checkpoint=tmp_path / "fit.npz", resume=True)

    def again():
        trained = model(optimizer=bpkern.SGD(lr=0.01))
        return trained.fit(SCALED, LABELS, callbacks=[Worse(), callbacks.EarlyStopping(patience=3)], **fit)

    first, second = again(), again()
    assert first.stop_reason.startswith(REASON)
    assert (second.stop_reason, second.best_epoch) == (first.stop_reason, first.best_epoch)


@pytest.mark.parametrize(("name", "value"), [("stop_reason", 3), ("best_epoch", "two"), ("best_epoch", -1)])
def test_an_edited_history_is_refused_by_files(name, value, tmp_path):
    trained = model()
    setattr(trained.fit(SCALED, LABELS), name, value)
    with pytest.raises((ValueError, TypeError), match=f"history_.{name} must be"):
        trained.save(tmp_path / "net.npz")
    assert not (tmp_path / "net.npz").exists()


# Displays --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [3, -1, "yes", None, 1.5])
def test_other_values_of_verbose(verbose):
    with pytest.raises(ValueError, match=r"unknown verbose .*: allowed are 'auto', 0, 1, 2, False, True"):
        model().fit(SCALED, LABELS, verbose=verbose)


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (False, 0), ("auto", 0), (1, 2), (True, 2), (2, 2)])
def test_lines_elsewhere(verbose, lines, capsys):
    model().fit(SCALED, LABELS, epochs=2, verbose=verbose)
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", lines)


def test_2_is_a_line_per_epoch_on_a_terminal_too(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    model().fit(SCALED, LABELS, epochs=3, verbose=2)
    shown = capsys.readouterr().err
    assert [line.split(",")[0] for line in shown.splitlines()] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "\r" not in shown


class ZMQInteractiveShell:
    """What IPython returns in a notebook, by its name."""


@pytest.mark.parametrize("missing", [("ipywidgets",), ("ipywidgets", "tqdm")])
def test_notebooks_show_nothing_on_standard_error(missing, monkeypatch, capsys):
    ipython = type(sys)("IPython")
    ipython.get_ipython = ZMQInteractiveShell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    model().fit(SCALED, LABELS, epochs=3, verbose=1)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "epoch 3/3, loss " in captured.out
    model().fit(SCALED, LABELS, epochs=3, verbose=2)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert len(captured.out.splitlines()) == 3


def test_a_cell_keeps_the_last_state_of_a_line(monkeypatch):
    """By IPython's display, whose updates replace the text in saved notebooks, too."""
    states = []

    class Handle:
        def update(self, data, raw):
            states.append((data["text/plain"], raw))

    def display(data, raw, display_id):
        states.append((data["text/plain"], raw))
        return Handle()

    ipython = type(sys)("IPython")
    ipython.get_ipython, ipython.__path__ = ZMQInteractiveShell, []
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    ipython.display = type(sys)("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    pytest.importorskip("tqdm")
    stopping = callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    model().fit(SCALED, LABELS, epochs=9, callbacks=stopping, verbose=1)
    assert all(raw for _, raw in states)
    bar, reason = states[-1][0].splitlines()
    assert bar.startswith("epoch 2/9, loss ")
    assert "|██████████|" in bar
    assert reason.startswith("stopped after epoch 2 of 9: loss has not improved")


def test_a_stopped_bar_is_full(monkeypatch):
    tqdm = pytest.importorskip("tqdm").tqdm
    bars = []

    class Recorded(tqdm):
        def close(self):
            bars.append((self.n, self.total))
            super().close()

    monkeypatch.setattr("tqdm.tqdm", Recorded)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    stopping = callbacks.EarlyStopping("loss", patience=1, min_delta=1e9)
    history = model().fit(SCALED, LABELS, epochs=1000, callbacks=stopping)
    assert len(history["loss"]) == 2
    assert bars[0] == (1000 * ROWS, 1000 * ROWS)


def test_the_rate_is_that_of_the_recent_past(monkeypatch):
    from bpkern._fit import progress

    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    rate, shown = progress.Rate(), []
    # 100 samples per second for 5 seconds, then 1000 per second.
    samples = 0
    for second in range(1, 11):
        now[0] = float(second)
        samples += 100 if second <= 5 else 1000
        shown.append(rate.at(now[0], samples))
    assert shown[:5] == [100] * 5
    assert shown[6:] == [1000] * 4
