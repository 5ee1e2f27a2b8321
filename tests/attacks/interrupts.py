"""Ctrl-C at random moments, from another process: what it takes to be answered, and what it leaves behind.

A child makes one endless call after another; the parent sends SIGINT into each and the child says when
KeyboardInterrupt reached it, by the clock that both share. Then it looks at what is left: the steps that the
model says it has made are made once more by a twin, which must come to the same bits.
"""

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from operator import add
from pathlib import Path

import numpy as np
from interrupted_calls import cases, elsewhere_cases
from journal import Journal, Missing, attack, main

import bpkern

# Ctrl-C answers within this, in seconds, or by the end of the step under way.
LIMIT = 0.2

# A child that says nothing for so long is stuck, in seconds.
PATIENCE = 60.0


# The child -----------------------------------------------------------------------------------------------


class Interrupted:
    """Runs a call until SIGINT comes; more of them do no harm, wherever in here they come."""

    def __init__(self):
        self.armed, self.stamps = False, []
        signal.signal(signal.SIGINT, self._handle)

    def _handle(self, *signal):
        if self.armed:
            raise KeyboardInterrupt

    def run(self, call, depth=8):
        try:
            if depth:
                self.run(call, depth - 1)
            else:
                self.armed = True
                print("begun", flush=True)
                call()
        except KeyboardInterrupt:
            self.armed = False
            self.stamps.append(time.monotonic())


def settles(condition):
    """Whether it comes true within two seconds."""
    until = time.monotonic() + 2
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    return condition()


def tasks():
    return len(os.listdir("/proc/self/task"))


def descriptors():
    """What is open, by number."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def in_thread(call):
    """What it raises in another thread: one that holds no guard."""
    errors = []

    def run():
        try:
            call()
        except BaseException as error:
            errors.append(f"in another thread: {error!r}")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return errors


def child():
    """Makes the calls that it is told, and tells what came of them."""
    interrupted = Interrupted()
    bpkern.set_num_threads(2)
    folder = tempfile.TemporaryDirectory()
    threads = tasks()
    with folder:
        known = cases() | elsewhere_cases(folder.name)
        for line in sys.stdin:
            name, seed = json.loads(line)
            case = known[name](seed)
            open_before = descriptors()
            interrupted.stamps.clear()
            interrupted.run(case.run)
            wrong = [] if interrupted.stamps else ["it came to its end, as if nothing had been"]
            if not settles(lambda: tasks() == threads and threading.active_count() == 1):
                wrong.append(f"{tasks() - threads} threads are left")
            if descriptors() != open_before:
                left = sorted(set(descriptors().items()) - set(open_before.items()))
                wrong.append(f"descriptors are left: {left}")
            for model in case.models:
                if not all(np.isfinite(array).all() for pair in model.get_weights() for array in pair):
                    wrong.append("not finite")
                wrong += in_thread(model.get_weights)
            if not wrong:
                wrong += case.wrong()
            if not wrong:
                wrong += in_thread(case.use)
            step = case.step()
            stamp = interrupted.stamps[0] if interrupted.stamps else 0.0
            print(json.dumps({"stamp": stamp, "step": step, "wrong": wrong}), flush=True)


# The parent -------------------------------------------------------------------------------------------------


class Child:
    """The process that is interrupted."""

    def __init__(self):
        here = str(Path(__file__).resolve().parent)
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import interrupts; interrupts.child()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            cwd=here,
            text=True,
            bufsize=1,
        )
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)

    def say(self, what):
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()

    def hear(self, patience=PATIENCE):
        """A line, or None where none comes."""
        if not self.selector.select(patience):
            return None
        return self.process.stdout.readline() or None

    def complaints(self):
        self.errors.seek(0)
        return self.errors.read()[-6000:]

    def close(self):
        self.process.kill()
        self.process.communicate()
        self.selector.close()
        self.errors.close()


def interrupt(journal, trial, child, name, signals, most):
    """One trial. Returns whether the child is good for another."""
    rng = journal.generator(trial)
    child.say([name, int(rng.integers(2**31))])
    if child.hear() is None:
        journal.fail(trial, f"{name}: never began: {child.complaints()}")
        return False
    time.sleep(rng.uniform(0, most))
    sent = time.monotonic()
    for number in range(signals):
        if number:
            time.sleep(rng.exponential(0.002))
        child.process.send_signal(signal.SIGINT)
    line = child.hear()
    if line is None:
        journal.fail(trial, f"{name}: no answer: {child.complaints()}")
        return False
    told = json.loads(line)
    complaints = child.complaints()
    if "ZipFile.__del__" in complaints:  # what Python's own says where its closing is broken off
        complaints = ""
    if told["wrong"] or complaints:
        journal.fail(trial, f"{name}: {'; '.join(told['wrong'])} {complaints}")
        return False
    journal.keep("seconds", add, [[round(told["stamp"] - sent, 4), round(told["step"], 4), name]])
    return True


def go_over(journal, names, signals, most):
    """All trials, with a child for a few of them."""
    if not hasattr(signal, "SIGINT") or not os.path.isdir("/proc/self/task"):
        raise Missing("/proc: it needs Linux")
    child = None
    try:
        for trial in journal:
            if child is None:
                child = Child()
            count = signals(journal.generator(trial + journal.trials))
            if not interrupt(journal, trial, child, names[trial % len(names)], count, most):
                child.close()
                child = None
    finally:
        if child is not None:
            child.close()


def answer_times(journal):
    """The 99th percentile of the answers, which is within the limit, and the longest step."""
    told = journal.figures.get("seconds", [])
    if not told:
        return "no answer"
    by_limit = sorted((seconds / max(LIMIT, step), seconds, name) for seconds, step, name in told)
    place = math.ceil(0.99 * len(by_limit)) - 1
    if by_limit[place][0] > 1:
        late = ", ".join(f"{name} after {seconds:.3f} s" for part, seconds, name in by_limit if part > 1)
        journal.fail(journal.trials, f"late at the 99th percentile: {late}")
    seconds = sorted(seconds for seconds, _, _ in told)
    return (
        f"answered in {1e3 * seconds[len(seconds) // 2]:.0f} ms in the median, "
        f"{1e3 * seconds[math.ceil(0.99 * len(seconds)) - 1]:.0f} ms at the 99th percentile"
    )


@attack(trials=210)
def during_fit(journal: Journal) -> str:
    """Ctrl-C is answered within 200 ms or the step, and leaves the model of a finished step, to the bit."""
    with contextlib.suppress(ModuleNotFoundError):
        import scipy  # noqa: F401
        import sklearn  # noqa: F401

        go_over(journal, sorted(cases()), lambda rng: 1, 1.2)
        return answer_times(journal)
    raise Missing("SciPy and scikit-learn")


@attack(trials=105)
def several(journal: Journal) -> str:
    """Ctrl-C several times within milliseconds leaves a usable model of finished steps and no thread, too."""
    # The stamp is of the first that came through: no limit is set to those after it.
    go_over(journal, sorted(cases()), lambda rng: int(rng.integers(2, 7)), 0.5)
    return f"{sum(1 for _ in journal.figures.get('seconds', []))} as they should be"


@attack(trials=400)
def elsewhere(journal: Journal) -> str:
    """Ctrl-C, once or more, in save, load, callbacks and construction: files stay whole, and none open."""
    with tempfile.TemporaryDirectory() as folder:
        names = sorted(elsewhere_cases(folder))
    go_over(journal, names, lambda rng: int(rng.integers(1, 5)), 0.1)
    return answer_times(journal)


if __name__ == "__main__":
    main(__file__)
