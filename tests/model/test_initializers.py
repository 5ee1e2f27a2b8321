"""Initial weights: the distribution of each name, and arrays."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpkern._model.initializers import AUTO, NAMES, checked_init, each_initial_layer
from bpkern._model.seeding import RandomState

F64 = np.dtype("float64")


def draw(init, layers, seed=0, dtype=F64):
    init = checked_init(init, layers, np.dtype(dtype))
    return list(each_initial_layer(init, layers, np.random.default_rng(seed), np.dtype(dtype)))


def test_auto(dtype):
    """Glorot's range for weights, then torch's for the biases of the same layer."""
    layers = [7, 30, 1, 5, 12]
    rng = np.random.default_rng(3)
    for (fan_in, fan_out), (w, b) in zip(pairwise(layers), draw("auto", layers, 3, dtype), strict=True):
        limit = np.sqrt(6.0 / (fan_in + fan_out))
        assert np.array_equal(w, rng.uniform(-limit, limit, (fan_out, fan_in)).astype(dtype))
        limit = 1 / np.sqrt(fan_in)
        assert np.array_equal(b, rng.uniform(-limit, limit, fan_out).astype(dtype))
        assert w.dtype == b.dtype == dtype


def test_a_gain_of_auto_is_of_its_weights():
    (w, b), (twice, same) = draw("auto", [6, 9])[0], draw(("auto", 2), [6, 9])[0]
    assert np.array_equal(2 * w, twice)
    assert np.array_equal(b, same)


LIMITS = {
    "glorot_uniform": np.sqrt(6 / 500),
    "he_uniform": np.sqrt(6 / 100),
    "lecun_uniform": np.sqrt(3 / 100),
}
DEVIATIONS = {"glorot_normal": np.sqrt(2 / 500), "he_normal": np.sqrt(2 / 100), "lecun_normal": 0.1}


@pytest.mark.parametrize("name", LIMITS)
def test_uniform(name):
    w = draw(name, [100, 400])[0][0]
    limit = LIMITS[name]
    assert np.abs(w).max() <= limit
    assert np.abs(w).max() > 0.999 * limit
    # 40000 numbers: the mean within 5 standard errors of 0, the standard deviation within 2 % of the exact
    # one.
    assert abs(w.mean()) < 5 * limit / np.sqrt(3 * w.size)
    assert w.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


@pytest.mark.parametrize("name", DEVIATIONS)
def test_normal(name):
    w = draw(name, [100, 400])[0][0]
    assert abs(w.mean()) < 5 * DEVIATIONS[name] / np.sqrt(w.size)
    assert w.std() == pytest.approx(DEVIATIONS[name], rel=0.02)
    # The normal distribution is not truncated.
    assert np.abs(w).max() > 3.5 * DEVIATIONS[name]
    assert np.mean(np.abs(w) > 2 * DEVIATIONS[name]) == pytest.approx(0.0455, rel=0.1)


@given(fan_in=st.integers(1, 40), fan_out=st.integers(1, 40), seed=st.integers(0, 1000))
def test_orthogonal(fan_in, fan_out, seed):
    w = draw("orthogonal", [fan_in, fan_out], seed=seed)[0][0]
    assert w.shape == (fan_out, fan_in)
    assert w.flags.c_contiguous
    gram = w @ w.T if fan_out <= fan_in else w.T @ w
    assert np.abs(gram - np.eye(len(gram))).max() < 1e-13


@pytest.mark.parametrize(("layers", "transposed"), [([7, 9], False), ([9, 7], True)])
def test_orthogonal_is_the_factor_of_the_normal_matrix_with_a_positive_diagonal(layers, transposed):
    for seed in range(4):
        tall = np.random.default_rng(seed).standard_normal((9, 7))
        w = draw("orthogonal", layers, seed=seed)[0][0]
        r = (w if transposed else w.T) @ tall
        assert np.abs(np.tril(r, -1)).max() < 1e-13
        assert (np.diag(r) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_layers_are_drawn_one_after_the_other(name, dtype):
    rng = np.random.default_rng(2)
    one_by_one = [
        next(each_initial_layer(checked_init(name, [n, m], F64), [n, m], rng, np.dtype(dtype)))
        for n, m in ((3, 8), (8, 8), (8, 2))
    ]
    together = draw(name, [3, 8, 8, 2], 2, dtype)
    for (w, b), (expected, zeros) in zip(together, one_by_one, strict=True):
        assert np.array_equal(w, expected)
        assert np.array_equal(b, zeros)
        assert w.dtype == b.dtype == dtype
        assert b.any() == (name in ("auto", "glorot_biased"))
    # Weights are drawn in float64, then rounded.
    assert np.array_equal(together[1][0], draw(name, [3, 8, 8, 2], 2)[1][0].astype(dtype))


def test_the_generator_of_a_model_draws_them():
    state, generator = RandomState(4), np.random.default_rng(4)
    for name in ("glorot_biased", "orthogonal"):
        got = list(state.each_initial_layer(name, [3, 5, 2], F64, [True, True]))
        expected = list(each_initial_layer(name, [3, 5, 2], generator, F64))
        assert all(np.array_equal(w, v) for (w, _), (v, _) in zip(got, expected, strict=True))


def test_arrays_are_copied_and_nothing_is_drawn(dtype):
    given_arrays = [(np.arange(6.0).reshape(2, 3), [1, 2]), (np.ones((1, 2), np.float32), np.zeros(1))]
    init = checked_init(given_arrays, [3, 2, 1], np.dtype(dtype))
    given_arrays[0][0][:] = 7
    rng = np.random.default_rng(0)
    for _ in range(2):
        (w, b), (w2, _) = each_initial_layer(init, [3, 2, 1], rng, np.dtype(dtype))
        assert np.array_equal(w, [[0, 1, 2], [3, 4, 5]])
        assert np.array_equal(b, [1, 2])
        assert w.dtype == b.dtype == w2.dtype == dtype
        # Changing these arrays does not change the next model's initial weights.
        w[:], b[:], w2[:] = 9, 9, 9
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_allowed(name):
    assert checked_init(name, [3, 2], F64) == (AUTO if name == "auto" else name)


@pytest.mark.parametrize(
    ("init", "error", "message"),
    [
        ("zeros", ValueError, "unknown init 'zeros': allowed are auto, glorot_uniform, glorot_normal, he_"),
        (
            5,
            TypeError,
            r"init must be a name, one of auto, .*glorot_biased, a pair .*, or a list of \(W, b\), not 5",
        ),
        (None, TypeError, "init must be a name, one of auto"),
        ([], ValueError, r"init: weights must hold 1 pairs \(W, b\), not 0"),
        (
            [(np.ones((3, 2)), np.ones(2))],
            ValueError,
            r"init: W of layer 0 must have shape \(2, 3\), not \(3",
        ),
        (
            [(np.ones((2, 3)), np.ones(3))],
            ValueError,
            r"init: b of layer 0 must have shape \(2,\), not \(3,\)",
        ),
        ([(np.full((2, 3), np.nan), np.ones(2))], ValueError, "init: W of layer 0 must be finite in float64"),
        ([(np.ones((2, 3), complex), np.ones(2))], TypeError, "init: W of layer 0 must cast safely"),
    ],
)
def test_bad_init(init, error, message):
    with pytest.raises(error, match=message):
        checked_init(init, [3, 2], F64)
