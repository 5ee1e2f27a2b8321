"""The caller's floating-point mode is restored, flags included, and results are the same in every mode."""

import ctypes
import ctypes.util
import platform
from contextlib import contextmanager

import numpy as np
import pytest

import bpkern
from bpkern._model.core import core_of

# The directions of glibc's <fenv.h> by processor; where fegetenv stores the mode and the flags of the vector
# units, in numbers of 32 bits: on x86-64 they come after those of the x87.
DIRECTIONS = {
    "x86_64": dict(downward=0x400, upward=0x800, toward_zero=0xC00),
    "aarch64": dict(downward=0x800000, upward=0x400000, toward_zero=0xC00000),
}
PLACES = {"x86_64": slice(7, 8), "aarch64": slice(0, 2)}
DEFAULT = ctypes.c_void_p(-1)

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((50, 6)).astype(np.float32), RNG.standard_normal((50, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def fenv():
    if platform.machine() not in DIRECTIONS or platform.libc_ver()[0] != "glibc":
        pytest.skip("these values of <fenv.h> are those of glibc on x86-64 and aarch64")
    return ctypes.CDLL(ctypes.util.find_library("m"))


@contextmanager
def rounding(fenv, direction):
    before, value = fenv.fegetround(), DIRECTIONS[platform.machine()][direction]
    assert fenv.fesetround(value) == 0
    try:
        yield
        assert fenv.fegetround() == value
    finally:
        fenv.fesetround(before)


def fit(model, batch_size):
    model.fit(X, Y, batch_size=batch_size, n_threads=2 if batch_size > 1 else 1)


def by_hand(model, batch_size):
    outputs = model.forward(X[:batch_size], train=True)
    model.backward(outputs)
    model.step(clip_norm=1.0)


@pytest.mark.parametrize("direction", ["downward", "upward", "toward_zero"])
@pytest.mark.parametrize("train", [fit, by_hand])
@pytest.mark.parametrize(
    ("layers", "batch_size"), [((6, 4, 3), 1), ((6, 40, 3), 8)], ids=["online", "batches"]
)
def test_training_rounds_to_nearest(isa, fenv, direction, train, layers, batch_size):
    models = [
        bpkern.MLP(layers, activation="gelu", loss="mse", optimizer=bpkern.Adam(), l2=1e-3, seed=1)
        for _ in "ab"
    ]
    train(models[0], batch_size)
    with rounding(fenv, direction):
        train(models[1], batch_size)
    for one, other in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
    expected = models[0].forward(X)
    with rounding(fenv, direction):
        got = models[0].forward(X)
    assert np.array_equal(got, expected)


def test_kernels_round_to_nearest(isa, dtype, fenv):
    x, w, b = (np.asarray(array, dtype) for array in (X, RNG.standard_normal((3, 6)), np.ones(3)))
    expected = bpkern.kernels.linear_forward(x, w, b, "sigmoid")
    with rounding(fenv, "upward"):
        got = bpkern.kernels.linear_forward(x, w, b, "sigmoid")
    assert np.array_equal(got, expected)


def state(fenv):
    """The mode and flags of the vector units."""
    environment = (ctypes.c_uint32 * 8)()
    assert fenv.fegetenv(environment) == 0
    return environment[PLACES[platform.machine()]]


def test_to_look_whether_weights_are_finite_raises_no_flag(isa, dtype, fenv):
    """Not even the flag of denormal operands."""
    net = core_of(bpkern.MLP([6, 40, 3], loss="mse", dtype=dtype, seed=0)).net
    layers = net.get_layers()
    layers[0][0][...] = 1e-40 if dtype == "float32" else 1e-310
    layers[1][0][:, 3] = np.nan
    net.set_layers(layers, finite=False)
    assert fenv.fesetenv(DEFAULT) == 0
    before = state(fenv)
    assert not net.finite()
    assert state(fenv) == before
