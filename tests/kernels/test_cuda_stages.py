"""The CUDA engine against the C++ engine: every stage, the cut and the pixel level, `==`."""

import itertools

import numpy as np
import pytest

from superpixel_kernels import segment
from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda import Tuning, graph, merge
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import EDGES_PER_REGION, Grid, whole_layout
from superpixel_kernels.hierarchy import as_merges
from superpixel_kernels.pixels import as_pixels
from tests.kernels import golden, images
from tests.kernels.cuda_tools import assert_equal_stages, run_trace
from tests.kernels.devices import IS_SIMULATED, ON_GPU, open_pipeline
from tests.kernels.marks import marked
from tests.kernels.traces import IMAGES, assert_same

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.unsanitized,  # builds and starts other programs
]


# Seconds each on the CPU. Large images of the steps 5, 6 and 8 are left, with collective rounds.
SLOW = ["photo-487x397", "spiral-501x467", "primaries-521x443"]


@pytest.mark.parametrize("name", marked(IMAGES, pytest.mark.slow, SLOW))
def test_every_stage(name):
    assert_equal_stages(IMAGES[name](), 10.0, seed=len(name))


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("name", ["golden-60x40", "dots-64x48"])
def test_order_of_execution_does_not_matter(name, seed):
    assert_equal_stages(images.SMALL[name](), 10.0, seed)


@pytest.mark.skipif(ON_GPU, reason="compute-sanitizer looks for these there")
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        *itertools.product(images.SMALL, ("race", "asan")),
        pytest.param("dots-480x320", "race", marks=pytest.mark.slow),
        pytest.param("dots-480x320", "asan", marks=pytest.mark.slow),
    ],
)
def test_no_races_and_no_stray_accesses(name, mode):
    assert_equal_stages(IMAGES[name](), 10.0, seed=7, mode=mode)


@pytest.mark.skipif(ON_GPU, reason="compute-sanitizer looks for these there")
@pytest.mark.parametrize("mode", ["race", "asan"])
def test_no_races_off_the_main_road(mode):
    """Collective rounds of large sets, more regions than guessed, the pixel level, cuts."""
    assert_equal_stages(images.islands(130, 110), 10.0, seed=8, mode=mode)
    assert_equal_stages(images.noise(80, 60), 10.0, seed=9, mode=mode)
    line = open_pipeline(10, mode)
    hierarchy = segment(images.noise(37, 41), backend="cpu")
    records = line.pixel_merges(images.noise(37, 41), hierarchy.base_labels, Settings(10.0))
    assert_same("cut", line.cut(hierarchy.base_labels, records, 37 * 41, 1000), hierarchy.cut(1000))


class _Enough(Exception):
    """The stages up to the last assignment are done."""


@pytest.mark.parametrize(
    ("size", "mode"),
    [
        ((483, 485), "plain"),
        pytest.param((483, 485), "race", marks=pytest.mark.slow),
        ((3, 76801), "plain"),
        pytest.param((3, 76801), "race", marks=pytest.mark.slow),
    ],
)
def test_aligned_tiles(size, mode):
    """In stage assign, images of the largest step have other tiles. The last cells take the remainder."""
    image = images.photo(*size) if min(size) > 8 else images.noise(*size)
    pixels = as_pixels(image)
    expected = _engine.trace(pixels, 10.0, _engine.Workspace(threads=1), None)
    line = open_pipeline(3, mode)
    centers, labels = [], []

    def observe(name, stage):
        def host(name, count):
            copy = np.empty(count, np.int32)
            line.device.download((stage.workspace[name][:count], copy))
            return copy

        if name == "update":
            centers.append(host("centers", 5 * stage.grid.cells).reshape(5, -1).T)
        if name == "assign":
            labels.append(host("labels", stage.grid.pixels).reshape(size[::-1]))
            if len(labels) == 3:
                raise _Enough

    with line.device.active(), pytest.raises(_Enough):
        line.run(pixels, size[::-1], Settings(10.0), observe=observe)
    for iteration in range(3):
        assert_same("centers", np.ascontiguousarray(centers[iteration]), expected["centers"][iteration])
        assert_same("assign", labels[iteration], expected["assign"][iteration])


def edge_hash(a, b):
    def mix(x):
        x ^= x >> 16
        x = x * 0x7FEB352D & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 0x846CA68B & 0xFFFFFFFF
        return x ^ x >> 16

    return mix((a * 0x9E3779B1 & 0xFFFFFFFF) ^ mix(b))


