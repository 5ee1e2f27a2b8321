"""What the package checks it has copied: another thread or process that changes an input between the check
and the use changes nothing.

Each input is changed after each single instruction of the call, in a call of its own. The call must raise
ValueError, or take the input as it was before the change or after it, if that is allowed.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

import bpkern
from bpkern._data.class_weights import row_weights
from bpkern._data.rows import as_sample_weight, as_targets
from bpkern._fit.many import _checked_index
from bpkern._model.core import core_of

SOURCE = str(Path(bpkern.__file__).parent)
ROWS = 5


def interrupted(call, change, at):
    """The result of a call in which `change` is called after `at` instructions, and whether it got there."""
    count = 0

    def tick(frame, event, argument):
        nonlocal count
        if SOURCE not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes = True
        if count == at:
            change()
        count += 1
        return tick

    before = sys.gettrace(), sys.getprofile()
    sys.setprofile(tick)  # before and after each function in C
    sys.settrace(tick)  # each instruction of Python
    try:
        result = call()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return result, count > at


def results_of_all_flips(make, bad):
    """The results of all calls that raised no ValueError.

    `make` returns an input and a call that uses it; in the call, the last item of the input becomes `bad`.
    """
    results, at, reached, refused = [], 0, True, 0
    while reached:
        given, call = make()

        def flip(given=given):
            given[(-1,) * given.ndim] = bad

        try:
            result, reached = interrupted(call, flip, at)
        except ValueError:
            refused += 1
        else:
            results.append(result)
        at += 1
    assert at > 20  # instructions
    assert refused  # the change came before the check at least once
    return results


def model(loss="cross_entropy", **settings):
    return bpkern.MLP([4, 3], loss=loss, dtype="float64", seed=0, **settings)


LABELS = np.array([0, 1, 2, 1, 0])


@pytest.mark.parametrize(
    ("dtype", "bad"),
    [
        ("i8", 10**9),
        ("i8", -1),
        ("i4", 10**9),
        ("u8", 2**64 - 1),
        ("u1", 200),
        ("f8", np.nan),
        ("f8", 1e300),
        ("f4", 0.5),
        ("f2", np.inf),
        (">i8", 3),
    ],
)
def test_labels(dtype, bad):
    settings = core_of(model()).settings

    def make():
        given = LABELS.astype(dtype)
        return given, lambda: as_targets(given, ROWS, settings)

    for labels in results_of_all_flips(make, bad):
        assert labels.dtype == np.int64
        assert labels.flags.c_contiguous
        assert np.array_equal(labels, LABELS)


@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("how", [{}, {"is_part": True}, {"has_scale": True}], ids=["all", "part", "scale"])
def test_sample_weights(dtype, bad, how):
    def make():
        given = np.full(ROWS, 0.5, dtype)
        return given, lambda: as_sample_weight(given, ROWS, **how)

    for weights in results_of_all_flips(make, bad):
        assert (weights == 0.5).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_class_weights(bad):
    class Present(dict):
        """The present value of an array, at each look."""

        def __init__(self, array):
            super().__init__()
            self.array = array

        def items(self):
            yield 1, float(self.array[0])

    def make():
        given = np.full(1, 0.5)
        return given, lambda: row_weights(Present(given), LABELS, None, 3)

    for weights in results_of_all_flips(make, bad):
        assert np.array_equal(weights / weights[0], [1, 0.5, 1, 0.5, 1])


@pytest.mark.parametrize(
    ("dtype", "bad"), [("i8", ROWS), ("i8", -1), ("i4", 10**6), ("u8", 2**63), ("u8", 2**64 - 1), (">i8", 5)]
)
def test_rows_of_a_split(dtype, bad):
    def make():
        given = np.arange(ROWS).astype(dtype)
        return given, lambda: _checked_index("train", given, np.empty((ROWS, 1)))

    for index in results_of_all_flips(make, bad):
        assert index.dtype == np.int64
        assert np.array_equal(index, np.arange(ROWS))


@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8"])
@pytest.mark.parametrize("bad", [np.nan, -np.inf])
@pytest.mark.parametrize("way", ["set_weights", "load_state_dict", "init"])
def test_parameters(way, dtype, bad):
    def make():
        given, made = np.ones((3, 4), dtype), model()
        if way == "init":
            return given, lambda: model(init=[(given, np.zeros(3))])
        if way == "set_weights":
            return given, lambda: made.set_weights([(given, np.zeros(3))]) or made
        state = {"0.weight": given, "0.bias": np.zeros(3)}
        return given, lambda: made.load_state_dict(state) or made

    for made in results_of_all_flips(make, bad):
        assert (made.get_weights()[0][0] == 1).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_derivative_for_backward(bad):
    def make():
        given, made = np.ones((ROWS, 3)), model("mse")
        made.forward(np.ones((ROWS, 4)), train=True)

        def call():
            made.backward(given)
            return core_of(made).tape.gradients()[0]

        return given, call

    for gradients in results_of_all_flips(make, bad):
        assert (gradients[0][1] == ROWS).all()


class Twice:
    """An array-like that is right at the first look, and wrong at each later one."""

    def __init__(self, right, wrong):
        self.right, self.wrong = right, wrong

    def __array__(self, dtype=None, copy=None):
        array, self.right = self.right, self.wrong
        return array


def test_an_array_like_is_converted_once():
    X = np.random.default_rng(0).standard_normal((ROWS, 4))
    rows, labels = Twice(X, np.zeros((1, 1))), Twice(LABELS, LABELS + 1000)
    weights = Twice(np.ones(ROWS), np.full(ROWS, np.nan))
    made, plain = model(), model()
    made.fit(rows, labels, sample_weight=weights)
    plain.fit(X, LABELS, sample_weight=np.ones(ROWS))
    assert np.array_equal(made.get_weights()[0][0], plain.get_weights()[0][0])
    made.set_weights([(Twice(np.ones((3, 4)), np.zeros(1)), Twice(np.ones(3), np.zeros(1)))])
    assert (made.get_weights()[0][0] == 1).all()
    split = Twice(np.arange(3), np.arange(3) + 1000), Twice(np.arange(3, 5), np.full(2, -7))
    bpkern.fit_many([made], X, LABELS, splits=[split])
    assert np.isfinite(made.get_weights()[0][0]).all()
