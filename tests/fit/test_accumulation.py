"""accumulate=k makes the same updates as mini-batches k times as large."""

import itertools

import numpy as np
import pytest

import bpkern
from bpkern._model.core import core_of

ROWS = 103
RNG = np.random.default_rng(2)
X, Y = RNG.standard_normal((ROWS, 6)), RNG.standard_normal((ROWS, 3))


def make(**settings):
    settings = dict(optimizer=bpkern.Adam(0.01), l1=0.003, l2=0.01, activation="tanh") | settings
    return bpkern.MLP([6, 50, 17, 3], loss="mse", dtype="float64", seed=1, **settings)


def assert_close(a, b, tolerance=1e-12):
    for got, expected in zip(
        itertools.chain(*a.get_weights()), itertools.chain(*b.get_weights()), strict=True
    ):
        assert np.abs(got - expected).max() <= tolerance


WEIGHTS = {
    "none": None,
    "any": RNG.random(ROWS),
    "some zero": np.where(np.arange(ROWS) % 3 == 0, 0.0, RNG.random(ROWS)),
    "a batch of zero": np.where(np.arange(ROWS) // 8 == 1, 0.0, 1.0),
    "a group of zero": np.where(np.arange(ROWS) // 24 == 1, 0.0, RNG.random(ROWS)),
    "the last batch of zero": np.where(np.arange(ROWS) >= 96, 0.0, 1.0),
    "the last group of zero": np.where(np.arange(ROWS) >= 72, 0.0, 1.0),
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("arguments", [{}, {"clip_norm": 0.3, "clip_value": 0.05, "ema": 0.8}])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_one_batch_of_so_many_rows(isa, weights, arguments, n_threads):
    """Each epoch ends within a group and within a mini-batch; the next epoch starts a new group."""
    small, large = make(), make()
    common = dict(epochs=2, shuffle=False, sample_weight=weights, n_threads=n_threads, verbose=0) | arguments
    got = small.fit(X, Y, batch_size=8, accumulate=3, **common)
    expected = large.fit(X, Y, batch_size=24, **common)
    assert_close(small, large)
    assert (got.iterations, expected.iterations) == (2 * 13, 2 * 5)
    assert got["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert core_of(small).net.counts[0] == core_of(large).net.counts[0]


@pytest.mark.parametrize(
    ("rows", "batch_size", "accumulate"), [(103, 8, 1000), (96, 8, 4), (5, 1, 2), (9, 20, 3)]
)
def test_ends_of_an_epoch(rows, batch_size, accumulate):
    small, large = make(), make()
    common = dict(epochs=3, shuffle=True, verbose=0)
    small.fit(X[:rows], Y[:rows], batch_size=batch_size, accumulate=accumulate, **common)
    large.fit(X[:rows], Y[:rows], batch_size=min(batch_size, rows) * accumulate, **common)
    assert_close(small, large)
    assert core_of(small).net.counts[0] == core_of(large).net.counts[0]


def test_nothing_is_left_for_the_next_fit():
    """Neither an epoch that ended within a group nor one that was interrupted there leaves gradients."""
    model, fresh = make(optimizer=bpkern.SGD(0.1)), make(optimizer=bpkern.SGD(0.1))
    bad = X.copy()
    bad[30, 2] = np.nan
    with pytest.raises(ValueError, match="row 30"):
        model.fit(bad, Y, batch_size=10, accumulate=7, shuffle=False)
    assert core_of(model).net.counts == (0, 0)
    for m in (model, fresh):
        m.fit(X, Y, batch_size=10, accumulate=2, shuffle=False)
    assert_close(model, fresh, 0)


def test_a_small_net_of_one_row_accumulates():
    """Such a net then does not take the online path."""
    models = []
    for batch_size, accumulate in ((1, 4), (4, 1)):
        model = bpkern.MLP([2, 3, 1], loss="mse", optimizer=bpkern.SGD(0.1), dtype="float64", seed=1)
        model.fit(
            X[:10, :2], Y[:10, :1], batch_size=batch_size, accumulate=accumulate, shuffle=False, verbose=0
        )
        models.append(model)
    assert_close(*models)


def test_the_rate_is_asked_for_each_update():
    asked = []

    def rate(iteration):
        asked.append(iteration)
        return 0.01

    make(optimizer=bpkern.SGD(rate)).fit(X, Y, batch_size=10, accumulate=3, verbose=0)
    assert sorted(set(asked)) == [0, 1, 2, 3]  # 11 mini-batches
