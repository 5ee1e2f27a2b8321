"""Places for the boxes of a directed acyclic graph, in layers from left to right.

1. Layers: a box stands right of all boxes that lead to it, by the longest path. A box to which nothing leads
   stands right before the first that it leads to.
2. Lanes: an edge over several layers needs a place in each layer between. All edges of one box share it, so
   that a box with many users has one trunk, which branches.
3. Order in a layer: by the mean position of the neighbours (barycentre), forth and back. The order with the
   fewest crossings is kept.
4. Heights: as near as possible to the neighbours' (least squares), with room between.
"""

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean
from typing import NamedTuple

# Between layers, between boxes of a layer, and between a lane and its neighbours.
ACROSS, BETWEEN, LANE = 92.0, 26.0, 18.0
SWEEPS = 12

Point = tuple[float, float]


class Box(NamedTuple):
    """Left and upper corner, and size."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes
    ----------
    boxes : list of Box
        Those of a layer have the width of the widest.
    routes : list of list of (float, float)
        For each edge the points that it passes. It leaves a point to the right and arrives from the left.
        Between points 2k + 1 and 2k + 2 it is in a lane and straight.
    width, height : float
        Of everything, from 0.
    """

    boxes: list[Box]
    routes: list[list[Point]]
    width: float
    height: float


def places(sizes: Sequence[Point], edges: Sequence[tuple[int, int]]) -> Places:
    """Places for boxes of these widths and heights.

    Parameters
    ----------
    sizes : sequence of (float, float)
    edges : sequence of (int, int)
        From box to box, from a lower to a higher number.
    """
    layer_of = _layers(len(sizes), edges)
    layers: list[list[int]] = [[] for _ in range(max(layer_of) + 1)]
    for box, layer in enumerate(layer_of):
        layers[layer].append(box)
    count = len(sizes)
    lanes: dict[tuple[int, int], int] = {}
    links: set[tuple[int, int]] = set()
    for source, target in edges:
        item = source
        for layer in range(layer_of[source] + 1, layer_of[target]):
            if (source, layer) not in lanes:
                lanes[source, layer] = count
                layers[layer].append(count)
                count += 1
            links.add((item, lanes[source, layer]))
            item = lanes[source, layer]
        links.add((item, target))
    left: list[list[int]] = [[] for _ in range(count)]
    right: list[list[int]] = [[] for _ in range(count)]
    for source, target in sorted(links):
        right[source].append(target)
        left[target].append(source)
    layers = _ordered(layers, left, right)
    heights = [height for _, height in sizes] + [0.0] * (count - len(sizes))
    middle = _middles(layers, left, right, heights)
    columns = _columns(layers, sizes)

    boxes = []
    for box, (_, height) in enumerate(sizes):
        start, width = columns[layer_of[box]]
        boxes.append(Box(start, middle[box] - height / 2, width, height))
    routes = _routes(edges, layer_of, lanes, columns, middle, boxes)
    return Places(boxes, routes, sum(columns[-1]), max(*middle, *(box.y + box.height for box in boxes)))


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    layer_of, first = [0] * count, [count] * count
    sources = {target for _, target in edges}
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        layer_of[target] = max(layer_of[target], layer_of[source] + 1)
    for source, target in edges:
        first[source] = min(first[source], layer_of[target])
    return [
        layer if box in sources or first[box] == count else first[box] - 1
        for box, layer in enumerate(layer_of)
    ]


