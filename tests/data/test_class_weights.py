"""Class weights, compared with scikit-learn's."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpkern._data.class_weights import row_weights

LABELS = np.array([0, 0, 0, 2, 2, 0, 3])


def test_none_changes_nothing():
    weights = np.arange(7.0)
    assert row_weights(None, LABELS, None, 4) is None
    assert row_weights(None, None, None, 1) is None
    assert row_weights(None, LABELS, weights, 4) is weights


def test_a_mapping():
    got = row_weights({0: 0.5, 3: 0, 1: 7}, LABELS, None, 4)
    assert got.dtype == np.float64
    # The mapping does not name class 2, and no row has class 1.
    assert np.array_equal(got, [0.5, 0.5, 0.5, 1, 1, 0.5, 0])
    weights = np.arange(7.0)
    assert np.array_equal(row_weights({0: 0.5}, LABELS, weights, 4), [0, 0.5, 1, 3, 4, 2.5, 6])
    assert np.array_equal(weights, np.arange(7.0))
    assert np.array_equal(row_weights({}, LABELS, None, 4), np.ones(7))
    assert np.array_equal(row_weights({True: 3, 0.0: 2}, np.array([True, False]), None, 2), [3, 2])
    assert np.array_equal(row_weights({np.int64(1): 3}, np.array([1, 0]), None, 2), [3, 1])


def test_a_part_of_the_rows_may_weigh_nothing():
    labels = np.array([1, 1])
    with pytest.raises(ValueError, match="must not be 0 in every row"):
        row_weights({1: 0}, labels, None, 2)
    assert np.array_equal(row_weights({1: 0}, labels, None, 2, is_part=True), [0, 0])


def test_balanced_by_hand():
    got = row_weights("balanced", LABELS, None, 4)
    assert got == pytest.approx([7 / 12, 7 / 12, 7 / 12, 7 / 6, 7 / 6, 7 / 12, 7 / 3], rel=1e-15)
    # The classes' total weights are 3, 3 and 6, of 12.
    weights = np.array([1.0, 1, 1, 1, 2, 0, 6])
    factors = np.array([4, 4, 4, 4, 4, 4, 2]) / 3
    assert row_weights("balanced", LABELS, weights, 4) == pytest.approx(weights * factors, rel=1e-15)


def test_a_class_of_weightless_rows_is_left_out():
    got = row_weights("balanced", np.array([0, 0, 1, 2]), np.array([1.0, 1, 2, 0]), 3)
    assert np.array_equal(got, [1, 1, 2, 0])


@given(labels=st.lists(st.integers(0, 5), min_size=1, max_size=40), seed=st.integers(0, 100))
def test_balanced_is_scikit_learns(labels, seed):
    utils = pytest.importorskip("sklearn.utils.class_weight", reason="scikit-learn is not installed")
    labels = np.array(labels)
    present = np.unique(labels)
    expected = utils.compute_class_weight("balanced", classes=present, y=labels)
    got = row_weights("balanced", labels, None, 6)
    assert got == pytest.approx(expected[np.searchsorted(present, labels)], rel=1e-13)
    if "sample_weight" in inspect.signature(utils.compute_class_weight).parameters:
        weights = np.random.default_rng(seed).random(len(labels)) + 0.1
        expected = utils.compute_class_weight("balanced", classes=present, y=labels, sample_weight=weights)
        got = row_weights("balanced", labels, weights, 6)
        assert got == pytest.approx(weights * expected[np.searchsorted(present, labels)], rel=1e-13)


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
