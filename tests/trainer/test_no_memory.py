"""A call that gets only a part of the memory it needs raises MemoryError and leaves the model unchanged.

`tests/attacks/allocations.py` makes each allocation fail in turn; here a few large ones really fail, in a
process whose address space is limited.
"""

import os
import subprocess
import sys
import textwrap

import pytest

resource = pytest.importorskip("resource", reason="limits a process's memory")
if not sys.platform.startswith("linux"):
    pytest.skip("only on Linux is this the limit of the process's address space", allow_module_level=True)
if "asan" in os.environ.get("LD_PRELOAD", ""):
    pytest.skip("a sanitizer has an address space of its own", allow_module_level=True)

BEGIN = """
import re, resource
import numpy as np
import bpkern
from bpkern import _core
from bpkern._files import state
from bpkern._model.core import core_of

WIDTH = 2500
STORE = WIDTH * WIDTH * 4  # bytes of the parameters, or of one of the optimiser's states
X, y = np.zeros((2, WIDTH), np.float32), np.zeros((2, WIDTH), np.float32)

def model():
    # Given weights: random ones would need more memory than anything else.
    weights = [(np.full((WIDTH, WIDTH), 0.5, np.float32), np.zeros(WIDTH))]
    optimizer = bpkern.Adam(amsgrad=True)
    return bpkern.MLP([WIDTH, WIDTH], loss="mse", optimizer=optimizer, init=weights)

def room_for(stores):
    size = 1024 * int(re.search(r"VmSize:\\s*(\\d+)", open("/proc/self/status").read())[1])
    resource.setrlimit(resource.RLIMIT_AS, (size + int(stores * STORE), -1))

def fails(call):
    try:
        call()
    except MemoryError:
        return True
    return False

net = model()
def first():
    return float(core_of(net).net.get_layers()[0][0][0, 0])
net.forward(X)
"""


def run(program):
    text = BEGIN + textwrap.dedent(program)
    result = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "call",
    [
        "net.train_on_batch(X, y)",
        "net.fit(X, y)",
        "net.fit([(X, y)])",
        "(net.forward(X, train=True), net.backward(y), net.step())",
    ],
)
def test_states_of_an_optimiser_are_made_all_or_none(call):
    # Room for m and v but not u; by hand, a copy of the parameters and the gradients come first.
    room = 4.5 if "step" in call else 2.5
    run(f"""
    room_for({room})
    assert fails(lambda: {call})
    assert core_of(net).net.stores() == ["parameters"], core_of(net).net.stores()
    assert core_of(net).net.counts[0] == 0
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    {call}
    assert core_of(net).net.stores() == ["parameters", "m", "v", "u"]
    """)


def test_states_that_a_call_has_made_go_with_it():
    run("""
    room_for(3.5)  # and not for a copy to go back to, which so large inputs need
    assert fails(lambda: net.train_on_batch(X + 1e10, y))
    assert core_of(net).net.stores() == ["parameters"], core_of(net).net.stores()
    """)


def test_a_step_that_cannot_overflow_needs_no_copy():
    run("""
    room_for(3.5)
    assert net.train_on_batch(X + 1, y) > 0
    assert core_of(net).net.counts[0] == 1
    """)


def test_a_state_is_restored_whole_or_not_at_all():
    run("""
    other = model()
    other.train_on_batch(X, y + 1)
    config, arrays = state.model_state(core_of(other))
    found = state.checked_state(core_of(net).settings, config, arrays)
    core_of(net).net.counts = (7, 7)
    room_for(1.5)
    assert fails(lambda: state.restore(core_of(net), found))
    assert core_of(net).net.stores() == ["parameters"]
    assert core_of(net).net.counts == (7, 7) and first() == 0.5
    """)


def test_reset_needs_memory_before_it_changes_anything():
    run("""
    net = bpkern.MLP([WIDTH, WIDTH], loss="mse", optimizer=bpkern.SGD(), dropout=0.0, seed=0)
    net.train_on_batch(X, y + 1)
    before, weight = core_of(net).random.config(), first()
    assert core_of(net).net.counts == (1, 1)
    room_for(0.5)
    assert fails(net.reset)
    assert core_of(net).net.counts == (1, 1)
    assert core_of(net).random.config() == before
    """)