def _ordered(layers: list[list[int]], left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
    """The layers in the order with the fewest crossings that was found."""
    best, fewest = layers, _crossings(layers, right)
    for sweep in range(SWEEPS):
        if fewest == 0:
            break
        ahead = sweep % 2 == 0
        layers = [list(layer) for layer in layers]
        sequence = range(1, len(layers)) if ahead else range(len(layers) - 2, -1, -1)
        for index in sequence:
            near, beside = (left, layers[index - 1]) if ahead else (right, layers[index + 1])
            at = {item: place for place, item in enumerate(beside)}
            own = {item: float(place) for place, item in enumerate(layers[index])}
            layers[index].sort(
                key=lambda item: fmean(at[other] for other in near[item]) if near[item] else own[item]
            )
        found = _crossings(layers, right)
        if found < fewest:
            best, fewest = layers, found
    return best


def _crossings(layers: list[list[int]], right: list[list[int]]) -> int:
    total = 0
    for layer, beside in pairwise(layers):
        at = {item: place for place, item in enumerate(beside)}
        passed: list[int] = []
        for item in layer:
            ends = sorted(at[other] for other in right[item])
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


def _middles(
    layers: list[list[int]], left: list[list[int]], right: list[list[int]], heights: list[float]
) -> list[float]:
    """The height of each item's middle; the highest item begins at 0."""
    middle = [0.0] * len(heights)
    room = [BETWEEN if height else LANE for height in heights]
    gaps = [
        [(heights[one] + heights[other]) / 2 + min(room[one], room[other]) for one, other in pairwise(layer)]
        for layer in layers
    ]
    # From layers centred on one line, so that a long chain stays level.
    for layer, between in zip(layers, gaps, strict=True):
        start = -sum(between) / 2
        for item, place in zip(layer, accumulate(between, initial=start), strict=True):
            middle[item] = place
    for sweep in range(SWEEPS):
        for index in range(len(layers)) if sweep % 2 else reversed(range(len(layers))):
            layer = layers[index]
            near = ([middle[other] for other in left[item] + right[item]] for item in layer)
            wanted = [
                fmean(others) if others else middle[item] for item, others in zip(layer, near, strict=True)
            ]
            for item, place in zip(layer, _spread(wanted, gaps[index]), strict=True):
                middle[item] = place
    top = min(place - height / 2 for place, height in zip(middle, heights, strict=True))
    return [place - top for place in middle]


def _spread(wanted: list[float], gaps: list[float]) -> list[float]:
    """The places nearest to the wanted ones, in the sum of squares, with at least these gaps.

    Less the sum of the gaps before it, no place may be below the one before: an isotonic regression, which
    pools neighbours that are in the wrong order to their mean.
    """
    before = list(accumulate(gaps, initial=0.0))
    pools: list[tuple[float, int]] = []
    for place, offset in zip(wanted, before, strict=True):
        mean, size = place - offset, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    means = [mean for mean, size in pools for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, before, strict=True)]


def _columns(layers: list[list[int]], sizes: Sequence[Point]) -> list[Point]:
    """Start and width of each layer."""
    columns, start = [], 0.0
    for layer in layers:
        width = max((sizes[item][0] for item in layer if item < len(sizes)), default=0.0)
        columns.append((start, width))
        start += width + ACROSS
    return columns


def _routes(
    edges: Sequence[tuple[int, int]],
    layer_of: list[int],
    lanes: dict[tuple[int, int], int],
    columns: list[Point],
    middle: list[float],
    boxes: list[Box],
) -> list[list[Point]]:
    routes = []
    arriving: list[list[tuple[float, int]]] = [[] for _ in boxes]
    for index, (source, target) in enumerate(edges):
        route = [(boxes[source].x + boxes[source].width, middle[source])]
        for layer in range(layer_of[source] + 1, layer_of[target]):
            start, width = columns[layer]
            height = middle[lanes[source, layer]]
            route += [(start, height), (start + width, height)]
        routes.append(route)
        arriving[target].append((route[-1][1], index))
    # The ends of edges at a box are spread over its height, in the order in which they come.
    for box, ends, place in zip(boxes, arriving, middle, strict=False):
        step = min(16.0, (box.height - 12) / max(len(ends), 1))
        for number, (_, index) in enumerate(sorted(ends)):
            routes[index].append((box.x, place + step * (number - (len(ends) - 1) / 2)))
    return routes
