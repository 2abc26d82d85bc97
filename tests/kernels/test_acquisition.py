"""What to label next, and the spreading of few labels, against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import pool, rank_regions, segment, spread
from superpixel_kernels.errors import InvalidParameter
from tests.kernels import images
from tests.kernels.any_image import checked

HIERARCHY = segment(images.photo(70, 50))
MAPS = [HIERARCHY.cut(count) for count in (30, 12)]


def predictions(seed, classes=4):
    random = np.random.default_rng(seed)
    return [random.dirichlet(np.arange(1, classes + 1), (50, 70)) for _ in MAPS]


def by_definition(probabilities, uncertainty, *, balanced=True):
    """(score, image, region) of every superpixel, one at a time."""
    found = []
    for image, (labels, values) in enumerate(zip(MAPS, probabilities, strict=True)):
        for region in range(labels.max() + 1):
            part = values[labels == region]
            ordered = np.sort(part, axis=1)
            doubt = ordered[:, -2] / ordered[:, -1]
            if uncertainty == "entropy":
                doubt = -(part * np.log(part)).sum(axis=1) / np.log(part.shape[1])
            predicted = int(np.bincount(part.argmax(axis=1)).argmax())
            found.append((float(doubt.mean()), predicted, image, region))
    share = {name: np.mean([name == predicted for _, predicted, *_ in found]) for _, name, *_ in found}
    return sorted(
        (-doubt * (np.exp(-share[predicted]) if balanced else 1), image, region)
        for doubt, predicted, image, region in found
    )


@pytest.mark.parametrize("uncertainty", ["best-second", "entropy"])
@pytest.mark.parametrize("balanced", [True, False])
def test_superpixels_of_all_images_are_ranked_together(uncertainty, balanced):
    probabilities = predictions(1)
    ranked = rank_regions(MAPS, probabilities, uncertainty=uncertainty, balanced=balanced)
    expected = by_definition(probabilities, uncertainty, balanced=balanced)
    assert len(ranked) == 42
    assert list(zip(ranked.image, ranked.region, strict=True)) == [entry[1:] for entry in expected]
    np.testing.assert_allclose(-ranked.score, [entry[0] for entry in expected])


def test_rare_classes_come_first():
    """All pixels are equally uncertain; one superpixel is predicted to be of a rare class."""
    values = np.full((50, 70, 3), [0.5, 0.25, 0.25])
    values[MAPS[0] == 17] = [0.25, 0.25, 0.5]
    ranked = rank_regions(MAPS[:1], [values])
    assert (ranked.region[0], ranked.predicted[0]) == (17, 2)
    assert rank_regions(MAPS[:1], [values], balanced=False).region[0] == 0  # equal scores: by number


def test_labelled_superpixels_are_left_out_and_still_count_as_frequent():
    probabilities = predictions(2)
    whole = rank_regions(MAPS, iter(probabilities))
    part = rank_regions(MAPS, probabilities, labelled=[[3, 4], set(range(12))], budget=5)
    left = (whole.image == 0) & ~np.isin(whole.region, [3, 4])
    assert np.array_equal(part.region, whole.region[left][:5])
    assert np.array_equal(part.score, whole.score[left][:5])
    assert len(rank_regions([], [])) == 0


def test_labels_without_pixels_are_not_ranked():
    values = predictions(3)[0]
    assert np.array_equal(
        rank_regions([MAPS[0] + 1], [values]).region, rank_regions([MAPS[0]], [values]).region + 1
    )


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"probabilities": predictions(1)[:1]}, "probabilities"),
        ({"probabilities": predictions(1) * 2}, "probabilities"),
        ({"probabilities": [predictions(1, 3)[0], predictions(1, 4)[1]]}, "probabilities"),
        ({"probabilities": [-value for value in predictions(1)]}, "probabilities"),
        ({"labelled": [[1]]}, "labelled"),
        ({"labelled": [[30], []]}, "labelled"),
        ({"uncertainty": "margin"}, "uncertainty"),
        ({"budget": -1}, "budget"),
    ],
)
def test_arguments_that_cannot_be_ranked(changed, name):
    with pytest.raises(InvalidParameter) as raised:
        rank_regions(MAPS, **({"probabilities": predictions(1)} | changed))
    assert raised.value.parameter == name


# --- spread -------------------------------------------------------------------------------------------------


def spread_by_cuts(count, known, features):
    """By going through all coarser levels, from fine to coarse, for each superpixel."""
    labels, levels, sources = [], [], []
    seeds = np.flatnonzero(known >= 0)
    for region in range(count):
        for level in range(count, 0, -1):
            lut = HIERARCHY.lut(count, level)
            near = seeds[lut[seeds] == lut[region]]
            if len(near):
                break
        distances = np.square(features[near] - features[region]).sum(axis=1)
        source = near[distances.argmin()]
        if known[region] >= 0:
            source = region
        labels.append(known[source])
        levels.append(level)
        sources.append(source)
    return labels, levels, sources


@checked
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.booleans())
def test_spread_finds_the_first_labelled_superpixel_up_the_tree(count, seed, with_features):
    random = np.random.default_rng(seed)
    known = np.where(random.random(count) < random.choice([0.05, 0.3, 0.9]), random.integers(0, 5, count), -1)
    known[random.integers(count)] = 7
    features = random.integers(0, 6, (count, 2)) if with_features else np.zeros((count, 1))
    found = spread(HIERARCHY.tree(count), known, features if with_features else None)
    labels, levels, sources = spread_by_cuts(count, known, features)
    assert found.source.tolist() == sources
    assert found.labels.tolist() == labels
    assert found.level.tolist() == levels


def test_spread_restores_a_partition_that_the_tree_contains():
    """One label for each of 8 large superpixels gives each finer one the label of its own."""
    coarse = HIERARCHY.lut(400, 8)
    known = np.full(400, -1)
    known[np.unique(coarse, return_index=True)[1]] = np.arange(8)
    found = spread(HIERARCHY.tree(400), known)
    assert np.array_equal(found.labels, coarse)
    assert found.level.min() >= 8
    assert np.array_equal(pool(HIERARCHY.cut(8), found.labels[HIERARCHY.cut(400)], "mode"), np.arange(8))


@pytest.mark.parametrize(
    ("labels", "features", "name"),
    [
        (np.full(5, -1), None, "labels"),
        (np.zeros(4, int), None, "labels"),
        (np.zeros(5), None, "labels"),
        (np.zeros(5, int), np.zeros((4, 2)), "features"),
        (np.zeros(5, int), np.full((5, 2), np.nan), "features"),
    ],
)
def test_arguments_that_cannot_be_spread(labels, features, name):
    with pytest.raises(InvalidParameter) as raised:
        spread(HIERARCHY.tree(5), labels, features)
    assert raised.value.parameter == name
