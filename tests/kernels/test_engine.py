"""The C++ engine, in each of its instruction sets, against the reference: every stage, `==`."""

import functools

import numpy as np
import pytest

from superpixel_kernels import SegmentParams, Workspace, segment
from superpixel_kernels.cpu import _engine
from tests.kernels import golden, images, reference
from tests.kernels.traces import assert_same, assert_same_trace, reference_trace, trace

INSTRUCTION_SETS = _engine.available_instruction_sets()


@pytest.fixture(params=INSTRUCTION_SETS)
def workspace(request):
    return _engine.Workspace(threads=1, instruction_set=request.param)


# --- tables, golden values ----------------------------------------------------------------------------------


def test_plain_is_always_available():
    assert "plain" in INSTRUCTION_SETS


@pytest.mark.parametrize("name", golden.TABLES)
def test_table(name):
    table = dict(zip(("LIN", "F"), _engine.tables(), strict=True))[name]
    assert_same(name, table, getattr(reference, name))
    assert (golden.crc(table), int(table.sum())) == golden.TABLES[name]


@pytest.mark.parametrize("row", golden.ROWS, ids=str)
def test_golden_row_stages(row, workspace):
    result = trace(row.pixels(), row.compactness, workspace)
    assert len(result["nodes"]) == row.regions
    assert len(result["edges"]) == row.edges
    assert result["rounds"] == row.rounds
    if row.smooth is not None:
        assert golden.crc(golden.interleaved(result["smooth"])) == row.smooth
    assert golden.crc(result["base"]) == row.base
    assert golden.crc(result["merges"]) == row.merges


@pytest.mark.parametrize("row", golden.ROWS, ids=str)
def test_golden_row_of_segment(row):
    hierarchy = segment(row.pixels(), SegmentParams(compactness=row.compactness))
    assert hierarchy.shape == (row.height, row.width)
    assert hierarchy.base_count == row.regions
    assert golden.crc(hierarchy.base_labels) == row.base
    assert golden.crc(hierarchy.merges) == row.merges
    for count, checksum in row.maps:
        assert golden.crc(hierarchy.cut(count)) == checksum


# --- by hand ------------------------------------------------------------------------------------------------


