"""A mask: pixels outside belong to no superpixel. The same in the reference, in C++, in CUDA and by tiles."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import (
    OUTSIDE,
    Guidance,
    Hierarchy,
    MaskedHierarchy,
    SegmentParams,
    measure_adjacency,
    segment,
    snap_mask,
)
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.tiled import GuidanceSources, open_tiled, segment_tiled
from tests.kernels import images, reference
from tests.kernels.any_image import COMPACTNESS, assert_nested, checked, small_images
from tests.kernels.cuda_tools import assert_same_hierarchy
from tests.kernels.devices import open_workspace
from tests.kernels.guided import any_guidance, reference_maps
from tests.kernels.tiled_tools import CountingSource, MemoryStore

SEEDS = st.integers(0, 2**32 - 1)


def any_mask(random, height, width):
    """Some pixels inside: discs, noise, one pixel, stripes, or all but one pixel."""
    y, x = np.indices((height, width))
    one = np.zeros((height, width), bool)
    one[random.integers(height), random.integers(width)] = True
    kinds = [
        lambda: (y - height / 2) ** 2 + (x - width / 3) ** 2 < (height * width) / 9 + 1,
        lambda: random.random((height, width)) < random.random(),
        lambda: one,
        lambda: ~one,
        lambda: (x // 3 + 1) % 2 == 1,
        lambda: y < max(1, height // 2),
    ]
    made = kinds[random.integers(len(kinds))]()
    return made if made.any() else one


def masked_case(image, seed):
    """A mask, and arguments of guidance that a mask goes with."""
    random = np.random.default_rng(seed)
    mask = any_mask(random, *image.shape[:2])
    arguments = any_guidance(random, *image.shape[:2]) if random.random() < 0.5 else {}
    if "prior" in arguments:
        arguments["prior_mode"] = "hard"
        arguments["prior"] = np.minimum(arguments["prior"], 2**31 - 2)
    return mask, arguments


def inside_of(labels, mask):
    """The labels inside as a map of their own, whose outside is one more label."""
    assert (labels[~mask] == OUTSIDE).all()
    return labels[mask]


# --- the same in all engines --------------------------------------------------------------------------------


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_the_engine_gives_what_the_reference_gives(image, compactness, seed):
    mask, arguments = masked_case(image, seed)
    hierarchy = segment(
        image, SegmentParams(compactness), mask=mask, guidance=Guidance(**arguments) if arguments else None
    )
    if mask.all():
        assert not isinstance(hierarchy, MaskedHierarchy)
        return
    maps = reference.mask.maps_with_mask(reference_maps(arguments, *image.shape[:2]), mask)
    trace = reference.trace(image, compactness, maps)
    np.testing.assert_array_equal(hierarchy.base_labels, reference.mask.inside_base(trace.base, mask))
    inside = np.isin(np.arange(int(trace.base.max()) + 1), trace.base[mask])
    merges = reference.mask.inside_merges(trace.merges, inside)
    np.testing.assert_array_equal(hierarchy.merges, merges)
    pixel_merges = reference.mask.inside_merges(
        reference.pixel_merges(trace.smooth, trace.base, compactness), mask.ravel()
    )
    np.testing.assert_array_equal(hierarchy.pixel_merges(), pixel_merges)


@pytest.mark.cuda_sim
@pytest.mark.unsanitized
@pytest.mark.parametrize("seed", range(3))
def test_cuda_gives_what_the_engine_gives(seed):
    image = images.photo(80, 60)
    mask, arguments = masked_case(image, seed)
    guidance = Guidance(**arguments) if arguments else None
    expected = segment(image, mask=mask, guidance=guidance, backend="cpu")
    actual = segment(image, mask=mask, guidance=guidance, workspace=open_workspace())
    assert_same_hierarchy(actual, expected)
    assert actual.backend == "cuda"
    assert actual.prior_components == expected.prior_components
    for count in (1, expected.base_count, np.count_nonzero(mask)):
        np.testing.assert_array_equal(actual.cut(count), expected.cut(count))


@checked
@given(small_images(), SEEDS, st.integers(5, 40))
def test_tiles_give_what_the_engine_gives(image, seed, tile):
    mask, arguments = masked_case(image, seed)
    whole = segment(image, mask=mask, guidance=Guidance(**arguments) if arguments else None)
    maps = GuidanceSources(**arguments) if arguments else None
    store = MemoryStore()
    tiled = segment_tiled(image, tile=tile, threads=1, store=store, guidance=maps, mask=CountingSource(mask))
    assert_same_hierarchy(open_tiled(store), whole)
    assert tiled.prior_components == whole.prior_components
    for count in {1, 1 + whole.base_count // 3, whole.base_count}:
        np.testing.assert_array_equal(tiled.cut(count), whole.cut(count))
        labels = whole.cut(count)
        np.testing.assert_array_equal(tiled.areas(count), np.bincount(labels[labels >= 0]))


# --- what must hold -----------------------------------------------------------------------------------------


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_every_count_is_exact_canonical_and_nested_inside(image, compactness, seed):
    mask, arguments = masked_case(image, seed)
    guidance = Guidance(**arguments) if arguments else None
    hierarchy = segment(image, SegmentParams(compactness), mask=mask, guidance=guidance)
    pixels = int(np.count_nonzero(mask))
    finer = inside_of(hierarchy.cut(pixels), mask)
    for count in sorted({*range(1, pixels, max(1, pixels // 20)), hierarchy.base_count}, reverse=True):
        labels = inside_of(hierarchy.cut(count), mask)
        first = np.unique(labels, return_index=True)
        np.testing.assert_array_equal(first[0], np.arange(count))
        assert (np.diff(first[1]) > 0).all()
        assert_nested(finer, labels)
        finer = labels
    for wrong in (0, pixels + 1):
        with pytest.raises(InvalidParameter, match=r"^count: "):
            hierarchy.cut(wrong)


@checked
@given(small_images(), COMPACTNESS, SEEDS)
def test_superpixels_are_connected_and_never_cross_the_mask(image, compactness, seed):
    mask, _ = masked_case(image, seed)
    if mask.all():
        return
    hierarchy = segment(image, SegmentParams(compactness), mask=mask)
    components = reference.components(np.where(mask, 1, 0).astype(np.int32))
    count = len(set(components[mask].tolist()))
    assert hierarchy.prior_components == count
    # At this count, the superpixels are the components of the mask.
    assert_nested(hierarchy.cut(count)[mask], np.unique(components[mask], return_inverse=True)[1])
    for finer in {count, hierarchy.base_count, min(count + 3, hierarchy.base_count)}:
        labels = hierarchy.cut(finer)
        parts = reference.components(np.where(mask, labels, finer).astype(np.int32))
        assert len(set(parts[mask].tolist())) == finer


def test_pixels_outside_do_not_matter_far_from_the_border():
    image = images.photo(120, 90)
    mask = np.zeros((90, 120), bool)
    mask[:, :60] = True
    other = image.copy()
    other[:, 100:] = 255 - other[:, 100:]
    one, two = (segment(pixels, mask=mask) for pixels in (image, other))
    np.testing.assert_array_equal(one.base_labels, two.base_labels)
    np.testing.assert_array_equal(one.merges, two.merges)


def test_a_mask_of_all_pixels_has_no_effect():
    image = images.photo(80, 60)
    whole = segment(image)
    masked = segment(image, mask=np.ones((60, 80), bool))
    assert type(masked) is Hierarchy
    assert_same_hierarchy(masked, whole)
    tiled = segment_tiled(image, tile=40, mask=np.ones((60, 80), bool), store=MemoryStore())
    assert_same_hierarchy(tiled, whole)
    assert tiled.prior_components is None


# --- the methods --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked():
    mask = np.zeros((60, 80), bool)
    mask[5:50, 10:35] = mask[20:58, 40:77] = True
    return segment(images.photo(80, 60), mask=mask)


def test_tables_and_trees_yield_every_coarser_cut(masked):
    for fine in (masked.base_count + 40, masked.base_count, 30):
        tree, heights = masked.tree(fine), masked.heights(fine)
        assert len(heights) == fine - 1
        for count in (1, 2, 17, 30):
            lut, following = [0], 1
            for into, order in zip(tree.into, tree.order, strict=True):
                lut.append(lut[into] if order < fine - count else following)
                following += order >= fine - count
            np.testing.assert_array_equal(lut, masked.lut(fine, count))
            np.testing.assert_array_equal(
                np.array(lut)[masked.cut(fine)[masked.mask]], masked.cut(count)[masked.mask]
            )


def test_regions_are_those_inside(masked):
    labels = masked.cut(20)
    regions = masked.regions(20)
    np.testing.assert_array_equal(regions.area, np.bincount(labels[masked.mask]))
    sides = [(labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1])]
    pairs = {
        (min(a, b), max(a, b))
        for one, two in sides
        for a, b in zip(one.ravel().tolist(), two.ravel().tolist(), strict=True)
        if a != b and min(a, b) >= 0
    }
    found = [
        (a, b)
        for a in range(20)
        for b in regions.neighbors[regions.neighbor_offsets[a] : regions.neighbor_offsets[a + 1]].tolist()
    ]
    assert found == sorted(pairs)
    ys, xs = np.nonzero(labels == 3)
    assert regions.box[3].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_snapping_leaves_the_outside_alone(masked):
    rough = np.zeros((60, 80), np.uint8)
    rough[10:40, 15:60] = 7
    snapped = snap_mask(masked, rough, 60)
    assert (snapped[~masked.mask] == 0).all()
    labels = masked.cut(60)
    for label in range(60):
        here = labels == label
        assert set(snapped[here]) == {7 if np.count_nonzero(rough[here]) / here.sum() >= 0.5 else 0}


def test_values_and_borders_outside_are_not_used(masked):
    labels, values = masked.cut(20), np.random.default_rng(1).random((60, 80, 2))
    expected = [values[labels == label].mean(axis=0) for label in range(20)]
    np.testing.assert_allclose(masked.pool(20, values), expected)
    assert masked.pool(20, labels, "mode").tolist() == list(range(20))
    with pytest.raises(InvalidParameter, match=r"^values: "):
        masked.pool(20, values[1:])
    adjacency = masked.adjacency(20)
    regions = masked.regions(20)
    np.testing.assert_array_equal(adjacency.pairs, regions.pairs)
    whole = measure_adjacency(np.where(masked.mask, labels, 20), images.photo(80, 60))
    inside = whole.pairs[:, 1] < 20
    np.testing.assert_array_equal(adjacency.border, whole.border[inside])
    np.testing.assert_array_equal(adjacency.contrast, whole.contrast[inside])


def test_it_can_be_pickled_and_copied(masked):
    for copied in (pickle.loads(pickle.dumps(masked)), copy.copy(masked), copy.deepcopy(masked)):
        assert isinstance(copied, MaskedHierarchy)
        assert_same_hierarchy(copied, masked)
        assert copied.prior_components == masked.prior_components
        for count in (7, masked.base_count + 9):
            np.testing.assert_array_equal(copied.cut(count), masked.cut(count))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((60, 80), np.uint8), r"must be \(60, 80\) bool, got \(60, 80\) uint8"),
        (np.ones((80, 60), bool), r"must be \(60, 80\) bool, got \(80, 60\) bool"),
        (np.zeros((60, 80), bool), "has no pixel inside"),
        (True, "must be"),
        ([[True], [True, False]], "rows of equal length"),
    ],
)
def test_what_is_no_mask_is_rejected(mask, message):
    with pytest.raises(InvalidParameter, match=rf"^mask: .*{message}"):
        segment(images.photo(80, 60), mask=mask)
    if not isinstance(mask, list):
        with pytest.raises(InvalidParameter, match=rf"^mask: .*{message}"):
            segment_tiled(images.photo(80, 60), mask=mask, store=MemoryStore())


def test_a_soft_prior_or_the_largest_label_beside_a_mask_is_rejected():
    image, mask = images.photo(80, 60), np.eye(60, 80, dtype=bool)
    prior = np.arange(4800).reshape(60, 80) // 100
    with pytest.raises(InvalidParameter, match=r"^mask: cannot be combined with a soft prior"):
        segment(image, mask=mask, guidance=Guidance(prior=prior))
    with pytest.raises(InvalidParameter, match=r"^mask: cannot be combined with a soft prior"):
        segment_tiled(image, mask=mask, guidance=Guidance(prior=prior), store=MemoryStore())
    hard = Guidance(prior=prior + 2**31 - 48, prior_mode="hard")
    with pytest.raises(
        InvalidParameter, match=r"^mask: with a hard prior, its labels must be below 2147483647"
    ):
        segment(image, mask=mask, guidance=hard)
