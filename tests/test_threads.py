"""Models in different threads train at once; one model is guarded; the floating-point mode stays."""

import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import bpkern

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


def test_one_model_in_two_threads():
    """While one thread fits, every call of another is refused; and works again afterwards."""
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
    with model._net.writing():
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
    with model._net.writing():
        assert len(model.predict(X)) == 2000


def _child(queue, model):
    model.fit(X, Y, epochs=2)
    queue.put(model.predict(X).sum())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_fork_after_fit():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    model = make()
    model.fit(X, Y)
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
    """Inside, they count as zero; the mode of the caller comes back, whichever way a call ends."""
    model = make()
    tiny = np.full(4, 1e-40, np.float32)

    def refused():
        with pytest.raises(ValueError, match="no finite number"):
            model.predict(X * np.float32(np.nan))

    for call in (
        lambda: model.fit(X, Y),
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
