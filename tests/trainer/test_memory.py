"""What a fit allocates: parameters, optimiser states, a copy to roll back to, one batch; never X."""

import subprocess
import sys

import pytest

pytest.importorskip("resource", reason="this system does not report the peak memory of a process")

GROWTH = """
import resource, sys
import numpy as np
import bpkern

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

X = np.ones((100_000, 256), {dtype!r})
y = np.zeros(100_000, np.int64)
model = bpkern.MLP([256, 64, 2], loss="cross_entropy", optimizer=bpkern.SGD(0.01, 0.9), seed=0)
model.fit(X[:64], y[:64])
model.predict(X[:64])
before = peak()
model.fit(X, y, batch_size=64, n_threads=2)
model.predict(X)
print(peak() - before, X.nbytes)
"""


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
def test_no_copy_of_x(dtype):
    done = subprocess.run(
        [sys.executable, "-c", GROWTH.format(dtype=dtype)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    growth, size = map(int, done.stdout.split())
    # Labels, the epoch's row order and predictions take 8 bytes per row each; temporaries, the same again.
    assert growth < 8 * 100_000 * 6 + 4e6
    assert growth < size or dtype == "uint8"
