"""The three kernels against higher precision: every instruction set, dtype and boundary size, with leading
dimensions wider than the rows, NaN around the inputs and guard values around the outputs."""

import itertools

import numpy as np
import pytest
from helpers import ACTIVATIONS, DERIVATIVES, EXACT, NEED_Z, ULP, guarded, product_bound, untouched, using
from hypothesis import given
from hypothesis import strategies as st

from bpkern import _core, kernels

# Heights of register tiles, widths of vectors and panels, and depths, each with its neighbours.
ROWS = (0, 1, 2, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 19, 27, 29)
WIDTHS = (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 47, 48, 49, 63, 64, 65, 80, 97, 113)
DEPTHS = (0, 1, 2, 3, 4, 5, 31)
GUARD = -77.0


def shapes():
    """Every height with every width, each pair at one depth; every depth with a few heights and widths."""
    depths = itertools.cycle(DEPTHS)
    yield from ((m, n, next(depths)) for m in ROWS for n in WIDTHS)
    yield from itertools.product((1, 9, 14), (1, 16, 50), (*DEPTHS, 100, 301, 1030))


def check_forward(rng, m, n, k, dtype, activation):
    exact = EXACT[dtype]
    x, _ = guarded(rng, (m, k), dtype)
    w, _ = guarded(rng, (n, k), dtype)
    b, _ = guarded(rng, (n,), dtype)
    out, whole = guarded(rng, (m, n), dtype, fill=GUARD)
    assert kernels.linear_forward(x, w, b, activation, out=out) is out
    z = x.astype(exact) @ w.astype(exact).T + b
    magnitude = np.abs(x).astype(exact) @ np.abs(w).astype(exact).T + np.abs(b)
    a = ACTIVATIONS[activation](z)
    bound = product_bound(k, magnitude, dtype) + ULP[activation] * np.spacing(np.abs(a).astype(dtype))
    assert (np.abs(out - a) <= bound).all(), (m, n, k)
    assert untouched(out, whole, GUARD), (m, n, k)


def check_delta(rng, m, n, k, dtype, activation):
    exact = EXACT[dtype]
    delta_next, _ = guarded(rng, (m, k), dtype)
    w, _ = guarded(rng, (k, n), dtype)
    a, _ = guarded(rng, (m, n), dtype)
    z, _ = guarded(rng, (m, n), dtype)
    z[...] = a
    a[...] = ACTIVATIONS[activation](a)
    before, from_z = z.copy(), activation in NEED_Z
    out, whole = guarded(rng, (m, n), dtype, fill=GUARD)
    got = kernels.delta_backward(delta_next, w, a, activation, z=z if from_z else None, out=out)
    assert got is out
    assert np.array_equal(z, before)
    slope = DERIVATIVES[activation]((z if from_z else a).astype(exact))
    product = delta_next.astype(exact) @ w.astype(exact)
    magnitude = np.abs(delta_next).astype(exact) @ np.abs(w).astype(exact)
    # The slope multiplies the product and is off by one or two roundings of numbers up to 1; from z, by more.
    slope_bound = (8 if from_z else 2) * np.finfo(dtype).eps
    bound = product_bound(k, magnitude, dtype) + slope_bound * np.abs(product) + np.finfo(dtype).tiny
    assert (np.abs(out - product * slope) <= bound).all(), (m, n, k)
    assert untouched(out, whole, GUARD), (m, n, k)


SGDS = (
    {"momentum": 0.0},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.0, "weight_decay": 0.1},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
)


def sgd(w, v, gradient, lr, momentum, nesterov=False, weight_decay=0.0):
    """One step by the definition: the new w and v."""
    gradient = gradient + weight_decay * w
    v = momentum * v + gradient
    step = gradient + momentum * v if nesterov else v
    return w - lr * step, v


def check_update(rng, m, n, k, dtype, settings):
    exact, lr = EXACT[dtype], 0.5
    x, _ = guarded(rng, (k, n), dtype)
    delta, _ = guarded(rng, (k, m), dtype)
    (w, w_all), (vw, vw_all) = (guarded(rng, (m, n), dtype, fill=GUARD) for _ in "wv")
    (b, b_all), (vb, vb_all) = (guarded(rng, (m,), dtype, fill=GUARD) for _ in "bv")
    before = [array.astype(exact) for array in (w, b, vw, vb)]
    assert kernels.sgd_update(w, b, delta, x, lr, vw=vw, vb=vb, **settings) is None
    exact_delta = delta.astype(exact)
    gradients = exact_delta.T @ x.astype(exact), exact_delta.sum(axis=0)
    magnitudes = np.abs(exact_delta).T @ np.abs(x).astype(exact), np.abs(exact_delta).sum(axis=0)
    # The kernels round the settings to the arrays' dtype: 0.9 in float32 is another number.
    rounded = {key: exact(np.dtype(dtype).type(value)) for key, value in settings.items()}
    if "nesterov" in settings:
        rounded["nesterov"] = True
    for new, v, old, old_v, gradient, magnitude in zip(
        (w, b), (vw, vb), before[:2], before[2:], gradients, magnitudes, strict=True
    ):
        expected, expected_v = sgd(old, old_v, gradient, lr, **rounded)
        rounding = 8 * np.finfo(dtype).eps * (np.abs(old) + np.abs(old_v) + magnitude)
        bound = 2 * product_bound(k, magnitude, dtype) + rounding
        assert (np.abs(new - expected) <= bound).all(), (m, n, k)
        if settings["momentum"]:
            assert (np.abs(v - expected_v) <= bound).all(), (m, n, k)
        else:
            assert (v == old_v).all()
    for array, whole in ((w, w_all), (b, b_all), (vw, vw_all), (vb, vb_all)):
        assert untouched(array, whole, GUARD), (m, n, k)


