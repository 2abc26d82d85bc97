"""Borders between pieces as a graph.

frontend/src/topology/arcs.js finds the same arcs, function by function.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JUNCTION = 16
"""Mark in the array of edges, above one bit per direction (right, down, left, up)."""

_SEEN = 32
_DIRECTION = {1: 0, 2: 1, 4: 2, 8: 3}


@dataclass(frozen=True, slots=True)
class Arcs:
    """The borders between pieces, and the frame of the image, as lines between junctions.

    A junction is a point where three or four borders meet, also where two pixels touch only by a corner, or a
    corner of the image. An arc is the border from one junction to the next, or a closed line without a
    junction; its first point is then repeated at its end. An arc has two *darts*: 2 * arc leads along it,
    2 * arc + 1 leads back.

    Attributes:
        lines: points of each arc: all x, all y.
        pieces: the piece to the right of each dart; 0 outside the image.
        next: the dart that follows each dart on the outline of the piece to the right.
        closed: whether each arc has no junction.
        ends: the number of the junction at which each dart ends.
        leaving: of each junction by direction: the dart that leaves it, or -1.
    """

    lines: list[tuple[list[int], list[int]]]
    pieces: list[int]
    next: list[int]
    closed: list[bool]
    ends: list[int]
    leaving: list[list[int]]


def find_arcs(ids: NDArray[np.int32]) -> Arcs:
    """Find the arcs, along pixel edges. Their points are the corners at which they turn, in pixels.

    Args:
        ids: (height + 2, width + 2) from `find_pieces`; every pixel belongs to a piece.
    """
    stride = ids.shape[1]
    wide = stride - 1
    flat = ids.ravel()
    edges = bytearray(_find_edges(ids).tobytes())
    places = np.flatnonzero(np.frombuffer(edges, np.uint8) & JUNCTION).tolist()
    number = {at: junction for junction, at in enumerate(places)}
    lines: list[tuple[list[int], list[int]]] = []
    pieces: list[int] = []
    closed: list[bool] = []
    ends: list[int] = []
    last: list[int] = []  # direction of each dart at its end
    leaving = [[-1, -1, -1, -1] for _ in places]
    step = (1, wide, -1, -wide)
    ahead = (stride + 1, stride, 0, 1)  # the pixel to the right after a step, by direction

    def trace(start: int, direction: int) -> int:
        """Add an arc; return the point at which it ends."""
        at, way = start, direction
        points = [start]
        while True:
            at += step[way]
            bits = edges[at]
            if bits & JUNCTION:
                break
            if bits & 1 << way:
                continue
            points.append(at)
            edges[at] = bits | _SEEN
            way = _DIRECTION[bits & 15 & ~(1 << (way + 2) % 4)]
        points.append(at)
        corner = start // wide * stride + start % wide
        pieces.extend((int(flat[corner + ahead[direction]]), int(flat[corner + ahead[(direction + 3) % 4]])))
        lines.append(([point % wide for point in points], [point // wide for point in points]))
        last.extend((way, (direction + 2) % 4))
        return at

    for junction, start in enumerate(places):
        for direction in range(4):
            if not edges[start] & 1 << direction or leaving[junction][direction] >= 0:
                continue
            end = number[trace(start, direction)]
            leaving[junction][direction] = 2 * len(closed)
            leaving[end][(last[-2] + 2) % 4] = 2 * len(closed) + 1
            ends += (end, junction)
            closed.append(False)
    # The first point of a closed arc, row by row, turns from right to down.
    for start in np.flatnonzero(np.frombuffer(bytes(edges), np.uint8) == 3).tolist():
        if edges[start] == 3:
            edges[start] |= JUNCTION
            trace(start, 0)
            ends += (-1, -1)
            closed.append(True)

    following = []
    for dart, (piece, way, end) in enumerate(zip(pieces, last, ends, strict=True)):
        if end < 0:
            following.append(dart)
            continue
        corner = places[end] // wide * stride + places[end] % wide
        # Turn left if that stays at the piece: no outline passes a point twice, as in a valid polygon.
        turned = (way + 1) % 4
        if flat[corner + ahead[(way + 3) % 4]] == piece:
            turned = (way + 3) % 4
        elif flat[corner + ahead[way]] == piece:
            turned = way
        following.append(leaving[end][turned])
    return Arcs(lines, pieces, following, closed, ends, leaving)


def _find_edges(ids: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The borders that leave each point of the pixel grid: a bit per direction, and `JUNCTION`.

    Args:
        ids: of pieces, with the frame of one pixel.

    Returns:
        (height + 1, width + 1) uint8.
    """
    beside = (ids[:, 1:] != ids[:, :-1]).astype(np.uint8)  # borders up and down
    below = (ids[1:] != ids[:-1]).astype(np.uint8)  # borders left and right
    edges: NDArray[np.uint8] = below[:, 1:] | beside[1:] << 1 | below[:, :-1] << 2 | beside[:-1] << 3
    edges[beside[1:] + beside[:-1] + below[:, 1:] + below[:, :-1] > 2] |= JUNCTION
    edges[:: edges.shape[0] - 1, :: edges.shape[1] - 1] |= JUNCTION
    return edges