@pytest.mark.parametrize("mode", ["plain", "race"])
@pytest.mark.parametrize("seed", range(6))
def test_equal_words_are_settled_by_the_pair(mode, seed):
    """Of two edges of one region with equal cost and equal hash the lesser pair goes first.

    No image comes to it: such regions were looked for. All their sums are equal, and so are their costs.
    """
    low, middle, high = 2168, 2648, 2911
    assert edge_hash(low, middle) == edge_hash(middle, high)
    line = open_pipeline(seed, mode)
    with line.device.active():
        merges = merge_by_hand(line, high + 1, [(middle, high), (low, middle)])
    assert merges[:, 1:].tolist() == [[0, low, middle], [1, low, high]]


def merge_by_hand(line, regions, pairs):
    """The records that stage merge makes of regions that are all alike, and edges that are all alike."""
    stage = Stage(line.device, line.workspace, Grid(64, 64), line.tuning, regions)
    line.workspace.make_room(whole_layout(stage.grid, 0, regions, EDGES_PER_REGION, line.tuning))

    def fill(name, values):
        values = np.asarray(values, line.workspace[name].dtype)
        line.device.upload(values, line.workspace[name][: values.size])

    fill("counters", [regions])
    graph._clear(stage, EDGES_PER_REGION)
    fill("nodes", np.full(4 * regions, 100))
    fill("counters", [regions, len(pairs)])
    fill("edge_key", [a << 32 | b for a, b in pairs])
    fill("edge_len", np.full(len(pairs), 7))
    fill("edge_cs", np.full(len(pairs), 40))
    merge.merge(stage, edges_per_node=EDGES_PER_REGION, k4=4.0, cell_area=64.0)
    return line._download(merge.sorted_records(stage), 2)


@pytest.mark.parametrize("compactness", [0.0, 3.7, 100.0])
def test_compactness(compactness):
    assert_equal_stages(images.photo(50, 40), compactness, seed=3)


@pytest.mark.parametrize(
    "row", marked(golden.ROWS, pytest.mark.slow, [row for row in golden.ROWS if row.width == 700]), ids=str
)
def test_golden_row(row):
    result = run_trace(row.pixels(), row.compactness, open_pipeline())
    if row.smooth is not None:
        assert golden.crc(golden.interleaved(result["smooth"])) == row.smooth
    assert golden.crc(result["base"]) == row.base
    assert golden.crc(result["merges"]) == row.merges
    assert (len(result["nodes"]), len(result["edges"]), result["rounds"]) == (
        row.regions,
        row.edges,
        row.rounds,
    )


def test_collective_rounds_happen_here():
    """Some of the images above must reach the rounds in which sets of any shape merge."""
    assert max_set_of_a_round(images.islands(130, 110)) > 2
    assert_equal_stages(images.islands(130, 110), 10.0, seed=5)


def max_set_of_a_round(image):
    """Records of one round that name the same region, at most."""
    merges = segment(image, backend="cpu").merges
    return max(
        np.unique(merges["a"][merges["round"] == number], return_counts=True)[1].max()
        for number in np.unique(merges["round"])
    )


@pytest.mark.skipif(IS_SIMULATED, reason="large blocks take long on the CPU")
@pytest.mark.parametrize("name", IMAGES)
def test_every_stage_with_the_blocks_of_a_gpu(name):
    assert_equal_stages(IMAGES[name](), 10.0, seed=0, tuning=Tuning())


# --- cut ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["golden-60x40", "noise-37x41", "noise-1x1", "golden-101x1", "gray-45x35"])
def test_cut(name):
    image = images.SMALL[name]()
    hierarchy = segment(image, backend="cpu")
    records = hierarchy.merges.view(np.int32).reshape(-1, 4)
    line = open_pipeline()
    for count in {1, 2, 7, hierarchy.base_count // 2, hierarchy.base_count - 1, hierarchy.base_count}:
        if 1 <= count <= hierarchy.base_count:
            with line.device.active():
                actual = line.cut(hierarchy.base_labels, records, hierarchy.base_count, count)
            assert_same(f"cut {count}", actual, hierarchy.cut(count))


@pytest.mark.parametrize("name", ["golden-60x40", "noise-37x41", "noise-1x1", "noise-2x61", "flat-23x19"])
def test_pixel_level(name):
    image = images.SMALL[name]()
    expected = segment(image, backend="cpu")
    line = open_pipeline()
    with line.device.active():
        records = line.pixel_merges(as_pixels(image), expected.base_labels, Settings(10.0))
    assert_same("pixel merges", as_merges(records), expected.pixel_merges())
    pixels = image.shape[0] * image.shape[1]
    for count in {expected.base_count, (expected.base_count + pixels) // 2, pixels}:
        with line.device.active():
            labels = line.cut(expected.base_labels, records, pixels, count)
        assert_same(f"cut {count}", labels, expected.cut(count))
