"""Class weights, compared with scikit-learn's and, where they are huge or tiny, with fractions."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bpkern
from bpkern._data.class_weights import row_weights

LABELS = np.array([0, 0, 0, 2, 2, 0, 3])


def scaled(weights):
    """The weights times the power of two that leaves the largest at least 1/2 and below 1."""
    return np.ldexp(np.asarray(weights, float), -np.frexp(np.max(weights))[1])


def test_none_changes_nothing():
    weights = np.arange(7.0)
    assert row_weights(None, LABELS, None, 4) is None
    assert row_weights(None, None, None, 1) is None
    assert row_weights(None, LABELS, weights, 4) is weights


def test_a_mapping():
    got = row_weights({0: 0.5, 3: 0, 1: 7}, LABELS, None, 4)
    assert got.dtype == np.float64
    # The mapping does not name class 2, and no row has class 1.
    assert np.array_equal(got, scaled([0.5, 0.5, 0.5, 1, 1, 0.5, 0]))
    weights = np.arange(7.0)
    assert np.array_equal(row_weights({0: 0.5}, LABELS, weights, 4), scaled([0, 0.5, 1, 3, 4, 2.5, 6]))
    assert np.array_equal(weights, np.arange(7.0))
    assert np.array_equal(row_weights({}, LABELS, None, 4), scaled(np.ones(7)))
    assert np.array_equal(row_weights({True: 3, 0.0: 2}, np.array([True, False]), None, 2), scaled([3, 2]))
    assert np.array_equal(row_weights({np.int64(1): 3}, np.array([1, 0]), None, 2), scaled([3, 1]))


def test_a_part_of_the_rows_may_weigh_nothing():
    labels = np.array([1, 1])
    with pytest.raises(ValueError, match="must not be 0 in every row"):
        row_weights({1: 0}, labels, None, 2)
    assert np.array_equal(row_weights({1: 0}, labels, None, 2, is_part=True), [0, 0])


def test_balanced_by_hand():
    got = row_weights("balanced", LABELS, None, 4)
    assert got == pytest.approx(scaled([7 / 12, 7 / 12, 7 / 12, 7 / 6, 7 / 6, 7 / 12, 7 / 3]), rel=1e-15)
    # The classes' total weights are 3, 3 and 6, of 12.
    weights = np.array([1.0, 1, 1, 1, 2, 0, 6])
    factors = np.array([4, 4, 4, 4, 4, 4, 2]) / 3
    assert row_weights("balanced", LABELS, weights, 4) == pytest.approx(scaled(weights * factors), rel=1e-15)


def test_a_class_of_weightless_rows_is_left_out():
    got = row_weights("balanced", np.array([0, 0, 1, 2]), np.array([1.0, 1, 2, 0]), 3)
    assert np.array_equal(got, scaled([1, 1, 2, 0]))


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), seed=st.integers(0, 100))
def test_balanced_is_scikit_learns(labels, seed):
    utils = pytest.importorskip("sklearn.utils.class_weight", reason="scikit-learn is not installed")
    labels = np.array(labels)
    present = np.unique(labels)
    expected = utils.compute_class_weight("balanced", classes=present, y=labels)
    got = row_weights("balanced", labels, None, 6)
    assert got == pytest.approx(scaled(expected[np.searchsorted(present, labels)]), rel=1e-13)
    if "sample_weight" in inspect.signature(utils.compute_class_weight).parameters:
        weights = np.random.default_rng(seed).random(len(labels)) + 0.1
        expected = utils.compute_class_weight("balanced", classes=present, y=labels, sample_weight=weights)
        got = row_weights("balanced", labels, weights, 6)
        assert got == pytest.approx(scaled(weights * expected[np.searchsorted(present, labels)]), rel=1e-13)


@pytest.mark.parametrize(
    ("class_weight", "error", "message"),
    [
        ("even", ValueError, "class_weight must be None, a mapping .* or .balanced., not .even."),
        ([1, 2], TypeError, "class_weight must be None, a mapping of class to weight, or 'balanced', not"),
        ({4: 1}, ValueError, "class_weight must name classes from 0 to 3, not 4"),
        ({-1: 1}, ValueError, "class_weight must name classes from 0 to 3, not -1"),
        ({0.5: 1}, ValueError, "class_weight must name classes from 0 to 3, not 0.5"),
        ({"0": 1}, ValueError, "class_weight must name classes from 0 to 3, not '0'"),
        ({0: -1}, ValueError, "class_weight of class 0 must be finite and at least 0, not -1"),
        ({0: np.inf}, ValueError, "class_weight of class 0 must be finite and at least 0, not inf"),
        ({0: "1"}, TypeError, "class_weight of class 0 must be a number, not '1'"),
        ({0: 0, 2: 0, 3: 0}, ValueError, "class_weight and sample_weight must not be 0 in every row"),
    ],
)
def test_bad_class_weight(class_weight, error, message):
    with pytest.raises(error, match=message):
        row_weights(class_weight, LABELS, None, 4)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2}])
def test_targets_without_classes(class_weight):
    with pytest.raises(ValueError, match="class_weight needs one class per row"):
        row_weights(class_weight, None, None, 1)


# Huge and tiny weights -------------------------------------------------------------------------------------

ANY = st.one_of(
    st.sampled_from(
        [0.0, 5e-324, 1e-320, 1e-310, 2.0**-1022, 1e-200, 1.0, 1e200, 1e308, 1.7976931348623157e308]
    ),
    st.floats(0, 1.7e308, allow_subnormal=True),
)


@given(
    of_class=st.lists(ANY, min_size=3, max_size=3),
    of_row=st.lists(ANY, min_size=4, max_size=4),
    labels=st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_products_are_exact_up_to_a_power_of_two(of_class, of_row, labels):
    """And those too small to be normal beside the largest are 0, as they are to the kernels."""
    exact = [
        Fraction(of_class[label]) * Fraction(weight) for label, weight in zip(labels, of_row, strict=True)
    ]
    call = dict(enumerate(of_class)), np.array(labels), np.array(of_row), 3
    if not any(exact):
        with pytest.raises(ValueError, match="must not be 0 in every row"):
            row_weights(*call)
        return
    got = row_weights(*call)
    assert 0.5 <= got.max() < 1
    # The power of two that leaves the largest, once it is rounded, at least 1/2 and below 1.
    largest = round_to_53(max(exact))
    power = largest.numerator.bit_length() - largest.denominator.bit_length()
    factor = Fraction(2) ** -(power + (largest >= Fraction(2) ** power))
    for product, weight in zip(exact, got, strict=True):
        expected = round_to_53(product * factor)
        assert weight == (expected if expected >= 2.0**-1022 else 0.0)


def round_to_53(value):
    """A fraction rounded to 53 bits, as a fraction: float64 with an exponent of any size."""
    if value == 0:
        return value
    power = value.numerator.bit_length() - value.denominator.bit_length() - 54
    scale = Fraction(2) ** power
    mantissa = float(value / scale)  # of 54 bits or so, and so rounded to 53
    return Fraction(mantissa) * scale


@given(data=st.data(), count=st.integers(1, 3))
def test_balanced_weights_of_huge_and_tiny_rows(data, count):
    """Every class that has weight gets the same total."""
    labels = np.repeat(np.arange(3), count)
    tops = data.draw(st.lists(st.sampled_from([1e-300, 1e-150, 1.0, 1e150, 1e300]), min_size=3, max_size=3))
    got = row_weights("balanced", labels, np.repeat(tops, count), 3)
    totals = np.bincount(labels, got)
    assert totals == pytest.approx(np.full(3, totals[0]), rel=1e-12)


@pytest.mark.parametrize("trainer", [bpkern.MLP, bpkern.reference.MLP])
@pytest.mark.parametrize("weight", [5e-324, 1e-320, 1e-300, 1e300, 1e308])
def test_a_fit_with_huge_and_tiny_weights(trainer, weight):
    """Only the ratios of weights count."""
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 3)), rng.integers(0, 3, 60)
    models = [trainer([3, 5, 3], loss="cross_entropy", dtype="float64", seed=0) for _ in range(2)]
    for model, each in zip(models, (weight, 0.5), strict=True):
        model.fit(X, y, epochs=3, class_weight=dict.fromkeys(range(3), each), validation_data=(X, y))
    assert models[0].history_["loss"] == pytest.approx(models[1].history_["loss"], rel=1e-12)
    for first, second in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        assert all(a == pytest.approx(b, rel=1e-10, abs=1e-15) for a, b in zip(first, second, strict=True))


def test_a_huge_and_a_tiny_class():
    """The tiny one counts as 0, also in the batches of a stream."""
    rng = np.random.default_rng(0)
    X, y = rng.random((60, 3)), rng.integers(0, 2, 60)
    weights = []
    for tiny in (1e-320, 0.0):
        for huge in (1e308, 1.0):
            model = bpkern.MLP([3, 2], loss="cross_entropy", seed=0)
            model.fit(X, y, epochs=2, shuffle=False, batch_size=20, class_weight={0: huge, 1: tiny})
            stream = bpkern.MLP([3, 2], loss="cross_entropy", seed=0)
            batches = [(X[i : i + 20], y[i : i + 20]) for i in (0, 20, 40)]
            stream.fit(batches, epochs=2, class_weight={0: huge, 1: tiny})
            weights += [each.get_weights()[0][0].tobytes() for each in (model, stream)]
    # Beside a class of weight 1, one of 1e-320 is too small to be normal: 0, too.
    assert len(set(weights)) == 1


def test_weights_whose_sum_has_a_meaning_are_not_scaled():
    """As with penalties divided by it."""
    assert np.array_equal(row_weights({0: 12.0}, LABELS, None, 4, has_scale=True), [12, 12, 12, 1, 1, 12, 1])
    with pytest.raises(ValueError, match="class_weight times sample_weight must have a finite sum"):
        row_weights({0: 1e308}, LABELS, None, 4, has_scale=True)
