"""What must hold for guidance of any image: random images and random maps, in all modes."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import CancelToken, Guidance, SegmentParams, Workspace, codec, segment
from superpixel_kernels.errors import Cancelled
from tests.kernels import golden_guidance, images, reference
from tests.kernels.any_image import (
    COMPACTNESS,
    THREADS,
    assert_nested,
    assert_partition,
    checked,
    results,
    small_images,
)
from tests.kernels.guided import any_guidance, reference_maps
from tests.kernels.traces import trace

SEEDS = st.integers(0, 2**32 - 1)


def guided(image, seed, **fixed):
    """Arguments of random guidance for an image."""
    return any_guidance(np.random.default_rng(seed), *image.shape[:2]) | fixed


# --- neutral maps -------------------------------------------------------------------------------------------


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_neutral_maps_give_the_bits_of_no_guidance(image, compactness, seed):
    random = np.random.default_rng(seed)
    shape = random.integers(1, 30, 2)
    label = int(random.integers(0, 2**31))
    arguments = {
        "edges": np.full(shape, random.integers(0, 256), np.uint8),
        "edge_weight": int(random.integers(0, 9)),
        "prior": np.full(shape[::-1], label),
        "prior_mode": ["soft", "hard"][random.integers(2)],
        "prior_weight": int(random.integers(0, 513)),
        "importance": np.zeros(shape, np.uint8),
    }
    for name in ("edges", "prior", "importance"):
        if random.random() < 0.3 and not (name == "prior" and arguments["prior_mode"] == "hard"):
            del arguments[name]
    params = SegmentParams(compactness=compactness)
    assert results(segment(image, params, guidance=Guidance(**arguments))) == results(segment(image, params))
    # The package drops neutral maps before the engine sees them; the formulas alone must say so too.
    plain = reference.trace(image, compactness)
    same = reference.trace(image, compactness, reference_maps(arguments, *image.shape[:2]))
    np.testing.assert_array_equal(same.base, plain.base)
    np.testing.assert_array_equal(same.merges, plain.merges)


@pytest.mark.parametrize("instructions", ["plain", "auto"])
def test_an_engine_that_sees_a_neutral_map_gives_the_bits_of_no_guidance(instructions):
    """A map that is almost constant: it differs at one pixel, which lies inside a base region."""
    image = images.photo(80, 60)
    workspace = Workspace(threads=1, instruction_set=instructions)
    plain = segment(image, workspace=workspace)
    base = plain.base_labels
    inner = (base[1:-1, 1:-1] == base[:-2, 1:-1]) & (base[1:-1, 1:-1] == base[2:, 1:-1])
    inner &= (base[1:-1, 1:-1] == base[1:-1, :-2]) & (base[1:-1, 1:-1] == base[1:-1, 2:])
    y, x = np.argwhere(inner)[0] + 1
    edges = np.full((60, 80), 200, np.uint8)
    edges[y, x] = 201  # the mean, rounded down, stays 200
    prior = np.full((60, 80), 5)
    prior[y, x] = 6  # the majority stays 5
    guidance = Guidance(edges=edges, edge_weight=8, prior=prior, prior_weight=512)
    assert not guidance.fitted(60, 80).is_neutral
    assert results(segment(image, guidance=guidance, workspace=workspace)) == results(plain)


# --- counts, nesting ----------------------------------------------------------------------------------------


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_every_count_is_exact_connected_canonical_and_nested(image, compactness, seed):
    guidance = Guidance(**guided(image, seed))
    hierarchy = segment(image, SegmentParams(compactness=compactness), guidance=guidance)
    assert_partition(hierarchy.base_labels, hierarchy.base_count)
    pixels = image.shape[0] * image.shape[1]
    finer = hierarchy.cut(pixels)
    for count in sorted({*range(1, pixels, max(1, pixels // 40)), hierarchy.base_count}, reverse=True):
        labels = hierarchy.cut(count)
        assert_partition(labels, count)
        assert_nested(finer, labels)
        finer = labels


@checked
@given(small_images(), SEEDS, st.data())
def test_separate_calls_of_the_same_guidance_are_nested(image, seed, data):
    arguments = guided(image, seed)
    counts = st.integers(1, image.shape[0] * image.shape[1])
    coarse, fine = sorted((data.draw(counts), data.draw(counts)))
    threads = data.draw(st.sampled_from(THREADS))
    one = segment(image, guidance=Guidance(**arguments)).cut(fine)
    other = segment(image.copy(), guidance=Guidance(**arguments), threads=threads).cut(coarse)
    assert_nested(one, other)


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_a_hard_prior_has_its_components_as_superpixels(image, compactness, seed):
    arguments = guided(image, seed)
    if "prior" not in arguments:
        return
    arguments["prior_mode"] = "hard"
    maps = reference_maps(arguments, *image.shape[:2])
    expected = reference.components(maps.prior)
    hierarchy = segment(image, SegmentParams(compactness=compactness), guidance=Guidance(**arguments))
    count = int(expected.max()) + 1
    np.testing.assert_array_equal(hierarchy.cut(count), expected)
    if count == 1:
        assert hierarchy.prior_components is None  # neutral
        return
    assert hierarchy.prior_components == count
    # Heights fall at that count at most, and each list is sorted.
    split = hierarchy.base_count - count
    for records in (hierarchy.merges[:split], hierarchy.merges[split:]):
        keys = [record.item() for record in records]
        assert keys == sorted(keys)


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_above_the_base_only_a_hard_prior_matters(image, compactness, seed):
    params = SegmentParams(compactness=compactness)
    arguments = guided(image, seed, prior_mode="soft")
    one = segment(image, params, guidance=Guidance(**arguments))
    plain = segment(image, params)
    np.testing.assert_array_equal(one.base_labels, plain.base_labels)
    np.testing.assert_array_equal(one.pixel_merges(), plain.pixel_merges())


@checked
@given(small_images(), SEEDS)
def test_trees_yield_every_coarser_cut(image, seed):
    hierarchy = segment(image, guidance=Guidance(**guided(image, seed)))
    fine = min(hierarchy.base_count + 3, image.shape[0] * image.shape[1])
    tree = hierarchy.tree(fine)
    assert len(hierarchy.heights(fine)) == fine - 1
    for count in range(1, fine + 1, max(1, fine // 20)):
        lut, following = [0], 1
        for into, order in zip(tree.into, tree.order, strict=True):
            if order < fine - count:
                lut.append(lut[into])
            else:
                lut.append(following)
                following += 1
        np.testing.assert_array_equal(lut, hierarchy.lut(fine=fine, coarse=count))


def test_a_label_map_keeps_heights_that_fall_at_the_prior_s_count():
    image = images.photo(80, 60)
    prior = golden_guidance.prior(80, 60)
    hierarchy = segment(image, guidance=Guidance(prior=prior, prior_mode="hard"))
    count = hierarchy.prior_components
    heights = hierarchy.heights(hierarchy.base_count)
    split = hierarchy.base_count - count
    assert np.flatnonzero(np.diff(heights) < 0).tolist() == [split - 1]
    label_map = codec.decode(hierarchy.encode(hierarchy.base_count, include_hierarchy=True))
    assert np.flatnonzero(np.diff(label_map.heights) < 0).tolist() == [split - 1]
    for wanted in (hierarchy.base_count, count + 1, count, count - 1, 2):
        np.testing.assert_array_equal(label_map.labels_at(wanted), hierarchy.cut(wanted))


# --- threads, workspaces, cancelling ------------------------------------------------------------------------


@checked
@given(small_images(), small_images(), SEEDS, SEEDS)
def test_what_a_workspace_held_before_does_not_matter(image, other, seed, other_seed):
    workspace = Workspace(threads=2)
    segment(other, guidance=Guidance(**guided(other, other_seed)), workspace=workspace)
    guidance = Guidance(**guided(image, seed))
    expected = results(segment(image, guidance=guidance, threads=1))
    assert results(segment(image, guidance=guidance, workspace=workspace)) == expected
    assert results(segment(image, workspace=workspace)) == results(segment(image))


MODES = {
    "soft": {"prior_mode": "soft"},
    "hard": {"prior_mode": "hard"},
    "hash": {"prior_mode": "hard", "prior": golden_guidance.hash_prior(257, 203)},
}


@functools.cache
def threaded(mode):
    """An image with enough edges that threads share the rounds of both runs, and all three maps."""
    arguments = {
        "edges": golden_guidance.edges(257, 203),
        "prior": golden_guidance.prior(257, 203),
        "importance": golden_guidance.importance(257, 203),
    }
    return images.noise(257, 203), Guidance(**arguments | MODES[mode])


@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_threads_and_instruction_set_gives_the_same(mode):
    image, guidance = threaded(mode)
    workspaces = [Workspace(threads=threads) for threads in THREADS]
    workspaces.append(Workspace(threads=1, instruction_set="plain"))
    first, *others = (segment(image, guidance=guidance, workspace=workspace) for workspace in workspaces)
    for other in others:
        assert other.prior_components == first.prior_components
        np.testing.assert_array_equal(other.base_labels, first.base_labels)
        np.testing.assert_array_equal(other.merges, first.merges)


@pytest.mark.parametrize("mode", MODES)
def test_any_number_of_threads_gives_the_same_stages(mode):
    image, guidance = threaded(mode)
    first, *others = (trace(image, 10.0, Workspace(threads=threads), guidance) for threads in (1, 2, 3))
    for other in others:
        assert other.keys() == first.keys()
        for stage in other:
            np.testing.assert_array_equal(other[stage], first[stage], err_msg=stage)


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("mode", MODES)
def test_cancelling_at_every_stage_and_round(mode, threads):
    image, guidance = threaded(mode)
    workspace = Workspace(threads=threads)
    counting = CancelToken()
    expected = segment(image, guidance=guidance, workspace=workspace, cancel=counting).merges
    for wanted in range(1, counting.steps, 9):
        token = CancelToken()
        token.hold()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(segment, image, guidance=guidance, workspace=workspace, cancel=token)
            while token.steps < wanted and not running.done():
                if token.waiting:
                    token.release()
                    token.hold()
            token.cancel()
            if token.steps < counting.steps:
                with pytest.raises(Cancelled):
                    running.result()
    np.testing.assert_array_equal(segment(image, guidance=guidance, workspace=workspace).merges, expected)


# --- memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_memory_within_12_bytes_per_pixel(mode):
    """Private copies of the maps and what the workspace takes more, on an image like a photograph."""
    height, width = 700, 900
    image = images.photo(width, height)
    sizes = []
    y, x = np.indices((height, width))
    prior = (x // 90 + 10 * (y // 70)).astype(np.int32)
    guidance = Guidance(
        edges=golden_guidance.edges(width, height),
        prior=prior,
        prior_mode=mode,
        importance=golden_guidance.importance(width, height),
    )
    fitted = guidance.fitted(height, width)
    maps = sum(values.nbytes for values in (fitted.edges, fitted.prior, fitted.importance))
    for maps_given in (None, fitted):
        workspace = Workspace(threads=1)
        segment(image, guidance=maps_given, workspace=workspace)
        sizes.append(workspace.bytes)
    assert maps + sizes[1] - sizes[0] <= 12 * height * width
