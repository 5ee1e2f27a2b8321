"""Every public function refuses sizes whose products overflow, before it allocates anything."""

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="this system does not limit what a process allocates")

# Runs in a process that may allocate 64 MiB and use a minute of processor time. One number with strides of 0
# is an array of 2**40 rows that takes no memory, and reading them all would take hours.
PROGRAM = """
import resource, signal, sys
import numpy as np
from numpy.lib.stride_tricks import as_strided
import bpkern

def rows(count, width=3):
    return as_strided(np.zeros((1, width)), (count, width), (0, 0))

def ints(count):
    return as_strided(np.zeros(1, np.int64), (count,), (0,))

class Sparse:
    def __init__(self, shape, data, indices, indptr):
        self.shape, self.data, self.indices, self.indptr = shape, data, indices, indptr
    def tocsr(self):
        return self

def model(**settings):
    return bpkern.MLP([3, 4, 2], **{"loss": "cross_entropy", "seed": 0} | settings)

X, Y, one = np.ones((8, 3)), np.arange(8) % 2, np.ones
big, labels, huge = rows(2**40), ints(2**40), rows(2**58)
quiet = {"verbose": 0}
m, k, r = model(), bpkern.kernels, bpkern.reference
m.fit(X, Y, n_threads=2, **quiet)
m.predict(X)
r.MLP([3, 2], loss="mse", seed=0).fit(X, one((8, 2)))

calls = {}
SIZES = (
    [2**62, 2], [2**63, 2], [2**64, 2], [10**30, 1], [2**31, 2**31], [2**32, 2**32], [1, 2**62], [2**40, 2],
    [2**33, 4, 2**33], [2**61 + 1, 8], [2**63 - 1, 1], [2**62 - 1, 1], [5, 10**12],
)
for sizes in SIZES:
    for loss in ("mse", "cross_entropy", "huber"):
        for dtype in ("float32", "float64"):
            calls[f"{sizes} {loss} {dtype}"] = lambda a=(sizes, loss, dtype): bpkern.MLP(
                a[0], loss=a[1], dtype=a[2], seed=0
            )
    calls[f"{sizes} orthogonal"] = lambda sizes=sizes: bpkern.MLP(sizes, loss="mse", init="orthogonal")
    calls[f"reference {sizes}"] = lambda sizes=sizes: r.MLP(sizes, loss="mse", seed=0)

for name, x, y in (("2**40 rows", big, labels), ("2**58 rows", huge, ints(2**58))):
    for way in ("fit", "train_on_batch", "gradients", "evaluate", "losses"):
        settings = quiet if way == "fit" else {}
        calls[f"{way}, {name}"] = lambda a=(way, x, y, settings): getattr(m, a[0])(a[1], a[2], **a[3])
    for way in ("predict", "predict_proba", "forward"):
        calls[f"{way}, {name}"] = lambda a=(way, x): getattr(m, a[0])(a[1])
    calls[f"reference, {name}"] = lambda a=(x, y): r.MLP([3, 2], loss="cross_entropy", seed=0).fit(*a)

calls |= {
    "forward to train": lambda: m.forward(big, train=True),
    "columns": lambda: m.predict(rows(2, 2**58)),
    "a stream": lambda: m.fit([(big, labels)], **quiet),
    "a split": lambda: m.fit(big, labels, validation_split=0.5, **quiet),
    "validation data": lambda: m.fit(X, Y, validation_data=(big, labels), **quiet),
    "sample weights": lambda: m.fit(big, labels, sample_weight=rows(2**40, 1)[:, 0], **quiet),
    "fit_many": lambda: bpkern.fit_many([model(), model()], big, labels, n_threads=2, **quiet),
    "rows of a split": lambda: bpkern.fit_many([m], X, Y, splits=[(labels, None)], **quiet),
    "set_weights": lambda: m.set_weights([(big, labels), (one((2, 4)), one(2))]),
    "load_state_dict": lambda: m.load_state_dict(m.state_dict() | {"0.weight": big}),
    "init": lambda: bpkern.MLP([3, 2**40], loss="mse", init=[(big, rows(2**40, 1)[:, 0])]),
    "a loss": lambda: model(loss=bpkern.losses.Huber(rows(2**40, 1)[:, 0])),
    "iterations of a schedule": lambda: bpkern.schedules.Cosine(0.1, 10**400),
    "linear_forward": lambda: k.linear_forward(np.broadcast_to(one(3), (2**40, 3)), one((4, 3)), one(4)),
    "linear_forward, nothing": lambda: k.linear_forward(one((2**40, 0)), one((2**40, 0)), one(0)),
    "delta_backward": lambda: k.delta_backward(
        np.broadcast_to(one(3), (2**40, 3)), one((3, 4)), np.broadcast_to(one(4), (2**40, 4)), "relu"
    ),
    "reference.linear_forward": lambda: r.linear_forward(big, one((4, 3)), one(4)),
    "sparse columns": lambda: m.predict(Sparse((4, 2**50), one(0), ints(0), ints(5))),
    "sparse rows": lambda: m.predict(Sparse((2**40, 3), one(1), ints(1), ints(2**40))),
    "sparse entries": lambda: m.predict(Sparse((1, 3), rows(2**40, 1)[:, 0], labels, np.array([0, 2**40]))),
    "sparse entries that are not there": lambda: m.predict(
        Sparse((1, 3), one(1), ints(1), np.array([0, 2**62]))
    ),
}

with open("/proc/self/statm") as statm:
    mapped = int(statm.read().split()[0]) * resource.getpagesize()
# Room for a thread, whose first allocation reserves 64 MiB of addresses or more.
resource.setrlimit(resource.RLIMIT_AS, (mapped + (512 << 20),) * 2)
signal.alarm(60)
for name, call in calls.items():
    print(name, end=": ", flush=True)
    try:
        call()
        print("nothing")
    except (ValueError, MemoryError):
        print("refused")
    except Exception as error:
        print(repr(error))
for batch_size in (2**62, 2**63, 10**30):
    m.fit(X, Y, batch_size=batch_size, accumulate=batch_size, checkpoint_every=batch_size, **quiet)
print("all: refused")
"""


def test_all_entrances():
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux reports how much of its address space a process has mapped")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    outcomes = dict(line.rsplit(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    assert {name: outcome for name, outcome in outcomes.items() if outcome != "refused"} == {}, done.stderr
    assert "all" in outcomes, done.stderr
    assert len(outcomes) > 100
