"""sigmoid and tanh to their published error, and what they do at the ends of the number line."""

import numpy as np
import pytest
from helpers import ULP

from bpkern import kernels

EXACT = {"sigmoid": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))), "tanh": np.tanh}


def activate(name, x):
    one, zero = np.ones((1, 1), x.dtype), np.zeros(1, x.dtype)
    return kernels.linear_forward(x.reshape(-1, 1), one, zero, name)[:, 0]


def check(name, x, wide):
    with np.errstate(under="ignore", over="ignore"):
        exact = EXACT[name](x.astype(wide))
    tiny = np.finfo(x.dtype).tiny
    unit = np.spacing(np.maximum(np.abs(exact).astype(x.dtype), tiny))
    error = np.abs(activate(name, x).astype(wide) - exact)
    assert (error <= np.where(np.abs(exact) < tiny, tiny, ULP[name] * unit)).all()


@pytest.mark.parametrize("name", EXACT)
def test_error_over_float32(isa, name):
    """One float32 in 2003, of every sign and magnitude; bench/ulp.py takes all of them."""
    x = np.arange(0, 1 << 32, 2003, dtype=np.uint64).astype(np.uint32).view(np.float32)
    check(name, x[np.isfinite(x)], np.float64)


@pytest.mark.parametrize("name", EXACT)
def test_error_over_float64(isa, name):
    rng = np.random.default_rng(0)
    check(name, rng.uniform(-40, 40, 100_000), np.longdouble)
    check(name, rng.choice([-1, 1], 100_000) * 2.0 ** rng.uniform(-1000, 12, 100_000), np.longdouble)


def test_ends_of_the_number_line(isa, dtype):
    x = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], dtype)
    assert np.array_equal(activate("sigmoid", x), [0, 0, 0.5, 0.5, 1, 1, np.nan], equal_nan=True)
    assert np.array_equal(activate("tanh", x), [-1, -1, 0, 0, 1, 1, np.nan], equal_nan=True)
    assert np.array_equal(activate("relu", x), [0, 0, 0, 0, x[4], np.inf, np.nan], equal_nan=True)
    leaky = [-np.inf, x[1] * x.dtype.type(0.01), 0, 0, x[4], np.inf, np.nan]
    assert np.array_equal(activate("leaky_relu", x), leaky, equal_nan=True)


def test_slopes_at_zero(isa, dtype):
    zero, one = np.zeros((1, 1), dtype), np.ones((1, 1), dtype)
    assert kernels.delta_backward(one, one, zero, "relu")[0, 0] == 0
    assert kernels.delta_backward(one, one, zero, "leaky_relu")[0, 0] == np.dtype(dtype).type(0.01)
    assert kernels.delta_backward(one, one, zero, "tanh")[0, 0] == 1
    assert kernels.delta_backward(one, one, one / 2, "sigmoid")[0, 0] == 0.25
