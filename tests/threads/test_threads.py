"""Threads inside a call and around it: the same bits at any number of threads, models trained side by side,
one model guarded against two threads, fork, and the floating-point mode."""

import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bpkern
from bpkern._model.core import core_of

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((2000, 30)).astype(np.float32), RNG.integers(0, 4, 2000)


def make(seed=0):
    return bpkern.MLP([30, 64, 4], loss="cross_entropy", optimizer=bpkern.SGD(0.05, 0.9), seed=seed)


def fitted(seed):
    model = make(seed)
    model.fit(X, Y, epochs=5)
    return b"".join(array.tobytes() for pair in model.get_weights() for array in pair)


def test_eight_models_in_eight_threads():
    expected = [fitted(seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fitted, range(8))) == expected


WIDE_X = RNG.standard_normal((700, 61)).astype(np.float32)
WIDE_Y = RNG.integers(0, 50, 700)


def trained_by(n_threads, dtype="float32", batch_size=64, layers=(61, 130, 97, 50)):
    """Everything a fit leaves behind, as bytes and numbers."""
    optimizer = bpkern.SGD(0.05, 0.9, nesterov=True, weight_decay=1e-3)
    model = bpkern.MLP(layers, loss="cross_entropy", l2=1e-4, optimizer=optimizer, dtype=dtype, seed=0)
    weights = np.linspace(0, 1, 700)
    history = model.fit(
        WIDE_X,
        WIDE_Y,
        epochs=2,
        batch_size=batch_size,
        validation_split=0.1,
        sample_weight=weights,
        n_threads=n_threads,
    )
    bits = b"".join(array.tobytes() for pair in model.get_weights() for array in pair)
    return bits, dict(history)


@pytest.mark.parametrize("batch_size", [1, 5, 64, 300])
def test_the_same_bits_at_any_number_of_threads(isa, dtype, batch_size):
    expected = trained_by(1, dtype, batch_size)
    for n_threads in (2, 3, 4, 8):
        assert trained_by(n_threads, dtype, batch_size) == expected, n_threads


def test_the_same_bits_of_large_products(isa):
    """Products split by rows and by columns, and an input with fewer columns than threads."""
    for layers in ((61, 600, 540, 50), (61, 3, 700, 50)):
        expected = trained_by(1, "float32", 300, layers)
        for n_threads in (2, 5):
            assert trained_by(n_threads, "float32", 300, layers) == expected, n_threads


def test_the_same_bits_of_tiny_nets(isa):
    x, y = RNG.standard_normal((40, 3)).astype(np.float32), RNG.integers(0, 2, 40)
    results = set()
    for n_threads in (1, 2, 4):
        model = bpkern.MLP([3, 4, 2], loss="cross_entropy", seed=0)
        model.fit(x, y, batch_size=1, n_threads=n_threads)
        results.add(b"".join(array.tobytes() for pair in model.get_weights() for array in pair))
    assert len(results) == 1


def test_predictions_and_gradients_by_several_threads():
    """The nets are large enough that the default uses all threads it may."""
    model = bpkern.MLP([400, 900, 30], loss="mse", activation="tanh", seed=0)
    x, y = RNG.standard_normal((3000, 400)).astype(np.float32), RNG.standard_normal((3000, 30))
    results = []
    try:
        for number in (1, 2, 5):
            bpkern.set_num_threads(number)
            loss, gradients = model.gradients(x, y)
            arrays = [model.predict(x), *(array for pair in gradients for array in pair)]
            results.append((loss, model.evaluate(x, y), [array.tobytes() for array in arrays]))
    finally:
        bpkern.set_num_threads(None)
    assert results[0] == results[1] == results[2]


def threads_of_this_process():
    """Their numbers: threads of other tests may end meanwhile."""
    return set(os.listdir("/proc/self/task"))


def settles(condition):
    """Whether the condition becomes true: a joined thread may stay listed for a while."""
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    return condition()


