"""The reference against the algorithm page: its golden values, and tables a reader can check by hand."""

import numpy as np
import pytest

from tests.kernels import golden, images, reference
from tests.kernels.marks import marked

pytestmark = pytest.mark.unsanitized  # no native code

# --- golden values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", golden.TABLES)
def test_table(name):
    table = {"LIN": reference.LIN, "F": reference.F}[name]
    assert (golden.crc(table), int(table.sum())) == golden.TABLES[name]


@pytest.mark.parametrize(("rgb", "lab"), golden.COLORS.items())
def test_color_of_one_pixel(rgb, lab):
    assert tuple(reference.color(np.array([[rgb]], np.uint8))[:, 0, 0]) == lab


@pytest.mark.parametrize(("edge", "value"), golden.HASHES.items())
def test_hash(edge, value):
    a, b = np.array([edge]).T
    assert reference.edge_hash(a, b).tolist() == [value]


@pytest.mark.parametrize(
    ("compactness", "m2"), [(0.0, 20), (0.0625, 21), (1.0, 28), (10.0, 100), (12.34, 119), (100.0, 820)]
)
def test_spatial_weight(compactness, m2):
    assert reference.spatial_weight(compactness) == m2


@pytest.mark.parametrize(
    ("pixels", "step"),
    [
        (1, 4), (82943, 4), (82944, 5), (123903, 5), (123904, 6),
        (173055, 6), (173056, 7), (230399, 7), (230400, 8), (2**27, 8),
    ],
)  # fmt: skip
def test_base_step(pixels, step):
    assert reference.base_step(pixels) == step


@pytest.mark.parametrize(
    "row", marked(golden.ROWS, pytest.mark.slow, [row for row in golden.ROWS if row.width == 700]), ids=str
)
def test_golden_row(row):
    result = reference.trace(row.pixels(), row.compactness)
    assert len(result.nodes) == row.regions
    assert len(result.edges) == row.edges
    assert result.rounds == row.rounds
    assert len(result.collective_rounds) == row.collective_rounds
    if row.smooth is not None:
        assert golden.crc(golden.interleaved(result.smooth)) == row.smooth
    assert golden.crc(result.base) == row.base
    assert golden.crc(result.merges) == row.merges
    pixel_merges = None
    if max(count for count, _ in row.maps) > row.regions:
        pixel_merges = reference.pixel_merges(result.smooth, result.base, row.compactness)
    for count, checksum in row.maps:
        assert golden.crc(reference.cut(result.base, result.merges, count, pixel_merges)) == checksum


# --- by hand: color, smooth ---------------------------------------------------------------------------------


def test_rgba_is_composited_on_white():
    # (c*a + 255*(255-a) + 127) // 255: clear is white; 100 at 128: (12800 + 32385 + 127) // 255 = 177.
    # 127 and 128 at 1: (127 + 64770 + 127) // 255 = 254 and one more, either side of a half.
    image = np.array([[(10, 20, 30, 255), (10, 20, 30, 0), (100, 0, 255, 128), (127, 128, 0, 1)]], np.uint8)
    assert reference.rgb(image).tolist() == [
        [[10, 20, 30], [255, 255, 255], [177, 127, 255], [254, 255, 254]]
    ]


def test_gray_shapes_are_one_image():
    gray = np.array([[0, 128, 255]], np.uint8)
    planes = reference.color(gray)
    # CIE L of grey 128 is 53.585, times 4.
    assert planes.tolist() == [[[0, 214, 400]], [[640, 640, 640]], [[640, 640, 640]]]
    assert (reference.color(gray[:, :, np.newaxis]) == planes).all()


def test_color_of_a_3x4_image():
    k, w, r, g, b = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)
    image = np.array([[k, w, r, g], [b, k, w, r], [g, b, k, w]], np.uint8)
    lightness, a, b_plane = reference.color(image).tolist()
    assert lightness == [[0, 400, 213, 351], [129, 0, 400, 213], [351, 129, 0, 400]]
    assert a == [[640, 640, 1041, 209], [1036, 640, 640, 1041], [209, 1036, 640, 640]]
    assert b_plane == [[640, 640, 976, 1056], [101, 640, 640, 976], [1056, 101, 640, 640]]


