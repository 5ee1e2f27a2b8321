"""Ctrl-C ends a fit whose stream waits for something: the fetching thread is left to the user's code."""

import os
import signal
import threading

import numpy as np
import pytest

import bpkern
from bpkern.callbacks import Callback

X, Y = np.random.default_rng(9).standard_normal((8, 4)), np.zeros((8, 2))


def make():
    return bpkern.MLP([4, 30, 2], loss="mse", seed=1)


class Blocked:
    """Batches, one of which never comes: it sets `blocked` when it is asked for, and waits for `release`."""

    def __init__(self, batches):
        self.batches = batches
        self.blocked, self.release = threading.Event(), threading.Event()

    def __iter__(self):
        for _ in range(self.batches):
            yield X, Y
        self.blocked.set()
        self.release.wait()


@pytest.fixture
def blocked(request):
    """Released at the end of the test, or by a timer if the call waits for the batch."""
    stream = Blocked(request.param)
    timer = threading.Timer(60, stream.release.set)
    timer.start()
    yield stream
    timer.cancel()
    stream.release.set()


@pytest.mark.parametrize("blocked", [0, 1, 2, 5], indirect=True)
def test_the_first_ctrl_c_ends_a_fit_whose_stream_blocks(blocked):
    """The fetching thread is left behind: only the user's code can end it."""
    model = make()

    def press():
        blocked.blocked.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(blocked)
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert not blocked.release.is_set()
    model.train_on_batch(X, Y)  # the model is free, and whole


@pytest.mark.parametrize("blocked", [2], indirect=True)
def test_an_interrupt_elsewhere_does_not_wait_for_a_stream_that_blocks(blocked):
    class Interrupt(Callback):
        def on_batch_end(self, model, batch, logs):
            blocked.blocked.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make().fit(blocked, callbacks=[Interrupt()])
    assert not blocked.release.is_set()
