"""threadpoolctl lists bpkern and limits its threads, whichever of the two is imported first."""

import subprocess
import sys

import pytest

pytest.importorskip("threadpoolctl", reason="threadpoolctl is not installed")

CHECK = """
from threadpoolctl import ThreadpoolController, threadpool_info, threadpool_limits
import os, sys, threadpoolctl
from bpkern import _core

def number():
    [found] = [each for each in threadpool_info() if each["user_api"] == "bpkern"]
    assert os.path.samefile(found["filepath"], _core.__file__)  # an environment may be a link
    assert (found["version"], found["architecture"]) == (bpkern.__version__, bpkern.isa())
    assert found["num_threads"] == bpkern.get_num_threads()
    return found["num_threads"]

default, source = number(), bpkern.show_config(mode="dicts")["threads"]
with threadpool_limits(default + 3):
    assert number() == default + 3
    with threadpool_limits(1, user_api="blas"):
        assert number() == default + 3
    with threadpool_limits({"bpkern": 1}):
        assert number() == 1
assert number() == default
# The default itself is back, not its number.
assert bpkern.show_config(mode="dicts")["threads"] == source
bpkern.set_num_threads(default + 2)
with threadpool_limits(1):
    assert number() == 1
assert number() == default + 2
assert type(threadpoolctl.__loader__).__module__ == "_frozen_importlib_external"
assert threadpoolctl.__spec__.loader is threadpoolctl.__loader__
assert not any("bpkern" in type(each).__module__ for each in sys.meta_path)
"""

ORDERS = {
    "bpkern first": "import bpkern",
    "threadpoolctl first": "import threadpoolctl, bpkern",
    # Whether a module exists is asked for without importing it.
    "looked for": "import bpkern, importlib.util; importlib.util.find_spec('threadpoolctl')",
    "reloaded": "import bpkern, importlib; importlib.reload(bpkern)",
    "reloaded after threadpoolctl": "import threadpoolctl, bpkern, importlib; importlib.reload(bpkern)",
    "imported twice": "import sys, bpkern; del sys.modules['bpkern']; import bpkern",
    "its own module twice": (
        "import sys, bpkern; del sys.modules['bpkern'], sys.modules['bpkern._threadpoolctl']; import bpkern"
    ),
    "with a finder that asks all finders": """
import sys, bpkern
class Asks:
    asking = False
    def find_spec(self, name, path=None, target=None):
        if self.asking or name != "threadpoolctl":
            return None
        self.asking = True
        finds = [finder.find_spec for finder in sys.meta_path if hasattr(finder, "find_spec")]
        found = [find(name, path, target) for find in finds]
        self.asking = False
        return next((each for each in found if each), None)
class Old:
    def find_module(self, name, path=None):
        return None
sys.meta_path[:0] = [Asks(), Old()]
""",
}


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_both_orders(order):
    run(f"{order}\n{CHECK}")


def test_its_code_can_be_asked_for():
    """As `python -m` and tools for packaging ask."""
    run("""
import bpkern, importlib.util
spec = importlib.util.find_spec("threadpoolctl")
assert spec.loader.get_code("threadpoolctl").co_filename == spec.origin
assert spec.loader.is_package("threadpoolctl") is False
""")


def test_bpkern_does_not_import_it():
    run("import bpkern, sys; assert 'threadpoolctl' not in sys.modules")


def test_a_file_of_the_same_name_is_another_library(tmp_path):
    """Other packages have a `_core` too."""
    run(f"""
import ctypes, os, shutil, bpkern, threadpoolctl
copy = shutil.copy(bpkern._core.__file__, {str(tmp_path)!r})
ctypes.CDLL(copy)
found = [each["filepath"] for each in threadpoolctl.threadpool_info() if each["user_api"] == "bpkern"]
assert [os.path.realpath(bpkern._core.__file__)] == found
""")
