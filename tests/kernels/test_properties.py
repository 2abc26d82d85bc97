"""What must hold for any image, by hypothesis and on images made to be hostile."""

import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpixel_kernels import CancelToken, SegmentParams, Workspace, available_backends, segment
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import BackendUnavailable, Cancelled, InvalidImage, InvalidParameter
from superpixel_kernels.pixels import as_pixels
from tests.kernels import images, reference

# The same examples in every run, and no limit of time: a failure is always one of the code.
checked = settings(derandomize=True, deadline=None, max_examples=60)
checked_more_often = settings(checked, max_examples=180)

THREADS = (1, 2, 3, 7)

# --- random images ------------------------------------------------------------------------------------------


def noise(random, height, width):
    return random.integers(0, 256, (height, width, 3), np.uint8)


def few_colors(random, height, width):
    return noise(random, 1, 3)[0][random.integers(0, 3, (height, width))]


def two_near_colors(random, height, width):
    return (100 + random.integers(0, 2, (height, width, 1)) * random.integers(0, 3, 3)).astype(np.uint8)


def blocks(random, height, width):
    cells = noise(random, height // 5 + 1, width // 5 + 1)
    return cells.repeat(5, axis=0).repeat(5, axis=1)[:height, :width]


def gradient(random, height, width):
    y, x = np.indices((height, width))
    slope = y * random.integers(0, 9) + x * random.integers(0, 9)
    return (slope[..., np.newaxis] + random.integers(0, 256, 3)).astype(np.uint8)


def flat(random, height, width):
    return np.broadcast_to(noise(random, 1, 1), (height, width, 3)).copy()


STYLES = st.sampled_from([noise, few_colors, two_near_colors, blocks, gradient, flat])

SHAPES = st.one_of(
    st.tuples(st.integers(1, 22), st.integers(1, 22)),
    st.tuples(st.just(1), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.just(1)),
    st.sampled_from([(1, 1), (2, 2), (13, 17), (2, 3), (4, 4), (7, 5)]),
)

COMPACTNESS = st.sampled_from([0.0, 0.3, 10.0, 12.34, 100.0])


@st.composite
def small_images(draw):
    height, width = draw(SHAPES)
    style = draw(STYLES)
    return style(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), height, width)


def results(hierarchy):
    """All that a segmentation gives, as bytes."""
    return tuple(
        part.tobytes() for part in (hierarchy.base_labels, hierarchy.merges, hierarchy.pixel_merges())
    )


def assert_partition(labels, count):
    """Labels 0..count-1 by first appearance, each one 4-connected region."""
    assert labels.dtype == np.int32
    # Components are numbered by first appearance: such a map is the map of its own components.
    np.testing.assert_array_equal(labels, reference.components(labels))
    assert labels.max() + 1 == count


def assert_nested(fine, coarse):
    """Each label of the fine map lies in one label of the coarse map."""
    np.testing.assert_array_equal(reference.lut(fine, coarse)[fine], coarse)


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


# --- threads, workspaces, cancellation ----------------------------------------------------------------------

THREADED = {
    "noise": lambda: images.noise(257, 203),
    "photo": lambda: images.photo(331, 257),
    "dots": lambda: images.dots(320, 240),
    "islands": lambda: images.islands(800, 700),
    "spiral": lambda: images.spiral(240, 251),
    "flat": lambda: images.flat(300, 200),
    "wide": lambda: images.noise(9001, 3),
    "tall": lambda: images.noise(3, 9001),
    "fewer rows than threads": lambda: images.golden(500, 5),
}


@pytest.mark.parametrize("name", THREADED)
def test_any_number_of_threads_gives_the_same(name):
    image = THREADED[name]()
    first, *others = (results(segment(image, threads=threads)) for threads in THREADS)
    assert others == [first] * len(others)


@checked
@given(small_images(), COMPACTNESS, st.sampled_from(THREADS))
def test_threads_on_small_images(image, compactness, threads):
    params = SegmentParams(compactness=compactness)
    assert results(segment(image, params, threads=threads)) == results(segment(image, params, threads=1))


