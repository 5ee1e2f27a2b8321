"""Runs that the model's methods never ask for: what they compute is right, and nothing is out of bounds."""

import numpy as np
import pytest

import bpkern
from bpkern import _core
from bpkern._model.core import core_of

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((20, 4)), RNG.standard_normal((20, 2))


def make(**settings):
    return bpkern.MLP([4, 6, 2], loss="mse", **{"seed": 0} | settings)


class Nobody:
    def before(self):
        pass

    def after(self, rows, loss, weight):
        pass


def test_predictions_ignore_weights(isa):
    net = core_of(make()).net
    expected = net.forward_data(_core.Data(X))
    for weights in (np.zeros(20), np.arange(20.0)):
        net.forward_data(_core.Data(X[::-1]))  # other activations in the workspace
        assert np.array_equal(net.forward_data(_core.Data(X, None, weights)), expected)


def test_dropout_that_comes_after_the_workspace(isa):
    """The workspace is made anew, with room for the masks."""
    model, expected = make(), make(dropout=0.5)
    net, update = core_of(model).net, _core.Update(model.optimizer)
    net.reserve(8, 1, update, 1)
    net.set_dropout([0.5], core_of(expected).random.dropout_key)
    with net.writing():
        net.train(_core.Data(X, Y), None, 8, update, 0.01, 1, _core.Pace(), Nobody())
    expected.fit(X, Y, batch_size=8, shuffle=False)
    for (w, b), (v, c) in zip(model.get_weights(), expected.get_weights(), strict=True):
        assert np.array_equal(w, v)
        assert np.array_equal(b, c)


@pytest.mark.parametrize("probabilities", [[], [0.1, 0.2], [1.0], [-0.1], [np.nan]])
def test_dropout_that_does_not_fit(probabilities):
    with pytest.raises(ValueError, match="a probability from 0 to below 1 per hidden layer"):
        core_of(make()).net.set_dropout(probabilities, 0)


def test_no_row_is_left(isa, dtype):
    """An order of no rows reads no learning rate."""
    model = bpkern.MLP([2, 2, 2], loss="mse", seed=0, dtype=dtype)
    net, update = core_of(model).net, _core.Update(model.optimizer)
    net.reserve(1, 1, update, 1)
    with net.writing():
        sums = net.train(
            _core.Data(X[:, :2].astype(dtype), Y.astype(dtype)),
            np.zeros(0, np.int64),
            1,
            update,
            np.zeros(0),
            1,
            _core.Pace(),
            Nobody(),
        )
    assert sums == (0, 0, 0)
    assert net.counts == (0, 0)


def test_gradients_before_a_forward_pass():
    with pytest.raises(RuntimeError, match="there are no gradients before"):
        core_of(make()).tape.gradients()


@pytest.mark.parametrize("sizes", [[], [3], [3, 0], [3, -1, 2]])
def test_sizes_of_no_network(sizes):
    with pytest.raises(ValueError, match="a network has sizes of at least 1"):
        _core.Network(sizes, ["relu"] * max(len(sizes) - 1, 0), _core.LossSettings("mse"), np.dtype("f4"))


def test_a_mean_of_finite_numbers_is_finite(isa, dtype):
    """The difference of the two overflows; the mean does not."""
    most = np.finfo(dtype).max
    values = [most, -most, 0.9 * most, -0.6 * most, 1.5, -0.0, 0.0]
    for first in values:
        for second in values:
            one, two = (
                bpkern.MLP(
                    [9, 9], loss="mse", dtype=dtype, init=[(np.full((9, 9), value), np.full(9, value))]
                )
                for value in (first, second)
            )
            for tau in (0.5, 0.25, 2**-10):
                one.set_weights([(np.full((9, 9), first), np.full(9, first))])
                one.polyak_update(two, tau)
                a, b = (np.longdouble(np.dtype(dtype).type(value)) for value in (first, second))
                size = (1 - tau) * abs(a) + tau * abs(b)
                for array in one.get_weights()[0]:
                    assert np.isfinite(array).all()
                    error = np.abs(array.astype(np.longdouble) - ((1 - np.longdouble(tau)) * a + tau * b))
                    assert (error <= 4 * np.finfo(dtype).eps * size).all()
