"""How much memory a model takes while it is made, and after a large batch, each in a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak in /proc")

START = """
import numpy as np, bpkern

def memory(name):
    with open("/proc/self/status") as lines:
        [line] = [line for line in lines if line.startswith(name + ":")]
    return int(line.split()[1]) * 1024

def settings(dtype):
    return dict(loss="mse", seed=0, dtype=dtype)

bpkern.MLP([2, 2, 1], loss="mse").fit(np.zeros((4, 2)), np.zeros(4))  # imports what it needs
"""


def measured(script):
    """The number that a script prints."""
    done = subprocess.run([sys.executable, "-c", START + script], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layers", [[4096, 4096], [2048, 4096, 2048], [4096, 1024, 1024, 1024, 4096]])
def test_the_constructor_needs_two_networks_at_most(layers, dtype):
    factor = measured(f"""
layers, dtype = {layers}, np.dtype("{dtype}")
before = memory("VmRSS")
model = bpkern.MLP(layers, **settings(dtype))
size = sum(n * m for n, m in zip(layers, layers[1:])) * dtype.itemsize
print((memory("VmHWM") - before) / size)
""")
    assert factor < 2.2


def test_reset_needs_two_networks_more():
    factor = measured("""
model = bpkern.MLP([2048, 4096, 2048], **settings("float32"))
size = 2 * 2048 * 4096 * 4
before = memory("VmRSS")
model.reset()
print((memory("VmHWM") - before) / size)
""")
    assert factor < 2.2


CALLS = {
    "fit": "model.fit(X[:64], y[:64], batch_size=64)",
    "train_on_batch": "model.train_on_batch(X[:64], y[:64])",
    "stream": "model.fit([(X[:64], y[:64])])",
    "reset": "model.reset()",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_the_memory_of_a_large_batch_is_given_back(call):
    left = measured(f"""
model = bpkern.MLP([4, 7000, 1], dropout=0.1, **settings("float32"))  # which needs the whole batch at once
X, y = np.zeros((6_000, 4), np.float32), np.zeros((6_000, 1), np.float32)
before = memory("VmRSS")
model.train_on_batch(X, y)
assert memory("VmHWM") - before > 200_000_000
{call}
print(memory("VmRSS") - before)
""")
    assert left < 30_000_000


def test_the_memory_of_a_large_forward_pass_is_given_back():
    left = measured("""
model = bpkern.MLP([4, 256, 1], **settings("float32"))
X = np.zeros((100_000, 4), np.float32)
before = memory("VmRSS")
model.forward(X, train=True)
model.forward(X[:64], train=True)
print(memory("VmRSS") - before)
""")
    assert left < 30_000_000


def test_calls_of_a_callback_keep_the_memory_of_the_fit():
    """A small fit or a reset in a callback of a fit in large batches: the fit goes on."""
    measured("""
X, y = np.random.default_rng(0).random((40_000, 4)), np.zeros((40_000, 1))

class Nested(bpkern.callbacks.Callback):
    def on_batch_end(self, model, batch, logs):
        x, t = X[:9], y[:9]
        calls = {0: lambda: model.fit(x, t), 1: model.reset, 2: lambda: model.train_on_batch(x, t)}
        if batch in calls and not self.inside:
            self.inside = True
            calls[batch]()
            self.inside = False

    inside = False

model = bpkern.MLP([4, 512, 1], **settings("float64"))
model.fit(X, y, batch_size=10_000, epochs=2, callbacks=[Nested()], clip_norm=1.0)
print(0)
""")
