"""Tiles computed by the CUDA engine: the bits of the C++ engine's tiles, and of `segment`."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from superpixel_kernels import CancelToken, Guidance, SegmentParams, segment
from superpixel_kernels.cuda import bytes_needed
from superpixel_kernels.cuda import tile as cuda_tile
from superpixel_kernels.cuda.guidance import kind_of
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import grid_of, layout_bytes
from superpixel_kernels.errors import Cancelled, DeviceLost, InvalidImage, OutOfMemory
from superpixel_kernels.guidance import FittedGuidance
from superpixel_kernels.tiled import (
    CudaWorkers,
    GuidanceSources,
    TilePlan,
    TileWorkers,
    compute_tile,
    segment_tiled,
)
from superpixel_kernels.tiled.workers import TILES_ON_GPU
from tests.kernels import golden_guidance, images
from tests.kernels.any_image import COMPACTNESS, checked
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.devices import ON_GPU, TUNING, Device, open_pipeline, open_workspace
from tests.kernels.guided import any_guidance
from tests.kernels.marks import marked
from tests.kernels.test_mask import masked_case
from tests.kernels.test_tiled import HOSTILE
from tests.kernels.test_tiled_margin import IMAGE as FAR_IMAGE
from tests.kernels.test_tiled_margin import PARAMS as FAR_PARAMS
from tests.kernels.tiled_tools import CountingSource, MemoryStore, assert_equal_to_segment
from tests.kernels.traces import assert_same

pytestmark = [
    pytest.mark.cuda_sim,
    pytest.mark.unsanitized,  # builds and starts other programs
]


def cuda_workers(threads=1, cancel=None, base=Device, opened=None):
    def open_workspace_on(device, kept_bytes):
        assert device == 0
        found = open_workspace(3, base, kept_bytes=kept_bytes)
        if opened is not None:
            opened.append(found)
        return found

    return CudaWorkers(threads, cancel, open_workspace=open_workspace_on)


@pytest.fixture
def workers():
    return cuda_workers()


@pytest.fixture
def workspace():
    return open_workspace(seed=5)


# --- one tile -----------------------------------------------------------------------------------------------

MAPS = {
    "none": {},
    "edges": {"edges": 1},
    "soft": {"edges": 1, "prior": 1, "importance": 1},
    "hard": {"edges": 1, "prior": 1, "importance": 1, "prior_mode": "hard"},
}


def crop_of(plan, tile, name="photo", kind="none"):
    """Pixels and guidance of a tile and its margin."""
    y0, y1, x0, x1 = plan.crop(tile)
    height, width = y1 - y0, x1 - x0
    maps = {
        key: value if key == "prior_mode" else getattr(golden_guidance, key)(width, height)
        for key, value in MAPS[kind].items()
    }
    guidance = FittedGuidance(shape=(height, width), **maps) if maps else None
    return HOSTILE[name](width, height), guidance


def sorted_edges(result):
    """The edges of each owned region by their other end: their order has no meaning."""
    owner = np.repeat(np.arange(len(result.degrees)), result.degrees)
    return result.edges[np.lexsort((result.edges[:, 0], owner))]


def assert_same_tile(actual, expected):
    assert_same("edges", sorted_edges(actual), sorted_edges(expected))
    for name in ("labels", "first", "owned", "sums", "degrees", "importance", "prior"):
        here, there = getattr(actual, name), getattr(expected, name)
        assert (here is None) == (there is None), name
        if there is not None:
            assert here.flags.c_contiguous, name
            assert_same(name, here, there)


# Of each grid step: height, width and tile of an image, thin so that crops are small.
STEPS = {4: (31, 1100, 40), 5: (41, 2100, 33), 6: (37, 4000, 41), 7: (3000, 70, 25), 8: (27, 10007, 32)}
# The first tile, one in the middle, and the last one, whose cells have the remainder.
PLACES = [(0, "noise"), (0.5, "photo"), (1, "primaries")]
TILES = [(step, place, name, kind) for step in STEPS for place, name in PLACES for kind in MAPS]


@pytest.mark.parametrize(
    "row",
    # By default each step has three kinds of guidance, and each kind each place.
    marked(
        TILES,
        pytest.mark.slow,
        [row for row in TILES if (row[0] + list(MAPS).index(row[3])) % 4 != int(2 * row[1])],
    ),
    ids=lambda row: "-".join(map(str, row)),
)
def test_tiles_of_every_grid_step(row, workspace):
    step, place, name, kind = row
    height, width, side = STEPS[step]
    plan = TilePlan(SegmentParams(), height, width, 3, side)
    assert plan.step == step
    tile = list(plan)[int(place * (len(plan) - 1))]
    pixels, guidance = crop_of(plan, tile, name, kind)
    expected = compute_tile(plan, tile, pixels, guidance)
    assert (expected.prior is None) == (kind != "hard")
    assert_same_tile(compute_tile(plan, tile, pixels, guidance, workspace=workspace), expected)


def test_first_pixels_beyond_32_bits(workspace):
    plan = TilePlan(SegmentParams(), 2**18 - 3, 2**18 - 5, 3, 29)
    tile = (plan.rows - 1, plan.columns - 1)
    pixels, _ = crop_of(plan, tile)
    actual = compute_tile(plan, tile, pixels, workspace=workspace)
    assert_same_tile(actual, compute_tile(plan, tile, pixels))
    assert actual.first.min() > 2**35


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_more_regions_and_labels_than_there_is_room_for(mode):
    """Noise, and every pixel has a prior label of its own: the stages run again with more room."""
    plan = TilePlan(SegmentParams(), 60, 80, 3, 90)
    pixels, _ = crop_of(plan, (0, 0), "noise" if mode == "hard" else "photo")
    prior = np.random.default_rng(1).permutation(60 * 80).reshape(60, 80).astype(np.int32)
    guidance = FittedGuidance(shape=(60, 80), prior=prior, prior_mode=mode)
    actual = compute_tile(plan, (0, 0), pixels, guidance, workspace=open_workspace())
    assert_same_tile(actual, compute_tile(plan, (0, 0), pixels, guidance))
    assert (len(actual.first) > grid_of(80, 60).regions_guess) == (mode == "hard")


def test_tiles_and_images_in_turn():
    """What one left in the workspace does not matter to the other."""
    workspace = open_workspace()
    plan = TilePlan(SegmentParams(), 40, 60, 3, 32)
    for tile, kind in zip(plan, ("hard", "none", "soft", "none"), strict=True):
        pixels, guidance = crop_of(plan, tile, kind=kind)
        actual = compute_tile(plan, tile, pixels, guidance, workspace=workspace)
        assert_same_tile(actual, compute_tile(plan, tile, pixels, guidance))
        assert_same_hierarchy(segment(pixels, workspace=workspace), segment(pixels, backend="cpu"))


@pytest.mark.parametrize("kind", MAPS)
def test_a_tile_takes_the_memory_of_its_crop_in_an_image_of_any_size(kind):
    for width in (300, 30_000_000):
        plan = TilePlan(SegmentParams(), 24, width, 3, 8)
        tile = (1, plan.columns // 2)
        pixels, guidance = crop_of(plan, tile, kind=kind)
        workspace = open_workspace()
        compute_tile(plan, tile, pixels, guidance, workspace=workspace)
        grid = grid_of(pixels.shape[1], pixels.shape[0], plan.step)
        arrays = cuda_tile.layout(grid, 3, grid.regions_guess, TUNING, kind_of(guidance))
        assert workspace.bytes == layout_bytes(arrays)
        # An image of this size has the memory of the merge too.
        whole = bytes_needed(grid.width, grid.height, tuning=TUNING, guidance=kind_of(guidance))
        assert workspace.bytes < whole


def test_a_tile_above_the_cap_is_rejected():
    plan = TilePlan(SegmentParams(), 50, 60, 3, 32)
    capped = open_workspace(limit_bytes=10_000)
    with pytest.raises(OutOfMemory, match="the cap is 10000"):
        compute_tile(plan, (0, 0), crop_of(plan, (0, 0))[0], workspace=capped)
    assert capped.bytes == 0


def test_pixels_of_another_size_are_rejected(workspace):
    plan = TilePlan(SegmentParams(), 50, 60, 3, 32)
    with pytest.raises(InvalidImage, match=r"^pixels: must be those of 50 x 60"):
        compute_tile(plan, (0, 0), images.photo(59, 50), workspace=workspace)


@pytest.mark.skipif(ON_GPU, reason="compute-sanitizer looks for these there")
@pytest.mark.parametrize("mode", ["race", pytest.param("asan", marks=pytest.mark.slow)])
def test_no_races_and_no_stray_accesses(mode):
    plan = TilePlan(SegmentParams(), 23, 90, 3, 20)
    tile = (0, 2)
    pixels, guidance = crop_of(plan, tile, kind="hard")
    top, _, left, _ = plan.crop(tile)
    y0, y1, x0, x1 = plan.window(tile)
    window = (y0 - top, y1 - top, x0 - left, x1 - left)
    line = open_pipeline(4, mode=mode)
    with line.device.active():
        parts = line.compute_tile(pixels, plan.step, window, Settings(10.0), guidance=guidance)
    labels, first, *_ = cuda_tile.arrays_of(parts, pixels.shape[1], window, (top, left), plan.width)
    expected = compute_tile(plan, tile, pixels, guidance)
    assert_same("labels", labels, expected.labels)
    assert_same("first", first, expected.first)


# --- whole runs ---------------------------------------------------------------------------------------------


@st.composite
def cases(draw, sides):
    """An image, and arguments of guidance."""
    height, width = draw(st.one_of(st.tuples(sides, sides), st.tuples(st.integers(1, 5), sides)))
    image = HOSTILE[draw(st.sampled_from(sorted(HOSTILE)))](width, height)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return image, any_guidance(random, height, width) if draw(st.booleans()) else {}


all_on_one_device = settings(checked, suppress_health_check=[HealthCheck.function_scoped_fixture])


def assert_tiles_change_nothing(workers, case, tile, compactness):
    image, arguments = case
    params = SegmentParams(compactness=compactness)
    guidance = Guidance(**arguments) if arguments else None
    tiled = segment_tiled(
        image, params, tile=tile, threads=1, workers=workers, guidance=guidance, store=MemoryStore()
    )
    assert_equal_to_segment(tiled, image, params, guidance)


@settings(all_on_one_device, max_examples=40)
@given(cases(st.integers(1, 100)), st.integers(32, 96), COMPACTNESS)
def test_any_image_in_any_tiles_gives_the_bits_of_segment(workers, case, tile, compactness):
    assert_tiles_change_nothing(workers, case, tile, compactness)


@pytest.mark.slow
@settings(all_on_one_device, max_examples=120)
@given(cases(st.integers(1, 200)), st.integers(32, 96), COMPACTNESS)
def test_any_larger_image_in_any_tiles_gives_the_bits_of_segment(workers, case, tile, compactness):
    assert_tiles_change_nothing(workers, case, tile, compactness)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "height", "tile"), [(311, 293, 96), (480, 320, 200), (487, 397, 130), (501, 467, 256)]
)
@pytest.mark.parametrize("name", ["noise", "photo"])
def test_every_grid_step(workers, name, width, height, tile):
    assert_tiles_change_nothing(workers, (HOSTILE[name](width, height), {}), tile, 10.0)


def test_the_margin_is_wide_enough_for_the_image_that_needs_most(workers):
    tiled = segment_tiled(FAR_IMAGE, FAR_PARAMS, tile=4, threads=1, workers=workers, store=MemoryStore())
    assert_equal_to_segment(tiled, FAR_IMAGE, FAR_PARAMS)


# Of a mask and guidance; the first without guidance.
@pytest.mark.parametrize("seed", marked(range(24), pytest.mark.slow, range(4, 24)))
def test_masks(workers, seed):
    image = images.photo(61, 37)
    mask, arguments = masked_case(image, seed)
    whole = segment(image, mask=mask, guidance=Guidance(**arguments) if arguments else None, backend="cpu")
    maps = GuidanceSources(**arguments) if arguments else None
    tiled = segment_tiled(
        image, tile=32, threads=1, workers=workers, store=MemoryStore(), guidance=maps, mask=mask
    )
    assert_same_hierarchy(tiled, whole)
    assert tiled.prior_components == whole.prior_components
    for count in {1, 1 + whole.base_count // 3, whole.base_count}:
        np.testing.assert_array_equal(tiled.cut(count), whole.cut(count))


def test_few_tiles_are_on_the_gpu_whatever_the_number_of_threads():
    opened = []
    workers = cuda_workers(threads=4, opened=opened)
    assert isinstance(workers, TileWorkers)
    assert (workers.count, len(opened)) == (4, TILES_ON_GPU)
    image = images.primaries(70, 40)
    tiled = segment_tiled(image, tile=20, workers=workers, store=MemoryStore())
    assert_equal_to_segment(tiled, image)
    assert all(workspace.bytes > 0 for workspace in opened)


# --- what ends a run ----------------------------------------------------------------------------------------

IMAGE = images.photo(90, 40)
ALL_TILES = 2 * 3  # of 32 pixels


def finished(store):
    return sum(name == "graph" for name, _ in store.arrays)


@pytest.mark.parametrize("then", ["cpu", "cuda"])
def test_a_cancelled_run_goes_on_with_either_engine(then, workers):
    token, store, seen = CancelToken(), MemoryStore(), []

    def progress(at):
        seen.append((at.stage, at.tiles_done, at.tiles))
        if at.tiles_done == 2:
            token.cancel()

    source = CountingSource(IMAGE, fingerprint="one")
    cancelled = cuda_workers(cancel=token)
    with pytest.raises(Cancelled):
        segment_tiled(source, tile=32, workers=cancelled, store=store, cancel=token, progress=progress)
    assert seen == [("tiles", 1, ALL_TILES), ("tiles", 2, ALL_TILES)]
    assert finished(store) == 2
    source.windows.clear()
    later = {"workers": workers} if then == "cuda" else {}
    assert_equal_to_segment(segment_tiled(source, tile=32, threads=1, store=store, **later), IMAGE)
    assert len(source.windows) == ALL_TILES - 2


def test_a_tile_is_cancelled_between_its_stages():
    token, launched = CancelToken(), []

    class Cancels(Device):
        def launch(self, kernel, *args, **options):
            launched.append(kernel)
            if kernel == "slic_update":
                token.cancel()
            super().launch(kernel, *args, **options)

    with pytest.raises(Cancelled):
        cuda_workers(cancel=token, base=Cancels).compute(
            TilePlan(SegmentParams(), 40, 90, 3, 90), (0, 0), IMAGE, None, bytes(32)
        )
    assert launched.count("slic_update") == 1
    assert "components_label" not in launched


def test_a_lost_device_ends_the_run_and_the_cpu_goes_on():
    store, graphs = MemoryStore(), []

    class Lost(Device):
        def launch(self, kernel, *args, **options):
            graphs.append(kernel == "tile_regions")
            if sum(graphs) > 3:
                raise DeviceLost("the GPU failed: cudaErrorIllegalAddress")
            super().launch(kernel, *args, **options)

    source = CountingSource(IMAGE, fingerprint="one")
    with pytest.raises(DeviceLost, match=r"^the GPU failed: cudaErrorIllegalAddress$"):
        segment_tiled(source, tile=32, workers=cuda_workers(base=Lost), store=store)
    assert finished(store) == 3
    source.windows.clear()
    assert_equal_to_segment(segment_tiled(source, tile=32, threads=1, store=store), IMAGE)
    assert len(source.windows) == ALL_TILES - 3


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU, or CuPy's simulation")
def test_the_backend_by_its_name():
    image = images.photo(150, 110)
    assert_equal_to_segment(segment_tiled(image, tile=64, backend="cuda", store=MemoryStore()), image)
    assert_equal_to_segment(segment_tiled(image, tile=64, backend="auto", store=MemoryStore()), image)
