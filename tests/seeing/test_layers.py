"""The layout of drawings: boxes in layers, none over another, and edges that pass between them."""

import random
from itertools import combinations, pairwise

import pytest

from bpkern._seeing.layers import places


def random_graph(seed):
    rng = random.Random(seed)
    count = rng.randint(1, 40)
    sizes = [(rng.uniform(30, 200), rng.choice([28, 76])) for _ in range(count)]
    edges = [
        (rng.randrange(target), target)
        for target in range(1, count)
        for _ in range(rng.choice([0, 1, 1, 2, 2, 3]))
    ]
    return sizes, edges


@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(seed):
    sizes, edges = random_graph(seed)
    laid = places(sizes, edges)
    for box, (width, height) in zip(laid.boxes, sizes, strict=True):
        assert box.width >= width
        assert box.height == height
        assert box.x >= 0
        assert box.y >= -1e-9
        assert box.x + box.width <= laid.width + 1e-9
        assert box.y + box.height <= laid.height + 1e-9
    for one, other in combinations(laid.boxes, 2):
        beside = one.x + one.width < other.x or other.x + other.width < one.x
        assert beside or one.y + one.height < other.y or other.y + other.height < one.y
    for (source, target), route in zip(edges, laid.routes, strict=True):
        start, end = laid.boxes[source], laid.boxes[target]
        assert route[0] == pytest.approx((start.x + start.width, start.y + start.height / 2))
        assert route[-1][0] == end.x
        assert end.y < route[-1][1] < end.y + end.height
        assert all(x < later for (x, _), (later, _) in pairwise(route))
        for (x, y), (later, same) in zip(route[1::2], route[2::2], strict=False):
            assert y == same
            for box in laid.boxes:
                crossed = x < box.x + box.width and box.x < later
                assert not crossed or y < box.y or y > box.y + box.height


def test_a_chain_is_level():
    laid = places([(100, 76)] * 50, [(index, index + 1) for index in range(49)])
    assert {box.y for box in laid.boxes} == {0}


def test_operands_stand_right_before_their_users():
    laid = places([(50, 76)] * 4, [(0, 1), (1, 3), (2, 3)])
    assert laid.boxes[2].x == laid.boxes[1].x < laid.boxes[3].x


def test_crossings_are_removed():
    laid = places([(50, 76)] * 6, [(0, 5), (1, 4), (2, 3)])
    for (one, to_one), (other, to_other) in combinations([(0, 5), (1, 4), (2, 3)], 2):
        assert (laid.boxes[one].y < laid.boxes[other].y) == (laid.boxes[to_one].y < laid.boxes[to_other].y)


def test_users_share_a_trunk():
    """One box that leads to every other: one lane per layer, not one per edge."""
    count = 60
    edges = [(index - 1, index) for index in range(1, count)] + [(0, index) for index in range(2, count)]
    laid = places([(100, 76)] * count, edges)
    assert laid.height < 5 * 76
