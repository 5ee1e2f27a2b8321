"""A CSV log has one writer at a time: a second one is refused, and no row of the first is lost."""

import copy
import csv
import errno
import io
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from systems import needs_posix

import bpkern
from bpkern._files import locks, logs
from bpkern.callbacks import Callback, CSVLogger

X, Y = np.arange(20.0).reshape(10, 2) / 20, np.arange(10.0)
REFUSED = "another fit is writing this log"


def net(seed=0):
    return bpkern.MLP([2, 1], loss="mse", seed=seed)


def epochs_in(path):
    with open(path, newline="") as file:
        return [row[0] for row in csv.reader(file)]


class Inside(Callback):
    """Calls something after an epoch of a fit."""

    def __init__(self, do, at=1):
        self.do, self.at = do, at

    def on_epoch_end(self, model, epoch, logs):
        if epoch == self.at:
            self.do()


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_a_second_fit_is_refused(tmp_path, first, append):
    path = tmp_path / "log.csv"

    def second():
        before = path.read_bytes()
        with pytest.raises(BlockingIOError, match=REFUSED) as caught:
            net(1).fit(X, Y, epochs=2, callbacks=CSVLogger(path, append=append))
        assert caught.value.filename == str(path)
        assert path.read_bytes() == before

    net().fit(X, Y, epochs=4, callbacks=[CSVLogger(path, append=first), Inside(second)])
    assert epochs_in(path) == ["epoch", "1", "2", "3", "4"]
    net().fit(X, Y, callbacks=CSVLogger(path, append=True))  # the fit has ended, and so has its lock
    assert epochs_in(path) == ["epoch", "1", "2", "3", "4", "1"]


def test_a_second_process_is_refused(tmp_path):
    path = tmp_path / "log.csv"
    program = (
        "import sys, numpy as np, bpkern\n"
        "log = bpkern.callbacks.CSVLogger(sys.argv[1])\n"
        "bpkern.MLP([2, 1], loss='mse').fit(np.ones((4, 2)), np.ones(4), callbacks=log)"
    )

    def second():
        done = subprocess.run(
            [sys.executable, "-c", program, path], capture_output=True, text=True, check=False
        )
        assert "BlockingIOError: " in done.stderr
        assert REFUSED in done.stderr

    net().fit(X, Y, epochs=3, callbacks=[CSVLogger(path), Inside(second)])
    assert epochs_in(path) == ["epoch", "1", "2", "3"]


def test_loggers_of_fit_many(tmp_path):
    each = [{"callbacks": CSVLogger(tmp_path / name)} for name in ("a.csv", "b.csv", "../a.csv", "b.csv")]
    with pytest.raises(ValueError, match=r"its own log: models\[1\] and models\[3\] have the same"):
        bpkern.fit_many([net(seed) for seed in range(4)], X, Y, each=each)
    assert os.listdir(tmp_path) == []


def test_fits_of_fit_many_may_write_one_device():
    each = [{"callbacks": CSVLogger(os.devnull)} for _ in range(2)]
    assert len(bpkern.fit_many([net(seed) for seed in range(2)], X, Y, each=each)) == 2


