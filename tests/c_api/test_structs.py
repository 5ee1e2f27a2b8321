"""Structs of callers that were compiled with an older or a later header than the library.

The first version of the header is the oldest one, so the functions that read and write structs are compiled
alone, and called with the sizes of invented versions.
"""

import ctypes
import shutil
import subprocess
from ctypes import c_double, c_int, c_size_t, c_void_p
from pathlib import Path

import numpy as np
import pytest
from c_nets import API, Net, data_of, number, report_of, status_of, training

import bpkern
from bpkern import c_api

ROOT = Path(__file__).parents[2]
X = np.linspace(-1, 1, 6).reshape(3, 2)


class First(ctypes.Structure):
    _fields_ = (("size", c_size_t), ("lr", c_double))


class Second(ctypes.Structure):
    _fields_ = (*First._fields_, ("slack", c_double))


class Third(ctypes.Structure):
    _fields_ = (*Second._fields_, ("tilt", c_double))


LEAST, OWN, MOST = ctypes.sizeof(First), ctypes.sizeof(Second), 1 << 12


@pytest.fixture(scope="module")
def structs(tmp_path_factory):
    """csrc/api/structs.c, as a library of its own."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = tmp_path_factory.mktemp("structs") / "structs.so"
    folders = ("-I", ROOT / "csrc", "-I", ROOT / "src" / "bpkern")
    source = ROOT / "csrc" / "api" / "structs.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, *folders, source], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.api_read.argtypes = (c_void_p, c_size_t, c_size_t, c_void_p)
    loaded.api_is_size.argtypes = (c_size_t, c_size_t)
    loaded.api_write.argtypes = (c_void_p, c_size_t, c_void_p, c_size_t)
    loaded.api_write.restype = None
    loaded.api_read.restype = loaded.api_is_size.restype = c_int
    return loaded


def read(structs, given):
    own = Second(7, 7.0, 7.0)
    status = structs.api_read(ctypes.byref(own), OWN, LEAST, ctypes.byref(given))
    return API.status_name(status).decode().removeprefix("BPKERN_"), own


def test_an_older_struct_has_defaults_for_what_it_lacks(structs):
    status, own = read(structs, First(LEAST, 0.5))
    assert (status, own.size, own.lr, own.slack) == ("OK", LEAST, 0.5, 0.0)


def test_a_later_struct_is_read_if_it_asks_for_nothing_new(structs):
    status, own = read(structs, Third(ctypes.sizeof(Third), 0.5, 0.25, 0.0))
    assert (status, own.lr, own.slack) == ("OK", 0.5, 0.25)
    status, own = read(structs, Third(ctypes.sizeof(Third), 0.5, 0.25, 1.0))
    assert (status, own.lr) == ("BAD_VALUE", 7.0)


@pytest.mark.parametrize("size", [0, 1, LEAST - 1, MOST + 1, 2**40])
def test_sizes_that_no_version_has(structs, size):
    status, own = read(structs, Second(size, 0.5, 0.25))
    assert (status, own.lr) == ("BAD_SIZE", 7.0)
    assert not structs.api_is_size(size, LEAST)
    assert structs.api_is_size(LEAST, LEAST)
    assert structs.api_is_size(MOST, LEAST)


@pytest.mark.parametrize("version", [First, Second, Third])
def test_defaults_fill_the_caller_s_struct_and_no_more(structs, version):
    given, size = (version * 2)(), ctypes.sizeof(version)
    ctypes.memset(given, 0xFF, 2 * size)
    own = Second(size, 0.5, 0.25)
    structs.api_write(given, size, ctypes.byref(own), OWN)
    expected = {"size": size, "lr": 0.5, "slack": 0.25, "tilt": 0.0}
    assert {name: getattr(given[0], name) for name, _ in version._fields_} == {
        name: expected[name] for name, _ in version._fields_
    }
    assert bytes(given[1]) == b"\xff" * size


def test_the_first_version_is_the_least():
    for kind, last in ((c_api.Data, "weights"), (c_api.Report, "bad_row")):
        member = getattr(kind, last)
        assert member.offset + member.size == ctypes.sizeof(kind)
    member = c_api.Training.stop_context
    least = member.offset + member.size
    assert least < ctypes.sizeof(c_api.Training)
    with Net([2, 2], ["tanh"], "mse") as net:
        report, _ = report_of()
        report.size -= 1
        assert net.evaluate(data_of(X, X), report) == "BAD_SIZE"
        assert net.fit(data_of(X, X), training(size=least)) == "OK"
        assert net.fit(data_of(X, X), training(size=least - 1)) == "BAD_SIZE"
        small = c_api.Training()
        assert status_of(API.training_init, small, least, number("sgd")) == "OK"
        assert status_of(API.training_init, small, least - 1, number("sgd")) == "BAD_SIZE"


@pytest.mark.parametrize(
    "own",
    [
        dict(momentum=0.9, dampening=0.4),
        dict(momentum=0.5, maximize=1),
        dict(rule="nadam", momentum_decay=0.1, weight_decay=0.3, decoupled=1),
    ],
    ids=str,
)
def test_the_members_of_the_second_version(own):
    """They train as Python's settings of the same meaning; a number out of its range is refused."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 2)), rng.standard_normal((30, 2))
    rule = own.pop("rule", "sgd")
    names = {"decoupled": "decoupled_weight_decay"}
    settings = {names.get(name, name): value for name, value in own.items()}
    for flag in ("maximize", "decoupled_weight_decay"):
        if flag in settings:
            settings[flag] = True
    optimizer = bpkern.NAdam(**settings) if rule == "nadam" else bpkern.SGD(**settings)
    model = bpkern.MLP([2, 2], output_activation="tanh", loss="mse", dtype="float64", optimizer=optimizer)
    with Net([2, 2], ["tanh"], "mse") as net:
        net.set(model.get_weights())
        assert net.fit(data_of(x, y), training(rule, epochs=2, batch=10, shuffle=0, **own)) == "OK"
        model.fit(x, y, epochs=2, batch_size=10, shuffle=False, verbose=0)
        assert np.array_equal(net.forward(x), model.forward(x))
        for bad in (
            dict(dampening=1.5),
            dict(momentum_decay=-1),
            dict(momentum=0.5, nesterov=1, dampening=0.5),
        ):
            assert net.fit(data_of(x, y), training("sgd", **bad)) == "BAD_VALUE"


