"""Signals that come at a known moment of a call, however fast or busy the machine is."""

import contextlib
import os
import signal
import sys
import threading


@contextlib.contextmanager
def ctrl_c(handler=signal.default_int_handler):
    """Gives a function that lets Ctrl-C come as soon as this thread is in C.

    The signal comes from another thread, which can only run when this one has gone into C: until then, it
    does not give up Python's lock.
    """
    ready, interval, before = (
        threading.Event(),
        sys.getswitchinterval(),
        signal.signal(signal.SIGINT, handler),
    )

    def press():
        ready.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    sys.setswitchinterval(1000)
    try:
        yield ready.set
    finally:
        sys.setswitchinterval(interval)
        ready.set()
        with contextlib.suppress(KeyboardInterrupt):
            thread.join()
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def alarms(handler):
    """Call the handler again and again, until it returns True or raises."""

    def handle(*_):
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not handler():
            signal.setitimer(signal.ITIMER_REAL, 0.02)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def epochs_of(model):
    """The number of epochs in the history of a model that another thread may be training."""
    return len((model.history_ or {}).get("loss", ()))


@contextlib.contextmanager
def ctrl_c_after(model, epochs):
    """Press Ctrl-C when this number of epochs are in the history of the fit in this context."""
    left, before = threading.Event(), signal.signal(signal.SIGINT, signal.default_int_handler)

    def press():
        while not left.is_set() and epochs_of(model) < epochs:
            left.wait(0.001)
        if not left.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
