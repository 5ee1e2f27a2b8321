"""Writers of one path do not disturb each other, and only what dead writers left is removed."""

import contextlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from systems import make_link, needs_posix

import bpkern
from bpkern._files import container, locks, replacing, temporary
from bpkern.callbacks import Callback, ModelCheckpoint

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((60, 5)).astype(np.float32), RNG.integers(0, 3, 60)


def net(seed=0):
    return bpkern.MLP([5, 8, 3], loss="cross_entropy", seed=seed)


def names(folder):
    return sorted(os.listdir(folder))


# Live writers and dead ones --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["net.npz", "n" * 120 + ".npz", "é" * 60 + ".npz"], ids=["short", "long", "other letters"]
)
def test_a_live_writer_keeps_its_temporary_file(tmp_path, name):
    path = tmp_path / name

    def write(file):
        replacing.remove_leftovers(path)  # as another process at this moment
        file.write(b"all of it")

    replacing.replace(path, write)
    assert path.read_bytes() == b"all of it"
    assert names(tmp_path) == [name]


@pytest.mark.parametrize("name", ["net.npz", "n" * 251 + ".npz"], ids=["short", "long"])
def test_what_a_dead_writer_left_is_removed(tmp_path, name):
    program = (
        "import os, sys; from bpkern._files import container\n"
        "os.replace = lambda *paths: os._exit(5)\n"
        "container.write(sys.argv[1], {}, {})"
    )
    path = tmp_path / name
    assert subprocess.run([sys.executable, "-c", program, path]).returncode == 5
    assert len(names(tmp_path)) == 1
    other = tmp_path / ("m" + name[1:])
    replacing.remove_leftovers(other)  # not those of another file
    assert len(names(tmp_path)) == 1
    replacing.remove_leftovers(path)
    assert names(tmp_path) == []


def test_a_file_removed_before_its_writer_locks_it_is_made_again(tmp_path, monkeypatch):
    """A writer makes the file and then locks it; a cleaner may come in between, which cannot know better."""
    path, lock, removed = tmp_path / "net.npz", locks.lock, []

    def late(descriptor):
        if len(removed) < 2:
            removed.extend(names(tmp_path))
            with monkeypatch.context() as patches:
                patches.setattr(temporary, "lock", lock)
                replacing.remove_leftovers(path)
        return lock(descriptor)

    monkeypatch.setattr(temporary, "lock", late)
    container.write(path, {"a": 1}, {})
    assert len(removed) == len(set(removed)) == 2
    assert container.read(path)[0] == {"a": 1}
    assert names(tmp_path) == ["net.npz"]


def test_a_writer_gives_way_to_a_cleaner_that_looks_at_its_file(tmp_path, monkeypatch):
    path, lock, looking = tmp_path / "net.npz", locks.lock, []

    def late(descriptor):
        if not looking:
            [name] = names(tmp_path)
            looking.append(os.open(tmp_path / name, os.O_RDWR))
            lock(looking[0])
        return lock(descriptor)

    monkeypatch.setattr(temporary, "lock", late)
    container.write(path, {"a": 1}, {})
    os.close(looking[0])
    assert container.read(path)[0] == {"a": 1}
    replacing.remove_leftovers(path)  # the cleaner goes on
    assert names(tmp_path) == ["net.npz"]


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    """Nobody knows then whether a writer is alive."""

    def refuse(*arguments):
        raise OSError(locks.UNSUPPORTED[0], "no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    left = tmp_path / ".net.npz.0123456789abcdef.tmp"
    left.touch()
    container.write(tmp_path / "net.npz", {"a": 1}, {})
    replacing.remove_leftovers(tmp_path / "net.npz")
    assert container.read(tmp_path / "net.npz")[0] == {"a": 1}
    assert names(tmp_path) == [left.name, "net.npz"]


@pytest.mark.parametrize("kind", ["folder", "link", pytest.param("pipe", marks=needs_posix)])
def test_what_is_no_file_is_no_leftover(tmp_path, kind):
    left = tmp_path / ".net.npz.0123456789abcdef.tmp"
    if kind == "folder":
        left.mkdir()
    elif kind == "link":
        (tmp_path / "precious").write_bytes(b"kept")
        make_link(left, "precious")
    else:
        os.mkfifo(left)
    before = names(tmp_path)
    replacing.remove_leftovers(tmp_path / "net.npz")
    assert names(tmp_path) == before


# Several at once -------------------------------------------------------------------------------------------

SAVER = """
import sys
import numpy as np, bpkern
from bpkern.callbacks import ModelCheckpoint
seed, path = int(sys.argv[1]), sys.argv[2]
rng = np.random.default_rng(seed)
model = bpkern.MLP([5, 8, 3], loss="cross_entropy", seed=seed)
model.fit(rng.random((20, 5)), rng.integers(0, 3, 20), epochs=60, verbose=0,
          callbacks=ModelCheckpoint(path, save_best_only=False))
"""


def test_processes_that_save_to_one_path(tmp_path):
    path = tmp_path / "net.npz"
    savers = [
        subprocess.Popen([sys.executable, "-c", SAVER, str(seed), path], stderr=subprocess.PIPE, text=True)
        for seed in range(3)
    ]
    errors = [saver.communicate()[1] for saver in savers]
    assert errors == [""] * 3
    assert [saver.returncode for saver in savers] == [0] * 3
    assert names(tmp_path) == ["net.npz"]
    assert len(bpkern.MLP.load(path).history_["loss"]) == 60


def test_models_of_fit_many_that_save_to_one_path(tmp_path):
    path = tmp_path / "net.npz"
    models = [net(seed) for seed in range(4)]
    each = [{"callbacks": ModelCheckpoint(path, save_best_only=False)} for _ in models]
    bpkern.fit_many(models, X, LABELS, epochs=40, each=each, n_threads=4)
    assert names(tmp_path) == ["net.npz"]
    loaded = bpkern.MLP.load(path).predict_proba(X)
    assert any(np.array_equal(loaded, model.predict_proba(X)) for model in models)


def test_a_save_that_begins_and_ends_within_another(tmp_path):
    path = tmp_path / "net.npz"

    class Second(Callback):
        def on_epoch_end(self, model, epoch, logs):
            other = threading.Thread(target=lambda: (replacing.remove_leftovers(path), net(1).save(path)))
            replacing.replace(path, lambda file: (other.start(), other.join(), file.write(b"first")))

    net().fit(X, LABELS, epochs=2, callbacks=Second())
    assert path.read_bytes() == b"first"  # the last to be put in place
    assert names(tmp_path) == ["net.npz"]


@contextlib.contextmanager
def temporary_of(path):
    """A file as a live writer holds it."""
    with temporary.temporary_file(*os.path.split(path)) as (file, held):
        yield held
        file.write(b"")
        os.unlink(held)


def test_a_resumed_fit_and_a_callback_spare_a_live_writer(tmp_path):
    with temporary_of(tmp_path / "fit.npz") as first, temporary_of(tmp_path / "best.npz") as second:
        best = ModelCheckpoint(tmp_path / "best.npz", save_best_only=False)
        net().fit(X, LABELS, epochs=2, checkpoint=tmp_path / "fit.npz", resume=True, callbacks=best)
        assert os.path.exists(first)
        assert os.path.exists(second)