def test_a_slope_as_parameter():
    """Before and after other calls, whose scratch memory has no room for its derivatives."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((30, 2)), rng.standard_normal((30, 3))
    model = bpkern.MLP(
        [2, 4, 3],
        activation="leaky_relu(0.3)",
        output_activation="elu(2)",
        loss="mse",
        dtype="float64",
        seed=0,
    )
    with Net([2, 4, 3], ["leaky_relu", "elu"], "mse") as net:
        net.set(model.get_weights())
        settings = training("sgd", lr=0.0, batch=10)
        assert net.fit(data_of(x, y), settings) == "OK"
        for l, value in ((0, 0.3), (1, 2.0)):
            assert status_of(API.net_set_activation_parameter, net.handle, l, value) == "OK"
        assert np.array_equal(net.forward(x), model.forward(x))
        assert net.fit(data_of(x, y), training("sgd", lr=0.1, batch=10, epochs=2, shuffle=0)) == "OK"
        model.optimizer.lr = 0.1
        model.fit(x, y, epochs=2, batch_size=10, shuffle=False, verbose=0)
        assert np.array_equal(net.forward(x), model.forward(x))
        assert status_of(API.net_set_activation_parameter, net.handle, 2, 0.5) == "BAD_SIZE"
        for bad in (-1.0, np.nan, np.inf):
            assert status_of(API.net_set_activation_parameter, net.handle, 0, bad) == "BAD_VALUE"
        assert status_of(API.net_set_activation_parameter, None, 0, 0.5) == "NULL_POINTER"
    with Net([2, 3], ["tanh"], "mse") as net:
        assert status_of(API.net_set_activation_parameter, net.handle, 0, 0.5) == "BAD_NAME"


def test_a_report_of_a_later_version_may_hold_anything():
    """A report is written: nobody has set the members of a later header."""

    class Later(ctypes.Structure):
        _fields_ = (*c_api.Report._fields_, ("bits", c_double))

    with Net([2, 2], ["tanh"], "mse") as net:
        later = Later(bits=3.0, size=ctypes.sizeof(Later))
        pointer = ctypes.cast(ctypes.byref(later), ctypes.POINTER(c_api.Report))
        assert net.evaluate(data_of(X, X), pointer) == "OK"
        assert net.fit(data_of(X, X), training(), pointer) == "OK"
        assert (later.epochs, later.bits) == (1, 3.0)
