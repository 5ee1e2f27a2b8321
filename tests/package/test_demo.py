"""`bpkern demo`: training on real data."""

import re
import subprocess
import sys

import numpy as np
import pytest

import bpkern
from bpkern import _demo as demo


def test_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "bpkern", "demo", "--seed", "3", "--epochs", "40"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert float(re.search(r"^test accuracy: (\d+\.\d) %$", done.stdout, re.M)[1]) > 95
    assert f"on {bpkern.isa()}, 1 thread" in done.stdout
    assert re.search(r"^the kernels were \d+\.\d times as fast as NumPy \(medians\)$", done.stdout, re.M)
    assert re.search(r"^        9  ( +[\d.]+){10} +\d+%$", done.stdout, re.M)
    assert (
        len(re.findall(r"^  run \d of 3: kernels \d+\.\d{3} s, NumPy \d+\.\d{3} s$", done.stdout, re.M)) == 3
    )
    assert re.search(r"all 270 test digits alike|digits? of 270 differently: both computed", done.stdout)
    assert re.search(r"^precision  ( +\d+%){10}$", done.stdout, re.M)


def test_a_reader_that_ends_early_is_no_error():
    command = [sys.executable, "-m", "bpkern", "trace"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait() == 141


def test_the_confusion_matrix():
    """Counted by hand: of the true digits 0 0 1 7 7 7, one 0 and two 7 are taken for 1."""
    lines = demo.confusion_matrix(np.array([0, 0, 1, 7, 7, 7]), np.array([0, 1, 1, 7, 1, 1])).splitlines()
    assert lines[0].split() == ["predicted"]
    assert lines[1].split() == ["true", *"0123456789", "recall"]
    assert lines[2].split() == ["0", "1", "1", *"........", "50%"]
    assert lines[3].split() == ["1", ".", "1", *"........", "100%"]
    assert lines[4].split() == ["2", *"..........", "-"]
    assert lines[9].split() == ["7", ".", "2", *".....", "1", ".", ".", "33%"]
    assert lines[12].split() == ["precision", "100%", "25%", *"-----", "100%", "-", "-"]
    assert lines[14] == "most frequent mistakes: 7 as 1, 2 times; 0 as 1, 1 time"
    # Each number stands below the digit of its column.
    assert len({len(line) for line in lines[1:12]}) == 1
    assert lines[12].index("25%") + 3 == lines[1].index("1") + 1


def test_a_confusion_matrix_without_mistakes():
    text = demo.confusion_matrix(np.arange(10), np.arange(10))
    assert text.endswith("\nno mistakes")


def test_the_split_is_stratified_and_whole():
    parts = demo.split_digits(seed=0)
    assert [len(y) for _, y in parts] == [1257, 270, 270]
    share = [np.bincount(y) / len(y) for _, y in parts]
    assert np.ptp(share, axis=0).max() < 0.01


def test_ten_seeds():
    """The mean accuracy of ten seeds is at least 97 %; its standard error is 0.2 %."""
    accuracies = []
    for seed in range(10):
        train, _, test = demo.split_digits(seed)
        model = demo.make_model(bpkern.MLP, seed)
        model.fit(*train, epochs=60, batch_size=demo.BATCH_SIZE)
        accuracies.append(model.evaluate(*test)["accuracy"])
    assert np.mean(accuracies) >= 0.97


def test_without_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert demo.run(seed=0, epochs=1) == 1
    assert "bpkern demo needs sklearn" in capsys.readouterr().err


def test_the_bar_on_a_terminal(monkeypatch, capsys):
    """It shows epoch, loss, validation accuracy and samples per second."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    train, validation, _ = demo.split_digits(seed=0)
    demo.make_model(bpkern.MLP, 0).fit(*train, epochs=3, validation_data=validation)
    shown = capsys.readouterr().err
    for text in ("epoch 3/3", "loss ", "val_accuracy ", "samples/s"):
        assert text in shown


@pytest.mark.parametrize(("terminal", "verbose", "lines"), [(False, "auto", 0), (False, 1, 3), (True, 0, 0)])
def test_when_progress_is_shown(monkeypatch, capsys, terminal, verbose, lines):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    X, y = np.zeros((10, 2)), np.zeros(10)
    bpkern.MLP([2, 1], loss="mse", seed=0).fit(X, y, epochs=3, verbose=verbose)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == lines


def test_a_terminal_without_tqdm(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    X, y = np.zeros((10, 2)), np.zeros(10)
    bpkern.MLP([2, 1], loss="mse", bias=False, seed=0).fit(X, y, epochs=3)
    assert re.search(r"\repoch 3/3, loss 0\.0000, [\d,]+ samples/s", capsys.readouterr().err)


def test_what_stays_on_a_terminal_is_the_last_epoch(monkeypatch, capsys):
    """Also if the fit ends early, before the bar would be redrawn."""

    class Stop(bpkern.callbacks.Callback):
        def on_epoch_end(self, model, epoch, logs):
            model.stop_training = epoch == 4

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    X, y = np.zeros((10, 2)), np.zeros(10)
    for tqdm in (True, False):
        if not tqdm:
            monkeypatch.setitem(sys.modules, "tqdm", None)
        bpkern.MLP([2, 1], loss="mse", bias=False, seed=0).fit(X, y, epochs=100, callbacks=Stop())
        *_, last, why = re.split(r"[\r\n]+", capsys.readouterr().err.strip())
        assert last.startswith("epoch 5/100, loss 0.0000")
        assert why == "stopped after epoch 5 of 100: a callback has set stop_training"


def test_a_fit_without_an_epoch_shows_nothing(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bpkern.MLP([2, 1], loss="mse", seed=0).fit(np.zeros((10, 2)), np.zeros(10), epochs=0)
    assert capsys.readouterr().err == ""


def test_a_line_an_epoch_has_all_metrics(capsys):
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10.0)
    model = bpkern.MLP([2, 1], loss="mse", optimizer=bpkern.SGD(lr=0.0), seed=0)
    history = model.fit(X, y, validation_data=(X, y), metrics=("mae", "r2"), verbose=1)
    shown = capsys.readouterr().err
    assert list(history) == ["loss", "mae", "r2", "val_loss", "val_mae", "val_r2"]
    assert all(f"{name} {values[0]:.4f}" in shown for name, values in history.items())
