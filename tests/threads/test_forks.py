"""A fork while other threads work: the child can use models that were whole, and is refused the others."""

import os
import signal
import threading
from contextlib import contextmanager

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern._model.core import core_of
from bpkern.callbacks import Callback

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
]

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((300, 20)).astype(np.float32), RNG.standard_normal((300, 3)).astype(np.float32)
FELL, DONE = 10, 11


def make(seed=0):
    return bpkern.MLP([20, 30, 3], loss="mse", optimizer=bpkern.Adam(), seed=seed)


def child_does(work):
    """Whether `work` runs to its end in a forked child."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
            os._exit(DONE)
        finally:
            os._exit(FELL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DONE


class UntilStopped(Callback):
    """Ends the fit once `stop` is set; sets `begun` after the first epoch."""

    def __init__(self):
        self.begun, self.stop = threading.Event(), threading.Event()

    def on_epoch_end(self, model, epoch, logs):
        self.begun.set()
        model.stop_training = self.stop.is_set()


@contextmanager
def fitting(model):
    """Run the block while another thread fits the model."""
    control = UntilStopped()
    thread = threading.Thread(target=lambda: model.fit(X, Y, epochs=10**9, callbacks=control))
    thread.start()
    try:
        assert control.begun.wait(60)
        yield
    finally:
        control.stop.set()
        thread.join()


def refused(model):
    for call in (model.get_weights, lambda: model.predict(X), lambda: model.fit(X, Y), model.reset):
        with pytest.raises(RuntimeError, match="was changing this model when the process was forked"):
            call()


def test_a_model_of_another_threads_fit_is_refused_for_ever():
    """The model may hold half a step. A thread of the child may have the identity of the lost thread."""
    model, other = make(), make(1)

    def work():
        refused(model)
        for _ in range(20):
            errors = []

            def intrude(errors=errors):
                try:
                    refused(model)
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=intrude) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert not errors
        other.fit(X, Y)

    with fitting(model):
        assert child_does(work)
    assert np.isfinite(model.fit(X, Y)["loss"]).all()


def test_a_model_that_another_thread_reads_can_be_trained():
    model, expected = make(), make()
    expected.fit(X, Y)

    def work():
        model.fit(X, Y)
        assert parameter_bits(model) == parameter_bits(expected)
        assert np.array_equal(model.predict(X), expected.predict(X))

    begun, stop = threading.Event(), threading.Event()

    def read():
        with core_of(model).net.reading():
            begun.set()
            stop.wait(60)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert begun.wait(60)
        assert child_does(work)
        with pytest.raises(RuntimeError, match="another thread is using this model"):
            model.fit(X, Y)
    finally:
        stop.set()
        thread.join()
    model.fit(X, Y)
    assert parameter_bits(model) == parameter_bits(expected)


def test_a_thread_that_forks_while_it_reads_still_reads():
    """A signal handler may fork during a read."""
    model = make()

    def work():
        with pytest.raises(RuntimeError, match="another thread is using this model"):
            model.fit(X, Y)

    with core_of(model).net.reading():
        child = os.fork()
        if child == 0:
            signal.alarm(60)
    if child == 0:
        model.fit(X, Y)
        os._exit(DONE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == DONE
    with core_of(model).net.reading():
        assert child_does(work)


def test_a_fork_from_within_a_callback():
    """The child may also continue its parent's fit."""
    expected, model, ends = make(), make(), []
    expected.fit(X, Y, epochs=3, n_threads=3)

    class Fork(Callback):
        child = None

        def on_epoch_end(self, model, epoch, logs):
            if epoch == 1:
                ends.append(child_does(lambda: make(1).fit(X, model.predict(X), n_threads=2)))
                Fork.child = os.fork()

    model.fit(X, Y, epochs=3, n_threads=3, callbacks=Fork())
    if Fork.child == 0:
        os._exit(DONE if parameter_bits(model) == parameter_bits(expected) else FELL)
    assert os.waitstatus_to_exitcode(os.waitpid(Fork.child, 0)[1]) == DONE
    assert ends == [True]
    assert parameter_bits(model) == parameter_bits(expected)


def test_a_fork_while_fit_many_is_at_work():
    models, controls = [make(seed) for seed in range(4)], [UntilStopped() for _ in range(4)]

    def work():
        mine = [make(seed) for seed in range(4)]
        bpkern.fit_many(mine, X, Y, epochs=2, n_threads=2)
        alone = make(3)
        alone.fit(X, Y, epochs=2)
        assert parameter_bits(mine[3]) == parameter_bits(alone)

    each = [{"callbacks": control} for control in controls]
    thread = threading.Thread(
        target=lambda: bpkern.fit_many(models, X, Y, epochs=10**9, each=each, n_threads=2)
    )
    thread.start()
    try:
        assert controls[0].begun.wait(60)
        assert child_does(work)
    finally:
        for control in controls:
            control.stop.set()
        thread.join()
