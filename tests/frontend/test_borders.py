"""Shared borders: no gap, no overlap, no crossing, at any tolerance; and both languages compute the same."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from superpixel_kernels.codec import InvalidParameter
from superpixel_service.client import topology
from superpixel_service.client.exports.outlines import trace_rings
from superpixel_service.client.pieces import find_pieces
from superpixel_service.client.topology import share_borders
from superpixel_service.client.topology.bridges import join_holes
from tests.frontend import borders as by_shapely
from tests.frontend.borders import Labels
from tests.frontend.conftest import node

TOLERANCES = some.sampled_from([0.0, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0, 50.0])


@pytest.mark.parametrize("name", [name for name, _ in by_shapely.odd_maps()])
@pytest.mark.parametrize(
    "tolerance", [1.5, *(pytest.param(one, marks=pytest.mark.slow) for one in (0.5, 20))]
)
def test_odd_maps(name: str, tolerance: float) -> None:
    by_shapely.check(dict(by_shapely.odd_maps())[name], tolerance)


@given(
    arrays(np.int32, some.tuples(some.integers(1, 9), some.integers(1, 9)), elements=some.integers(0, 3)),
    TOLERANCES,
)
@settings(deadline=None, max_examples=60)
def test_small_maps(labels: Labels, tolerance: float) -> None:
    by_shapely.check(labels, tolerance)


@given(
    some.builds(
        by_shapely.grown,
        some.integers(0, 2**32 - 1),
        some.integers(1, 60),
        some.integers(1, 60),
        some.integers(1, 30),
        some.integers(1, 9),
        some.sampled_from([0, 0.02, 0.2]),
    ),
    TOLERANCES,
)
@settings(deadline=None, max_examples=10)
def test_maps_like_superpixels(labels: Labels, tolerance: float) -> None:
    by_shapely.check(labels, tolerance)


@pytest.mark.parametrize("tolerance", [2, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 50))])
@pytest.mark.parametrize("name", [name for name, _ in by_shapely.odd_maps() if "all values" not in name])
def test_nothing_crosses_without_the_limit_for_small_pieces(name: str, tolerance: float) -> None:
    """The limit makes crossings rare. Without it, only the checks at each point prevent them."""
    with without_limit():
        by_shapely.check(dict(by_shapely.odd_maps())[name], tolerance)


@given(
    arrays(np.int32, some.tuples(some.integers(2, 9), some.integers(2, 9)), elements=some.integers(0, 2)),
    some.sampled_from([0.75, 1.5, 3, 50]),
)
@settings(deadline=None, max_examples=60)
def test_nothing_crosses_on_small_maps_without_the_limit(labels: Labels, tolerance: float) -> None:
    with without_limit():
        by_shapely.check(labels, tolerance)


def without_limit() -> AbstractContextManager[object]:
    """Give every border the whole tolerance."""
    return patch.object(
        topology, "_tolerances_of", lambda arcs, _, tolerance: [float(tolerance)] * len(arcs.lines)
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(150))
def test_larger_maps(seed: int) -> None:
    random = np.random.default_rng(seed)
    width, height, count = random.integers(50, 200, 3).tolist()
    labels = by_shapely.grown(
        seed, width, height, count, int(random.integers(2, 12)), random.choice([0, 0.01, 0.1])
    )
    by_shapely.check(labels, float(random.uniform(0, 4)))


def test_tolerance_0_gives_the_outlines_of_the_pixels() -> None:
    for name, labels in by_shapely.odd_maps():
        ids, pieces = find_pieces(labels + 1)
        exact = trace_rings(ids, len(pieces), simple=True)
        borders = share_borders(labels, 0)
        assert [piece.area for piece in borders.pieces] == [piece.area for piece in pieces]
        for mine, theirs in zip(borders.rings(), exact, strict=True):
            corners = [_corners([value / 2 for value in ring]) for ring in mine]
            assert corners[0] == _corners(theirs[0]), name
            assert sorted(corners) == sorted(map(_corners, theirs)), name


def _corners(ring: list[int] | list[float]) -> list[tuple[float, float]]:
    """The points at which a ring turns, from the smallest one on."""
    points = list(zip(ring[::2], ring[1::2], strict=True))
    around = zip([points[-1], *points[:-1]], points, [*points[1:], points[0]], strict=True)
    kept = [b for a, b, c in around if (b[0] - a[0]) * (c[1] - b[1]) != (b[1] - a[1]) * (c[0] - b[0])]
    first = kept.index(min(kept))
    return kept[first:] + kept[:first]


def test_a_stair_of_45_degrees_becomes_a_straight_line() -> None:
    y, x = np.mgrid[:40, :50]
    for labels in ((x + y < 37).astype(np.int32), (x - y < 12).astype(np.int32)):
        lines = share_borders(labels, 1).arcs.lines
        assert all(len(xs) == 2 for xs, _ in lines), lines
    # Also in a piece that touches nothing. Its corners were cut by half a pixel.
    rhombus = (abs(x - 25) + abs(y - 20) <= 12).astype(np.int32)
    borders = by_shapely.check(rhombus, 1)
    assert len(borders.rings()[1][0]) // 2 <= 8
    area = by_shapely.polygons_of(borders)[1].area
    assert abs(area / np.count_nonzero(rhombus) - 1) < 0.01


def test_areas_of_round_pieces_stay() -> None:
    """Points on the middles of runs lie on both sides of the true border, unlike corners of pixels."""
    y, x = np.mgrid[:80, :80]
    for radius in (15, 22.3, 30):
        disc = (np.hypot(x - 39.5, y - 39.5) < radius).astype(np.int32)
        for tolerance in (0.5, 0.75, 1):
            area = by_shapely.polygons_of(share_borders(disc, tolerance))[1].area
            assert abs(area / np.count_nonzero(disc) - 1) < 0.04, (radius, tolerance)


def test_corners_and_small_pieces_stay() -> None:
    for size in (1, 2, 3, 4, 20):
        square = np.zeros((30, 30), np.int32)
        square[3 : 3 + size, 5 : 5 + size] = 1
        (ring,) = share_borders(square, 3).rings()[1]
        assert ring == [value * 2 for value in (5, 3, 5 + size, 3, 5 + size, 3 + size, 5, 3 + size)]


def test_holes_are_joined_by_few_bridges() -> None:
    """Holes that touch their ring or each other need no bridge."""
    for name, labels in by_shapely.odd_maps():
        for rings in share_borders(labels, 0).rings():
            bridges = by_shapely.check_joined(rings)
            if name == "pixels with a hole each" and len(rings) > 1:
                assert bridges == len(rings) - 1 == 80
    (outer, *_), *_ = share_borders(by_shapely.drawn("aaa"), 0).rings()
    assert join_holes([outer]) == outer


@pytest.mark.parametrize("tolerance", [-0.1, float("nan"), float("inf"), True, "1", None])
def test_other_tolerances_are_rejected(tolerance: float) -> None:
    with pytest.raises(InvalidParameter, match=r"simplify.*must be a number of pixels from 0 on"):
        share_borders(np.zeros((2, 2), np.int32), tolerance)


def test_both_languages_compute_the_same(tmp_path: Path) -> None:
    cases = by_shapely.cases()
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    done = node(tmp_path, "test/border-cases.js", tmp_path / "cases.json", tmp_path / "out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    for case, theirs in zip(cases, json.loads((tmp_path / "out.json").read_text()), strict=True):
        labels = np.reshape(case["labels"], (case["height"], case["width"]))
        mine = share_borders(labels, case["tolerance"])
        rings = mine.rings()
        assert theirs["rings"] == rings
        assert theirs["joined"] == [join_holes(one) for one in rings]
        assert theirs["pieces"] == [
            {"id": piece.id, "value": piece.value, "area": piece.area, "box": list(piece.box)}
            for piece in mine.pieces
        ]
