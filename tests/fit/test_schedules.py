"""Schedules are functions of the iteration, of one or of an array of iterations."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpkern.schedules import (
    SCHEDULES,
    Cosine,
    CosLog4,
    Exponential,
    FlatCos,
    InverseScaling,
    OneCycle,
    Schedule,
    Step,
    rates,
)

EXAMPLES = [
    Step(0.5, 3),
    Step(0.5, 1, factor=2.0),
    Exponential(0.5, 0.9),
    Exponential(0.5, 0.1, every=100),
    InverseScaling(0.5),
    InverseScaling(0.5, power=0.0),
    CosLog4(0.5, 40),
    FlatCos(0.5, 41),
    Cosine(0.5, 20),
    Cosine(0.5, 20, lowest=0.1, warmup=6),
    Cosine(0.5, 20, lowest=0.1, warmup=6, restarts=1),
    Cosine(0.5, 7, restarts=3),
    OneCycle(0.5, 40),
    OneCycle(0.5, 40, pct_start=0.25, div_factor=2.0, final_div_factor=10.0, anneal="linear"),
]


@pytest.fixture(params=EXAMPLES, ids=repr)
def schedule(request):
    return request.param


def values(schedule, iterations):
    return [schedule(t) for t in iterations]


def test_one_iteration_or_many(schedule):
    t = np.arange(60)
    many = schedule(t)
    assert many.dtype == np.float64
    assert many.shape == (60,)
    one = values(schedule, range(60))
    assert all(type(rate) is float for rate in one)
    # NumPy computes powers and cosines of an array by other instructions than those of one number.
    assert many == pytest.approx(one, rel=1e-14, abs=1e-16)
    assert schedule(t.reshape(6, 10)).shape == (6, 10)
    assert schedule(t[:0]).shape == (0,)


def test_settings_make_the_same_schedule(schedule):
    again = type(schedule)(**schedule.settings())
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert repr(again) == repr(schedule)
    assert eval(repr(schedule), dict(SCHEDULES)) == schedule
    for other in (copy.copy(schedule), copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        assert other == schedule
    name = next(iter(schedule.settings()))
    assert type(schedule)(**schedule.settings() | {name: 0.25}) != schedule
    assert schedule != 0.5
    assert SCHEDULES[type(schedule).__name__] is type(schedule)


def test_different_classes_are_different():
    assert Step(0.5, 3, 0.1) != Exponential(0.5, 0.1, 3)


def test_a_schedule_does_not_change(schedule):
    for name in (*schedule.settings(), "misspelt"):
        with pytest.raises(AttributeError, match="does not change"):
            setattr(schedule, name, 0.1)


def test_step():
    assert values(Step(0.5, 3), range(7)) == pytest.approx([0.5] * 3 + [0.05] * 3 + [0.005], rel=1e-15)
    assert Step(0.5, 2, factor=0.0)(2) == 0
    assert Step(0.5, 2, factor=0.0)(1) == 0.5


def test_exponential():
    assert values(Exponential(0.5, 0.25, every=2), range(5)) == [0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_inverse_scaling():
    assert values(InverseScaling(6.0, power=1.0), range(4)) == pytest.approx([6, 3, 2, 1.5], rel=1e-15)
    assert InverseScaling(6.0)(3) == 3


def test_cosine():
    root = np.sqrt(0.5)
    expected = [1, (1 + root) / 2, 0.5, (1 - root) / 2, 0, 0, 0]
    assert values(Cosine(1.0, 4), range(7)) == pytest.approx(expected, abs=1e-15)
    raised = [0.1 + 0.9 * rate for rate in expected]
    assert values(Cosine(1.0, 4, lowest=0.1), range(7)) == pytest.approx(raised, rel=1e-15)
    assert Cosine(1.0, 4, lowest=0.1)(10**9) == 0.1


def test_warm_up_is_linear_and_starts_above_zero():
    schedule = Cosine(1.0, 7, warmup=3)
    assert values(schedule, range(4)) == pytest.approx([0.25, 0.5, 0.75, 1.0], rel=1e-15)
    assert values(schedule, range(3, 12)) == pytest.approx(values(Cosine(1.0, 4), range(9)), abs=1e-15)
    # With restarts, only the first period has a warm-up.
    again = Cosine(1.0, 7, warmup=3, restarts=1)
    assert values(again, range(7)) == pytest.approx(values(schedule, range(7)))
    assert values(again, range(7, 15)) == pytest.approx(values(schedule, [3, 4, 5, 6] * 2))


def test_restarts():
    first = values(Cosine(1.0, 4), range(4))
    assert values(Cosine(1.0, 4, restarts=1), range(12)) == pytest.approx(first * 3)
    second, third = values(Cosine(1.0, 8), range(8)), values(Cosine(1.0, 16), range(16))
    growing = Cosine(1.0, 4, restarts=2)
    assert values(growing, range(28)) == pytest.approx(first + second + third)
    # Every period, however late, starts at the full rate exactly at its first iteration.
    start = 4 * (2**40 - 1)
    assert growing(start) == 1
    assert growing(start - 1) < 1e-20
    assert growing(start + 4 * 2**39) == 0.5


def test_one_cycle():
    schedule = OneCycle(1.0, 21, pct_start=5 / 21, div_factor=4.0, final_div_factor=5.0, anneal="linear")
    assert values(schedule, range(5)) == pytest.approx([0.25, 0.4375, 0.625, 0.8125, 1.0], rel=1e-15)
    down = np.linspace(1.0, 0.05, 17)
    assert values(schedule, range(4, 21)) == pytest.approx(down, rel=1e-14)
    assert values(schedule, [21, 1000]) == pytest.approx([0.05, 0.05], rel=1e-14)
    cosine = OneCycle(1.0, 21, pct_start=5 / 21, div_factor=4.0, final_div_factor=5.0)
    assert values(cosine, [0, 2, 4, 12, 20]) == pytest.approx([0.25, 0.625, 1.0, 0.525, 0.05], rel=1e-14)


@pytest.mark.parametrize("pct_start", [0.0, 0.04, 0.5, 1.0])
@pytest.mark.parametrize("iterations", [1, 2, 25])
def test_one_cycle_without_one_of_its_halves(pct_start, iterations):
    got = OneCycle(1.0, iterations, pct_start=pct_start)(np.arange(30))
    assert (got <= 1).all()
    assert (got >= 1 / 25 / 1e4 * (1 - 1e-12)).all()
    assert (got[iterations:] == got[iterations - 1]).all()


@given(
    first=st.integers(0, 100),
    count=st.integers(0, 30),
    which=st.integers(0, len(EXAMPLES) - 1),
    cut=st.data(),
)
def test_rates_do_not_depend_on_where_they_are_cut(first, count, which, cut):
    lr = EXAMPLES[which]
    at = cut.draw(st.integers(0, count))
    whole = rates(lr, first, count)
    assert whole.dtype == np.float64
    assert whole.shape == (count,)
    parts = np.concatenate([rates(lr, first, at), rates(lr, first + at, count - at)])
    assert whole == pytest.approx(parts, rel=1e-14, abs=1e-16)


def test_rates_of_a_number():
    assert rates(0.25, 7, 3) == 0.25
    assert type(rates(np.float32(0.25), 0, 3)) is float


def test_rates_of_a_callable():
    seen = []

    def lr(iteration):
        seen.append(iteration)
        return np.float32(iteration) / 4

    got = rates(lr, 5, 3)
    assert np.array_equal(got, [1.25, 1.5, 1.75])
    assert got.dtype == np.float64
    assert seen == [5, 6, 7]
    assert all(type(iteration) is int for iteration in seen)


@pytest.mark.parametrize("bad", [-1e-9, np.nan, np.inf])
def test_a_rate_out_of_range_names_its_iteration(bad):
    with pytest.raises(ValueError, match=rf"at least 0: .* gives {bad} at iteration 12"):
        rates(lambda t: bad if t == 12 else 0.1, 10, 5)


def test_a_schedule_that_overflows_names_its_iteration():
    with pytest.raises(ValueError, match=r"Exponential\(.*\) gives inf at iteration 309"):
        rates(Exponential(1.0, 10.0), 300, 20)


@pytest.mark.parametrize("bad", ["0.1", None, True, 1j, np.ones(2), [0.1]])
def test_a_rate_that_is_no_number(bad):
    with pytest.raises(TypeError, match=r"the learning rate must be a number: .* at 3"):
        rates(lambda t: bad, 3, 1)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Step(-1, 3), ValueError, "lr must be finite and at least 0, not -1"),
        (lambda: Step("a", 3), TypeError, "lr must be a number, not 'a'"),
        (lambda: Step(0.1, 0), ValueError, "every must be at least 1, not 0"),
        (lambda: Step(0.1, 2.0), TypeError, "every must be a whole number, not 2.0"),
        (lambda: Step(0.1, 2, np.nan), ValueError, "factor must be finite"),
        (lambda: Exponential(0.1, -0.5), ValueError, "factor must be finite and at least 0, not -0.5"),
        (lambda: InverseScaling(0.1, -1), ValueError, "power must be finite and at least 0, not -1"),
        (lambda: Cosine(0.1, 0), ValueError, "iterations must be at least 1, not 0"),
        (lambda: Cosine(0.1, 5, 0.2), ValueError, "lowest must be from 0 to 0.1, not 0.2"),
        (lambda: Cosine(0.1, 5, warmup=5), ValueError, "warmup must be below iterations, 5, not 5"),
        (lambda: Cosine(0.1, 5, warmup=-1), ValueError, "warmup must be at least 0, not -1"),
        (lambda: Cosine(0.1, 5, restarts=0), ValueError, "restarts must be at least 1, not 0"),
        (lambda: Cosine(0.1, 5, restarts=True), TypeError, "restarts must be a whole number, not True"),
        (lambda: OneCycle(0.1, 0), ValueError, "iterations must be at least 1, not 0"),
        (lambda: OneCycle(0.1, 5, 1.5), ValueError, "pct_start must be from 0 to 1, not 1.5"),
        (lambda: OneCycle(0.1, 5, div_factor=0.5), ValueError, "div_factor must be finite and at least 1"),
        (lambda: OneCycle(0.1, 5, final_div_factor=0), ValueError, "final_div_factor must be finite and"),
        (
            lambda: OneCycle(0.1, 5, anneal="step"),
            ValueError,
            "unknown anneal 'step': allowed are cos, linear",
        ),
    ],
)
def test_bad_settings(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_base_is_no_schedule():
    with pytest.raises(NotImplementedError):
        Schedule()(0)


def test_four_waves_of_growing_length():
    """The formula of pytabkit's coslog4, 0 at the ends of the waves: where 1 + 15 t is a power of 2."""
    schedule = CosLog4(2.0, 1500)
    t = np.arange(1500) / 1500
    assert schedule(np.arange(1500)) == pytest.approx(1 - np.cos(2 * np.pi * np.log2(1 + 15 * t)), abs=1e-12)
    assert schedule(np.array([0, 100, 300, 700, 1500, 9999])) == pytest.approx(0, abs=1e-12)
    tops = [1500 * (2 ** (k + 0.5) - 1) / 15 for k in range(4)]
    assert [schedule(round(top)) for top in tops] == pytest.approx([2.0] * 4, rel=1e-3)


def test_flat_and_then_a_cosine():
    schedule = FlatCos(2.0, 100)
    assert values(schedule, range(51)) == [2.0] * 51
    assert values(schedule, [75, 100, 1000]) == pytest.approx([1.0, 0.0, 0.0], abs=1e-12)
    falling = schedule(np.arange(50, 100))
    assert falling == pytest.approx(Cosine(2.0, 50)(np.arange(50)))
