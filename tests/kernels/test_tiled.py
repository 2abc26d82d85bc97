"""Tiled runs give the bits of `segment`, for every tile size, image, thread count and guidance."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpixel_kernels import SegmentParams, segment
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.guidance import Guidance
from superpixel_kernels.tiled import (
    GuidanceSources,
    TiledRun,
    compute_tile,
    segment_tiled,
)
from tests.kernels import images
from tests.kernels.any_image import COMPACTNESS, checked
from tests.kernels.guided import any_guidance
from tests.kernels.tiled_tools import CountingSource, MemoryStore, assert_equal_to_segment


def one_pixel_islands(width, height):
    image = images.flat(width, height)
    image[1::3, 2::3] = (250, 10, 30)
    return image


HOSTILE = {
    "noise": images.noise,
    "primaries": images.primaries,
    "flat": images.flat,
    "vertical-stripes": lambda width, height: images.stripes(width, height, vertical=True),
    "horizontal-stripes": lambda width, height: images.stripes(width, height, vertical=False),
    "spiral": images.spiral,
    "islands": one_pixel_islands,
    "checkerboard": lambda width, height: images.checkerboard(width, height, 1),
    "gradient": images.quadratic_gradient,
    "photo": images.photo,
    "gray": images.gray,
    "rgba": images.rgba,
}

SIDES = st.one_of(st.integers(1, 150), st.sampled_from([1, 2, 31, 32, 33, 64, 96, 97, 128, 129]))


@st.composite
def tiled_cases(draw, sides=SIDES):
    """An image, a tile size, arguments of guidance."""
    height, width = draw(st.one_of(st.tuples(sides, sides), st.tuples(st.just(1), sides)))
    image = HOSTILE[draw(st.sampled_from(sorted(HOSTILE)))](width, height)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    guidance = any_guidance(random, height, width) if draw(st.booleans()) else {}
    return image, draw(st.integers(32, 96)), guidance


def assert_tiles_change_nothing(case, compactness, threads):
    image, tile, arguments = case
    params = SegmentParams(compactness=compactness)
    guidance = Guidance(**arguments) if arguments else None
    tiled = segment_tiled(image, params, tile=tile, threads=threads, guidance=guidance, store=MemoryStore())
    assert_equal_to_segment(tiled, image, params, guidance)


@settings(checked, max_examples=50)
@given(tiled_cases(), COMPACTNESS, st.sampled_from([1, 2, 3]))
def test_any_image_in_any_tiles_gives_the_bits_of_segment(case, compactness, threads):
    assert_tiles_change_nothing(case, compactness, threads)


@pytest.mark.slow
@settings(checked, max_examples=400)
@given(tiled_cases(st.integers(1, 620)), COMPACTNESS, st.sampled_from([1, 2, 3, 7]))
def test_any_larger_image_in_any_tiles_gives_the_bits_of_segment(case, compactness, threads):
    assert_tiles_change_nothing(case, compactness, threads)


@pytest.mark.parametrize(
    ("width", "height", "tile"),
    [(311, 293, 96), (480, 320, 200), (487, 397, 130), (501, 467, 256), (1100, 211, 64)],
)
@pytest.mark.parametrize("name", ["noise", "photo"])
def test_every_grid_step(name, width, height, tile):
    image = HOSTILE[name](width, height)
    assert_equal_to_segment(segment_tiled(image, tile=tile, store=MemoryStore()), image)


@pytest.mark.parametrize("tile", [1, 3, 8, 1000])
def test_tiles_smaller_than_a_cell_and_larger_than_the_image(tile):
    image = images.primaries(41, 37)
    assert_equal_to_segment(segment_tiled(image, tile=tile, store=MemoryStore()), image)


def test_maps_from_sources_of_another_size_are_scaled():
    image = images.photo(201, 170)
    random = np.random.default_rng(5)
    maps = {
        "edges": random.integers(0, 256, (90, 333), np.uint8),
        "prior": random.integers(0, 4, (171, 60)),
        "importance": random.integers(0, 256, (170, 201), np.uint8),
    }
    sources = {name: CountingSource(values) for name, values in maps.items()}
    for mode in ("soft", "hard"):
        tiled = segment_tiled(image, tile=64, guidance=GuidanceSources(**sources, prior_mode=mode))
        assert_equal_to_segment(tiled, image, guidance=Guidance(**maps, prior_mode=mode))
    # Each read takes the part of the map that a tile needs.
    assert all(y1 - y0 < 90 for y0, y1, _, _ in sources["edges"].windows)


# --- computed elsewhere -------------------------------------------------------------------------------------


def test_tiles_can_be_computed_in_any_order_by_other_processes():
    image = images.photo(230, 210)
    guidance = Guidance(prior=np.arange(230 * 210).reshape(210, 230) // 5000, prior_mode="hard")
    run = TiledRun(image, SegmentParams(), tile=64, store=MemoryStore(), guidance=guidance)
    for tile in reversed(list(run.missing())):
        pixels, maps, check = run.read(tile)
        arguments = pickle.dumps((run.plan, tile, pixels.copy(), maps))
        result = pickle.loads(pickle.dumps(compute_tile(*pickle.loads(arguments), check=check)))
        run.put(tile, result)
    assert_equal_to_segment(run.finish(threads=2), image, guidance=guidance)


def test_the_parts_of_the_graph_add_up():
    image = images.noise(150, 131)
    run = TiledRun(image, SegmentParams(), tile=40, store=MemoryStore())
    results = [compute_tile(run.plan, tile, run.read(tile)[0]) for tile in run.plan]
    owned = np.concatenate([result.first[result.owned] for result in results])
    whole = segment(image)
    assert len(owned) == len(np.unique(owned)) == whole.base_count
    assert sum(int(result.sums[:, 0].sum()) for result in results) == image.shape[0] * image.shape[1]
    base = whole.base_labels
    unequal = np.count_nonzero(base[1:] != base[:-1]) + np.count_nonzero(base[:, 1:] != base[:, :-1])
    assert sum(int(result.edges[:, 1].sum()) for result in results) == unequal


# --- the result ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both():
    image = images.photo(300, 261)
    return segment_tiled(image, tile=100), segment(image)


def test_windows_follow_numpy(both):
    tiled, whole = both
    expected = whole.cut(300)
    labels = tiled.cut(300)
    windows = [np.s_[:], np.s_[90:110, 199:201], np.s_[-20:, :-250], np.s_[5:5, :], np.s_[200:9000, 250:400]]
    for window in [*windows, np.s_[100:200], np.s_[0:1, 0:1], np.s_[50:20, 3:9]]:
        np.testing.assert_array_equal(labels[window], expected[window])
    assert labels.shape == (261, 300)
    assert labels.dtype == labels[:1, :1].dtype == np.int32
    for wrong in (np.s_[3], np.s_[::2, :], np.s_[..., 0:3]):
        with pytest.raises(InvalidParameter, match=r"^key: "):
            labels[wrong]


def test_tiles_cover_the_map(both):
    tiled, whole = both
    made = np.full(tiled.shape, -1, np.int32)
    for (y0, y1, x0, x1), labels in tiled.cut(77).tiles():
        assert (made[y0:y1, x0:x1] == -1).all()
        made[y0:y1, x0:x1] = labels
    np.testing.assert_array_equal(made, whole.cut(77))


def test_trees_tables_heights_and_areas_are_those_of_the_hierarchy(both):
    tiled, whole = both
    np.testing.assert_array_equal(tiled.lut(500, 30), whole.lut(500, 30))
    np.testing.assert_array_equal(tiled.heights(200), whole.heights(200))
    np.testing.assert_array_equal(tiled.tree(90).into, whole.tree(90).into)
    np.testing.assert_array_equal(tiled.tree(90).order, whole.tree(90).order)
    np.testing.assert_array_equal(tiled.areas(64), np.bincount(whole.cut(64).ravel()))


@pytest.mark.parametrize("count", [0, -1, 10**6, True, 2.0])
def test_counts_outside_the_range_are_rejected(both, count):
    with pytest.raises(InvalidParameter, match=r"^count: "):
        both[0].cut(count)
