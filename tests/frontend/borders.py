"""Maps for the tests of shared borders, and what must be true of their polygons, as Shapely sees it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from superpixel_service.client.topology import Borders, share_borders
from superpixel_service.client.topology.bridges import join_holes

Labels = NDArray[np.int32]


def drawn(*rows: str) -> Labels:
    return np.array([[ord(one) for one in row] for row in rows], np.int32)


def odd_maps() -> Iterator[tuple[str, Labels]]:
    """Maps that break simple simplifiers."""
    y, x = np.mgrid[:24, :31].astype(np.int32)
    yield "one pixel", drawn("a")
    yield "a row", drawn("aabba")
    yield "a column", drawn("a", "b", "b")
    yield "one piece", drawn("aaaa", "aaaa")
    yield "checkerboard", (x + y) % 2
    yield "checkerboard of three", (x + y) % 3
    yield "noise", np.random.default_rng(1).integers(0, 3, x.shape, np.int32)
    yield (
        "noise of all values",
        np.random.default_rng(2).permutation(x.size).reshape(x.shape).astype(np.int32),
    )
    yield "stripes, 45 degrees", (x + y) // 3 % 2
    yield "stripes of one pixel", (x + y // 4) % 2
    yield "thin lines", ((x * 2 + y * 3) % 17 < 3).astype(np.int32)
    yield "diagonal line of single pixels", (x == y).astype(np.int32)
    yield "diagonal line of two pixels", ((x == y) | (x == y + 1)).astype(np.int32)
    yield (
        "two lines side by side",
        np.where(abs(x * 5 - y * 9) < 6, 1, np.where(abs(x * 5 - y * 9 - 8) < 3, 2, 0)),
    )
    yield "rings", (np.hypot(x - 15, y - 12) / 1.7).astype(np.int32) % 2
    yield "squares in squares", np.maximum(abs(x - 15), abs(y - 12)) // 2 % 2
    yield "holes in holes", np.minimum(np.minimum(x, 30 - x), np.minimum(y, 23 - y)) % 4 // 2
    yield "pixels with a hole each", ((x % 3 == 1) & (y % 3 == 1)).astype(np.int32)
    yield (
        "holes that touch by a corner",
        ((x + y) % 2 * (x > 4) * (x < 25) * (y > 4) * (y < 18)).astype(np.int32),
    )
    yield "a spiral", drawn("1111111", "2222221", "1111121", "1222121", "1211121", "1222221", "1111111")
    yield "a comb", np.where((y > 3) & (y < 20) & (x % 2 == 1), 1, 0)
    yield "a hole at the frame", drawn("aaaaa", "abbba", "aabaa", "aabaa")
    yield "a hole that hangs on a hole", drawn("aaaa", "aaba", "baaa", "aaaa", "aaaa", "aaaa", "abaa", "aaaa")
    yield "a loop at a junction", drawn("aaaaaa", "abbaaa", "abbccc", "aacdde", "aacdde", "aaceee")


def grown(seed: int, width: int, height: int, count: int, values: int, specks: float) -> Labels:
    """A map like superpixels: cells around points, of a few values, with single pixels on it."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    places = random.random((count, 3)) * [width, height, 30]
    near = ((x[..., None] - places[:, 0]) ** 2 + (y[..., None] - places[:, 1]) ** 2 + places[:, 2]).argmin(-1)
    labels = near % values
    on = random.random(labels.shape) < specks
    labels[on] = random.integers(0, values + 1, np.count_nonzero(on))
    return labels.astype(np.int32)


def polygons_of(borders: Borders) -> list[shapely.Polygon]:
    polygons = []
    for rings in borders.rings():
        points = [np.reshape(ring, (-1, 2)) / 2 for ring in rings]
        polygons.append(shapely.Polygon(points[0], points[1:]))
    return polygons


