"""The CUDA engine against the C++ engine: every stage, `==`."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import superpixel_kernels as kernels
from superpixel_kernels import CudaWorkspace, segment
from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda import Tuning, bytes_needed, graph, merge
from superpixel_kernels.cuda.pipeline import Settings
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.trace import trace
from superpixel_kernels.cuda.workspace import (
    EDGES_PER_REGION,
    Grid,
    graph_layout,
    image_layout,
    table_slots,
)
from superpixel_kernels.errors import (
    BackendUnavailable,
    Cancelled,
    InvalidImage,
    InvalidParameter,
    OutOfMemory,
)
from superpixel_kernels.hierarchy import as_merges
from superpixel_kernels.pixels import as_pixels
from tests.kernels import golden, images
from tests.kernels.devices import (
    ON_GPU,
    TUNING,
    Device,
    on_device,
    open_pipeline,
    open_workspace,
)
from tests.kernels.test_engine import assert_same

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.slow_under_sanitizer,  # builds and starts other programs
]

IMAGES = images.SMALL | images.LARGE


def run_trace(image, compactness, line):
    with line.device.active():
        return trace(as_pixels(image), compactness, line)


def assert_equal_stages(image, compactness, seed, **options):
    pixels = as_pixels(image)
    actual = run_trace(image, compactness, open_pipeline(seed, **options))
    expected = _engine.trace(pixels, compactness, _engine.Workspace(threads=1))
    for stage in ("color", "smooth"):
        assert_same(stage, actual[stage], expected[stage])
    for iteration in range(3):
        for stage in ("centers", "assign"):
            name = f"{stage}, iteration {iteration}"
            assert_same(name, actual[stage][iteration], expected[stage][iteration])
    for stage in ("base", "nodes", "edges", "merges"):
        assert_same(stage, actual[stage], expected[stage])
    assert actual["rounds"] == expected["rounds"]
    return actual


@pytest.mark.parametrize("name", IMAGES)
def test_every_stage(name):
    assert_equal_stages(IMAGES[name](), 10.0, seed=len(name))


@pytest.mark.parametrize("seed", [11, 12, 13])
@pytest.mark.parametrize("name", ["golden-60x40", "dots-64x48"])
def test_order_of_execution_does_not_matter(name, seed):
    assert_equal_stages(images.SMALL[name](), 10.0, seed)


@pytest.mark.skipif(ON_GPU, reason="compute-sanitizer looks for these there")
@pytest.mark.parametrize("mode", ["race", "asan"])
@pytest.mark.parametrize("name", [*images.SMALL, "dots-480x320"])
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
    line.workspace.make_room(
        image_layout(stage.grid, 0, line.tuning) | graph_layout(regions, EDGES_PER_REGION)
    )

    def fill(name, values):
        values = np.asarray(values, line.workspace[name].dtype)
        line.device.upload(values, line.workspace[name][: values.size])

    fill("counters", [regions])
    graph._clear(stage, EDGES_PER_REGION)
    for name in ("n", "sum_L", "sum_A", "sum_B"):
        fill(name, np.full(regions, 100))
    fill("counters", [regions, len(pairs)])
    fill("edge_key", [a << 32 | b for a, b in pairs])
    fill("edge_len", np.full(len(pairs), 7))
    fill("edge_cs", np.full(len(pairs), 40))
    merge.merge(stage, edges_per_node=EDGES_PER_REGION, k4=4.0, cell_area=64.0)
    return line._download(merge.sorted_records(stage, 2), 2)


@pytest.mark.parametrize("compactness", [0.0, 3.7, 100.0])
def test_compactness(compactness):
    assert_equal_stages(images.photo(50, 40), compactness, seed=3)


@pytest.mark.parametrize("row", golden.ROWS, ids=str)
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


@pytest.mark.skipif(not ON_GPU, reason="large blocks take long on the CPU")
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


# --- through the public interface ---------------------------------------------------------------------------


@pytest.fixture
def workspace():
    return open_workspace(seed=4)


def assert_same_hierarchy(actual, expected):
    assert_same("base", actual.base_labels, expected.base_labels)
    assert_same("merges", actual.merges, expected.merges)


def test_one_workspace_for_all_shapes(workspace):
    """What an earlier image left in memory does not matter, nor whether it was larger or smaller."""
    for name in ("photo-80x60", "noise-1x1", "golden-101x1", "primaries-41x37", "rgba-45x35", "gray-45x35"):
        image = images.SMALL[name]()
        hierarchy = segment(image, workspace=workspace)
        assert_same_hierarchy(hierarchy, segment(image, backend="cpu"))
        assert hierarchy.backend == "cuda"


def test_hierarchy_goes_above_the_base(workspace):
    image = images.photo(24, 20)
    actual = segment(image, workspace=workspace)
    expected = segment(image, backend="cpu")
    for count in (1, 20, actual.base_count, actual.base_count + 50, 480):
        assert_same(f"cut {count}", actual.cut(count), expected.cut(count))


def test_timings_name_every_stage(workspace):
    timings = segment(images.photo(24, 20), workspace=workspace).timings
    assert timings.keys() == segment(images.photo(24, 20), backend="cpu").timings.keys()
    assert all(seconds >= 0 for seconds in timings.values())


STRIDED = {
    "flipped": lambda image: image[::-1, ::-1],
    "transposed": lambda image: image.transpose(1, 0, 2),
    "every second": lambda image: image[::2, ::3],
    "BGR": lambda image: image[:, :, ::-1],
    "one row again and again": lambda image: (
        image[[0] * 30] if ON_GPU else np.broadcast_to(image[:1], image.shape)
    ),
    "gray plane": lambda image: image[:, :, 1],
    "one channel": lambda image: image[:, :, 1:2],
}


@pytest.mark.parametrize("view", STRIDED)
@pytest.mark.parametrize("place", [lambda image, view: view(image), on_device], ids=["host", "device"])
def test_any_strides(view, place, workspace):
    image = images.photo(40, 30)
    viewed = STRIDED[view](image)
    actual = segment(place(image, STRIDED[view]), workspace=workspace)
    assert_same_hierarchy(actual, segment(viewed, backend="cpu"))
    assert actual.regions(3).area.sum() == viewed.shape[0] * viewed.shape[1]


@pytest.mark.parametrize("name", ["rgba-45x35", "gray-45x35"])
def test_alpha_and_gray_on_the_device(name, workspace):
    image = images.SMALL[name]()
    actual = segment(on_device(image, lambda array: array[::-1]), workspace=workspace)
    assert_same_hierarchy(actual, segment(image[::-1], backend="cpu"))


WRONG = {
    "zero size": (np.zeros((0, 5, 3), np.uint8), "1 to"),
    "dtype": (np.zeros((4, 5, 3), np.float32), "uint8, got float32"),
    "five channels": (np.zeros((4, 5, 5), np.uint8), r"\(4, 5, 5\)"),
    "one dimension": (np.zeros(5, np.uint8), r"\(5,\)"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_images_get_the_same_error_everywhere(wrong, workspace):
    image, message = WRONG[wrong]
    texts = set()
    for call in (
        lambda: segment(image, backend="cpu"),
        lambda: segment(image, workspace=workspace),
        lambda: segment(on_device(image), workspace=workspace),
    ):
        with pytest.raises(InvalidImage, match=message) as caught:
            call()
        texts.add(str(caught.value))
    assert len(texts) == 1
    segment(images.photo(8, 8), workspace=workspace)


def test_device_memory_needs_the_cuda_backend():
    with pytest.raises(InvalidImage, match="GPU's memory"):
        segment(on_device(images.photo(8, 8)), backend="cpu")


def test_a_workspace_serves_one_call_at_a_time():
    started, go_on = threading.Event(), threading.Event()
    token = kernels.CancelToken()

    class Slow(Device):
        def launch(self, *args, **options):
            started.set()
            assert go_on.wait(60)
            super().launch(*args, **options)

    busy = open_workspace(base=Slow)
    errors = []

    def first():
        try:
            segment(images.photo(8, 8), workspace=busy, cancel=token)
        except Cancelled as error:
            errors.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    assert started.wait(60)
    with pytest.raises(RuntimeError, match="in use by another call"):
        segment(images.photo(8, 8), workspace=busy)
    token.cancel()
    go_on.set()
    thread.join()
    assert len(errors) == 1  # it stopped after the stage that ran
    assert_same_hierarchy(
        segment(images.photo(8, 8), workspace=busy), segment(images.photo(8, 8), backend="cpu")
    )


def test_threads_with_a_workspace_each():
    """At the same time, each going through the images in another order."""
    names = ("photo-80x60", "golden-60x40", "noise-37x41", "rgba-45x35")
    expected = {name: segment(IMAGES[name](), backend="cpu") for name in names}
    start = threading.Barrier(len(names))

    def work(rank):
        own = open_workspace(seed=rank)
        start.wait()
        for name in (*names[rank:], *names[:rank]):
            assert_same_hierarchy(segment(IMAGES[name](), workspace=own), expected[name])

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(work, range(len(names))))


def test_workspace_of_another_backend(workspace):
    with pytest.raises(InvalidParameter, match="workspace"):
        segment(images.photo(8, 8), backend="cpu", workspace=workspace)
    with pytest.raises(InvalidParameter, match="workspace"):
        segment(images.photo(8, 8), backend="cuda", workspace=kernels.Workspace())


# --- memory -------------------------------------------------------------------------------------------------


def test_bytes_needed_is_what_is_allocated():
    for name in ("photo-80x60", "noise-1x1", "golden-101x1"):
        image = images.SMALL[name]()
        line = open_pipeline()
        with line.device.active():
            line.segment(as_pixels(image), image.shape[:2], Settings(10.0))
        assert line.workspace.bytes == bytes_needed(image.shape[1], image.shape[0], tuning=TUNING)


def test_more_regions_than_guessed():
    """Noise: the first pass finds that there is no room, the second one has it."""
    image = images.noise(80, 60)
    actual = assert_equal_stages(image, 10.0, seed=6)
    regions = len(actual["nodes"])
    assert regions > Grid(80, 60).regions_guess
    line = open_pipeline()
    with line.device.active():
        line.segment(image, (60, 80), Settings(10.0))
    assert line.workspace.bytes == bytes_needed(80, 60, regions=regions, tuning=TUNING)


def test_the_cap_is_checked_before_anything_is_allocated():
    small, large = images.photo(40, 30), images.photo(80, 60)
    cap = bytes_needed(40, 30, tuning=TUNING)
    capped = open_workspace(limit_bytes=cap)
    with pytest.raises(OutOfMemory, match=f"cap is {cap}"):
        segment(large, workspace=capped)
    assert capped.bytes == 0
    assert_same_hierarchy(segment(small, workspace=capped), segment(small, backend="cpu"))
    assert capped.bytes == cap


def test_memory_above_what_is_kept_is_given_back():
    line = open_workspace(kept_bytes=bytes_needed(40, 30, tuning=TUNING))
    small, large = images.photo(40, 30), images.photo(80, 60)
    for image, held in ((small, bytes_needed(40, 30, tuning=TUNING)), (large, 0), (small, None)):
        assert_same_hierarchy(segment(image, workspace=line), segment(image, backend="cpu"))
        assert held is None or line.bytes == held


def test_noise_finds_room_that_was_made_before():
    line = open_pipeline()
    stages = []
    with line.device.active():
        for passes in (2, 1):
            stages.clear()
            image, settings = images.noise(80, 60), Settings(10.0)
            line.segment(image, (60, 80), settings, observe=lambda name, _: stages.append(name))
            assert stages.count("graph") == passes


@pytest.mark.parametrize(("width", "height"), [(1, 10**8), (10**8, 1), (3, 30_000_000)])
def test_thin_images_ask_for_little_more_than_square_ones(width, height):
    """They have up to eight times the cells, each at least one region."""
    side = int((width * height) ** 0.5)
    assert bytes_needed(width, height) < 2 * bytes_needed(side, side)


def test_memory_of_another_shape_makes_way():
    """Two shapes that fit one by one, but not side by side."""
    wide, tall = images.photo(200, 2), images.photo(2, 200)
    cap = max(bytes_needed(200, 2, tuning=TUNING), bytes_needed(2, 200, tuning=TUNING))
    capped = open_workspace(limit_bytes=cap)
    for image in (wide, tall, wide):
        assert_same_hierarchy(segment(image, workspace=capped), segment(image, backend="cpu"))
        assert capped.bytes <= cap


def test_out_of_memory_leaves_a_working_workspace():
    class Small(Device):
        room = 200_000

        def empty(self, count, dtype):
            self.room -= count * np.dtype(dtype).itemsize
            if self.room < 0:
                self.room = 10_000_000
                raise OutOfMemory("full")
            return super().empty(count, dtype)

    workspace = open_workspace(base=Small)
    image = images.photo(40, 30)
    with pytest.raises(OutOfMemory):
        segment(image, workspace=workspace)
    assert workspace.bytes == 0
    assert_same_hierarchy(segment(image, workspace=workspace), segment(image, backend="cpu"))


@pytest.mark.parametrize("edges", [1, 31, 32, 33, 100, 4096, 4097, 10**8])
def test_table_slots_are_a_power_of_two_and_half_empty(edges):
    slots = table_slots(edges)
    assert slots & (slots - 1) == 0
    assert slots >= 2 * edges
    assert slots == 64 or slots < 4 * edges


# --- where there is no GPU ----------------------------------------------------------------------------------


@pytest.mark.skipif(kernels.why_no_cuda() is None, reason="this machine has a GPU")
def test_without_a_gpu_the_cpu_serves_and_says_what_is_missing():
    assert kernels.available_backends() == ("cpu",)
    assert segment(images.photo(8, 8)).backend == "cpu"
    for call in (
        lambda: segment(images.photo(8, 8), backend="cuda"),
        CudaWorkspace,
    ):
        with pytest.raises(BackendUnavailable, match=r"backend 'cuda': (CuPy is not installed|no )"):
            call()