def test_smooth_of_single_pixels():
    # A corner is repeated outside the image, so it weighs 3 of 4 along each side: 9, 3 and 1 sixteenths.
    corner = np.zeros((3, 4), np.int16)
    corner[0, 0] = 160
    inner = np.zeros((3, 4), np.int16)
    inner[1, 1] = 10
    smoothed = reference.smooth(np.stack([corner, inner, np.full((3, 4), 640, np.int16)]))
    assert smoothed[0].tolist() == [[90, 30, 0, 0], [30, 10, 0, 0], [0, 0, 0, 0]]
    # (10+8)>>4 = 1, (20+8)>>4 = 1, (40+8)>>4 = 3: halves round up.
    assert smoothed[1].tolist() == [[1, 1, 1, 0], [1, 3, 1, 0], [1, 1, 1, 0]]
    assert (smoothed[2] == 640).all()


# --- by hand: update, assign --------------------------------------------------------------------------------


def planes_of(lightness):
    """Planes with this L, and neutral A and B."""
    plane = np.array(lightness, np.int16)
    return np.stack([plane, np.full_like(plane, 640), np.full_like(plane, 640)])


def test_first_labels_are_cells_and_the_last_cell_takes_the_rest():
    # (11 + 2) // 4 = 3 cells across, the last of 3 columns; (9 + 2) // 4 = 2 cells down, the last of 5 rows.
    labels = reference.Grid(height=9, width=11).first_labels()
    top = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert labels.tolist() == 4 * [top] + 5 * [[label + 3 for label in top]]


def test_two_iterations_of_a_2x6_image():
    planes = planes_of([[0, 0, 0, 100, 100, 100]] * 2)
    labels = reference.Grid(2, 6).first_labels()
    assert labels.tolist() == [[0, 0, 0, 0, 1, 1]] * 2

    # Cell 0: 8 pixels, 2 of them 100: L 25; 4x: 4*12/8 = 6; 4y: 4*4/8 = 2. Cell 1: L 100; 4x 18; 4y 2.
    centers = reference.update(planes, labels, np.zeros((2, 5), np.int32))
    assert centers.tolist() == [[25, 640, 640, 6, 2], [100, 640, 640, 18, 2]]

    # Column 3 is 75 from centre 0 and 0 from centre 1, at equal distance in place: it changes over.
    labels = reference.assign(planes, centers, 10.0)
    assert labels.tolist() == [[0, 0, 0, 1, 1, 1]] * 2
    centers = reference.update(planes, labels, centers)
    assert centers.tolist() == [[0, 640, 640, 4, 2], [100, 640, 640, 16, 2]]


def test_update_rounds_halves_up_and_keeps_centers_without_pixels():
    centers = np.array([[7, 7, 7, 7, 7], [1, 2, 3, 4, 5]], np.int32)
    # L (10+11)/2 = 10.5, 4x (0+4)/2 = 2.
    updated = reference.update(planes_of([[10, 11]]), np.array([[0, 0]], np.int32), centers)
    assert updated.tolist() == [[11, 640, 640, 2, 0], [1, 2, 3, 4, 5]]


def test_assign_gives_a_tie_to_the_smaller_index():
    # Pixel 2 (4x = 8) is as far from 4 as from 12.
    centers = np.array([[0, 640, 640, 4, 0], [0, 640, 640, 12, 0]], np.int32)
    assert reference.assign(planes_of([[0] * 6]), centers, 10.0).tolist() == [[0, 0, 0, 1, 1, 1]]


def test_assign_looks_at_neighbouring_cells_only():
    # Centre 2 lies on pixel 0, but two cells away from it.
    centers = np.array([[0, 640, 640, 200, 0], [0, 640, 640, 100, 0], [0, 640, 640, 0, 0]], np.int32)
    assert reference.assign(planes_of([[0] * 12]), centers, 10.0).tolist() == [[1] * 4 + [2] * 8]