def test_no_thread_outlives_a_call():
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("this system does not list the threads of a process")
    before = threads_of_this_process()
    most, stopped = [0], threading.Event()

    def watch():
        while not stopped.is_set():
            most[0] = max(most[0], len(threads_of_this_process() - before))

    watcher = threading.Thread(target=watch)
    watcher.start()
    # Long calls: on a busy machine, the watcher does not get its turn in the midst of each short one.
    model, until, (x, y) = make(), time.monotonic() + 60, (np.tile(X, (40, 1)), np.tile(Y, 40))
    while most[0] < 4 and time.monotonic() < until:
        model.fit(x, y, n_threads=4)
    stopped.set()
    watcher.join()
    assert most[0] >= 4  # three threads of the team and the watcher
    assert settles(lambda: threads_of_this_process() <= before)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_an_error_in_a_row_is_the_first_one(n_threads):
    x, y = X.copy(), np.eye(4)[Y]
    model = bpkern.MLP([30, 64, 4], loss="mse", seed=0)
    for array, rows, message in (
        (x, [70, 90], "X holds nan at row 70, column 3"),
        (y, [70], "X holds nan at row 70, column 3"),
        (y, [68], "y holds nan at row 68, column 3"),
        (y, [5], "y holds nan at row 5, column 3"),
    ):
        array[rows, 3] = np.nan
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, batch_size=100, shuffle=False, n_threads=n_threads)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 8])
def test_a_bad_row_after_a_batch_of_no_weight(n_threads):
    x, weights = X.copy(), np.ones(len(X))
    weights[10:40], x[45, 1] = 0, np.nan
    for _ in range(20):
        with pytest.raises(ValueError, match="X holds nan at row 45, column 1"):
            make().fit(x, Y, batch_size=10, shuffle=False, sample_weight=weights, n_threads=n_threads)


def test_divergence_at_any_number_of_threads():
    errors = set()
    for n_threads in (1, 2, 5):
        model = bpkern.MLP([30, 64, 4], loss="mse", optimizer=bpkern.SGD(1e6), seed=0)
        with pytest.raises(bpkern.DivergedError) as caught:
            model.fit(X, np.eye(4)[Y], epochs=20, n_threads=n_threads)
        errors.add((str(caught.value), caught.value.epoch, caught.value.iteration))
        assert all(np.isfinite(array).all() for pair in model.get_weights() for array in pair)
    assert len(errors) == 1


def test_one_model_in_two_threads():
    """While one thread writes, every call from another is refused; afterwards calls work again."""
    model, started = make(), threading.Event()
    failures = []

    def intrude():
        started.wait()
        for call in (
            lambda: model.predict(X),
            lambda: model.evaluate(X, Y),
            lambda: model.gradients(X, Y),
            lambda: model.fit(X, Y),
            lambda: model.train_on_batch(X, Y),
            lambda: model.set_weights(make().get_weights()),
            model.get_weights,
            model.reset,
        ):
            try:
                call()
            except RuntimeError as error:
                failures.append(str(error))

    intruder = threading.Thread(target=intrude)
    intruder.start()
    with core_of(model).net.writing():
        started.set()
        intruder.join()
    assert len(failures) == 8
    assert all("another thread is" in failure for failure in failures)
    assert np.isfinite(model.fit(X, Y)["loss"]).all()


def test_several_threads_read_one_model():
    model = make()
    expected = model.predict(X)
    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(lambda _: model.predict(X), range(40)):
            assert np.array_equal(got, expected)


def test_the_thread_that_fits_may_read_in_between():
    model = make()
    with core_of(model).net.writing():
        assert len(model.predict(X)) == 2000


def _child(queue, model):
    model.fit(X, Y, epochs=2, n_threads=3)
    queue.put(model.predict(X).sum())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_after_fit():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    model = make()
    model.fit(X, Y, n_threads=3)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_child, args=(queue, model))
    child.start()
    result = queue.get(timeout=60)
    child.join(timeout=60)
    assert child.exitcode == 0
    model.fit(X, Y, epochs=2)
    assert result == model.predict(X).sum()


def test_denormals_survive_outside_a_call():
    """Inside a call they count as zero; the caller's mode is restored however the call ends."""
    model = make()
    tiny = np.full(4, 1e-40, np.float32)

    def refused():
        with pytest.raises(ValueError, match="no finite number"):
            model.predict(X * np.float32(np.nan))

    for call in (
        lambda: model.fit(X, Y),
        lambda: model.fit(X, Y, n_threads=3),
        lambda: model.predict(X),
        lambda: bpkern.kernels.linear_forward(X, np.ones((3, 30), np.float32), np.zeros(3, np.float32)),
        refused,
    ):
        call()
        assert (tiny * np.float32(0.5) > 0).all()


def test_tiny_weights_come_and_go_unchanged():
    model = make()
    (_, b1), second = model.get_weights()
    w1 = np.full((64, 30), 1e-40, np.float32)
    model.set_weights([(w1, b1), second])
    assert np.array_equal(model.get_weights()[0][0], w1)
