"""Simplification of arcs that cannot cross.

frontend/src/topology/simplify.js computes the same, function by function.
"""

import math
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.topology.arcs import Arcs

_CELL_BITS = 4
"""The grid in which points are found has cells of 2^4 half pixels."""

_LONGEST = 2**20 - 1
"""Squared lengths from this one on are equal in the order of removal."""


def simplify_arcs(arcs: Arcs, tolerances: list[float]) -> list[tuple[list[int], list[int]]]:
    """Simplify all arcs.

    The points of an arc are its corners, and the middles of the straight runs between them. A point B between
    A and C may be removed if no other point of the graph lies in the triangle A B C. Then no line crosses the
    new line A C: it would have to end in the triangle. So no arcs cross or meet, whatever the tolerance. A
    point is removed only if all corners of the exact border between A and C stay within the tolerance of the
    line A C.

    Corners at steps of one pixel are removed first: the middles of the runs of a digital straight line lie
    close to that line. Then the points of the smallest triangles are removed (Visvalingam and Whyatt 1993).

    Args:
        arcs: in pixels.
        tolerances: of each arc in pixels.

    Returns:
        The points of each arc, in half pixels.
    """
    graph = _Graph(arcs)
    for arc, tolerance in enumerate(tolerances):
        if graph.points[arc] > 2 and tolerance > 0:
            graph.simplify(arc, 4 * tolerance * tolerance)
    return graph.result()


