"""Ctrl-C at random moments, from another process: how soon it is answered, and the state it leaves.

A child makes one endless call after another. The parent sends SIGINT into each, and the child reports when
KeyboardInterrupt reached it, by a clock that both share. Then the child checks the state: a twin repeats the
steps that the model reports, and must come to the same bits.
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

# Seconds within which Ctrl-C is answered, unless the current step takes longer.
LIMIT = 0.2

# Seconds of silence after which a child counts as stuck.
PATIENCE = 60.0


# The child -----------------------------------------------------------------------------------------------


class Interrupted:
    """Runs a call until SIGINT arrives. Further signals do no harm, wherever in this class they arrive."""

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
    """Whether the condition becomes true within two seconds."""
    until = time.monotonic() + 2
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    return condition()


def tasks():
    return len(os.listdir("/proc/self/task"))


def descriptors():
    """The open descriptors: number to target."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return found


def in_thread(call):
    """The errors that the call raises in a thread that holds no guard."""
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
    """Makes the calls named on standard input and reports their outcomes."""
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
    """The child process, as the parent sees it."""

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
        """A line, or None if none comes in time."""
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
    """Run one trial. Returns whether the child can be used for the next."""
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
    if "ZipFile.__del__" in complaints:  # Python's own complaint if closing an archive is interrupted
        complaints = ""
    if told["wrong"] or complaints:
        journal.fail(trial, f"{name}: {'; '.join(told['wrong'])} {complaints}")
        return False
    journal.keep("seconds", add, [[round(told["stamp"] - sent, 4), round(told["step"], 4), name]])
    return True


def go_over(journal, names, signals, most):
    """Run all trials, each child making many of them."""
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
    """The median and the 99th percentile of the answer times; the latter has to be within the limit."""
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
    """Ctrl-C is answered within 200 ms or the step; the model is as of a finished step, to the bit."""
    with contextlib.suppress(ModuleNotFoundError):
        import scipy  # noqa: F401
        import sklearn  # noqa: F401

        go_over(journal, sorted(cases()), lambda rng: 1, 1.2)
        return answer_times(journal)
    raise Missing("SciPy and scikit-learn")


@attack(trials=105)
def several(journal: Journal) -> str:
    """Repeated Ctrl-C within milliseconds also leaves a usable model as of a finished step, and no thread."""
    # The time is that of the first signal to arrive; later ones have no limit.
    go_over(journal, sorted(cases()), lambda rng: int(rng.integers(2, 7)), 0.5)
    return f"{sum(1 for _ in journal.figures.get('seconds', []))} as they should be"


@attack(trials=400)
def elsewhere(journal: Journal) -> str:
    """After Ctrl-C, once or more, in save, load, callbacks and constructors, files are whole and closed."""
    with tempfile.TemporaryDirectory() as folder:
        names = sorted(elsewhere_cases(folder))
    go_over(journal, names, lambda rng: int(rng.integers(1, 5)), 0.1)
    return answer_times(journal)


if __name__ == "__main__":
    main(__file__)
