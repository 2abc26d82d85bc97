"""`slic`: what holds for SLIC in general, scikit-image's conventions, and exact counts."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superpixel_kernels import SegmentParams, segment, slic
from superpixel_kernels.errors import InvalidImage, InvalidParameter
from tests.kernels import images, reference
from tests.kernels.any_image import checked, small_images

PHOTO = images.photo(80, 60)
HALVES = np.s_[:24], np.s_[24:]


def quadrants(*values, size=48):
    """Four squares of equal size, with a little noise, as floats from 0 to 1."""
    noise = np.random.default_rng(4).normal(0, 0.004, (size, size, np.size(values[0])))
    image = np.empty_like(noise)
    for value, (rows, columns) in zip(values, [(a, b) for a in HALVES for b in HALVES], strict=True):
        image[rows, columns] = value
    return np.clip(image + noise, 0, 1)


COLORED = quadrants((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0))
GRAY = quadrants(0.0, 0.35, 0.7, 1.0)
EXPECTED = np.kron([[1, 2], [3, 4]], np.ones((24, 24), int))
# The engine smooths: a pixel beside a border may belong to either side.
BESIDE = np.isin(np.arange(48), (23, 24))
CLEAR = ~(BESIDE | BESIDE[:, None])


def assert_quadrants(labels, expected=EXPECTED):
    assert np.array_equal(labels[CLEAR], expected[CLEAR])
    assert np.array_equal(np.unique(labels), np.unique(expected))


def connected(labels, inside):
    return reference.components(np.where(inside, labels, -1))


# --- conventions --------------------------------------------------------------------------------------------


def test_a_uint8_image_gives_the_cut_of_segment():
    hierarchy = segment(PHOTO, SegmentParams(compactness=3.5))
    for count in (1, 7, 100, 2000):
        assert np.array_equal(slic(PHOTO, count, 3.5, start_label=0), hierarchy.cut(count))
        assert np.array_equal(slic(PHOTO, n_segments=count, compactness=3.5), hierarchy.cut(count) + 1)


@pytest.mark.parametrize(
    "image", [COLORED, (COLORED * 255).astype(np.uint8), (COLORED * 65535).astype(np.uint16)]
)
def test_four_colors_are_four_superpixels(image):
    labels = slic(image, n_segments=4)
    assert_quadrants(labels)
    assert labels.dtype == np.int64
    for axis in (0, 1, -2):
        assert np.array_equal(slic(np.moveaxis(image, 2, axis), n_segments=4, channel_axis=axis), labels)


def test_four_grays_are_four_superpixels():
    assert_quadrants(slic(GRAY, n_segments=4))
    gray = GRAY[..., 0]
    assert np.array_equal(slic(gray, n_segments=4, channel_axis=None), slic(GRAY, n_segments=4))
    assert_quadrants(slic(gray > 0.5, 2, channel_axis=None), np.repeat([1, 2], 24)[:, None] + 0 * EXPECTED)


@pytest.mark.parametrize("scale", [1e-9, 0.25, 1, 1000, 1e300])
def test_floats_may_have_any_scale(scale):
    expected = slic(COLORED, n_segments=30)
    assert np.array_equal(slic((COLORED - 0.5) * scale, n_segments=30), expected)


def test_integers_of_16_bits_use_their_range():
    deep = PHOTO[..., 0].astype(np.uint16)
    deep[0, 0], deep[0, 1] = 0, 255
    full = deep.astype(np.uint8)
    expected = slic(full, 60, channel_axis=None)
    for values in (deep, deep * 16 + 7, deep.astype(np.int16) - 1000, deep.astype(np.float32) / 255):
        assert np.array_equal(slic(values, 60, channel_axis=None), expected)
    assert slic(np.full((4, 5), 9, np.uint16), 6, channel_axis=None).max() == 6


def test_more_segments_than_pixels_are_one_per_pixel():
    expected = np.arange(1, 4801).reshape(60, 80)
    assert np.array_equal(slic(PHOTO, n_segments=9999), expected)
    mask = np.zeros((60, 80), bool)
    mask[3:9, 4:11] = True
    labels = slic(PHOTO, n_segments=500, mask=mask)
    assert np.array_equal(labels[mask], np.arange(1, 43))


def test_sigma_removes_noise():
    noisy = np.clip(COLORED + np.random.default_rng(1).normal(0, 0.35, COLORED.shape), 0, 1)

    def wrong(labels):
        return min(np.mean(labels != EXPECTED), 1)

    assert wrong(slic(noisy, 4, sigma=1.5)) < wrong(slic(noisy, 4))
    assert np.array_equal(slic(noisy, 4, sigma=(2, 2)), slic(noisy, 4, sigma=2))
    assert np.array_equal(slic(noisy, 4, sigma=2), slic(noisy, 4, sigma=1, spacing=(0.5, 0.5)))
    assert not np.array_equal(slic(noisy, 40, sigma=(0, 3)), slic(noisy, 40, sigma=(3, 0)))


# --- masks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_label", [0, 1])
def test_a_mask_keeps_superpixels_inside(start_label):
    mask = np.zeros((48, 48), np.uint8)
    mask[3:-5, 4:-4] = 7
    labels = slic(COLORED, 4, mask=mask, start_label=start_label)
    assert_quadrants(labels, np.where(mask > 0, EXPECTED, 0) + start_label - 1)
    assert np.array_equal(labels >= start_label, mask > 0)


@checked
@given(small_images(), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_masks_give_exact_counts_of_connected_superpixels(image, wanted, seed):
    random = np.random.default_rng(seed)
    cells = random.random((image.shape[0] // 4 + 1, image.shape[1] // 4 + 1)) < 0.6
    mask = cells.repeat(4, axis=0).repeat(4, axis=1)[: image.shape[0], : image.shape[1]]
    if not mask.any():
        return
    labels = slic(image, wanted, mask=mask)
    pieces = reference.components(mask.astype(int))[mask]
    count = min(max(wanted, len(np.unique(pieces))), mask.sum())
    assert np.array_equal(np.unique(labels[mask]), np.arange(1, count + 1))
    assert (labels[~mask] == 0).all()
    # A superpixel is one connected region: as many pieces as labels.
    assert len(np.unique(connected(labels, mask)[mask])) == count
    # What lies outside has no effect.
    other = np.where(mask[..., None], image, random.integers(0, 256, image.shape)).astype(np.uint8)
    assert np.array_equal(slic(other, wanted, mask=mask), labels)


def test_masked_superpixels_nest():
    mask = np.hypot(*(np.indices((60, 80)) - [[[30]], [[40]]])) < 25
    levels = [slic(PHOTO, count, mask=mask)[mask] - 1 for count in (5, 40, 300, 1500)]
    for coarse, fine in itertools.pairwise(levels):
        lut = np.empty(fine.max() + 1, int)
        lut[fine] = coarse
        assert np.array_equal(lut[fine], coarse)


def test_a_mask_is_that_of_segment():
    """Where what lies outside has the colours that `slic` gives it: each row is one colour."""
    image = np.repeat(PHOTO[:, :1], 80, axis=1)
    mask = np.zeros((60, 80), bool)
    mask[:, 10:70] = True
    expected = segment(image, mask=mask).cut(90) + 1
    assert np.array_equal(slic(image, 90, mask=mask), expected)


def test_a_mask_of_everything_is_no_mask():
    assert np.array_equal(slic(PHOTO, 30, mask=np.ones((60, 80))), slic(PHOTO, 30))


# --- errors -------------------------------------------------------------------------------------------------


def test_values_that_are_not_finite_may_only_be_outside():
    image = COLORED.copy()
    image[0, 0, 1] = np.nan
    mask = np.ones((48, 48), bool)
    with pytest.raises(ValueError, match="finite"):
        slic(image)
    with pytest.raises(ValueError, match="finite"):
        slic(image, mask=mask)
    mask[0, 0] = False
    assert slic(image, 9, mask=mask).max() == 9
    image[0, 0, 1] = np.inf
    with pytest.raises(ValueError, match="finite"):
        slic(image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (GRAY[..., 0], "channel_axis=None"),
        (np.zeros((4, 5, 6, 3)), "2D"),
        (np.zeros((4, 5, 8)), "channels"),
        (np.zeros((4, 5, 4)), "channels"),
        (np.zeros((0, 5, 3)), "pixels"),
        (np.zeros((4, 5, 3), complex), "complex"),
        ([[1], [1, 2]], "equal length"),
    ],
)
def test_images_that_it_does_not_take(image, message):
    with pytest.raises(InvalidImage, match=message):
        slic(image)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_segments", 0),
        ("n_segments", 2.5),
        ("compactness", -1),
        ("start_label", 2),
        ("slic_zero", True),
        ("convert2lab", False),
        ("spacing", (1, 2)),
        ("spacing", (0, 0)),
        ("sigma", -1),
        ("sigma", (1, 1, 1)),
        ("channel_axis", 3),
        ("mask", np.ones((2, 2))),
        ("mask", np.zeros((60, 80))),
    ],
)
def test_arguments_that_it_does_not_take(name, value):
    with pytest.raises(InvalidParameter) as raised:
        slic(PHOTO, **{name: value})
    assert raised.value.parameter == name