class _Graph:
    """The points of all arcs, some of them removed."""

    def __init__(self, arcs: Arcs) -> None:
        self.arcs = arcs
        self.xs: list[int] = []
        self.ys: list[int] = []
        self.before: list[int] = []
        self.after: list[int] = []
        self.offsets = [0]
        for (xs, ys), closed in zip(arcs.lines, arcs.closed, strict=True):
            start = self.offsets[-1]
            # A line without corners needs no middle. The last point of a closed arc is its first.
            size = 2 if len(xs) == 2 else 2 * len(xs) - 1 - closed
            self.xs += _with_middles(xs)[:size]
            self.ys += _with_middles(ys)[:size]
            self.before += range(start - 1, start + size - 1)
            self.after += range(start + 1, start + size + 1)
            self.before[start] = start + size - 1 if closed else -1
            self.after[-1] = start if closed else -1
            self.offsets.append(start + size)
        self.points = [end - start for start, end in pairwise(self.offsets)]
        self.removed = bytearray(len(self.xs))
        # The place of each point in the order of removal; -1 if it cannot be removed at the moment.
        self.keys = [-1.0] * len(self.xs)
        self._fill_grid()

    def _fill_grid(self) -> None:
        """Sort the points into the cells of the grid, each junction once."""
        arcs, offsets = self.arcs, self.offsets
        listed = np.ones(len(self.xs), bool)
        seen = bytearray(len(arcs.leaving))
        for arc, closed in enumerate(arcs.closed):
            if not closed:
                for junction, point in (
                    (arcs.ends[2 * arc + 1], offsets[arc]),
                    (arcs.ends[2 * arc], offsets[arc + 1] - 1),
                ):
                    listed[point] = not seen[junction]
                    seen[junction] = 1
        points = np.flatnonzero(listed)
        columns: NDArray[np.int64] = np.array(self.xs) >> _CELL_BITS
        rows: NDArray[np.int64] = np.array(self.ys) >> _CELL_BITS
        self.columns = int(columns.max()) + 1
        cells = (rows * self.columns + columns)[points]
        counts = np.bincount(cells, minlength=self.columns * (int(rows.max()) + 1))
        self.cells = [0, *np.cumsum(counts).tolist()]
        self.in_cells: list[int] = points[np.argsort(cells, kind="stable")].tolist()

    def simplify(self, arc: int, limit: float) -> None:
        """Simplify an arc.

        Args:
            arc: its number.
            limit: largest squared distance, in half pixels.
        """
        removed, keys, before, after = self.removed, self.keys, self.before, self.after
        self._remove_steps(arc, limit)
        points = range(self.offsets[arc], self.offsets[arc + 1])
        heap = [(keys[i], i) for i in points if not removed[i] and self._set_key(i)]
        heapify(heap)
        while heap:
            key, i = heappop(heap)
            if removed[i] or keys[i] != key:
                continue
            keys[i] = -1
            a, c = before[i], after[i]
            if not self._is_spare(arc, a, c):
                continue
            # On a straight line, a point makes no difference.
            if key > _LONGEST and (self._strays(arc, a, c, limit) or self._is_occupied(a, i, c)):
                continue
            self._remove(arc, i)
            for other in (a, c):
                if self._set_key(other):
                    heappush(heap, (keys[other], other))

    def _remove_steps(self, arc: int, limit: float) -> None:
        """Remove corners at steps of one pixel, if the border turns the other way at the step's other end.

        No other point lies in their triangles: those are half a pixel high.
        """
        start, end, closed = self.offsets[arc], self.offsets[arc + 1], self.arcs.closed[arc]
        xs, ys = self.xs[start:end:2], self.ys[start:end:2]
        size = len(xs)
        turns = [
            _sign(cross(xs[i - 1], ys[i - 1], xs[i], ys[i], xs[(i + 1) % size], ys[(i + 1) % size]))
            for i in range(size)
        ]
        if not closed:
            turns[0] = turns[-1] = 0
        for i in range(size) if closed else range(1, size - 1):
            for j in (i - 1, (i + 1) % size):
                if abs(xs[i] - xs[j]) + abs(ys[i] - ys[j]) == 2 and turns[i] == -turns[j]:
                    point = start + 2 * i
                    a = point - 1 if i else end - 1
                    if not self._strays(arc, a, point + 1, limit):
                        self._remove(arc, point)
                    break

    def _set_key(self, i: int) -> bool:
        """Give a point its place in the order of removal; False if it is the end of its arc."""
        a, c = self.before[i], self.after[i]
        if a < 0 or c < 0:
            return False
        ax, ay, cx, cy = self.xs[a], self.ys[a], self.xs[c], self.ys[c]
        area = abs(cross(ax, ay, self.xs[i], self.ys[i], cx, cy))
        length = (cx - ax) ** 2 + (cy - ay) ** 2
        self.keys[i] = float(area) * (_LONGEST + 1) + min(length, _LONGEST)
        return True

    def _remove(self, arc: int, i: int) -> None:
        self.removed[i] = 1
        self.points[arc] -= 1
        self.after[self.before[i]] = self.after[i]
        self.before[self.after[i]] = self.before[i]

    def _is_spare(self, arc: int, a: int, c: int) -> bool:
        """Whether an arc can lose the point between two others.

        A closed line keeps three points, and no two lines join the same two junctions.
        """
        arcs = self.arcs
        if arcs.closed[arc]:
            return self.points[arc] > 3
        start, end = arcs.ends[2 * arc + 1], arcs.ends[2 * arc]
        if start == end:
            return self.points[arc] > 4
        if self.before[a] >= 0 or self.after[c] >= 0:
            return True
        return not any(
            dart >= 0 and self.points[dart >> 1] == 2 and arcs.ends[dart] == end
            for dart in arcs.leaving[start]
        )

    def _strays(self, arc: int, a: int, c: int, limit: float) -> bool:
        """Whether a corner of the exact border between two points lies too far from the line between them."""
        xs, ys = self.xs, self.ys
        start, end = self.offsets[arc], self.offsets[arc + 1]
        ax, ay = xs[a], ys[a]
        dx, dy = xs[c] - ax, ys[c] - ay
        square = dx * dx + dy * dy
        first = a + 2 - (a - start & 1)  # corners have even places in their arc
        corners = [*range(first, c, 2)] if a < c else [*range(first, end, 2), *range(start, c, 2)]
        for i in corners:
            x, y = xs[i] - ax, ys[i] - ay
            along = x * dx + y * dy
            if along < 0:
                if x * x + y * y > limit:
                    return True
            elif along > square:
                if (x - dx) ** 2 + (y - dy) ** 2 > limit:
                    return True
            else:
                across = float(dx * y - dy * x)
                if across * across > limit * square:
                    return True
        return False

    def _is_occupied(self, a: int, b: int, c: int) -> bool:
        """Whether a point of the graph lies in a triangle, besides its own corners."""
        xs, ys, cells, in_cells, removed = self.xs, self.ys, self.cells, self.in_cells, self.removed
        px, py, bx, by, qx, qy = xs[a], ys[a], xs[b], ys[b], xs[c], ys[c]
        own = ((px, py), (bx, by), (qx, qy))
        if cross(px, py, bx, by, qx, qy) < 0:
            px, py, qx, qy = qx, qy, px, py
        low, high = min(py, by, qy), max(py, by, qy)
        for row in range(low >> _CELL_BITS, (high >> _CELL_BITS) + 1):
            left, right = self._span(row, own)
            cell = row * self.columns
            for i in in_cells[cells[cell + left] : cells[cell + right + 1]]:
                x, y = xs[i], ys[i]
                if (
                    not removed[i]
                    and (bx - px) * (y - py) >= (by - py) * (x - px)
                    and (qx - bx) * (y - by) >= (qy - by) * (x - bx)
                    and (px - qx) * (y - qy) >= (py - qy) * (x - qx)
                    and (x, y) not in own
                ):
                    return True
        return False

    def _span(self, row: int, corners: tuple[tuple[int, int], ...]) -> tuple[int, int]:
        """The first and the last cell of a row of the grid that a triangle may touch."""
        top = row << _CELL_BITS
        bottom = top + (1 << _CELL_BITS) - 1
        left, right = math.inf, -math.inf
        for i in range(3):
            (y0, x0), (y1, x1) = sorted(
                ((corners[i][1], corners[i][0]), (corners[i - 1][1], corners[i - 1][0]))
            )
            if y1 < top or y0 > bottom:
                continue
            slope = (x1 - x0) / (y1 - y0) if y1 > y0 else 0
            first = x0 + slope * max(0, top - y0)
            second = x1 - slope * max(0, y1 - bottom)
            left, right = min(left, first, second), max(right, first, second)
        # One half pixel more, because of rounding.
        first_cell, last_cell = math.floor(left - 1) >> _CELL_BITS, math.ceil(right + 1) >> _CELL_BITS
        return max(0, first_cell), min(self.columns - 1, last_cell)

    def result(self) -> list[tuple[list[int], list[int]]]:
        """The points of each arc that are left."""
        lines = []
        for arc, closed in enumerate(self.arcs.closed):
            kept = [i for i in range(self.offsets[arc], self.offsets[arc + 1]) if not self.removed[i]]
            if closed:
                kept.append(kept[0])
            lines.append(([self.xs[i] for i in kept], [self.ys[i] for i in kept]))
        return lines


def _with_middles(values: list[int]) -> list[int]:
    """Coordinates in half pixels, with the middle of each run between two corners."""
    if len(values) == 2:
        return [2 * value for value in values]
    doubled = [0] * (2 * len(values) - 1)
    doubled[::2] = [2 * value for value in values]
    doubled[1::2] = [a + b for a, b in pairwise(values)]
    return doubled


def cross(ax: int, ay: int, bx: int, by: int, cx: int, cy: int) -> int:
    """Twice the area of a triangle; more than 0 if it turns from x to y, clockwise on the screen."""
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