def test_forward_at_every_boundary(isa, dtype):
    rng, activations = np.random.default_rng(1), itertools.cycle(ACTIVATIONS)
    for m, n, k in shapes():
        check_forward(rng, m, n, k, dtype, next(activations))


def test_delta_at_every_boundary(isa, dtype):
    rng, activations = np.random.default_rng(2), itertools.cycle(DERIVATIVES)
    for m, n, k in shapes():
        check_delta(rng, m, n, k, dtype, next(activations))


def test_update_at_every_boundary(isa, dtype):
    rng, settings = np.random.default_rng(3), itertools.cycle(SGDS)
    for m, n, k in shapes():
        check_update(rng, m, n, k, dtype, next(settings))


@pytest.mark.parametrize("kind", ["forward", "delta", "update"])
def test_every_width_up_to_a_tile(isa, dtype, kind):
    """Every length of the last vector, including those computed as half vectors; tiles of several heights."""
    rng, which = np.random.default_rng(7), itertools.count()
    for n in range(1, 3 * 16 + 2):
        for m, k in ((1, 3), (9, 4), (14, 17), (29, 2)):
            i = next(which)
            if kind == "forward":
                check_forward(rng, m, n, k, dtype, list(ACTIVATIONS)[i % len(ACTIVATIONS)])
            elif kind == "delta":
                check_delta(rng, m, n, k, dtype, list(DERIVATIVES)[i % len(DERIVATIVES)])
            else:
                check_update(rng, m, n, k, dtype, SGDS[i % len(SGDS)])


SIZE = st.integers(0, 70)


@given(m=SIZE, n=SIZE, k=SIZE, seed=st.integers(0, 2**32), which=st.integers(0, 9))
@pytest.mark.parametrize("kind", ["forward", "delta", "update"])
def test_random_shapes(kind, m, n, k, seed, which):
    for isa, dtype in itertools.product(_core.available_isas(), EXACT):
        rng = np.random.default_rng(seed)
        with using(isa):
            if kind == "forward":
                check_forward(rng, m, n, k, dtype, list(ACTIVATIONS)[which])
            elif kind == "delta":
                check_delta(rng, m, n, k, dtype, list(DERIVATIVES)[which])
            else:
                check_update(rng, m, n, k, dtype, SGDS[which % len(SGDS)])


def test_small_integers_are_exact(isa, dtype):
    rng = np.random.default_rng(4)
    x, w, b = (rng.integers(-8, 9, shape).astype(dtype) for shape in ((37, 53), (71, 53), (71,)))
    assert np.array_equal(kernels.linear_forward(x, w, b), x @ w.T + b)
    assert np.array_equal(kernels.delta_backward(x @ w.T, w, x, "identity"), x @ w.T @ w)
    delta, expected = (x @ w.T).copy(), w - 2 * ((x @ w.T).T @ x)
    kernels.sgd_update(w, b, delta, x, 2.0)
    assert np.array_equal(w, expected)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_come_out_where_numpys_do(isa, dtype, value):
    rng = np.random.default_rng(5)
    for activation in ACTIVATIONS:
        x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((19, 23), (37, 23), (37,)))
        x[rng.integers(19), rng.integers(23)] = value
        w[rng.integers(37), rng.integers(23)] = value
        b[rng.integers(37)] = value
        with np.errstate(all="ignore"):
            expected = ACTIVATIONS[activation](x @ w.T + b)
            pairs = [(kernels.linear_forward(x, w, b, activation), expected)]
            # The other formulas give infinity times 0 at an infinite z, and that of selu infinity times the
            # difference of two roundings of its lower bound; test_activations.py tests the limits.
            if activation not in NEED_Z and activation != "selu":
                delta = kernels.delta_backward(x @ w.T, w, expected[:, :23].copy(), activation)
                pairs.append((delta, (x @ w.T @ w) * DERIVATIVES[activation](expected[:, :23])))
        for got, wanted in pairs:
            assert np.array_equal(np.isnan(got), np.isnan(wanted))
            assert np.array_equal(np.isposinf(got), np.isposinf(wanted))
            assert np.array_equal(np.isneginf(got), np.isneginf(wanted))


def test_an_infinite_weight_without_decay_stays_infinite(isa, dtype):
    w, b = np.full((3, 5), np.inf, dtype), np.zeros(3, dtype)
    kernels.sgd_update(w, b, np.ones((2, 3), dtype), np.ones((2, 5), dtype), 0.1)
    assert np.isposinf(w).all()


def test_products_too_small_to_be_normal_are_zero(isa, dtype):
    tiny = np.full((3, 5), np.sqrt(np.finfo(dtype).tiny) / 8, dtype)
    assert (kernels.linear_forward(tiny, tiny, np.zeros(3, dtype)) == 0).all()
    small = np.full((3, 5), np.finfo(dtype).tiny / 8, dtype)
    assert (kernels.linear_forward(small, np.ones((3, 5), dtype), np.zeros(3, dtype)) == 0).all()


def test_strides_of_any_kind(isa, dtype):
    """Rows with gaps, rows in reverse order, and one row repeated."""
    rng = np.random.default_rng(6)
    x = rng.standard_normal((40, 60)).astype(dtype)
    w, b = rng.standard_normal((21, 30)).astype(dtype), np.zeros(21, dtype)
    for view in (x[::3, 5:35], x[::-1, :30], np.broadcast_to(x[0, :30], (7, 30))):
        assert np.array_equal(
            kernels.linear_forward(view, w, b), kernels.linear_forward(np.ascontiguousarray(view), w, b)
        )
