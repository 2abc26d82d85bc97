"""Polygons with holes as one ring.

frontend/src/topology/bridges.js makes the same rings, function by function.
"""

from dataclasses import dataclass
from functools import cmp_to_key
from itertools import groupby
from typing import NamedTuple

from superpixel_service.client.pieces import Ring
from superpixel_service.client.topology.simplify import cross

_AT_END = -1
"""In place of a point: the end of the walk around a ring."""


class _Place(NamedTuple):
    """A point of a ring; `at` is the index of its x."""

    ring: int
    at: int


@dataclass(frozen=True, slots=True)
class _Hanging:
    """A hole that hangs on another ring: indices of that ring's point, and of the hole's point."""

    at: int
    ring: int
    start: int


@dataclass(slots=True)
class _Edge:
    """A line of the polygon from its left to its right end; higher ends are further left at the same x.

    Attributes:
        last: the last point at which the space below this edge was bounded.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    last: _Place


def join_holes(rings: list[Ring]) -> Ring:
    """Join the rings of a polygon, for formats without holes.

    A bridge of width 0 leads from the leftmost point of each hole to another point of the polygon. It crosses
    no ring and no other bridge.

    A line sweeps over the points from left to right. Between two neighbouring edges, it has met a last point
    P. The next point between them sees P: nothing lies between the two. So a bridge leads from there to P
    (de Berg et al., Computational Geometry, 2008, chapter 3).

    Args:
        rings: a valid polygon of integers; first the outer ring, with the polygon on the right.
    """
    return rings[0] if len(rings) == 1 else _walk(rings, _hang(rings))


def _hang(rings: list[Ring]) -> list[list[_Hanging]]:
    """The holes that hang on each ring."""

    def point_of(place: _Place) -> tuple[int, int]:
        ring = rings[place.ring]
        return ring[place.at], ring[place.at + 1]

    places = [_Place(ring, at) for ring, points in enumerate(rings) for at in range(0, len(points), 2)]
    places.sort(key=lambda place: (*point_of(place), *place))
    hanging: list[list[_Hanging]] = [[] for _ in rings]
    joined = bytearray(len(rings))
    joined[0] = 1
    edges: list[_Edge] = []  # from top to bottom
    for (x, y), same in groupby(places, point_of):
        here = list(same)
        above = _count_above(edges, x, y)
        below = above
        while below < len(edges) and (edges[below].x1, edges[below].y1) == (x, y):
            below += 1
        # A ring of which no point was met before begins here. The others belong together already.
        last = next((place for place in here if joined[place.ring]), here[0])
        for place in here:
            if not joined[place.ring]:
                to = edges[above - 1].last if place is last else last
                hanging[to.ring].append(_Hanging(to.at, place.ring, place.at))
                joined[place.ring] = 1
        edges[above:below] = _edges_from(rings, here, last)
        if above > 0:
            edges[above - 1].last = last
    return hanging


def _count_above(edges: list[_Edge], x: int, y: int) -> int:
    """How many edges lie above a point."""
    low, high = 0, len(edges)
    while low < high:
        middle = (low + high) // 2
        edge = edges[middle]
        if cross(edge.x0, edge.y0, edge.x1, edge.y1, x, y) > 0:
            low = middle + 1
        else:
            high = middle
    return low


def _edges_from(rings: list[Ring], places: list[_Place], last: _Place) -> list[_Edge]:
    """The edges of which a point is the left end, from top to bottom."""
    edges = []
    for ring, at in places:
        points = rings[ring]
        x0, y0 = points[at : at + 2]
        for other in ((at - 2) % len(points), (at + 2) % len(points)):
            x1, y1 = points[other : other + 2]
            if (x1, y1) > (x0, y0):
                edges.append(_Edge(x0, y0, x1, y1, last))

    def order(a: _Edge, b: _Edge) -> int:
        return cross(a.x0, a.y0, b.x1, b.y1, a.x1, a.y1)

    return sorted(edges, key=cmp_to_key(order))


def _walk(rings: list[Ring], hanging: list[list[_Hanging]]) -> Ring:
    """Walk the outer ring, and walk each hole when the point is reached on which it hangs."""
    ordered = [_in_order(rings, ring, holes) for ring, holes in enumerate(hanging)]
    for points, holes in zip(rings, hanging, strict=True):
        for hole in holes:
            _split(rings, ordered[hole.ring], points[hole.at : hole.at + 2], hole)
    out: Ring = []
    # Ring, start, and how far it is walked. Holes hang on holes to any depth: a stack, not recursion.
    stack = [[0, 0, 0]]
    while stack:
        top = stack[-1]
        number, start, walked = top
        ring = rings[number]
        at = (start + walked) % len(ring)
        if out[-2:] != ring[at : at + 2]:
            out += ring[at : at + 2]
        if hanging_here := ordered[number].get(at if walked < len(ring) else _AT_END):
            hole = hanging_here.pop(0)
            stack.append([hole.ring, hole.start, 0])
        elif walked < len(ring):
            top[2] += 2
        else:
            stack.pop()
    return out[:-2]  # without the first point again


def _in_order(rings: list[Ring], ring: int, holes: list[_Hanging]) -> dict[int, list[_Hanging]]:
    """The holes that hang on a ring, by point, in the order from the line before it to the line after it."""
    by_point: dict[int, list[_Hanging]] = {}
    for hole in holes:
        by_point.setdefault(hole.at, []).append(hole)
    for at, several in by_point.items():
        by_point[at] = sorted(several, key=lambda hole: _Way(rings[ring], at, _towards(rings, ring, hole)))
    return by_point


def _split(rings: list[Ring], ordered: dict[int, list[_Hanging]], anchor: Ring, hole: _Hanging) -> None:
    """Walk what hangs on a hole's first point, but before its own bridge, at the end of the hole.

    Args:
        rings: of the polygon.
        ordered: what hangs on the hole.
        anchor: the point on which the hole hangs.
        hole: the hole.
    """
    first = ordered.get(hole.start)
    if first:
        ring = rings[hole.ring]
        bridge = _Way(ring, hole.start, anchor)
        late = [_Way(ring, hole.start, _towards(rings, hole.ring, one)) < bridge for one in first]
        ordered[_AT_END] = [one for one, is_late in zip(first, late, strict=True) if is_late]
        ordered[hole.start] = first[len(ordered[_AT_END]) :]


def _towards(rings: list[Ring], ring: int, hole: _Hanging) -> Ring:
    """The point to which the way to a hole leads first."""
    points = rings[hole.ring]
    to = hole.start
    if points[to : to + 2] == rings[ring][hole.at : hole.at + 2]:
        to = (to + 2) % len(points)
    return points[to : to + 2]


class _Way:
    """A way from a point of a ring into the polygon, sorted by angle from the line before the point on."""

    __slots__ = ("late", "x", "y")

    def __init__(self, ring: Ring, at: int, towards: Ring) -> None:
        self.x, self.y = towards[0] - ring[at], towards[1] - ring[at + 1]
        before = (at - 2) % len(ring)
        self.late = cross(0, 0, ring[before] - ring[at], ring[before + 1] - ring[at + 1], self.x, self.y) > 0

    def __lt__(self, other: "_Way") -> bool:
        if self.late != other.late:
            return other.late
        return cross(0, 0, self.x, self.y, other.x, other.y) < 0
