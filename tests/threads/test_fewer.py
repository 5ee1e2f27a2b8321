"""If the system starts no more threads, a call continues with those it has, to the same bits."""

import os
import resource
import subprocess
import sys

import pytest

FIT = """
import sys
import numpy as np
import bpkern

if "alone" in sys.argv:
    import threading
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        pass
    else:
        sys.exit("threads still start")
rng = np.random.default_rng(0)
X = rng.normal(size=(50, 20))
model = bpkern.MLP([20, 40, 3], loss="mse", seed=0)
model.fit(X, X[:, :3], epochs=2, n_threads=4)
print([array.tobytes().hex() for array in model.state_dict().values()])
"""

# The stack size of a new thread: more than the address space.
STACK = 1 << 47


def fit(argument, **settings):
    # Other libraries in the process would start threads, too.
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", FIT, argument], env=env, capture_output=True, text=True, **settings
    )


@pytest.mark.skipif(sys.platform != "linux", reason="the size of a thread's stack is asked for as on Linux")
def test_a_fit_goes_on_alone():
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    if hard != resource.RLIM_INFINITY:
        pytest.skip("this system limits the size of stacks")
    expected = fit("as ever")
    assert expected.returncode == 0, expected.stderr
    done = fit(
        "alone", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (STACK, resource.RLIM_INFINITY))
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected.stdout
