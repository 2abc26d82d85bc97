"""Masks to polygons. frontend/src/exports/outlines.js makes the same rings, function by function."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.pieces import Ring


def trace_rings(ids: NDArray[np.int32], number: int, *, simple: bool) -> list[list[Ring]]:
    """The outlines of all pieces, along pixel edges, with the piece on the right.

    Args:
        ids: from `find_pieces`.
        number: of pieces.
        simple: at a point where two pixels touch only by a corner: True: two rings touch, and no ring passes
            twice, as in a valid polygon; False: the ring stays with its pixel, so that it can be moved
            inwards.

    Returns:
        Rings of each piece: first the outer ring, from the piece's first pixel; then the holes, each from its
        first pixel.
    """
    stride = ids.shape[1]
    flat: list[int] = ids.ravel().tolist()
    rings: list[list[Ring]] = [[] for _ in range(number)]
    # By direction (right, down, left, up): offsets of the pixels ahead of a corner from its upper left pixel.
    ahead_left = (1, stride + 1, stride, 0)
    ahead_right = (stride + 1, stride, 0, 1)
    # Upper edges of pixels that a ring passed: to the right, to the left.
    passed = (bytearray(len(flat)), bytearray(len(flat)))

    def trace(piece: int, start_x: int, start_y: int, start: int) -> None:
        ring = [start_x, start_y]
        x, y, direction = start_x, start_y, start
        while True:
            if direction == 0:
                x += 1
                passed[0][(y + 1) * stride + x] = 1
            elif direction == 2:
                passed[1][(y + 1) * stride + x] = 1
                x -= 1
            else:
                y += 1 if direction == 1 else -1
            corner = y * stride + x
            turned = direction
            if flat[corner + ahead_left[direction]] == piece:
                if simple or flat[corner + ahead_right[direction]] == piece:
                    turned = (direction + 3) % 4
                else:
                    turned = (direction + 1) % 4
            elif flat[corner + ahead_right[direction]] != piece:
                turned = (direction + 1) % 4
            if x == start_x and y == start_y and turned == start:
                break
            if turned != direction:
                ring += (x, y)
            direction = turned
        rings[piece - 1].append(ring)

    for at in (np.flatnonzero(ids[1:] != ids[:-1]) + stride).tolist():
        piece, above = flat[at], flat[at - stride]
        x, y = at % stride - 1, at // stride - 1
        if above and not passed[1][at]:
            trace(above, x, y, 1)
        if piece and not passed[0][at]:
            trace(piece, x, y, 0)
    return rings


@dataclass(frozen=True, slots=True)
class _Bridge:
    edge: int
    x: int
    row: int
    hole: int


def join_rings(ids: NDArray[np.int32], number: int, *, inside: bool) -> list[Ring]:
    """Join all rings of each piece into one, for formats without holes.

    A bridge leads left from each hole to the next ring and back the same way.

    Args:
        ids: from `find_pieces`.
        number: of pieces.
        inside: False: along pixel edges; True: through the centres of the outermost pixels, also the bridges.

    Returns:
        The ring of each piece, in half pixels.
    """
    joined = []
    for piece, rings in enumerate(trace_rings(ids, number, simple=False), 1):
        # The end of each hole's bridge, by x: the left edge of a piece pixel in the row above the hole.
        bridges: dict[int, list[tuple[int, int]]] = {}
        for hole, ring in enumerate(rings[1:], 1):
            hole_x, hole_y = ring[:2]
            x = int(np.flatnonzero(ids[hole_y, :hole_x] != piece)[-1])
            bridges.setdefault(x, []).append((hole_y - 1, hole))
        attached = [_bridges_on(ring, bridges) for ring in rings]
        moved = [_moved_inside(ring) if inside else [2 * value for value in ring] for ring in rings]
        joined.append(_emit(moved, attached, int(inside)))
    return joined


def _bridges_on(ring: Ring, bridges: dict[int, list[tuple[int, int]]]) -> list[_Bridge]:
    """The bridges that end on this ring, in the order of the ring."""
    found = []
    for edge, (x, y) in enumerate(zip(ring[::2], ring[1::2], strict=True)):
        next_y = ring[(2 * edge + 3) % len(ring)]
        # The piece lies to the right of upward edges only.
        if next_y < y:
            found += [_Bridge(edge, x, row, hole) for row, hole in bridges.get(x, ()) if next_y <= row < y]
    return sorted(found, key=lambda bridge: (bridge.edge, -bridge.row, bridge.hole))


def _moved_inside(ring: Ring) -> Ring:
    """Move each corner by half a pixel on both axes, into the piece; in half pixels: pixel centres."""
    size = len(ring)
    moved = []
    for i, value in enumerate(ring):
        # The vertical edge at the corner gives the direction along x, the horizontal one that along y.
        other = i + 1 if i % 2 == 0 else i - 1
        before = ring[other] - ring[(other - 2) % size]
        after = ring[(other + 2) % size] - ring[other]
        forward = (before or after) > 0
        moved.append(2 * value + (1 if forward == (i % 2 == 1) else -1))
    return moved


def _emit(rings: list[Ring], attached: list[list[_Bridge]], inside: int) -> Ring:
    """Walk the outer ring, and walk each hole when its bridge is reached.

    Args:
        rings: in half pixels.
        attached: bridges on each ring.
        inside: half pixels by which bridges lie inside the piece.
    """
    out: Ring = []

    def add(x: int, y: int) -> None:
        if out[-2:] != [x, y]:
            out.extend((x, y))

    # Ring, next corner, next bridge, and x, y of the end of the ring's bridge. Holes can be joined to other
    # holes to any depth, so this uses a stack, not recursion.
    stack = [[0, 0, 0, 0, 0]]
    while stack:
        top = stack[-1]
        number, corner, next_bridge, back_x, back_y = top
        ring, on_ring = rings[number], attached[number]
        bridge = on_ring[next_bridge] if next_bridge < len(on_ring) else None
        if 2 * corner < len(ring) and (bridge is None or bridge.edge != corner - 1):
            add(ring[2 * corner], ring[2 * corner + 1])
            top[1] += 1
        elif bridge is not None:
            top[2] += 1
            x, y = 2 * bridge.x + inside, 2 * (bridge.row + 1) - inside
            add(x, y)
            stack.append([bridge.hole, 0, 0, x, y])
        else:
            stack.pop()
            if stack:
                add(ring[0], ring[1])
                add(back_x, back_y)
    if len(out) > 2 and out[:2] == out[-2:]:
        del out[-2:]
    return out
