"""Row orders of very long data: NumPy's orders, drawn in slices, which a signal can interrupt."""

import os
import signal
import threading

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
        raise Alarm

    random, untouched = RandomState(0), np.random.default_rng(0)
    state = random.generator.bit_generator.state

    def wake():
        while random.generator.bit_generator.state == state:
            pass
        os.kill(os.getpid(), signal.SIGALRM)

    waker = threading.Thread(target=wake)
    before = signal.signal(signal.SIGALRM, ring)
    try:
        waker.start()
        with pytest.raises(Alarm):
            random.permutation(5_000_000)
    finally:
        waker.join()
        signal.signal(signal.SIGALRM, before)
    same_state(random.generator, untouched)