@checked
@given(small_images(), small_images(), COMPACTNESS)
def test_what_a_workspace_held_before_does_not_matter(image, other, compactness):
    params = SegmentParams(compactness=compactness)
    workspace = Workspace(threads=2)
    segment(other, SegmentParams(compactness=3.0), workspace=workspace).cut(1)
    assert results(segment(image, params, workspace=workspace)) == results(segment(image, params))


@pytest.mark.parametrize("threads", THREADS)
def test_one_workspace_for_images_of_all_sizes(threads):
    workspace = Workspace(threads=threads)
    for name in ("noise", "fewer rows than threads", "photo", "flat", "dots", "noise"):
        image = THREADED[name]()
        assert results(segment(image, workspace=workspace)) == results(segment(image, threads=1))


@pytest.mark.parametrize("threads", THREADS)
def test_whole_pixels_are_copied_and_looked_up_by_any_number_of_threads(threads):
    """On maps large enough to be shared among threads, with a part left over at the end."""
    height, width = 1543, 1361
    workspace = Workspace(threads=threads)
    random = np.random.default_rng(5)
    for channels in (1, 3):
        pixels = random.integers(0, 256, (height, width, channels), np.uint8)
        np.testing.assert_array_equal(_engine.copy_pixels(pixels, workspace), pixels)
    rgba = random.integers(0, 256, (height, width, 4), np.uint8)
    alpha = rgba[..., 3:].astype(np.int32)
    on_white = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    np.testing.assert_array_equal(_engine.copy_pixels(rgba, workspace), on_white)
    table = random.integers(0, 2**31, 5000, np.int32)
    index = random.integers(0, 5000, (height, width), np.int32)
    np.testing.assert_array_equal(_engine.lookup(table, index, threads), table[index])


@pytest.mark.slow_under_sanitizer
def test_memory_above_what_a_workspace_keeps_is_lent_to_the_system():
    image = images.photo(1500, 1400)
    keeping, lending = Workspace(threads=2), Workspace(threads=2, kept_bytes=8 << 20)
    expected = results(segment(image, workspace=keeping))
    assert keeping.bytes > 40e6
    before = lent_bytes()
    assert results(segment(image, workspace=lending)) == expected
    # Where the system knows no lending, it is given back at once.
    assert lending.bytes == 0 or lent_bytes() - before > 0.5 * lending.bytes
    # What is not taken meanwhile is used again; what is reads as zeros.
    assert results(segment(image, workspace=lending)) == expected
    small = images.noise(64, 48)
    assert results(segment(small, workspace=lending)) == results(segment(small))


def test_small_memory_above_what_a_workspace_keeps_is_given_back():
    image = images.noise(64, 48)
    workspace = Workspace(threads=2, kept_bytes=0)
    assert results(segment(image, workspace=workspace)) == results(segment(image))
    assert workspace.bytes == 0


def lent_bytes():
    lines = Path("/proc/self/smaps").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("LazyFree:"))


