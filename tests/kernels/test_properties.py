"""What must hold for any image: random images by hypothesis, and images made to be hostile."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import SegmentParams, Workspace, available_instruction_sets, segment
from superpixel_kernels.cpu import _engine
from superpixel_kernels.pixels import as_pixels
from tests.kernels import images, reference
from tests.kernels.any_image import (
    COMPACTNESS,
    assert_nested,
    assert_partition,
    checked,
    checked_more_often,
    results,
    small_images,
)

# --- counts, nesting, merges --------------------------------------------------------------------------------


@checked
@given(small_images(), COMPACTNESS)
def test_every_count_is_exact_connected_canonical_and_nested(image, compactness):
    hierarchy = segment(image, SegmentParams(compactness=compactness))
    assert_partition(hierarchy.base_labels, hierarchy.base_count)
    np.testing.assert_array_equal(hierarchy.cut(hierarchy.base_count), hierarchy.base_labels)
    finer = hierarchy.cut(image.shape[0] * image.shape[1])
    assert_partition(finer, finer.size)
    for count in range(finer.size - 1, 0, -1):
        labels = hierarchy.cut(count)
        assert_partition(labels, count)
        assert_nested(finer, labels)
        finer = labels


@checked_more_often
@given(small_images(), COMPACTNESS, st.data())
def test_separate_calls_are_nested(image, compactness, data):
    params = SegmentParams(compactness=compactness)
    counts = st.integers(1, image.shape[0] * image.shape[1])
    coarse_count, fine_count = sorted((data.draw(counts), data.draw(counts)))
    fine, coarse = segment(image, params).cut(fine_count), segment(image.copy(), params).cut(coarse_count)
    assert_nested(fine, coarse)
    lut = segment(image, params).lut(fine=fine_count, coarse=coarse_count)
    assert lut.dtype == np.int32
    np.testing.assert_array_equal(lut, reference.lut(fine, coarse))


@checked
@given(small_images(), COMPACTNESS)
def test_merge_lists(image, compactness):
    hierarchy = segment(image, SegmentParams(compactness=compactness))
    pixels, regions = image.shape[0] * image.shape[1], hierarchy.base_count
    for records, nodes, sets in ((hierarchy.merges, regions, 1), (hierarchy.pixel_merges(), pixels, regions)):
        assert len(records) == nodes - sets
        assert (records["a"] < records["b"]).all()
        assert (records["height"] > 0).all()
        assert np.isfinite(records["height"]).all()
        keys = [record.item() for record in records]
        assert keys == sorted(keys)
        united = reference.DisjointSets(nodes)
        assert all(united.unite(a, b) for a, b in zip(records["a"], records["b"], strict=True))


@checked
@given(small_images(), COMPACTNESS)
def test_graph_counts_pixels_and_sides(image, compactness):
    stages = _engine.trace(as_pixels(image), compactness, Workspace(threads=1))
    base, nodes, edges = stages["base"], stages["nodes"], stages["edges"]
    assert nodes[:, 0].sum() == base.size
    np.testing.assert_array_equal(nodes[:, 1:].sum(axis=0), stages["smooth"].sum(axis=(1, 2), dtype=np.int64))
    unequal = np.count_nonzero(base[:, 1:] != base[:, :-1]) + np.count_nonzero(base[1:] != base[:-1])
    assert edges[:, 2].sum() == unequal
    assert (edges[:, 0] < edges[:, 1]).all()


@checked
@given(small_images(), COMPACTNESS, st.data())
def test_trees_yield_every_coarser_cut(image, compactness, data):
    hierarchy = segment(image, SegmentParams(compactness=compactness))
    fine_count = data.draw(st.integers(1, image.shape[0] * image.shape[1]))
    tree = hierarchy.tree(fine_count)
    assert sorted(tree.order) == list(range(fine_count - 1))
    for count in range(1, fine_count + 1):
        # The pass of the label-map format.
        lut = [0]
        following = 1
        for into, order in zip(tree.into, tree.order, strict=True):
            if order < fine_count - count:
                lut.append(lut[into])
            else:
                lut.append(following)
                following += 1
        assert following == count
        np.testing.assert_array_equal(lut, hierarchy.lut(fine=fine_count, coarse=count))


# --- invariances --------------------------------------------------------------------------------------------

SYMMETRIES = {
    "left to right": lambda array: array[..., ::-1],
    "upside down": lambda array: array[..., ::-1, :],
    "transposed": lambda array: array.swapaxes(-1, -2),
}


@checked
@given(small_images(), st.sampled_from(sorted(SYMMETRIES)))
def test_color_and_smooth_commute_with_symmetries(image, name):
    symmetry = SYMMETRIES[name]
    workspace = Workspace(threads=1)
    stages = _engine.trace(as_pixels(image), 10.0, workspace)
    turned = np.ascontiguousarray(np.moveaxis(symmetry(np.moveaxis(image, 2, 0)), 0, 2))
    turned_stages = _engine.trace(as_pixels(turned), 10.0, workspace)
    for stage in ("color", "smooth"):
        np.testing.assert_array_equal(turned_stages[stage], symmetry(stages[stage]))


@checked
@given(small_images(), COMPACTNESS)
def test_gray_is_rgb_of_equal_channels(image, compactness):
    params = SegmentParams(compactness=compactness)
    gray = image[:, :, 0]
    expected = results(segment(np.repeat(gray[:, :, np.newaxis], 3, axis=2), params))
    assert results(segment(gray, params)) == expected
    assert results(segment(gray[:, :, np.newaxis], params)) == expected
    planes = _engine.trace(as_pixels(gray), compactness, Workspace(threads=1))["color"]
    assert (planes[1:] == 640).all()


@checked
@given(small_images(), COMPACTNESS)
def test_opaque_rgba_is_rgb_and_clear_rgba_is_white(image, compactness):
    params = SegmentParams(compactness=compactness)
    opaque = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    assert results(segment(opaque, params)) == results(segment(image, params))
    clear = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    assert results(segment(clear, params)) == results(segment(np.full_like(image, 255), params))


def read_only(image):
    image = image.copy()
    image.flags.writeable = False
    return image


LAYOUTS = {
    "read-only": read_only,
    "Fortran order": np.asfortranarray,
    "every second of a larger array": lambda image: np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)[
        ::2, ::2
    ],
    "negative strides": lambda image: image[::-1, ::-1].copy()[::-1, ::-1],
    "three of four channels": lambda image: np.concatenate([image, image[..., :1]], axis=2)[
        ..., : image.shape[2]
    ],
    "reversed channels": lambda image: image[..., ::-1].copy()[..., ::-1],
    "planes": lambda image: np.moveaxis(np.moveaxis(image, 2, 0).copy(), 0, 2),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_memory_layout_does_not_matter(layout, channels):
    image = images.noise(29, 23)
    image = np.dstack([image, image[:, :, 0]])[:, :, :channels]
    other = LAYOUTS[layout](image)
    np.testing.assert_array_equal(other, image)
    assert results(segment(other)) == results(segment(np.ascontiguousarray(image)))


def test_the_image_is_not_written_to():
    image = images.noise(29, 23)
    before = image.copy()
    segment(image).cut(600)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5, 6), (23, 19), (40, 3), (288, 288), (400, 330)])
def test_a_flat_image_keeps_its_grid(width, height):
    grid = reference.Grid(height, width)
    hierarchy = segment(images.flat(width, height))
    assert hierarchy.base_count == grid.nx * grid.ny
    np.testing.assert_array_equal(hierarchy.base_labels, grid.first_labels())


# --- hostile images -----------------------------------------------------------------------------------------


def line(values):
    return np.asarray(values).astype(np.uint8)[np.newaxis]


def accelerating_ramp(length):
    """A line whose neighbours differ by ever more: merges run along it from one end."""
    x = np.arange(length)
    return line(255 * (x / length) ** 3)


HOSTILE = {
    "line of noise": lambda: images.noise(20000, 1),
    "column of noise": lambda: images.noise(1, 20000),
    "flat line": lambda: images.flat(20000, 1),
    "alternating line": lambda: line(np.arange(20000) % 2 * 255),
    "accelerating ramp": lambda: accelerating_ramp(20000),
    "sawtooth": lambda: line(np.arange(20000) * 7),
    "dots of rising contrast": lambda: np.where(
        images.dots(480, 320)[:, :, 0] == 250, (np.arange(480) // 2).astype(np.uint8), 0
    ).astype(np.uint8),
    "random dots": lambda: images.random_dots(300, 200),
    "dots": lambda: images.dots(480, 320),
    "islands": lambda: images.islands(300, 240),
    "spiral": lambda: images.spiral(301, 299),
    "checkerboard 1": lambda: images.checkerboard(200, 150, 1),
    "checkerboard 2": lambda: images.checkerboard(200, 150, 2),
    "checkerboard 8": lambda: images.checkerboard(200, 150, 8),
    "stripes": lambda: images.stripes(200, 150, vertical=True),
    "linear gradient": lambda: images.linear_gradient(256, 200),
    "quadratic gradient": lambda: images.quadratic_gradient(256, 200),
    "primaries": lambda: images.primaries(200, 150),
}


@pytest.mark.slow_under_sanitizer
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images(name):
    image = HOSTILE[name]()
    pixels = image.shape[0] * image.shape[1]
    hierarchy = segment(image)
    regions = hierarchy.base_count
    for records, nodes in ((hierarchy.merges, regions), (hierarchy.pixel_merges(), pixels)):
        rounds = int(records["round"].max()) + 1
        # rounds <= 96 + log2(nodes), in integers
        assert 2 ** max(0, rounds - 96) <= nodes
    finer = hierarchy.cut(pixels)
    np.testing.assert_array_equal(finer.ravel(), np.arange(pixels))
    for count in (regions + (pixels - regions) // 2, regions, regions // 2, 100, 2, 1):
        labels = hierarchy.cut(count)
        assert_partition(labels, count)
        assert_nested(finer, labels)
        finer = labels


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_images_are_the_same_on_every_instruction_set(name):
    """Also what the sanitizers see of these images: the checks above are the reference's work."""
    image = HOSTILE[name]()
    pixels = image.shape[0] * image.shape[1]
    found = []
    for instructions in available_instruction_sets():
        hierarchy = segment(image, workspace=Workspace(threads=1, instruction_set=instructions))
        regions = hierarchy.base_count
        counts = (pixels, regions + (pixels - regions) // 2, regions, regions // 2, 100, 2, 1)
        found.append((*results(hierarchy), *(hierarchy.cut(count).tobytes() for count in counts)))
    assert found[1:] == found[:1] * (len(found) - 1)
