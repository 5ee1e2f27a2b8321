"""Four processes write one path at the same time, while a fifth reads it.

python tests/attacks/writers.py [saves logs logs_of_threads] [--trials N] [--seed S]

A trial is one write by one of the processes. The report of a failure has the first trial of its round.
"""

import csv
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from children import Wrong, folder_in_memory, told
from hostile import one
from journal import Journal, attack, main

import bpkern
from bpkern.callbacks import CSVLogger, ModelCheckpoint

WRITERS = 4
# Writes of all processes in one round, which begins with an empty folder.
ROUND, ROUND_OF_LOGS = 200, 8
SUFFIXES = (".npz", ".safetensors")

X = np.linspace(-1, 1, 40).reshape(8, 5).astype(np.float32)
Y = np.arange(8) % 3

# Called in each process with the folder, the number of the process and a generator for each of its writes.
Work = Callable[[Path, int, list[np.random.Generator]], None]


def at_once(folder: Path, work: Work, generators: list[list[np.random.Generator]]) -> list[str]:
    """Call `work` in a process for each list of generators; returns how those that failed did so."""
    with tempfile.TemporaryDirectory() as told_in:
        waiting, begin = os.pipe()
        pids = []
        for number, own in enumerate(generators):
            pid = os.fork()
            if not pid:
                try:
                    os.close(begin)
                    os.read(waiting, 1)  # until the other end is closed in all processes
                    work(folder, number, own)
                except BaseException as error:
                    Path(told_in, str(number)).write_text(told(error))
                finally:
                    os._exit(0)
            pids.append(pid)
        os.close(begin)
        os.close(waiting)
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        found = [path.read_text() for path in sorted(Path(told_in).iterdir())]
        return found + [f"a process ended with status {status}" for status in ended if status]


def rounds(journal: Journal, work: Work, size: int, readers: int, check: Callable[[Path, int], str]) -> None:
    """Let all processes write at once, round after round of `size` writes.

    The last `readers` processes have no writes of their own. `check(folder, writes)` returns what is wrong
    with the folder after that number of writes by each process, or "".
    """
    for chunk in journal.chunks(size):
        writes = -(-len(chunk) // WRITERS)
        generators = [
            [np.random.default_rng([journal.seed, chunk.start, number, write]) for write in range(writes)]
            for number in range(WRITERS)
        ]
        with folder_in_memory() as folder:
            found = at_once(Path(folder), work, generators + [[] for _ in range(readers)])
            left = [path.name for path in Path(folder).iterdir() if path.suffix == ".tmp"]
            if left:
                found.append(f"{len(left)} temporary files are left, such as {left[0]}")
            if wrong := check(Path(folder), writes):
                found.append(wrong)
        if found:
            journal.fail(chunk.start, "; ".join(sorted(set(found)))[:1000])


# Models ----------------------------------------------------------------------------------------------------


def make(seed: int) -> bpkern.MLP:
    """A model; every second one is large, so that writing it takes longer."""
    return bpkern.MLP([5, 4 if seed % 2 else 2000, 3], loss="cross_entropy", seed=seed)


def write_model(path: Path, number: int, rng: np.random.Generator) -> None:
    """One write of the file, by one of the ways there are."""
    model = make(number)
    way = one(rng, ("save", "save", "ModelCheckpoint", "ModelCheckpoint of the best", "checkpoint"))
    if way == "save":
        model.save(path)
    elif way == "checkpoint":
        model.fit(X, Y, checkpoint=path, verbose=0)
    else:
        model.fit(X, Y, callbacks=ModelCheckpoint(path, "loss", save_best_only="best" in way), verbose=0)


@attack(trials=10_000)
def saves(journal: Journal) -> str:
    """Four processes save to one path: no save fails, the file can be loaded, no temporary file is left."""

    def work(folder: Path, number: int, generators: list[np.random.Generator]) -> None:
        failed = []
        for rng in generators:
            try:
                write_model(folder / f"net{one(rng, SUFFIXES)}", number, rng)
            except Exception as error:
                failed.append(told(error))
        if generators:
            (folder / f"done {number}").touch()
        if failed:
            raise Wrong(f"{len(failed)} of {len(generators)} saves failed: {failed[0]}")
        while not generators and sum(path.name.startswith("done") for path in folder.iterdir()) < WRITERS:
            for path in folder.glob("net.*"):
                bpkern.MLP.load(path)
            time.sleep(0)

    def check(folder: Path, writes: int) -> str:
        for path in folder.glob("net.*"):
            bpkern.MLP.load(path)
        return ""

    rounds(journal, work, ROUND, 1, check)
    return f"{WRITERS} processes and a reader, {' and '.join(SUFFIXES)}"


# Logs ------------------------------------------------------------------------------------------------------


def check_log(path: Path, rows: int) -> str:
    """What is wrong with a log that should have a header and so many rows, or ""."""
    header, *lines = list(csv.reader(path.open(newline="")))
    if header[:2] != ["epoch", "loss"] or any(len(line) != len(header) for line in lines):
        return f"the log has a line that is no row: {[header, *lines][:5]}"
    return "" if len(lines) == rows else f"the log has {len(lines)} rows, not {rows}"


def append_two_rows(path: Path) -> bool:
    """Whether a fit has written its log. One that is refused, because another is writing, adds no row."""
    try:
        model = bpkern.MLP([5, 3], loss="cross_entropy", seed=0)
        model.fit(X, Y, epochs=2, callbacks=CSVLogger(path, append=True), verbose=0)
    except BlockingIOError:
        return False
    return True


@attack(trials=10_000)
def logs(journal: Journal) -> str:
    """Four processes append to one log that is new: no line is lost, or the fit is refused and adds none."""

    def work(folder: Path, number: int, generators: list[np.random.Generator]) -> None:
        for _ in generators:
            while not append_two_rows(folder / "log.csv"):
                time.sleep(0)

    def check(folder: Path, writes: int) -> str:
        return check_log(folder / "log.csv", 2 * writes * WRITERS)

    rounds(journal, work, ROUND_OF_LOGS, 0, check)
    return f"{WRITERS} processes"


@attack(trials=1000)
def logs_of_threads(journal: Journal) -> str:
    """Models of one fit_many with one path for all logs: no line is lost, or an error says so."""
    refused = 0
    for trial in journal:
        count, append = int(journal.generator(trial).integers(2, 5)), trial % 2 == 0
        models = [bpkern.MLP([5, 3], loss="cross_entropy", seed=seed) for seed in range(count)]
        with folder_in_memory() as folder:
            path = Path(folder, "log.csv")
            each = [{"callbacks": CSVLogger(path, append=append)} for _ in models]
            try:
                bpkern.fit_many(models, X, Y, each=each, epochs=4, n_threads=2, verbose=0)
            except (ValueError, BlockingIOError):
                refused += 1
                continue
            if wrong := check_log(path, 4 * count):
                journal.fail(trial, f"{count} logs, append={append}: {wrong}")
    return f"{refused} refused"


if __name__ == "__main__":
    main(__file__)
