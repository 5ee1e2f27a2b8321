"""The capsule of the functions for other extensions, and what import_bpkern says if they do not fit."""

import ctypes
import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import bpkern
from bpkern import _core, c_api

# A module that imports the functions when it is asked to: a test can put another capsule in place first.
SOURCE = """
#include "bpkern_python.h"

static PyObject *version(PyObject *self, PyObject *none) {
    (void)self, (void)none;
    const bpkern_api *bpkern = import_bpkern();
    return bpkern ? PyUnicode_FromString(bpkern->version()) : NULL;
}

static PyMethodDef methods[] = {{"version", version, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "consumer", NULL, 0, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_consumer(void) { return PyModule_Create(&definition); }
"""


@pytest.fixture(scope="module")
def consumer(tmp_path_factory):
    """The compiled module."""
    compiler, python = shutil.which("cc"), Path(sysconfig.get_path("include"))
    if sys.platform != "linux" or compiler is None or not (python / "Python.h").exists():
        pytest.skip("needs Linux, a C compiler and Python's headers")
    folder = tmp_path_factory.mktemp("consumer")
    (folder / "consumer.c").write_text(SOURCE)
    options = ["-shared", "-fPIC", f"-I{bpkern.get_include()}", f"-I{python}"]
    subprocess.run([compiler, *options, "consumer.c", "-o", "consumer.so"], cwd=folder, check=True)
    spec = importlib.util.spec_from_file_location("consumer", folder / "consumer.so")
    return importlib.util.module_from_spec(spec)


def capsule(**changes):
    """A capsule of the functions with other versions, and its struct, which must live as long."""
    other = c_api.Api.from_buffer_copy(c_api.functions())
    for name, value in changes.items():
        setattr(other, name, value)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(ctypes.addressof(other), b"bpkern._core._C_API", None), other


def test_it_gives_the_functions(consumer):
    assert consumer.version() == bpkern.__version__


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(abi=2),
            r"compiled for the C ABI 1 of bpkern, and the installed bpkern .* has 2: compile the module",
        ),
        (dict(revision=0), r"needs revision 2 .* and the installed bpkern .* has 0: install a newer bpkern"),
    ],
)
def test_versions_that_do_not_fit(consumer, monkeypatch, changes, message):
    other, struct = capsule(**changes)
    monkeypatch.setattr(_core, "_C_API", other)
    with pytest.raises(ImportError, match=message):
        consumer.version()
    assert struct.version().decode() == bpkern.__version__


def test_a_later_revision_fits(consumer, monkeypatch):
    other, _struct = capsule(revision=3)
    monkeypatch.setattr(_core, "_C_API", other)
    assert consumer.version() == bpkern.__version__


def test_a_bpkern_without_a_capsule(consumer, monkeypatch):
    monkeypatch.delattr(_core, "_C_API")
    with pytest.raises(ImportError, match=r"has no C API: this module needs a newer one"):
        consumer.version()


def test_no_bpkern(consumer, monkeypatch):
    monkeypatch.setitem(sys.modules, "bpkern", None)
    with pytest.raises(ImportError):
        consumer.version()


def test_the_struct_has_its_size():
    functions = c_api.functions()
    assert functions.size == ctypes.sizeof(c_api.Api)
    assert (functions.abi, functions.revision) == (1, 2)