def test_segments_run_side_by_side():
    pictures = [images.noise(120, 90, seed=seed) for seed in range(8)]
    expected = [results(segment(picture, threads=1)) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        actual = list(pool.map(lambda picture: results(segment(picture, threads=2)), pictures))
    assert actual == expected


@pytest.mark.parametrize("threads", THREADS)
def test_a_cancelled_token_raises_and_leaves_the_workspace_usable(threads):
    image = images.noise(64, 48)
    workspace = Workspace(threads=threads)
    token = CancelToken()
    expected = results(segment(image, cancel=token, workspace=workspace))
    token.cancel()
    assert token.cancelled
    with pytest.raises(Cancelled):
        segment(image, cancel=token, workspace=workspace)
    assert results(segment(image, workspace=workspace)) == expected


def test_the_making_of_pixel_merges_can_be_cancelled():
    hierarchy = segment(images.golden(60, 40))
    token = CancelToken()
    token.cancel()
    for ask in (
        partial(hierarchy.cut, 1500),
        partial(hierarchy.tree, 1500),
        partial(hierarchy.heights, 1500),
        partial(hierarchy.encode, 1500),
        partial(hierarchy.lut, 1500, 10),
        hierarchy.pixel_merges,
    ):
        with pytest.raises(Cancelled):
            ask(cancel=token)
    # Counts of the base need no pixel merges; and nothing was left half done.
    assert hierarchy.cut(50, cancel=token).max() + 1 == 50
    assert hierarchy.cut(1500).max() + 1 == 1500


@pytest.mark.parametrize("threads", THREADS)
def test_cancelling_while_it_runs(threads):
    # Each run goes on until it is cancelled, wherever the token finds it; the waits differ,
    # so it is found in many places. Threads that wait for each other must all let go; what is left in the
    # workspace must not matter.
    image = images.noise(300, 200)
    workspace = Workspace(threads=threads)
    expected = segment(image, workspace=workspace).merges
    for wait_ms in range(40):
        token = CancelToken()
        outcome = []

        def run(token=token, outcome=outcome):
            try:
                while True:
                    segment(image, cancel=token, workspace=workspace)
            except Cancelled:
                outcome.append("cancelled")

        # A daemon, so that a run that hangs fails this test instead of keeping the process.
        running = threading.Thread(target=run, daemon=True)
        running.start()
        time.sleep(wait_ms / 1000)
        token.cancel()
        running.join(timeout=60)
        assert outcome == ["cancelled"]
        np.testing.assert_array_equal(segment(image, workspace=workspace).merges, expected)


@pytest.mark.parametrize("threads", THREADS)
def test_a_held_call_begins_no_further_step(threads):
    """Held again and again, wherever it is; released, it goes on; the result is as if never held."""
    image = images.noise(300, 200)
    workspace = Workspace(threads=threads)
    counting = CancelToken()
    expected = results(segment(image, cancel=counting, workspace=workspace))
    assert counting.steps > 20
    token = CancelToken()
    token.hold()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(segment, image, cancel=token, workspace=workspace)
        for _ in range(200):
            begun = token.steps
            while not (token.waiting or running.done()):
                time.sleep(0.0005)
            if running.done():
                break
            assert token.steps == begun
            time.sleep(0.002)
            assert token.steps == begun
            token.release()
            token.hold()
        token.release()
        assert results(running.result()) == expected
    assert token.steps == counting.steps
    assert token.held_seconds > 0


def test_a_held_call_can_be_cancelled():
    token = CancelToken()
    token.hold()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(segment, images.noise(60, 40), cancel=token)
        while not token.waiting:
            time.sleep(0.001)
        token.cancel()
        with pytest.raises(Cancelled):
            running.result(timeout=60)
    assert token.steps == 0


def test_patience_lets_a_held_call_through_step_by_step():
    token = CancelToken()
    token.hold(0.0)
    image = images.noise(60, 40)
    assert results(segment(image, cancel=token)) == results(segment(image))
    assert token.steps > 10


@pytest.mark.parametrize("patience", [-1.0, float("nan"), 1e9])
def test_patience_out_of_range(patience):
    with pytest.raises(ValueError, match=r"^patience: "):
        CancelToken().hold(patience)


@pytest.mark.parametrize("threads", THREADS)
def test_some_of_a_workspaces_threads(threads):
    image = images.noise(257, 203)
    workspace = Workspace(threads=7)
    for use in (threads, 0, threads):
        hierarchy = segment(image, threads=use, workspace=workspace)
        assert results(hierarchy) == results(segment(image, threads=1))


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


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int32, np.float32, np.float64, bool, object])
def test_wrong_dtype(dtype):
    with pytest.raises(InvalidImage, match=np.dtype(dtype).name):
        segment(np.zeros((4, 4, 3), dtype))


@pytest.mark.parametrize("shape", [(), (4,), (4, 4, 2), (4, 4, 5), (4, 4, 0), (4, 4, 3, 1), (1, 4, 4, 3)])
def test_wrong_shape(shape):
    with pytest.raises(InvalidImage):
        segment(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0), (0, 4, 3), (4, 0, 3), (0, 0, 4)])
def test_an_image_without_pixels(shape):
    with pytest.raises(InvalidImage):
        segment(np.zeros(shape, np.uint8))


