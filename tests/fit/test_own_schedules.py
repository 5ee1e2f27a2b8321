"""Schedules written by users: their rates are copied and checked before C reads them, and refused with the
schedule's name."""

import numpy as np
import pytest
from helpers import parameter_bits

import bpkern
from bpkern.schedules import Schedule

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((60, 4)), RNG.standard_normal((60, 2))


def custom(a, y):
    return ((a - y) ** 2).mean(axis=1), 2 * (a - y) / a.shape[1]


def make(lr, loss="mse"):
    return bpkern.MLP([4, 50, 2], loss=loss, optimizer=bpkern.Adam(lr), dtype="float64", seed=1)


class Own(Schedule):
    """A schedule whose rates are any function of the iterations."""

    names = ("function",)

    def __init__(self, function):
        super().__init__(function=function)

    def __repr__(self):
        return "MySchedule()"

    def _rate(self, t):
        return self.function(t)


class ByCall(Own):
    """One that answers for itself, without the base class."""

    def __call__(self, iteration):
        return self.function(np.asarray(iteration, np.float64))


class Liar(np.ndarray):
    """An array that claims another shape and other strides than its memory has."""

    shape = (8,)
    strides = (8,)


# The iterations of one epoch are 0 to 7; all of these are a rate of 0.1.
RIGHT = {
    "one number for all": lambda t: np.broadcast_to(np.float64(0.1), t.shape),
    "every other number": lambda t: np.repeat(np.where(np.arange(2) == 0, 0.1, 9.0), t.size)[: t.size],
    "strided": lambda t: np.stack([np.full(t.shape, 0.1), np.full(t.shape, 9.0)], axis=-1)[..., 0],
    "backwards": lambda t: np.full(t.shape, 0.1)[..., ::-1] if t.ndim else np.float64(0.1),
    "big-endian": lambda t: np.full(t.shape, 0.1, ">f8"),
    "longdouble": lambda t: np.full(t.shape, 0.1).astype(np.longdouble),
    "a list": lambda t: np.full(t.shape, 0.1).tolist(),
    "a subclass": lambda t: np.full(t.shape, 0.1).view(Liar),
}


@pytest.mark.parametrize("loss", ["mse", custom], ids=["in C", "in Python"])
@pytest.mark.parametrize("kind", [Own, ByCall])
@pytest.mark.parametrize("function", RIGHT.values(), ids=RIGHT)
def test_rates_in_any_memory(function, kind, loss):
    model, plain = make(kind(function), loss), make(0.1, loss)
    history = model.fit(X, Y, epochs=2, batch_size=8)
    plain.fit(X, Y, epochs=2, batch_size=8)
    assert parameter_bits(model) == parameter_bits(plain)
    assert history.lr == [0.1, 0.1]
    model.train_on_batch(X, Y)
    plain.train_on_batch(X, Y)
    for each in (model, plain):
        each.backward(each.forward(X, train=True))
        each.step()
    assert parameter_bits(model) == parameter_bits(plain)


WRONG = {
    "too few": (lambda t: np.full(max(t.size - 1, 0), 0.1), ValueError, "one rate per iteration"),
    "too many": (lambda t: np.full(t.size + 1, 0.1), ValueError, "one rate per iteration"),
    "a column": (lambda t: np.full((t.size, 1), 0.1), ValueError, "one rate per iteration"),
    "none": (lambda t: np.zeros(0), ValueError, "one rate per iteration"),
    "a pair": (lambda t: np.zeros((*t.shape, 2)), ValueError, "one rate per iteration"),
    "NaN": (lambda t: np.where(t == t.max(), np.nan, 0.1), ValueError, "finite and at least 0"),
    "infinity": (lambda t: np.full(t.shape, np.inf), ValueError, "finite and at least 0"),
    "negative": (lambda t: np.full(t.shape, -0.1), ValueError, "finite and at least 0"),
    "a text": (lambda t: np.full(t.shape, "0.1"), TypeError, "must be a number"),
    "complex": (lambda t: np.full(t.shape, 0.1j), TypeError, "must be a number"),
    "nothing": (lambda t: None, TypeError, "must be a number"),
    "objects": (lambda t: np.full(t.shape, None), TypeError, "must be a number"),
}


@pytest.mark.parametrize("loss", ["mse", custom], ids=["in C", "in Python"])
@pytest.mark.parametrize("kind", [Own, ByCall])
@pytest.mark.parametrize(("function", "error", "message"), WRONG.values(), ids=WRONG)
def test_other_rates_are_refused_and_nothing_changes(function, error, message, kind, loss):
    model = make(kind(function), loss)
    before = parameter_bits(model)
    with pytest.raises(error, match=message) as caught:
        model.fit(X, Y, batch_size=8)
    assert "MySchedule()" in str(caught.value)
    with pytest.raises(error, match=message):
        model.train_on_batch(X, Y)
    model.backward(model.forward(X, train=True))
    with pytest.raises(error, match=message):
        model.step()
    assert parameter_bits(model) == before
    assert model.history_ is None


def test_one_rate_for_all_iterations_is_refused():
    """As by the base class: a schedule returns the shape that it is asked for."""
    with pytest.raises(ValueError, match=r"shape \(8,\): MySchedule\(\) gives \(\)"):
        make(Own(lambda t: 0.1)).fit(X, Y, batch_size=8)
    assert Own(lambda t: 0.1)(3) == 0.1


def test_rates_are_a_copy():
    """A schedule that keeps its array, and changes it at the next call, does not change earlier results."""
    kept = np.full(8, 0.1)
    schedule = Own(lambda t: kept)
    first = schedule(np.arange(8))
    kept[...] = 9
    assert (first == 0.1).all()