def test_color_of_a_3x4_image(workspace):
    names = {"K": (0, 0, 0), "W": (255, 255, 255), "R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255)}
    image = np.array([[names[name] for name in row] for row in ("KWRG", "BKWR", "GBKW")], np.uint8)
    lightness, a, b = trace(image, 10.0, workspace)["color"].tolist()
    assert lightness == [[0, 400, 213, 351], [129, 0, 400, 213], [351, 129, 0, 400]]
    assert a == [[640, 640, 1041, 209], [1036, 640, 640, 1041], [209, 1036, 640, 640]]
    assert b == [[640, 640, 976, 1056], [101, 640, 640, 976], [1056, 101, 640, 640]]


@pytest.mark.parametrize(
    ("y", "x", "lightness"),
    [
        # White is 400. The image is repeated outside: a corner weighs 9, 3, 3 and 1 sixteenths.
        (0, 0, [[225, 75, 0, 0], [75, 25, 0, 0], [0, 0, 0, 0]]),
        (1, 1, [[25, 50, 25, 0], [50, 100, 50, 0], [25, 50, 25, 0]]),
        (2, 2, [[0, 0, 0, 0], [0, 25, 50, 25], [0, 75, 150, 75]]),
    ],
)
def test_smooth_of_a_white_pixel(y, x, lightness, workspace):
    image = np.zeros((3, 4), np.uint8)
    image[y, x] = 255
    smoothed = trace(image, 10.0, workspace)["smooth"]
    assert smoothed[0].tolist() == lightness
    assert (smoothed[1:] == 640).all()


def check_black_and_white(stages):
    """Every stage of a 2x6 image, three columns black and three white, as worked out by hand."""
    assert stages["color"][0].tolist() == [[0, 0, 0, 400, 400, 400]] * 2
    assert stages["smooth"][0].tolist() == [[0, 0, 100, 300, 400, 400]] * 2
    # Two cells, of 4 and 2 columns. 4x: 4*(0+1+2+3)/4 = 6 and 4*(4+5)/2 = 18; 4y: 4*(0+1)/2 = 2.
    assert stages["centers"][0].tolist() == [[100, 640, 640, 6, 2], [400, 640, 640, 18, 2]]
    # Column 3 is as near to one as to the other in place, and 200 against 100 in L.
    assert stages["assign"][0].tolist() == [[0, 0, 0, 1, 1, 1]] * 2
    # 100/3 and 1100/3, rounded; 4*1 and 4*4.
    assert stages["centers"][1].tolist() == [[33, 640, 640, 4, 2], [367, 640, 640, 16, 2]]
    assert stages["base"].tolist() == [[0, 0, 0, 1, 1, 1]] * 2
    assert stages["nodes"].tolist() == [[6, 200, 3840, 3840], [6, 2200, 3840, 3840]]
    # Two sides; the pixels one further out differ by 400.
    assert stages["edges"].tolist() == [[0, 1, 2, 800]]
    # d = 2000/6, mean contrast 400; hm = 36/12 = 3; k4 = 4; t = 12/16.
    height = ((2000 / 6 + 200) ** 2 + 256) * 3**1.25 * (1 + 4 * 3**0.5 / 2) * (12 / 16) ** 2
    assert stages["merges"].tolist() == [(np.float32(height), 0, 0, 1)]
    assert stages["rounds"] == 1


BLACK_AND_WHITE = np.array([[0, 0, 0, 255, 255, 255]] * 2, np.uint8)


def test_black_and_white_by_the_reference():
    check_black_and_white(vars(reference.trace(BLACK_AND_WHITE)))


def test_black_and_white(workspace):
    check_black_and_white(trace(BLACK_AND_WHITE, 10.0, workspace))


# --- stage by stage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("compactness", [0.0, 10.0, 100.0])
@pytest.mark.parametrize("name", images.SMALL)
def test_stages_of_small_images(name, compactness, workspace):
    actual = trace(images.SMALL[name](), compactness, workspace)
    assert_same_trace(actual, reference_trace(name, compactness))


LARGE = pytest.mark.parametrize(
    ("name", "compactness"),
    [
        pytest.param(name, 100.0, marks=pytest.mark.slow) if name.startswith("primaries") else (name, 10.0)
        for name in images.LARGE
    ],
)


@pytest.mark.slow_under_sanitizer
@LARGE
def test_stages_of_large_images(name, compactness, workspace):
    actual = trace(images.LARGE[name](), compactness, workspace)
    assert_same_trace(actual, reference_trace(name, compactness))


@LARGE
def test_large_images_are_the_same_on_every_instruction_set(name, compactness):
    image = images.LARGE[name]()
    params = SegmentParams(compactness=compactness)
    first, *others = (
        segment(image, params, workspace=Workspace(threads=1, instruction_set=instructions))
        for instructions in INSTRUCTION_SETS
    )
    for other in others:
        assert_same("base", other.base_labels, first.base_labels)
        assert_same("merges", other.merges, first.merges)


@pytest.mark.parametrize("compactness", [0.0625, 1 / 3, 9.875, 9.9375, 12.34, 99.99])
def test_compactness_is_rounded_alike(compactness, workspace):
    actual = trace(images.SMALL["golden-60x40"](), compactness, workspace)
    assert_same_trace(actual, reference_trace("golden-60x40", compactness))


@pytest.mark.parametrize("width", range(1, 70))
def test_every_width_up_to_a_few_vectors(width, workspace):
    image = images.noise(width, 6, seed=width)
    assert_same_trace(trace(image, 10.0, workspace), reference.trace(image))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_byte_value_is_converted_alike(channels, workspace):
    # Every pair of two bytes: for RGBA each colour byte meets each alpha.
    one, other = np.indices((256, 256)).astype(np.uint8)
    image = np.dstack([one, other ^ 0x5A, one - other, other][:channels])
    actual = trace(image, 10.0, workspace)["color"]
    assert_same("color", actual, reference.color(image))


def test_a_lattice_of_all_colors_is_converted_alike(workspace):
    levels = np.arange(0, 256, 5, np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
    image = lattice.reshape(len(levels), -1, 3)
    assert_same("color", trace(image, 10.0, workspace)["color"], reference.color(image))


@pytest.mark.parametrize("pixels", [82943, 82944, 123903, 123904, 173055, 173056, 230399, 230400])
def test_grid_step_at_its_bounds(pixels, workspace):
    # A flat line has a region a cell.
    image = np.zeros((1, pixels), np.uint8)
    step = reference.base_step(pixels)
    assert len(trace(image, 10.0, workspace)["nodes"]) == (pixels + step // 2) // step


# --- the pixel level, cut, tree -----------------------------------------------------------------------------


@functools.cache
def reference_hierarchy(name):
    """Base, merges and pixel merges of a small image: what cut and tree of the reference take."""
    trace = reference_trace(name, 10.0)
    return trace.base, trace.merges, reference.pixel_merges(trace.smooth, trace.base)


@pytest.mark.parametrize("name", images.SMALL)
def test_pixel_level_of_small_images(name, workspace):
    hierarchy = segment(images.SMALL[name](), workspace=workspace)
    base, merges, pixel_merges = reference_hierarchy(name)
    assert_same("base", hierarchy.base_labels, base)
    assert_same("merges", hierarchy.merges, merges)
    assert_same("pixel merges", hierarchy.pixel_merges(), pixel_merges)


def check_cut_and_tree(hierarchy, count, base, merges, pixel_merges):
    assert_same(f"cut({count})", hierarchy.cut(count), reference.cut(base, merges, count, pixel_merges))
    into, order, heights = reference.tree(base, merges, count, pixel_merges)
    tree = hierarchy.tree(count)
    np.testing.assert_array_equal(tree.into, into)
    np.testing.assert_array_equal(tree.order, order)
    assert_same(f"heights({count})", hierarchy.heights(count), heights)


@pytest.mark.parametrize(
    "name", ["golden-13x17", "golden-101x1", "noise-2x61", "noise-5x7", "noise-2x2", "noise-1x1"]
)
def test_cut_and_tree_at_every_count(name):
    image = images.SMALL[name]()
    hierarchy = segment(image)
    base, merges, pixel_merges = reference_hierarchy(name)
    for count in range(1, base.size + 1):
        check_cut_and_tree(hierarchy, count, base, merges, pixel_merges)


@pytest.mark.parametrize("name", ["dots-64x48", "photo-80x60", "noise-37x41"])
def test_cut_and_tree_at_some_counts(name):
    # dots: with a collective round, whose records may repeat their b.
    image = images.SMALL[name]()
    hierarchy = segment(image)
    base, merges, pixel_merges = reference_hierarchy(name)
    regions = len(merges) + 1
    for count in (1, 2, 3, regions // 2, regions - 1, regions, regions + 1, base.size - 1, base.size):
        check_cut_and_tree(hierarchy, count, base, merges, pixel_merges)
