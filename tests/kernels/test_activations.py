"""The activations within their published error, their slopes, and both at the ends of the number line."""

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    DERIVATIVES,
    NEED_Z,
    ULP,
    counts_as_zero,
    guarded,
    selu_above,
    selu_below,
    untouched,
)

from bpkern import _core, kernels

CURVED = ("sigmoid", "tanh", "elu", "selu", "softplus", *NEED_Z)
GUARD = -77.0

# The slope at 0, where it is the factor of z: tanh(log 2) = 3 / 5 of mish.
GATES = dict.fromkeys(NEED_Z, 0.5) | {"mish": 0.6}


def activate(name, x):
    one, zero = np.ones((1, 1), x.dtype), np.zeros(1, x.dtype)
    return kernels.linear_forward(x.reshape(-1, 1), one, zero, name)[:, 0]


def derivative(name, a, z):
    """The derivative that delta_backward computes, read off with a delta of 1."""
    column, one = a.reshape(-1, 1), np.ones((1, 1), a.dtype)
    z = z.reshape(-1, 1) if name in NEED_Z else None
    return kernels.delta_backward(np.ones_like(column), one, column, name, z=z)[:, 0]


def with_slope(name, z):
    a, slope = z.reshape(1, -1).copy(), np.empty((1, z.size), z.dtype)
    _core.activate_with_slope(a, slope, name)
    return a[0], slope[0]


def check(name, x, wide):
    with np.errstate(under="ignore", over="ignore"):
        exact = ACTIVATIONS[name](x.astype(wide))
    tiny = np.finfo(x.dtype).tiny
    fits = np.abs(exact) <= np.finfo(x.dtype).max
    assert np.isinf(activate(name, x[~fits])).all()  # the largest numbers of selu
    x, exact = x[fits], exact[fits]
    unit = np.spacing(np.maximum(np.abs(exact).astype(x.dtype), tiny))
    zero = counts_as_zero(name, x, wide)
    error = np.abs(activate(name, x).astype(wide) - exact)
    assert (error <= np.where(np.abs(exact) < zero, zero, ULP[name] * unit)).all()


@pytest.mark.parametrize("name", CURVED)
def test_error_over_float32(isa, name):
    """Every 4001st float32, of both signs and every magnitude; bench/ulp.py takes all of them."""
    x = np.arange(0, 1 << 32, 4001, dtype=np.uint64).astype(np.uint32).view(np.float32)
    check(name, x[np.isfinite(x)], np.float64)


@pytest.mark.parametrize("name", CURVED)
def test_error_over_float64(isa, name):
    rng = np.random.default_rng(0)
    check(name, rng.uniform(-40, 40, 50_000), np.longdouble)
    check(name, rng.choice([-1, 1], 50_000) * 2.0 ** rng.uniform(-1000, 12, 50_000), np.longdouble)


def slope_of(name, z):
    """The slope in a wider type, and the magnitude of the terms it is the sum of."""
    if name in NEED_Z:
        size = np.where(z < 0, ACTIVATIONS[name](z) / z + np.abs(DERIVATIVES[name](z)), 1)
        return DERIVATIVES[name](z), size
    a = ACTIVATIONS[name](z)
    return DERIVATIVES[name](a), np.ones_like(z)


@pytest.mark.parametrize("name", _core.ACTIVATIONS)
def test_slopes(isa, dtype, name):
    """The slope that delta_backward computes, and the slope computed together with the value, in the tails
    too; and the exact derivative used here, against differences of the value."""
    rng, wide = np.random.default_rng(1), {"float32": np.float64, "float64": np.longdouble}[dtype]
    z = np.concatenate([rng.uniform(-9, 9, 5000), -np.geomspace(9, 60, 500), 10.0 ** rng.uniform(-9, 3, 500)])
    z = z[np.abs(z) > 1e-12].astype(dtype)
    slope, size = slope_of(name, z.astype(wide))
    info = np.finfo(dtype)
    a, at_once = with_slope(name, z)
    assert np.array_equal(a, activate(name, z))
    for got in (derivative(name, a, z), at_once):
        # The second term is for e^-700, where rounding the argument costs up to 700 units.
        bound = 24 * info.eps * size + 100 * info.tiny * (1 + np.abs(z.astype(wide)))
        assert (np.abs(got.astype(wide) - slope) <= bound).all()
    assert (np.abs(got - derivative(name, a, z)) <= 8 * info.eps).all()

    h = np.asarray(1e-4, wide)
    inside = np.abs(z) > 1e-3  # not at a corner
    wider = z[inside].astype(wide)
    difference = (ACTIVATIONS[name](wider + h) - ACTIVATIONS[name](wider - h)) / (2 * h)
    assert np.abs(difference - at_once[inside]).max() <= 1e-6 + 1e-7 * (dtype == "float32")


@pytest.mark.parametrize("name", _core.ACTIVATIONS)
def test_matrices_of_every_width(isa, dtype, name):
    """Rows of every length with gaps between them give the bits of one long row; the gaps stay unchanged."""
    rng = np.random.default_rng(2)
    for width in (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50):
        a, whole_a = guarded(rng, (3, width), dtype, fill=GUARD)
        slope, whole_slope = guarded(rng, (3, width), dtype, spare=5, fill=GUARD)
        a[...] *= 3
        long = np.zeros((1, 3 * width + 64), dtype)
        long[0, : 3 * width] = a.ravel()
        long_slope = np.empty_like(long)
        _core.activate_with_slope(long, long_slope, name)
        _core.activate_with_slope(a, slope, name)
        assert np.array_equal(a.ravel(), long[0, : 3 * width])
        assert np.array_equal(slope.ravel(), long_slope[0, : 3 * width])
        assert untouched(a, whole_a, GUARD)
        assert untouched(slope, whole_slope, GUARD)


