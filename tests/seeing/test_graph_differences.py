"""Gradients of random expressions against central finite differences."""

import pytest
from expressions import ARITHMETIC, FLOATS, computed, random_expression

from bpkern import graph

FUNCTIONS = ARITHMETIC | {name: getattr(graph, name) for name in FLOATS if name not in ARITHMETIC}
STEP = 1e-5


@pytest.mark.parametrize("seed", range(200))
def test_expression(seed):
    """To repeat: random_expression(seed)."""
    start, steps = random_expression(seed)
    nodes = graph.variables(**{f"x{index}": value for index, value in enumerate(start)})
    result = computed(steps, nodes, FUNCTIONS)
    assert result.value == pytest.approx(computed(steps, start, FLOATS), rel=1e-12, abs=1e-12)
    gradients = result.gradients()
    for index, node in enumerate(nodes):
        if node in gradients:
            assert gradients[node] == pytest.approx(difference(start, steps, index), rel=1e-6, abs=1e-7)


def difference(start, steps, index):
    """The central difference, extrapolated from two steps (Richardson)."""
    slopes = []
    for step in (STEP, 2 * STEP):
        ends = []
        for moved in (step, -step):
            values = list(start)
            values[index] += moved
            ends.append(computed(steps, values, FLOATS))
        slopes.append((ends[0] - ends[1]) / (2 * step))
    return (4 * slopes[0] - slopes[1]) / 3