def test_loggers_of_one_fit(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.raises(BlockingIOError, match=REFUSED):
        net().fit(X, Y, epochs=3, callbacks=[CSVLogger(path), CSVLogger(path)])
    assert epochs_in(path) == ["epoch", "1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_fit_that_was_broken_off_holds_no_log(tmp_path, error):
    """Even if its logger lives on, as in the traceback of a notebook."""
    path = tmp_path / "log.csv"

    def fail():
        raise error("broken off")

    logger = CSVLogger(path)
    with pytest.raises(error, match="broken off"):
        net().fit(X, Y, epochs=3, callbacks=[logger, Inside(fail)])
    net().fit(X, Y, epochs=4, callbacks=CSVLogger(path))
    assert epochs_in(path) == ["epoch", "1", "2", "3", "4"]


def test_a_forked_child_holds_no_log(tmp_path):
    """A child made during the fit has the file open as well."""
    path, ends = tmp_path / "log.csv", os.pipe()

    def fork():
        child = os.fork()
        if child == 0:  # until the parent says so
            os.close(ends[1])
            os.read(ends[0], 1)
            os._exit(0)
        children.append(child)

    children = []
    net().fit(X, Y, epochs=3, callbacks=[CSVLogger(path), Inside(fork)])
    try:
        net().fit(X, Y, epochs=2, callbacks=CSVLogger(path))
    finally:
        os.write(ends[1], b".")
        os.waitpid(children[0], 0)
        for end in ends:
            os.close(end)
    assert epochs_in(path) == ["epoch", "1", "2"]


def test_a_forked_child_that_leaves_the_fit_drops_no_lock(tmp_path):
    """The child's copy of the fit ends by an exception, while the parent's goes on."""
    path, parent = tmp_path / "log.csv", os.getpid()

    def fork():
        child = os.fork()
        if not child:
            raise KeyboardInterrupt
        os.waitpid(child, 0)
        with pytest.raises(BlockingIOError, match=REFUSED):
            net(1).fit(X, Y, callbacks=CSVLogger(path))

    try:
        net().fit(X, Y, epochs=3, callbacks=[CSVLogger(path), Inside(fork)])
    finally:
        if os.getpid() != parent:
            os._exit(0)
    assert epochs_in(path) == ["epoch", "1", "2", "3"]


def test_a_resumed_fit_does_not_cut_the_log_of_another(tmp_path):
    path, checkpoint = tmp_path / "log.csv", tmp_path / "fit.npz"
    settings = dict(checkpoint=checkpoint, resume=True)
    net().fit(X, Y, epochs=2, **settings, callbacks=CSVLogger(path))

    def resume():
        with pytest.raises(BlockingIOError, match=REFUSED):
            net().fit(X, Y, epochs=4, **settings, callbacks=CSVLogger(path))

    net(1).fit(X, Y, epochs=5, callbacks=[CSVLogger(path), Inside(resume, at=3)])
    assert epochs_in(path) == ["epoch", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_log_that_disappears_is_begun_anew(tmp_path, how):
    path = tmp_path / "log.csv"

    def lose():
        path.unlink() if how == "deleted" else path.rename(tmp_path / "moved.csv")

    net().fit(X, Y, epochs=4, callbacks=[CSVLogger(path), Inside(lose)])
    assert epochs_in(path) == ["epoch", "3", "4"]
    if how == "moved":
        assert epochs_in(tmp_path / "moved.csv") == ["epoch", "1", "2"]


def test_writers_without_locks_lose_no_row(tmp_path, monkeypatch):
    """On a file system without locks nobody is refused: every line is one write, to the end of the file."""

    def refuse(*arguments):
        raise OSError(locks.UNSUPPORTED[0], "no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    path = tmp_path / "log.csv"
    net().fit(X, Y, callbacks=CSVLogger(path))
    writers = [
        threading.Thread(
            target=lambda seed=seed: net(seed).fit(X, Y, epochs=20, callbacks=CSVLogger(path, append=True))
        )
        for seed in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = epochs_in(path)
    assert len(found) == 62
    assert sorted(found[2:], key=int) == [str(epoch) for epoch in range(1, 21) for _ in range(3)]


def test_a_row_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path, write = tmp_path / "log.csv", os.write

    def half(descriptor, data):
        monkeypatch.setattr(os, "write", full)
        return write(descriptor, data[: len(data) // 2])

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "full")

    def fill():
        monkeypatch.setattr(os, "write", half)

    with pytest.raises(OSError, match="full"):
        net().fit(X, Y, epochs=5, callbacks=[CSVLogger(path), Inside(fill)])
    monkeypatch.undo()
    assert epochs_in(path) == ["epoch", "1", "2"]


class Lost(io.FileIO):
    """A file that has lost what was written, if `refused` is a list."""

    refused = None

    def close(self):
        was_open = not self.closed
        super().close()
        if was_open and Lost.refused is not None:
            Lost.refused.append(self.name)
            raise OSError(errno.EIO, "lost")


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_errors_at_the_end_name_the_log_and_hide_no_other(tmp_path, monkeypatch, ends):
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    monkeypatch.setattr(logs, "open", lambda path, mode, buffering: Lost(path, mode), raising=False)

    def spoil():
        monkeypatch.setattr(Lost, "refused", [])
        if ends == "badly":
            raise LookupError("broken off")

    callbacks = [*map(CSVLogger, paths), Inside(spoil)]
    with pytest.raises(OSError if ends == "well" else LookupError, match=r"lost|broken off") as caught:
        net().fit(X, Y, epochs=2, callbacks=callbacks)
    assert sorted(Lost.refused) == [str(path) for path in paths]  # both logs are closed
    monkeypatch.undo()
    if ends == "well":
        assert caught.value.filename == str(paths[0])
    for path in paths:
        net().fit(X, Y, callbacks=CSVLogger(path))


@needs_posix
def test_pipes_are_written_as_they_are(tmp_path):
    """Nothing is read from them, and several may write."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    program = "import sys; sys.stdout.write(open(sys.argv[1]).read())"
    reader = subprocess.Popen(
        [sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    net().fit(X, Y, epochs=3, callbacks=CSVLogger(path, append=True))
    lines = reader.communicate()[0].splitlines()
    assert [line.split(",")[0] for line in lines] == ["epoch", "1", "2", "3"]


def test_a_resumed_fit_writes_a_device_again(tmp_path):
    """A device keeps no rows that would have to be cut off."""
    settings = dict(checkpoint=tmp_path / "fit.npz", resume=True)
    for epochs in (2, 4):
        history = net().fit(X, Y, epochs=epochs, **settings, callbacks=CSVLogger(os.devnull))
        assert len(history.lr) == epochs


@pytest.mark.parametrize("again", [copy.deepcopy, lambda logger: pickle.loads(pickle.dumps(logger))])
def test_copies_have_no_open_file(tmp_path, again):
    path, logger = tmp_path / "log.csv", CSVLogger(tmp_path / "log.csv")
    copies = []
    net().fit(X, Y, epochs=3, callbacks=[logger, Inside(lambda: copies.append(again(logger)))])
    del copies[:]
    net().fit(X, Y, epochs=3, callbacks=again(logger))
    assert epochs_in(path) == ["epoch", "1", "2", "3"]