def test_an_image_too_large():
    # One byte of memory: the size must be refused before anything is copied.
    with pytest.raises(InvalidImage):
        segment(np.broadcast_to(np.uint8(0), (2**14, 2**14, 3)))


@pytest.mark.parametrize("image", [None, [[0, 1], [2, 3]], [[1], [2, 3]], b"\x89PNG", "image.png"])
def test_an_image_that_is_no_array(image):
    with pytest.raises(InvalidImage):
        segment(image)


@pytest.mark.parametrize("compactness", [np.nan, np.inf, -np.inf, -1, -1e-9, 100.001, 101, True, "10", None])
def test_bad_compactness(compactness):
    with pytest.raises(InvalidParameter, match=r"^compactness: ") as raised:
        SegmentParams(compactness=compactness)
    assert raised.value.parameter == "compactness"


BAD_COUNTS = [0, -1, 13 * 17 + 1, 2**63, True, 5.0, "5", None]


@pytest.mark.parametrize("count", BAD_COUNTS)
@pytest.mark.parametrize("method", ["cut", "tree", "heights", "encode"])
def test_bad_count(method, count):
    hierarchy = segment(images.golden(13, 17))
    with pytest.raises(InvalidParameter, match=r"^count: ") as raised:
        getattr(hierarchy, method)(count)
    assert raised.value.parameter == "count"


@pytest.mark.parametrize("count", BAD_COUNTS)
@pytest.mark.parametrize("parameter", ["fine", "coarse"])
def test_bad_lut_count(parameter, count):
    hierarchy = segment(images.golden(13, 17))
    counts = {"fine": 10, "coarse": 5} | {parameter: count}
    with pytest.raises(InvalidParameter) as raised:
        hierarchy.lut(**counts)
    assert raised.value.parameter == parameter


def test_a_lut_from_coarse_to_fine():
    hierarchy = segment(images.golden(13, 17))
    with pytest.raises(InvalidParameter) as raised:
        hierarchy.lut(fine=5, coarse=10)
    assert raised.value.parameter in ("fine", "coarse")


@pytest.mark.parametrize("threads", [-1, 2**31, True, 1.5, "2", None])
def test_bad_threads(threads):
    with pytest.raises(InvalidParameter, match=r"^threads: ") as raised:
        segment(images.golden(13, 17), threads=threads)
    assert raised.value.parameter == "threads"


def test_more_threads_than_the_workspace_has():
    with pytest.raises(InvalidParameter, match=r"^threads: must be at most the workspace's 2, got 3$"):
        segment(images.golden(13, 17), threads=3, workspace=Workspace(threads=2))


@pytest.mark.parametrize(("name", "value"), [("params", 10.0), ("cancel", object())])
def test_an_argument_of_the_wrong_type(name, value):
    with pytest.raises(InvalidParameter, match=rf"^{name}: ") as raised:
        segment(images.golden(13, 17), **{name: value})
    assert raised.value.parameter == name


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"threads": -1}, "threads"), ({"threads": 1025}, "threads"), ({"instruction_set": "mmx"}, "mmx")],
)
def test_bad_workspace(arguments, named):
    with pytest.raises(ValueError, match=named):
        Workspace(**arguments)


@pytest.mark.parametrize("backend", ["gpu", "", "CPU", None])
def test_unknown_backend(backend):
    with pytest.raises(InvalidParameter, match=r"^backend: ") as raised:
        segment(images.golden(13, 17), backend=backend)
    assert raised.value.parameter == "backend"


def test_a_backend_this_machine_lacks():
    available = available_backends()
    assert "cpu" in available
    for backend in {"cpu", "cuda"}.difference(available):
        with pytest.raises(BackendUnavailable):
            segment(images.golden(13, 17), backend=backend)


def test_a_forked_child_is_told_to_make_its_own_workspace():
    workspace = Workspace(threads=2)
    image = images.photo(60, 50)
    before = segment(image, workspace=workspace)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # from Python 3.12 on, for forking with threads: the point
        child = os.fork()
    if child == 0:
        status = 1
        try:
            segment(image, workspace=workspace)
        except RuntimeError as error:
            del workspace
            status = 0 if "fork" in str(error) and np.array_equal(segment(image).merges, before.merges) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
