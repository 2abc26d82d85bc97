"""Polygons to pixels."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.imports.canvas import Runs
from superpixel_service.client.imports.checks import fail, shown

Floats = NDArray[np.float64]

_MOST = 2**24
"""Larger coordinates are rejected: sums and products stay exact."""

_MOST_CROSSINGS = 2**25
"""Most rows or columns that polygons may cross at once: a bound on memory."""

_VERTICES_AT_ONCE = 1 << 19
_LEAST_NUMBERS = 6


def check_points(field: str, points: Any) -> list[float]:
    """Points x, y, x, y, ..., checked.

    Args:
        field: the place in the file.
        points: untrusted.
    """
    if not isinstance(points, list) or len(points) < _LEAST_NUMBERS or len(points) % 2:
        fail(field, f"must be three or more pairs of numbers, got {shown(points)}")
    if not {*map(type, points)} <= {int, float} or not (min(points) >= -_MOST and max(points) <= _MOST):
        _fail_at_point(field, points)
    # A NaN makes the sum NaN. It may hide in min and max.
    if sum(points) != sum(points):
        _fail_at_point(field, points)
    return points


def _fail_at_point(field: str, points: list[Any]) -> None:
    for one in points:
        if type(one) not in {int, float} or not abs(one) <= _MOST:
            fail(field, f"must be numbers from -{_MOST} to {_MOST}, got {shown(one)}")


def coco_polygons(
    polygons: Sequence[list[float]], numbers: Sequence[int], width: int, height: int
) -> Iterator[Runs]:
    """The pixels in polygons, the same as pycocotools' (rleFrPoly in maskApi.c).

    On a grid five times as fine, the outline crosses the middle of a column of pixels at certain rows;
    between the first and the second crossing is inside, and so on.

    Args:
        polygons: x, y, x, y, ... each, checked.
        numbers: the number of the mask of each polygon on the canvas.
        width: of the image.
        height: of the image.

    Yields:
        Runs column by column.
    """
    for first, last in _batches(polygons):
        owners = np.asarray(numbers[first:last], np.int64)
        xs, ys, xe, ye, polygon = _edges(
            [np.trunc(5 * np.array(polygons[i], np.float64) + 0.5) for i in range(first, last)]
        )
        flat = np.abs(xe - xs) >= np.abs(ye - ys)
        turned = np.where(flat, xs > xe, ys > ye)
        xs, xe = np.where(turned, xe, xs), np.where(turned, xs, xe)
        ys, ye = np.where(turned, ye, ys), np.where(turned, ys, ye)
        # Column x is crossed between the fine columns 5 x + 2 and 5 x + 3.
        begin = np.maximum(0, np.ceil((np.minimum(xs, xe) - 2) / 5))
        end = np.minimum(width - 1, np.floor((np.maximum(xs, xe) - 3) / 5))
        edge, column = _expanded(begin, end)
        fine = 5 * column + 2
        rise, run = (ye - ys)[edge], (xe - xs)[edge]
        with np.errstate(divide="ignore", invalid="ignore"):
            row = np.where(
                flat[edge],
                _row_on_flat(xs[edge], ys[edge], rise / np.abs(run), fine),
                _row_on_steep(xs[edge], ys[edge], run / np.abs(rise), np.abs(rise), fine),
            )
        place = np.clip(np.ceil((row + 0.5) / 5 - 0.5), 0, height) + column * height
        yield _between(polygon[edge], place, owners)


def _row_on_flat(xs: Floats, ys: Floats, slope: Floats, fine: Floats) -> Floats:
    steps = fine - xs
    return np.minimum(np.trunc(ys + slope * steps + 0.5), np.trunc(ys + slope * (steps + 1) + 0.5))


def _row_on_steep(xs: Floats, ys: Floats, slope: Floats, height: Floats, fine: Floats) -> Floats:
    def beyond(step: Floats) -> NDArray[np.bool_]:
        at = np.trunc(xs + slope * step + 0.5)
        return np.where(slope > 0, at > fine, at <= fine)

    # The first step on the other side. The estimate may be off, so the formula of pycocotools decides.
    step = np.clip(np.floor((fine + 0.5 - xs) / slope + 0.5), 1, height)
    for _ in range(2):
        step = np.where((step > 1) & beyond(step - 1), step - 1, step)
        step = np.where((step < height) & ~beyond(step), step + 1, step)
    row: Floats = ys + step - 1
    return row


def even_odd(
    polygons: Sequence[Sequence[list[float]]], numbers: Sequence[int], width: int, height: int
) -> Iterator[Runs]:
    """The pixels whose centres lie in polygons, by the even-odd rule.

    Args:
        polygons: rings x, y, x, y, ... each, checked; holes and outer rings in any order.
        numbers: the number of the mask of each polygon on the canvas.
        width: of the image.
        height: of the image.

    Yields:
        Runs row by row.
    """
    rings = [ring for polygon in polygons for ring in polygon]
    of_rings = [i for i, polygon in enumerate(polygons) for _ in polygon]
    owners = np.asarray(numbers, np.int64)
    # Rings of one polygon stay together.
    for first, last in _batches(rings, of_rings):
        xs, ys, xe, ye, ring = _edges([np.array(rings[i], np.float64) for i in range(first, last)])
        # From top to bottom, so that two polygons that share an edge compute the same points.
        turned = ys > ye
        xs, xe = np.where(turned, xe, xs), np.where(turned, xs, xe)
        ys, ye = np.where(turned, ye, ys), np.where(turned, ys, ye)
        begin = np.maximum(0, np.ceil(ys - 0.5))
        end = np.minimum(height, np.ceil(ye - 0.5)) - 1
        edge, row = _expanded(begin, end)
        x = xs[edge] + ((row + 0.5 - ys[edge]) / (ye - ys)[edge]) * (xe - xs)[edge]
        place = np.clip(np.ceil(x - 0.5), 0, width) + row * width
        polygon = np.array(of_rings[first:last], np.int64)[ring[edge]]
        # Crossings of one row are sorted by where they are, before they become pixels.
        order = np.lexsort((x, row, polygon))
        yield _pairs(polygon[order], place[order], owners)


def filled_with_outlines(
    polygons: Sequence[list[float]], numbers: Sequence[int], width: int, height: int
) -> Iterator[Runs]:
    """The pixels in polygons through pixel centres, their outlines included, as cv2.fillPoly draws them.

    Args:
        polygons: x, y, x, y, ... each: whole numbers.
        numbers: the number of the mask of each polygon on the canvas.
        width: of the image.
        height: of the image.

    Yields:
        Runs row by row; they may overlap.
    """
    yield from even_odd([[[value + 0.5 for value in one]] for one in polygons], numbers, width, height)
    for first, last in _batches(polygons):
        xs, ys, xe, ye, polygon = _edges([np.array(polygons[i], np.float64) for i in range(first, last)])
        steps = np.maximum(np.maximum(np.abs(xe - xs), np.abs(ye - ys)), 1)
        edge, step = _expanded(np.zeros(steps.size), steps)
        x, y = (
            np.floor(start[edge] + (stop - start)[edge] * step / steps[edge] + 0.5)
            for start, stop in ((xs, xe), (ys, ye))
        )
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        starts = (y * width + x)[inside].astype(np.int64)
        owners = np.asarray(numbers, np.int64)[first:last]
        yield Runs(starts, np.ones(starts.size, np.int64), owners[polygon[edge[inside]]])


def _batches(
    rings: Sequence[Sequence[float]], together: Sequence[int] | None = None
) -> Iterator[tuple[int, int]]:
    """Ranges of rings that are drawn at once. Rings with one number in `together` are not parted."""
    first, size = 0, 0
    for i, ring in enumerate(rings):
        if size > _VERTICES_AT_ONCE and (together is None or together[i] != together[i - 1]):
            yield first, i
            first, size = i, 0
        size += len(ring)
    if first < len(rings):
        yield first, len(rings)


def _edges(rings: list[Floats]) -> tuple[Floats, Floats, Floats, Floats, NDArray[np.int64]]:
    """Start and end of each edge: x, y, x, y; and the number of its ring."""
    sizes = np.array([ring.size // 2 for ring in rings], np.int64)
    points = np.concatenate(rings).reshape(-1, 2)
    ends = np.cumsum(sizes)
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = ends - sizes
    x, y = points.T
    return x, y, x[following], y[following], np.repeat(np.arange(sizes.size), sizes)


def _expanded(begin: Floats, end: Floats) -> tuple[NDArray[np.int64], Floats]:
    """For each edge the whole numbers from `begin` to `end`: indexes of the edges, and the numbers."""
    sizes = np.maximum(0, end - begin + 1).astype(np.int64)
    total = int(sizes.sum())
    if total > _MOST_CROSSINGS:
        fail("polygons", f"their edges cross over {_MOST_CROSSINGS} rows and columns")
    edge = np.repeat(np.arange(sizes.size), sizes)
    index = np.arange(total) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return edge, begin[edge] + index


def _between(polygon: NDArray[np.int64], place: Floats, owners: NDArray[np.int64]) -> Runs:
    order = np.lexsort((place, polygon))
    return _pairs(polygon[order], place[order], owners)


def _pairs(polygon: NDArray[np.int64], place: Floats, owners: NDArray[np.int64]) -> Runs:
    """Runs from the first to the second crossing, and so on. Each polygon has an even number."""
    starts = place[::2].astype(np.int64)
    lengths = place[1::2].astype(np.int64) - starts
    some = lengths > 0
    return Runs(starts[some], lengths[some], owners[polygon[::2][some]])
