"""The model of a step on many ranks (bench/ranks_model.py), against steps worked out by hand."""

import math

import pytest
from nets import Net
from ranks_model import Figures, Transport, Way, end_of_scaling, speeds, step

NET = Net((10, 20, 5), "relu", "mse", 64, momentum=0.9)  # 200 and 100 weights
# 2 ms that do not depend on the rows, of which 5 of 8 are the update's; and 1 ms per row.
FIGURES = Figures(NET, {1: 3e-3, 2: 4e-3, 64: 66e-3}, spread=0.0)
UPDATE = 2e-3 * 5 / 8
FREE = Transport("free", 0.0, 0.0, math.inf)


def test_an_exchange():
    transport = Transport("some", 1e-3, 1e-4, 1e6)
    assert transport.exchange(4000, 1) == 0
    assert transport.exchange(4000, 4) == pytest.approx(2 * (1e-3 + 3e-4 + 3e-3))


def test_a_step_without_costs_of_transport():
    """Rows are shared, the passes over the weights are not."""
    for ranks in (1, 2, 16, 64):
        assert step(FIGURES, FREE, ranks, 64) == pytest.approx(2e-3 + 64e-3 / ranks)
    assert step(FIGURES, FREE, 2, 64, accumulate=3) == pytest.approx(3 * (2e-3 - UPDATE + 32e-3) + UPDATE)
    assert step(FIGURES, FREE, 2, 256) == pytest.approx(2e-3 + 128e-3)  # more rows than were measured
    found = speeds(FIGURES, FREE, Way(64))
    assert list(found) == [1, 2, 4, 8, 16, 32, 64]
    assert found[64] == pytest.approx(66 / 3)
    assert end_of_scaling(found) == (64, 32)


def test_what_travels_while_lower_layers_are_computed():
    """Of 700 parts of the work, 300 are forward, 100 the gradient of layer 1, 100 the delta, 200 layer 0."""
    part = (32e-3 + 2e-3 - UPDATE) / 700
    sizes = 4 * (100 + 5), 4 * (200 + 20)
    slow = Transport("slow", 0.0, 0.0, 1e3)  # layer 1 is still on its way when layer 0 is done
    expected = 400 * part + sum(sizes) / 1e3 + UPDATE
    assert step(FIGURES, slow, 2, 64) == pytest.approx(expected)
    fast = Transport("fast", 0.0, 0.0, 1e9)  # only layer 0 is waited for
    assert step(FIGURES, fast, 2, 64) == pytest.approx(700 * part + sizes[1] / 1e9 + UPDATE)


def test_the_slowest_rank():
    uneven = Figures(NET, FIGURES.seconds, spread=0.1)
    assert step(uneven, FREE, 1, 64) == step(FIGURES, FREE, 1, 64)
    slower = 1 + 0.1 * math.sqrt(2 * math.log(16))
    assert step(uneven, FREE, 16, 64) == pytest.approx(slower * step(FIGURES, FREE, 16, 64))
    late = Transport("late", 1.0, 0.0, math.inf)
    assert end_of_scaling(speeds(FIGURES, late, Way(64))) == (1, 1)
