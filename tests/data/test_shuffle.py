"""Row orders of very long data: NumPy's orders, drawn in slices, which a signal can interrupt."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from bpkern import _core
from bpkern._model.seeding import BIT_GENERATORS, MOST_AT_ONCE, RandomState


def generator(name, seed=0):
    return np.random.Generator(getattr(np.random, name)(seed))


def same_state(a, b):
    np.testing.assert_equal(a.bit_generator.state, b.bit_generator.state)


@pytest.mark.parametrize("name", BIT_GENERATORS)
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 63, 64, 65, 1000])
def test_the_orders_of_numpy(name, rows):
    mine, numpys = generator(name, rows), generator(name, rows)
    for _ in range(3):
        order = _core.permutation(mine, rows)
        assert order.dtype == np.int64
        assert np.array_equal(order, numpys.permutation(rows))
        same_state(mine, numpys)


@pytest.mark.parametrize("rows", [MOST_AT_ONCE, MOST_AT_ONCE + 1, 2 * MOST_AT_ONCE + 1, 700_000])
def test_a_model_draws_them_at_any_number_of_rows(rows):
    random, numpys = RandomState(5), np.random.default_rng(5)
    assert np.array_equal(random.permutation(rows), numpys.permutation(rows))
    same_state(random.generator, numpys)


def test_a_signal_breaks_it_off_and_nothing_was_drawn():
    class Alarm(Exception):
        pass

    def ring(*signal):
        if shuffling:
            raise Alarm

    def wake(generator, state):
        while generator.bit_generator.state == state:
            pass
        os.kill(os.getpid(), signal.SIGALRM)

    untouched, broken, until = np.random.default_rng(0), False, time.monotonic() + 60
    shuffling, before = False, signal.signal(signal.SIGALRM, ring)
    try:
        # On a busy machine, a shuffle may end before the other thread has its turn.
        while not broken and time.monotonic() < until:
            random = RandomState(0)
            waker = threading.Thread(target=wake, args=(random.generator, untouched.bit_generator.state))
            waker.start()
            shuffling = True
            try:
                random.permutation(5_000_000)
            except Alarm:
                broken = True
            shuffling = False
            waker.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert broken
    same_state(random.generator, untouched)