def check(labels: Labels, tolerance: float) -> Borders:
    """Share the borders of a map, and check everything that is promised."""
    borders = share_borders(labels, tolerance)
    polygons = polygons_of(borders)
    assert len(polygons) == len(borders.pieces) > 0
    for polygon, piece in zip(polygons, borders.pieces, strict=True):
        assert polygon.is_valid, shapely.is_valid_reason(polygon)
        assert polygon.area > 0
        assert abs(polygon.area - piece.area) <= tolerance * polygon.length + 1e-9
        assert polygon.exterior.is_ccw
        assert not any(ring.is_ccw for ring in polygon.interiors)
    # The union is the whole frame, and the interiors are disjoint: areas add up exactly, in halves of halves.
    height, width = labels.shape
    assert shapely.union_all(polygons).equals(shapely.box(0, 0, width, height))
    assert sum(polygon.area for polygon in polygons) == width * height
    assert shapely.coverage_is_valid(polygons)
    _check_distances(borders, share_borders(labels, 0), tolerance)
    for rings in borders.rings():
        check_joined(rings)
    return borders


def _check_distances(borders: Borders, exact: Borders, tolerance: float) -> None:
    """No border is moved by more than the tolerance."""
    assert borders.arcs.next == exact.arcs.next
    assert borders.arcs.pieces == exact.arcs.pieces
    for mine, theirs in zip(borders.arcs.lines, exact.arcs.lines, strict=True):
        line, pixels = (shapely.LineString(np.transpose(one) / 2) for one in (mine, theirs))
        assert shapely.hausdorff_distance(line, pixels, densify=0.25) <= tolerance + 1e-9


def check_joined(rings: list[list[int]]) -> int:
    """Check that one ring shows the same polygon, and that its bridges cross nothing. Return their number."""
    joined = np.reshape(join_holes(rings), (-1, 2))
    shapes = [np.reshape(ring, (-1, 2)) for ring in rings]
    polygon = shapely.Polygon(shapes[0], shapes[1:])
    x, y = joined.T
    assert 2 * polygon.area == (np.roll(x, 1) * y - np.roll(y, 1) * x).sum()
    lines = Counter(_lines(joined))
    own = {line for shape in shapes for line in _lines(shape)}
    bridges = sorted(lines.keys() - own)
    assert len(bridges) <= len(rings) - 1
    assert all(lines[line] == 1 for line in own)
    assert all(lines[line] == 2 for line in bridges)
    drawn_lines = {line: shapely.LineString(line) for line in [*bridges, *own]}
    for number, bridge in enumerate(bridges):
        assert polygon.covers(drawn_lines[bridge])
        for line in [*bridges[:number], *own]:
            common = drawn_lines[bridge].intersection(drawn_lines[line])
            ends = {*bridge} & {*line}
            assert common.is_empty if not ends else common == shapely.Point(*ends), (bridge, line)
    _check_crossings(joined.tolist())
    return len(bridges)


def _lines(ring: NDArray[np.int_]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    points = [(x, y) for x, y in ring.tolist()]
    return [(min(a, b), max(a, b)) for a, b in zip(points, [*points[1:], points[0]], strict=True)]


def _check_crossings(ring: list[list[int]]) -> None:
    """Check that a ring does not cross itself at a point that it passes several times."""
    passes: dict[tuple[int, ...], list[tuple[float, float]]] = {}
    for before, point, after in zip([ring[-1], *ring[:-1]], ring, [*ring[1:], ring[0]], strict=True):
        angles = [np.arctan2(other[1] - point[1], other[0] - point[0]) for other in (before, after)]
        passes.setdefault(tuple(point), []).append((min(angles), max(angles)))
    for several in passes.values():
        for number, (low, high) in enumerate(several):
            for first, second in several[:number]:
                if len({low, high, first, second}) == 4:
                    assert (low < first < high) == (low < second < high)


def cases() -> list[dict[str, Any]]:
    """Maps and tolerances at which both languages must agree."""
    maps = [labels for _, labels in odd_maps()]
    maps += [grown(seed, 30 + seed, 25, 5 + seed, 2 + seed % 5, seed % 3 / 30) for seed in range(12)]
    return [
        {
            "width": labels.shape[1],
            "height": labels.shape[0],
            "labels": labels.ravel().tolist(),
            "tolerance": tolerance,
        }
        for labels in maps
        for tolerance in (0, 0.4, 1.5, 100)
    ]
