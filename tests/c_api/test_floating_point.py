""" "Every function restores the floating-point mode that it found": rounding and flags, also in callbacks."""

import ctypes
import ctypes.util
import platform

import numpy as np
import pytest
from c_nets import API, Net, address, data_of, number, report_of, status_of, training

# (rounding upwards, all exception flags, the flag of divisions by zero) of <fenv.h>
FENV = {"x86_64": (0x800, 0x3D, 0x04), "aarch64": (0x400000, 0x1F, 0x02)}
LAYERS = ([3, 7, 2], ["tanh", "identity"])
RNG = np.random.default_rng(8)
X, Y = RNG.normal(size=(11, 3)), RNG.uniform(size=(11, 2))
WEIGHTS = RNG.uniform(0.1, 0.9, 11)


@pytest.fixture
def fenv():
    """The C library's functions of the floating-point environment, which is restored after the test."""
    name = ctypes.util.find_library("m")
    if name is None or platform.machine() not in FENV or not hasattr(ctypes.CDLL(name), "feraiseexcept"):
        pytest.skip("needs a C library with <fenv.h> on x86-64 or aarch64")
    library = ctypes.CDLL(name)
    before = library.fegetround()
    yield library
    library.fesetround(before)
    library.feclearexcept(FENV[platform.machine()][1])


def upwards(fenv, call):
    """The result of the call while the caller rounds upwards. It keeps that, and raises no flag."""
    up, every, _ = FENV[platform.machine()]
    nearest = fenv.fegetround()
    assert fenv.fesetround(up) == 0
    fenv.feclearexcept(every)
    result = call()
    flags, left = fenv.fetestexcept(every), fenv.fegetround()
    fenv.fesetround(nearest)
    assert (flags, left) == (0, up)
    return result


def networks(dtype):
    """A created and an initialised network, its fits and reports: calls, and what each has left behind."""
    x, y = X.astype(dtype), Y.astype(dtype)
    parameters = np.array([0.1, 0.3])
    report, losses = report_of(3)
    seen = np.zeros((len(x), 2), dtype)
    handle = ctypes.c_void_p()
    widths = np.array(LAYERS[0], np.intp)
    names = np.array([number(name) for name in LAYERS[1]], np.intc)
    data = data_of(x, y, WEIGHTS)
    settings = training("adam", epochs=3, batch=4, l2=0.01)
    create = (number(dtype), 2, address(widths), address(names), number("huber"), address(parameters))
    forward = (0, len(x), address(x), 3, address(seen))
    w, b = np.zeros((7, 3), dtype), np.zeros(7, dtype)
    calls = (
        lambda: API.net_create(*create, ctypes.byref(handle)),
        lambda: API.net_init(handle, 5),
        lambda: API.net_fit(handle, data, settings, report),
        lambda: API.net_evaluate(handle, 0, data, report),
        lambda: API.net_forward(handle, *forward),
        lambda: API.net_get_layer(handle, 0, address(w), address(b)),
    )
    for call in calls:
        yield call, lambda: [bytes(losses), bytes(report)[16:], bytes(seen), bytes(w)]
    API.net_free(handle)


def kernels(dtype):
    x, w, b = X.astype(dtype), WEIGHTS[:6].reshape(2, 3).astype(dtype), np.ones(2, dtype)
    a, deltas = np.zeros((11, 2), dtype), Y.astype(dtype)
    tanh, kind = number("tanh"), number(dtype)
    sizes, product = (11, 2, address(a), 2), (kind, 0, 11, 3, 2)
    update = (*product, address(w), 3, address(b), address(deltas), 2, address(x), 3)
    calls = (
        lambda: API.linear_forward(*product, address(x), 3, address(w), 3, address(b), tanh, address(a), 2),
        lambda: API.sgd_update(*update, None, 3, None, 0.1, 0.0, 0, 5e-324),
        lambda: API.sgd_update(*update, None, 3, None, 0.1, float("nan"), 0, 0.0),
        lambda: API.activate(kind, tanh, *sizes),
        lambda: API.apply_derivative(kind, tanh, *sizes, address(deltas), 2),
    )
    for call in calls:
        yield call, lambda: [bytes(a), bytes(w), bytes(b), bytes(deltas)]


@pytest.mark.parametrize("several", [networks, kernels])
def test_calls_keep_the_mode_and_compute_the_same_bits(several, dtype, fenv):
    usual = [(call(), result()) for call, result in several(dtype)]
    other = [(upwards(fenv, call), result()) for call, result in several(dtype)]
    assert other == usual
    assert len({str(result) for _, result in usual}) > 3


def test_the_caller_is_asked_in_its_own_mode(fenv):
    """It may change its mode: that is the one after the fit."""
    up, every, division = FENV[platform.machine()]
    modes = []

    def stop(context):
        modes.append(fenv.fegetround())
        fenv.feraiseexcept(division)
        return 1

    own = type(training().stop)(stop)
    settings = training(epochs=2**40, stop=own)
    with Net(*LAYERS, "mse") as net:
        net.init(1)
        data, nearest = data_of(X, Y), fenv.fegetround()
        fenv.fesetround(up)
        fenv.feclearexcept(every)
        status = API.net_fit(net.handle, data, settings, None)
        flags, left = fenv.fetestexcept(every), fenv.fegetround()
        fenv.fesetround(nearest)
        assert status_of(lambda: status) == "STOPPED"
        assert (modes, left) == ([up], up)
        assert flags & division
