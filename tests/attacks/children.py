"""Trials in child processes: one that crashes or hangs is the failure of its own trial.

def work(trial):
    "Returns the outcome in a word; any exception is a failure."

in_children(journal, work)
"""

import os
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from journal import Journal, Missing

# The seconds after which a trial counts as hanging: SIGALRM then ends the child, also in C.
PATIENCE = 60

# Characters kept of what a child printed before it died.
MOST_PRINTED = 2000

Work = Callable[[int], str]


class Wrong(Exception):
    """A failure that a trial found."""


def folder_in_memory() -> tempfile.TemporaryDirectory[str]:
    """A folder in memory if the system has one, because many files are written."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None)


def in_children(
    journal: Journal,
    work: Work,
    size: int = 500,
    filtered: Any = "error",
    name: Callable[[int], str] = lambda trial: "",
) -> None:
    """Run the trials that are left in children, `size` in each.

    Warnings are filtered in the way of `filtered`. `name` is what a trial does, for the report of a crash.
    """
    if not os.path.exists("/proc/self/statm"):
        raise Missing("/proc, which reports the memory and the descriptors of a process")
    for chunk in journal.chunks(size):
        left = chunk
        while left:
            done, ended, printed = _a_child(journal, work, left, filtered)
            if done < len(left):
                how = f"{name(left[done])} the process ended with status {ended}{printed}"
                journal.fail(left[done], how.strip())
                done += 1
            left = left[done:]


def _a_child(journal: Journal, work: Work, chunk: range, filtered: Any) -> tuple[int, int, str]:
    """(number of trials that the child has run, its exit status, the end of what it printed).

    The child is in a folder of its own: a path that hostile code gives may be any word.
    """
    readable, writable = os.pipe()
    with tempfile.TemporaryFile() as output, folder_in_memory() as folder:
        pid = os.fork()
        if not pid:
            try:
                os.close(readable)
                os.chdir(folder)
                _child(work, chunk, os.fdopen(writable, "w"), output, filtered)
            finally:
                os._exit(0)
        os.close(writable)
        done = 0
        with os.fdopen(readable) as pipe:
            for line in pipe:
                word, _, how = line.rstrip("\n").partition("\t")
                journal.count(word)
                if how:
                    journal.fail(chunk[done], how)
                done += 1
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        printed = output.read().decode(errors="replace").strip()
        return done, ended, printed and f": {printed[-MOST_PRINTED:]}"


def _child(work: Work, chunk: range, pipe: Any, output: Any, filtered: Any) -> None:
    """Run the trials and report the outcome of each."""
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    warnings.simplefilter(filtered)
    before = _descriptors()
    for trial in chunk:
        signal.alarm(PATIENCE)
        word, how = _one_trial(work, trial)
        signal.alarm(0)
        if how is None and _descriptors() != before:
            word, how = "failed", "a descriptor that is left open"
            before = _descriptors()
        if how is None and output.tell():
            word, how = "failed", "something that was printed"
            output.seek(0)
        pipe.write(f"{word}\t{'' if how is None else ascii(how)}\n")
        pipe.flush()


def _one_trial(work: Work, trial: int) -> tuple[str, str | None]:
    try:
        return work(trial), None
    except BaseException as error:  # errors of Rust libraries do not derive from Exception
        return "failed", told(error)


def told(error: BaseException) -> str:
    """The error, and the innermost line of the package or the attacks that it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if {"bpkern", "attacks"} & set(Path(frame.filename).parts)]
    where = f" ({Path(ours[-1].filename).name}:{ours[-1].lineno})" if ours else ""
    return f"{type(error).__name__}: {error}"[:400] + where


def _descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))
