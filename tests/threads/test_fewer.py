"""If the system starts no more threads, a call continues with those it has, to the same bits."""

import os
import shutil
import subprocess
import sys

import pytest

# Preloaded, it starts STARTED threads, and no more. It needs no header and no library, so a compiler for
# another C library than Python's can build it.
SHIM = """
void *dlsym(void *handle, const char *name);

int pthread_create(void *thread, const void *attributes, void *(*run)(void *), void *argument) {
    static int started;
    if (started++ >= STARTED) return 11;
    int (*next)(void *, const void *, void *(*)(void *), void *);
    *(void **)&next = dlsym((void *)-1, "pthread_create");
    return next(thread, attributes, run, argument);
}
"""

CALLS = """
import sys, threading
import numpy as np
import bpkern

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 20))
model = bpkern.MLP([20, 40, 3], loss="mse", seed=0)
model.fit(X, X[:, :3], epochs=2, n_threads=4)
bpkern.set_num_threads(4)
wide = rng.normal(size=(300, 300))
product = bpkern.kernels.linear_forward(wide, wide, wide[0])
if "few" in sys.argv:
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        pass
    else:
        sys.exit("threads still start")
print([array.tobytes().hex() for array in (*model.state_dict().values(), product)])
"""


def outputs(argument, *preloaded):
    # Other libraries in the process would start threads, too.
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # A sanitizer's library stays the first.
    env["LD_PRELOAD"] = " ".join(filter(None, (env.get("LD_PRELOAD"), *map(str, preloaded))))
    done = subprocess.run([sys.executable, "-c", CALLS, argument], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def expected():
    return outputs("all")


@pytest.mark.skipif(sys.platform != "linux", reason="a library is preloaded as on Linux")
@pytest.mark.parametrize("started", [0, 1])
def test_calls_go_on_with_fewer(started, expected, tmp_path):
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    shim = tmp_path / "shim.so"
    options = (f"-DSTARTED={started}", "-shared", "-fPIC", "-nostdlib", "-xc", "-", "-o", shim)
    subprocess.run([compiler, *options], input=SHIM, text=True, check=True)
    assert outputs("few", shim) == expected
