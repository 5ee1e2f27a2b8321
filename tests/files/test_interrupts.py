"""Wherever Ctrl-C breaks off reading or writing a file, no descriptor stays open."""

import contextlib
import dis
import gc
import os
import sys

import pytest

import bpkern
from bpkern._files.logs import Log

pytestmark = [
    pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="/proc/self/fd lists the descriptors"),
    # A file that its deallocation closes is closed, and Python goes on after an interrupt in a destructor.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

FOLDER = os.path.join("bpkern", "_files")
TRACED = ("descriptors.py", "locks.py", "logs.py", "regular.py", "replacing.py", "temporary.py")


class Interrupt:
    """A context that raises KeyboardInterrupt at one of the places where Python may: after a call.

    Parameters
    ----------
    place : int
        How many such places in the traced files to pass.
    """

    def __init__(self, place):
        self.left, self.raised = place, False

    def trace(self, frame, event, _):
        file = frame.f_code.co_filename
        if not file.endswith("contextlib.py") and not (FOLDER in file and file.endswith(TRACED)):
            return None
        frame.f_trace_opcodes = True
        called = {}

        def local(frame, event, _):
            if event == "opcode" and not self.raised:
                if called.get("before"):
                    self.left -= 1
                    if self.left < 0:
                        self.raised = True
                        raise KeyboardInterrupt
                name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
                called["before"] = name.startswith("CALL")
            elif event == "exception":
                called["before"] = False  # a call that raises is followed by its handler
            return local

        return local

    def __enter__(self):
        sys.settrace(self.trace)

    def __exit__(self, *_):
        sys.settrace(None)


def descriptors():
    """Of this process, without the one that lists them. What earlier tests have left may close meanwhile."""
    return set(os.listdir("/proc/self/fd"))


NET = bpkern.MLP([2, 2, 1], loss="mse", seed=0)


def save(folder):
    NET.save(folder / "net.npz")


def load(folder):
    bpkern.MLP.load(folder / "net.npz")


def keep_log(folder):
    log = Log(str(folder / "log.csv"), True)
    log.append("1,2\n")
    log.first_line()
    log.close()


def remove_abandoned(folder):
    (folder / f".net.npz.{'0' * 16}.tmp").touch()
    save(folder)


@pytest.mark.parametrize("call", [save, load, keep_log, remove_abandoned])
def test_no_descriptor_stays_open(call, tmp_path):
    save(tmp_path)
    call(tmp_path)
    gc.collect()  # files of earlier tests
    before, trace = descriptors(), sys.gettrace()
    left, places, interrupt = [], 0, Interrupt(0)
    try:
        while places == 0 or interrupt.raised:
            interrupt = Interrupt(places)
            with contextlib.suppress(KeyboardInterrupt), interrupt:
                call(tmp_path)
            gc.collect()  # a cycle may keep the exception, and that the file
            if not descriptors() <= before:
                left.append(places)
                before = descriptors()
            places += 1
    finally:
        sys.settrace(trace)
    assert places > 10
    assert left == []
