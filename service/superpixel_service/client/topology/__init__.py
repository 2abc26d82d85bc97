"""Borders that stay joined: the border between two pieces is simplified once, for both.

frontend/src/topology/index.js computes the same, function by function.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client.pieces import Piece, Ring, find_pieces
from superpixel_service.client.topology.arcs import Arcs, find_arcs
from superpixel_service.client.topology.simplify import simplify_arcs


@dataclass(frozen=True, slots=True)
class Borders:
    """Pieces of equal labels, with simplified borders that neighbours share.

    Attributes:
        pieces: the 4-connected pieces, in the order of their first pixels.
        arcs: all borders, in half pixels.
    """

    pieces: list[Piece]
    arcs: Arcs

    def rings(self) -> list[list[Ring]]:
        """The outlines of all pieces, with the piece on the right.

        They are valid polygons: a piece that touches itself by a corner of pixels has two rings there.

        Returns:
            Rings of each piece in half pixels: first the outer ring, then the holes.
        """
        arcs = self.arcs
        rings: list[list[Ring]] = [[] for _ in self.pieces]
        done = bytearray(len(arcs.pieces))
        for start, piece in enumerate(arcs.pieces):
            if done[start] or piece == 0:
                continue
            ring: Ring = []
            dart = start
            while True:
                done[dart] = 1
                xs, ys = arcs.lines[dart >> 1]
                points = (
                    zip(xs[:0:-1], ys[:0:-1], strict=True) if dart & 1 else zip(xs[:-1], ys[:-1], strict=True)
                )
                for point in points:
                    ring += point
                dart = arcs.next[dart]
                if dart == start:
                    break
            rings[piece - 1].insert(0 if area_of(ring) > 0 else len(rings[piece - 1]), ring)
        return rings


def share_borders(labels: NDArray[np.integer[Any]], tolerance: float) -> Borders:
    """Simplify the borders between the pieces of an array of labels.

    Args:
        labels: (height, width) integers from 0 to 2^31 - 2.
        tolerance: pixels by which a border may move, at least 0. Small and thin pieces move less: at most by
            their area divided by their circumference.

    Raises:
        InvalidParameter: the tolerance is not a number from 0 on.
    """
    check_tolerance(tolerance)
    ids, pieces = find_pieces(labels.astype(np.int32) + 1)
    pieces = [replace(piece, value=piece.value - 1) for piece in pieces]
    exact = find_arcs(ids)
    lines = simplify_arcs(exact, _tolerances_of(exact, pieces, tolerance))
    return Borders(pieces, replace(exact, lines=lines))


def check_tolerance(tolerance: float) -> None:
    """Check the pixels by which a border may move.

    Raises:
        InvalidParameter: it is not a number from 0 on.
    """
    is_number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if not is_number or not math.isfinite(tolerance) or tolerance < 0:
        raise InvalidParameter("simplify", f"must be a number of pixels from 0 on, got {tolerance!r}")


def area_of(ring: Ring) -> int:
    """Eight times the area of a ring in half pixels; less than 0 for a hole."""
    xs, ys = ring[::2], ring[1::2]
    return sum(xs[i - 1] * y - ys[i - 1] * x for i, (x, y) in enumerate(zip(xs, ys, strict=True)))


def _tolerances_of(arcs: Arcs, pieces: list[Piece], tolerance: float) -> list[float]:
    """The tolerance of each arc: at most area by circumference of the pieces on both sides."""
    around = [0] * (len(pieces) + 1)
    for arc, (xs, ys) in enumerate(arcs.lines):
        length = sum(
            abs(x - left) + abs(y - above)
            for x, y, left, above in zip(xs[1:], ys[1:], xs[:-1], ys[:-1], strict=True)
        )
        around[arcs.pieces[2 * arc]] += length
        around[arcs.pieces[2 * arc + 1]] += length
    most = [float(tolerance), *(min(float(tolerance), piece.area / around[piece.id]) for piece in pieces)]
    return [min(most[a], most[b]) for a, b in zip(arcs.pieces[::2], arcs.pieces[1::2], strict=True)]
