"""The cells of heat maps: which number of a block they show, and how they are painted."""

import math
import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bpkern._seeing.heat_maps import reduced, shades


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_a_cell_is_the_number_of_the_largest_size(rows, columns, side, seed):
    matrix = np.random.default_rng(seed).integers(-5, 6, (rows, columns)).astype(float)
    cells = reduced(matrix, side)
    assert cells.shape == (min(rows, side), min(columns, side))
    bounds = [
        [math.floor(size * place / min(size, side)) for place in range(min(size, side) + 1)]
        for size in matrix.shape
    ]
    for (i, j), cell in np.ndenumerate(cells):
        block = matrix[bounds[0][i] : bounds[0][i + 1], bounds[1][j] : bounds[1][j + 1]]
        assert cell in block
        assert abs(cell) == np.abs(block).max()


def painted(strokes, shape):
    """The levels of the cells that strokes paint, each at most once."""
    levels = np.zeros(shape, int)
    for sign, level, path in strokes:
        for column, row, length in re.findall(r"M(\d+) (\d+)\.5h(\d+)", path):
            cells = levels[int(row), int(column) : int(column) + int(length)]
            assert len(cells) == int(length)
            assert (cells == 0).all()
            cells[:] = level if sign == "positive" else -level
    return levels


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_strokes_paint_every_cell(rows, columns, seed):
    """By the square root of its part of the largest size, in six levels."""
    cells = np.random.default_rng(seed).integers(-3, 4, (rows, columns)) / 3
    levels = painted(shades(cells, 1.0), cells.shape)
    expected = [
        [int(math.copysign(math.ceil(6 * math.sqrt(abs(cell))), cell)) for cell in row] for row in cells
    ]
    assert (levels == expected).all()


def test_strokes_of_special_numbers():
    cells = np.array([[np.inf, -np.inf, np.nan, 0.0, 5.0]])
    assert painted(shades(cells, 5.0), cells.shape).tolist() == [[6, -6, 0, 0, 6]]
    assert list(shades(np.zeros((2, 2)), 0.0)) == []