def test_ends_of_the_number_line(isa, dtype):
    x = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    nan, inf, one = np.nan, np.inf, x.dtype.type(1)
    above, below = selu_above(x.dtype), selu_below(x.dtype)
    log_2 = np.log(x.dtype.type(2))
    expected = {
        "identity": x,
        "relu": [0, 0, 0, 0, x[4], inf, nan],
        "leaky_relu": [-inf, x[1] * x.dtype.type(0.01), 0, 0, x[4], inf, nan],
        "sigmoid": [0, 0, 0.5, 0.5, 1, 1, nan],
        "tanh": [-1, -1, 0, 0, 1, 1, nan],
        "elu": [-1, -1, 0, 0, x[4], inf, nan],
        "selu": [-below, -below, 0, 0, above * x[4], inf, nan],
        "softplus": [0, 0, log_2, log_2, x[4], inf, nan],
    }
    expected |= {name: [nan, 0, 0, 0, x[4], inf, nan] for name in NEED_Z}  # -inf times 0
    slopes = {
        "identity": [1] * 7,
        "relu": [0, 0, 0, 0, 1, 1, 0],
        "leaky_relu": [0.01 * one] * 4 + [1, 1, 0.01 * one],
        "sigmoid": [0, 0, 0.25, 0.25, 0, 0, nan],
        "tanh": [0, 0, 1, 1, 0, 0, nan],
        "elu": [0, 0, 1, 1, 1, 1, nan],
        "selu": [0, 0, below, below, above, above, nan],
        "softplus": [0, 0, 0.5, 0.5, 1, 1, nan],
    }
    # The limits, not infinity times 0.
    slopes |= {name: [0, 0, GATES[name], GATES[name], 1, 1, nan] for name in NEED_Z}
    assert set(expected) == set(slopes) == set(_core.ACTIVATIONS)
    eps = np.finfo(dtype).eps
    for name in expected:
        a, slope = with_slope(name, x)
        for got in (activate(name, x), a):
            assert np.allclose(got, expected[name], rtol=eps, atol=0, equal_nan=True), name
        for got in (derivative(name, a, x), slope):
            assert np.allclose(got, np.array(slopes[name], dtype), rtol=eps, atol=0, equal_nan=True), name


@pytest.mark.parametrize("name", CURVED)
def test_the_smallest_and_the_largest_numbers(isa, dtype, name):
    info = np.finfo(dtype)
    x = np.array([info.tiny, -info.tiny, info.max, -info.max], dtype)
    a, slope = with_slope(name, x)
    assert np.isfinite(a[:2]).all()
    assert np.isfinite(a[3])
    assert np.isfinite(a[2]) == (name != "selu")  # which is 1.05 times that
    assert np.isfinite(slope).all()
    with np.errstate(under="ignore", over="ignore"):
        exact = ACTIVATIONS[name](x[:2].astype(np.longdouble))
    assert (np.abs(a[:2] - exact) <= 4 * np.spacing(np.abs(exact).astype(dtype)) + info.tiny).all()


def test_signs_of_zero(isa, dtype):
    for name in ("tanh", "elu", "selu", *NEED_Z):
        a, _ = with_slope(name, np.array([0.0, -0.0], dtype))
        assert np.array_equal(np.signbit(a), [False, True]), name


def test_tanh_is_odd_and_reaches_one(isa, dtype):
    """tanh(-x) has the bits of -tanh(x). Near 1 the values rise to exactly 1, and stay there."""
    end = {"float32": 10, "float64": 22}[dtype]
    x = np.concatenate([np.geomspace(1e-30, 30, 20_001), np.linspace(0.8 * end, 1.2 * end, 20_001)]).astype(
        dtype
    )
    y = activate("tanh", x)
    assert np.array_equal(activate("tanh", -x), -y)
    assert y.max() == 1
    near = y[-20_001:]
    first = int((near == 1).argmax())
    assert (near[first:] == 1).all()


def test_sigmoid_of_large_numbers(isa, dtype):
    """Where sigmoid is too small to be normal, it is zero or nearly; the largest values are exactly 1."""
    info = np.finfo(dtype)
    x = np.linspace(0.99, 1.05, 10_001) * np.log(info.tiny.astype(np.float64))
    y = activate("sigmoid", x.astype(dtype))
    assert (y <= 1.01 * np.exp(np.maximum(x, x.max())).max()).all()
    assert (y[x < np.log(info.tiny.astype(np.float64)) - 1] == 0).all()
    large = activate("sigmoid", np.array([-x[0], -x[-1], 50, info.max], dtype))
    assert (large == 1).all()


def test_slopes_at_zero(isa, dtype):
    zero, one = np.zeros((1, 1), dtype), np.ones((1, 1), dtype)
    assert kernels.delta_backward(one, one, zero, "relu")[0, 0] == 0
    assert kernels.delta_backward(one, one, zero, "leaky_relu")[0, 0] == np.dtype(dtype).type(0.01)
    assert kernels.delta_backward(one, one, zero, "tanh")[0, 0] == 1
    assert kernels.delta_backward(one, one, one / 2, "sigmoid")[0, 0] == 0.25
    assert kernels.delta_backward(one, one, zero, "elu")[0, 0] == 1
    for name in NEED_Z:
        slope = kernels.delta_backward(one, one, zero, name, z=zero)[0, 0]
        assert slope == pytest.approx(GATES[name], rel=2 * float(np.finfo(dtype).eps))
