"""The process in which allocations fail: `python allocation_trials.py KIND`, run by allocations.py.

A question is ["names"], ["count", scenario] or ["fail", scenario, first, last], where first and last are the
allocations of the call that fail, counted from 1. The answer to the last kind is what was wrong, or "".
"""

import ctypes
import gc
import os
import sys
import time
import warnings
from typing import Any

import numpy as np
from failing import scenarios
from failing.trial import Wrong, check_nobody_is_in, digest, is_usable, models_of, serve

from bpkern._model.core import core_of

KINDS = ("library", "arrays", "threads", "interpreter")

shim = ctypes.CDLL(None)
for function in (shim.failing_counted, shim.failing_failed, shim.failing_alive):
    function.restype = ctypes.c_long
shim.failing_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_long]

# NumPy and Python may keep arrays at a first error, but not again at every repetition.
REPEATS = 4

# PyDataMem_SetHandler in the table of NumPy's C API.
SET_HANDLER = 304


def take_arrays() -> None:
    """Make NumPy allocate arrays through the shim: its own allocator caches small ones."""
    make, get = ctypes.pythonapi.PyCapsule_New, ctypes.pythonapi.PyCapsule_GetPointer
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    from numpy._core import _multiarray_umath

    table = ctypes.cast(get(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[SET_HANDLER])
    set_handler(make(ctypes.addressof(ctypes.c_char.in_dll(shim, "failing_arrays")), b"mem_handler", None))


class Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


NO_ARGUMENTS = 4  # METH_NOARGS
method = Method(b"disarm", ctypes.cast(shim.failing_disarm_method, ctypes.c_void_p), NO_ARGUMENTS, None)
make_function = ctypes.pythonapi.PyCFunction_NewEx
make_function.restype = ctypes.py_object
make_function.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p]
# Until this is called, allocations may fail; a call through ctypes would itself allocate.
disarm = make_function(ctypes.addressof(method), None, None)


class Undisturbed:
    """The result of a scenario without failures."""

    def __init__(self, scenario: scenarios.Scenario) -> None:
        for _ in range(2):  # the first call imports and caches
            things = scenario.make()
            result = scenario.act(things)
        self.after, self.result = digest(things), digest(result)


undisturbed: dict[str, Undisturbed] = {}


def alive() -> tuple[int, int]:
    return shim.failing_alive(KINDS.index("library")), shim.failing_alive(KINDS.index("arrays"))


def count_of(what: str) -> int:
    """The number of the process's threads ("task") or descriptors ("fd")."""
    return len(os.listdir(f"/proc/self/{what}"))


def fail(kind: str, name: str, first: int, last: int) -> str:
    """Make the call with these allocations failing; raise Wrong if anything is not as it should be."""
    scenario = scenarios.ALL[name]
    if name not in undisturbed:
        undisturbed[name] = Undisturbed(scenario)
        gc.collect()
        gc.freeze()  # existing objects stay, so the collector can skip them
    for _ in range(REPEATS):
        there = alive()
        check(kind, scenario, undisturbed[name], first, last)
        gc.collect()
        left = alive()
        if left[0] > there[0] and kind != "interpreter":
            raise Wrong(f"{left[0] - there[0]} allocations of the library were never freed")
        if left[1] <= there[1] or kind == "interpreter":
            return ""
    raise Wrong(f"{left[1] - there[1]} arrays were never freed")


def check(kind: str, scenario: scenarios.Scenario, reference: Undisturbed, first: int, last: int) -> None:
    things = scenario.make()
    models, before, calm = models_of(things), digest(things), digest(things, generators=False)
    counts = [core_of(model).net.counts[0] for model in models]
    threads, descriptors = count_of("task"), count_of("fd")
    result = raised = None
    try:
        shim.failing_arm(KINDS.index(kind), first, last)
        result = scenario.act(things)
    except BaseException as error:
        disarm()
        raised = error
    disarm()
    hit = shim.failing_failed()
    said = f"{type(raised).__name__}: {raised}"
    cut(raised)
    check_nobody_is_in(models)
    for _ in range(1000):
        if count_of("task") <= threads:
            break
        time.sleep(0.001)  # a joined thread may still be ending
    else:
        raise Wrong("a thread is left")
    if count_of("fd") > descriptors:
        raise Wrong("a descriptor is left")
    if raised is None:
        if hit and kind == "library":
            raise Wrong("no error was raised")
        if (digest(things), digest(result)) != (reference.after, reference.result):
            raise Wrong("the call ended without an error, with other bits")
        return
    if not hit:
        raise Wrong(f"nothing failed, and it raised {said}")
    # Python and NumPy do not always raise MemoryError if they cannot allocate an object.
    if kind == "threads" or (kind != "interpreter" and not isinstance(raised, MemoryError)):
        raise Wrong(f"it raised {said}")
    stepped = [core_of(model).net.counts[0] != count for model, count in zip(models, counts, strict=True)]
    if digest(things) == before:
        result = scenario.act(things)
        if (digest(things), digest(result)) != (reference.after, reference.result):
            raise Wrong("afterwards the same call gives other bits")
    elif kind != "library" and last > first and digest(things, generators=False) == calm:
        pass  # setting a generator back takes memory, too
    elif not scenario.ends_midway or (models and not any(stepped)):
        raise Wrong(f"it changed something before it raised {said}")
    elif not all(is_usable(model, scenarios.X[:, : model.layers[0]]) for model in models):
        raise Wrong("it left a model that is not usable")
    else:
        scenario.act(things)


def cut(raised: BaseException | None) -> None:
    """Release what errors keep alive: the frames of the call, and those of earlier errors."""
    while raised is not None:
        raised.__traceback__ = None
        raised.__cause__, raised.__context__, raised = None, None, raised.__context__


def count(kind: str, name: str) -> int:
    scenario = scenarios.ALL[name]
    Undisturbed(scenario)
    things = scenario.make()
    shim.failing_arm(KINDS.index(kind), 0, 0)
    try:
        scenario.act(things)
    finally:
        disarm()
    return shim.failing_counted()


def main() -> None:
    kind = sys.argv[1]
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    if not shim.failing_watch(KINDS.index("library"), b"/bpkern/_core"):
        raise RuntimeError("the extension was not found among the loaded libraries")
    take_arrays()
    if kind == "interpreter" and not shim.failing_watch_interpreter():
        raise RuntimeError("this Python does not let its allocators be replaced")

    def answer(question: Any) -> Any:
        what, *arguments = question
        if what == "names":
            return list(scenarios.ALL)
        return {"count": count, "fail": fail}[what](kind, *arguments)

    # Python prints errors that occur while it destroys objects.
    serve(answer, may_print=kind == "interpreter")


if __name__ == "__main__":
    main()