def test_assign_weighs_place_against_color():
    # From pixel 1 (4x = 4, L 0): centre 0 is 10 in L away, D = 16*100 = 1600; centre 1 is 4 quarter pixels
    # away, D = m2*16: 1600 at m2 = 100 (a tie, the smaller index), 1584 at m2 = 99.
    planes = planes_of([[0] * 6])
    centers = np.array([[10, 640, 640, 4, 0], [0, 640, 640, 8, 0]], np.int32)
    assert reference.spatial_weight(9.9375) == 100
    assert reference.assign(planes, centers, 9.9375)[0, 1] == 0
    assert reference.spatial_weight(9.875) == 99
    assert reference.assign(planes, centers, 9.875)[0, 1] == 1


# --- by hand: components, graph -----------------------------------------------------------------------------

BASE = np.array([[0, 0, 1, 1], [2, 0, 1, 3], [2, 2, 3, 3]], np.int32)


def test_components_of_a_literal_grid():
    # The two sets of 0 touch at a corner only: two regions.
    assigned = np.array([[0, 0, 5, 5], [2, 0, 5, 0], [2, 2, 0, 0]], np.int32)
    assert (reference.components(assigned) == BASE).all()


def test_components_are_numbered_by_first_pixel():
    assigned = np.array([[9, 8, 9], [9, 9, 9], [7, 8, 8]], np.int32)
    assert reference.components(assigned).tolist() == [[0, 1, 0], [0, 0, 0], [2, 3, 3]]


def test_graph_of_a_literal_grid():
    planes = planes_of([[0, 1, 4, 9], [16, 25, 36, 49], [64, 81, 100, 121]])
    nodes, edges = reference.graph(planes, BASE)
    assert nodes.tolist() == [
        [3, 0 + 1 + 25, 1920, 1920],
        [3, 4 + 9 + 36, 1920, 1920],
        [3, 16 + 64 + 81, 1920, 1920],
        [3, 49 + 100 + 121, 1920, 1920],
    ]
    # Contrast of a side: the pixels one further out on both sides, held inside the image.
    assert edges.tolist() == [
        [0, 1, 2, (9 - 0) + (49 - 16)],  # row 0, row 1
        [0, 2, 3, (36 - 16) + (64 - 0) + (81 - 1)],  # row 1; columns 0 and 1
        [1, 3, 3, (49 - 25) + (121 - 9) + (100 - 4)],  # row 1; columns 3 and 2
        [2, 3, 1, 121 - 64],  # row 2
    ]


def test_graph_sums_the_contrast_of_the_three_planes():
    planes = np.array([[[1, 1, 1, 5]], [[7, 7, 7, 1]], [[0, 2, 2, 3]]], np.int16)
    _, edges = reference.graph(planes, np.array([[0, 0, 1, 1]], np.int32))
    assert edges.tolist() == [[0, 1, 1, 4 + 6 + 3]]


def test_pixel_graph_of_a_literal_grid():
    planes = planes_of([[0, 1, 4, 9], [16, 25, 36, 49], [64, 81, 100, 121]])
    nodes, edges = reference.pixel_graph(planes, BASE)
    assert nodes[:3].tolist() == [[1, 0, 640, 640], [1, 1, 640, 640], [1, 4, 640, 640]]
    assert edges.tolist() == [
        [0, 1, 1, 4],
        [1, 5, 1, 80],
        [2, 3, 1, 8],
        [2, 6, 1, 96],
        [4, 8, 1, 64],
        [7, 11, 1, 112],
        [8, 9, 1, 36],
        [10, 11, 1, 40],
    ]


# --- the images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", images.SMALL)
def test_small_images_have_the_size_in_their_name(name):
    width, height = map(int, name.rpartition("-")[2].split("x"))
    image = images.SMALL[name]()
    assert image.shape[:2] == (height, width)
    assert image.dtype == np.uint8
    assert reference.base_step(width * height) == 4


def test_large_images_use_every_larger_step():
    shapes = [tuple(map(int, name.rpartition("-")[2].split("x"))) for name in images.LARGE]
    assert [reference.base_step(width * height) for width, height in shapes] == [5, 6, 7, 8, 8, 8]
