"""Where the system starts no threads, or fewer, everything goes on without them, to the same bits."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import bpkern
from bpkern.callbacks import Callback

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((60, 5)).astype(np.float32), RNG.integers(0, 3, 60)


def net(seed=0):
    return bpkern.MLP([5, 8, 3], loss="cross_entropy", seed=seed)


def bits(model):
    return [array.tobytes() for pair in model.get_weights() for array in pair]


class Stream:
    def __iter__(self):
        self.thread = threading.current_thread()
        for start in range(0, 60, 16):
            yield X[start : start + 16], LABELS[start : start + 16]


@pytest.fixture(params=[0, 1, 2])
def few(request, monkeypatch):
    """The number of threads that can still be started."""
    start, started = threading.Thread.start, []

    def limited(thread):
        if len(started) == request.param:
            raise RuntimeError("can't start new thread")  # as CPython says it
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    return request.param


def test_fit_many(few):
    models, alone = [net(seed) for seed in range(5)], [net(seed) for seed in range(5)]
    for n_threads in (4, None):
        bpkern.fit_many(models, X, LABELS, epochs=2, n_threads=n_threads)
        for model in alone:
            model.fit(X, LABELS, epochs=2)
        assert list(map(bits, models)) == list(map(bits, alone))


def test_errors_of_fit_many(few):
    """They are those of the models, and the other models are trained."""

    class Failing(Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise OSError("on its way")

    models = [net(seed) for seed in range(4)]
    each = [{}, {"callbacks": Failing()}, {}, {}]
    with pytest.raises(OSError, match="on its way") as caught:
        bpkern.fit_many(models, X, LABELS, epochs=2, each=each, n_threads=3)
    assert caught.value.__notes__ == ["models[1] of fit_many raised it. The other models are trained."]
    assert [len(model.history_["loss"]) for model in models] == [2, 1, 2, 2]


def test_an_interrupt_of_fit_many(few):
    class Interrupting(Callback):
        def on_epoch_end(self, model, epoch, logs):
            raise KeyboardInterrupt

    models = [net(seed) for seed in range(4)]
    each = [{"callbacks": Interrupting()} for _ in models]
    with pytest.raises(KeyboardInterrupt):
        bpkern.fit_many(models, X, LABELS, epochs=2, each=each, n_threads=3)
    bpkern.fit_many(models, X, LABELS, n_threads=1)


def test_streams(few):
    model, other = net(), net()
    stream = Stream()
    history = model.fit(stream, epochs=3)
    expected = other.fit(X, LABELS, epochs=3, shuffle=False, batch_size=16)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert bits(model) == bits(other)
    # The last pass has no thread of its own any more.
    assert stream.thread is threading.current_thread()


@pytest.mark.parametrize("at", [0, 2])
def test_errors_of_streams(few, at):
    def batches():
        for number, batch in enumerate(Stream()):
            if number == at:
                raise LookupError("no more of them")
            yield batch

    model, other = net(), net()
    with pytest.raises(LookupError, match="no more of them"):
        model.fit(batches())
    for batch in list(Stream())[: max(0, at - 1)]:  # the last item is fetched ahead of its step
        other.train_on_batch(*batch)
    assert bits(model) == bits(other)


LIMITED = """
import resource, sys, threading
import numpy as np
import bpkern

rng = np.random.default_rng(0)
X, y = rng.random((600, 300), np.float32), rng.random((600, 3), np.float32)

def everything():
    models = [bpkern.MLP([300, 256, 3], loss="mse", seed=seed) for seed in range(3)]
    models[0].fit([(X[:300], y[:300]), (X[300:], y[300:])], epochs=2)
    models[0].fit(X, y, n_threads=4)
    bpkern.fit_many(models, X, y, epochs=2, batch_size=64, n_threads=3)
    return b"".join(array.tobytes() for model in models for pair in model.get_weights() for array in pair)

free = everything()
# Threads of Python then need more address space than there is, and everything else has enough.
threading.stack_size(1 << 30)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (512 << 20), resource.RLIM_INFINITY))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    sys.exit("a thread was started")
assert everything() == free
"""


def test_a_limit_of_the_address_space():
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux limits the address space by RLIMIT_AS")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, text=True, check=False, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
