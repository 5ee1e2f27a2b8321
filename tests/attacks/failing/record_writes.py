"""The process whose writes are recorded: `python record_writes.py FOLDER`, run by power_loss.py.

The questions are ["names"], and ["record", scenario], which is answered by a dictionary:

inodes : dict of str to int
    The files and folders there are before the recording.
before : dict of str to str
    The contents of these files, in hex.
path : str
    The file that is written.
versions : list of str or None
    The contents of that file before, and at each mark of the log, in hex; None without a file.
log : list of lists of str
    The lines of the log of recording.c, split at tabs.
after : dict of str to str
    The contents of all files at the end.
"""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from failing.trial import serve

import bpkern
from bpkern import callbacks

shim = ctypes.CDLL(None)
shim.recording_start.argtypes = [ctypes.c_char_p, ctypes.c_int]
shim.recording_mark.argtypes = [ctypes.c_char_p]

FOLDER = Path(sys.argv[1]).resolve() / "folder"

X, LABELS = np.linspace(-1, 1, 800).reshape(40, 20).astype(np.float32), np.arange(40) % 3


def model(seed: int) -> bpkern.MLP:
    return bpkern.MLP([20, 100, 3], loss="cross_entropy", optimizer=bpkern.Adam(0.01), seed=seed)


# Marks that the file is now of another version, and must remain so.
Done = Callable[[], None]


class AtEpochs(callbacks.Callback):
    """Marks the version of the epoch before, whose checkpoint is complete."""

    def __init__(self, done: Done) -> None:
        self._done = done

    def on_epoch_begin(self, model: Any, epoch: int) -> None:
        if epoch:
            self._done()


def save(path: Path, done: Done, times: int) -> None:
    for seed in range(times):
        model(seed).save(path)
        done()


def fit(path: Path, done: Done, **given: Any) -> None:
    model(7).fit(X, LABELS, epochs=3, verbose=0, **given)
    done()


def saved(path: Path, done: Done) -> None:
    save(path, done, 1)


def saved_three_times(path: Path, done: Done) -> None:
    save(path, done, 3)


def checkpoint(path: Path, done: Done) -> None:
    fit(path, done, checkpoint=path, callbacks=AtEpochs(done))


def model_checkpoint(path: Path, done: Done) -> None:
    every = callbacks.ModelCheckpoint(path, save_best_only=False)
    fit(path, done, callbacks=[AtEpochs(done), every])


SCENARIOS = {
    f"{act.__name__}, {before}, {suffix}": (act, before, suffix)
    for act in (saved, saved_three_times, checkpoint, model_checkpoint)
    for before in ("no file", "a file", "a link")
    for suffix in (".npz", ".safetensors")
}


def contents() -> dict[str, str]:
    found = sorted(FOLDER.rglob("*"))
    return {str(path): path.read_bytes().hex() for path in found if path.is_file() and not path.is_symlink()}


def record(name: str) -> dict[str, Any]:
    act, there, suffix = SCENARIOS[name]
    shutil.rmtree(FOLDER, ignore_errors=True)
    (FOLDER / "elsewhere").mkdir(parents=True)
    path = written = FOLDER / f"net{suffix}"
    if there == "a link":
        written = FOLDER / "elsewhere" / f"net{suffix}"
        path.symlink_to(written)
    if there != "no file":
        model(99).save(written)
    before = contents()
    inodes = {str(each): each.stat().st_ino for each in (FOLDER, FOLDER / "elsewhere", *map(Path, before))}
    versions: list[str | None] = [before.get(str(written))]

    def done() -> None:
        versions.append(path.read_bytes().hex())
        shim.recording_mark(b"done")

    with tempfile.TemporaryFile() as log:
        shim.recording_start(os.fsencode(FOLDER), log.fileno())
        try:
            act(path, done)
        finally:
            shim.recording_stop()
        log.seek(0)
        lines = [line.split("\t") for line in log.read().decode().splitlines()]
    return {
        "inodes": inodes,
        "before": before,
        "path": str(written),
        "versions": versions,
        "log": lines,
        "after": contents(),
    }


def main() -> None:
    def answer(question: Any) -> Any:
        what, *arguments = question
        return list(SCENARIOS) if what == "names" else record(*arguments)

    serve(answer)


if __name__ == "__main__":
    main()
