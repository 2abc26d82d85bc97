"""Ranges of values and nodata of large images, against plain definitions."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.ranges import parse_rule
from superpixel_service.large.readers.arrays import ArraySource
from superpixel_service.large.rgb import RgbSource, make_reading
from superpixel_service.large.source import DTYPES, Facts, Window
from superpixel_service.sample_ranges import PARTS, ROBUST, Range, RangeRule, find_range, scaled


def by_sorting(values: NDArray[Any], rule: RangeRule) -> Range:
    """The least value with more than the share of the samples at or below it, and from above."""
    ordered = np.sort(values.astype(np.float32 if values.dtype.kind == "f" else np.int64))
    size = len(ordered)
    return Range(
        float(ordered[size * rule.below // PARTS]), float(ordered[size - 1 - size * rule.above // PARTS])
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_range_is_that_of_the_sorted_samples(dtype: np.dtype[Any]) -> None:
    rng = np.random.default_rng(dtype.num)
    for size in (1, 2, 999, 1000, 1001, 5000):
        bits = rng.integers(0, 256, size * dtype.itemsize, np.uint8)
        if dtype == np.bool_:
            bits &= 1
        values = bits.view(dtype)
        values = values[np.isfinite(values)]
        values = values[np.abs(values.astype(np.float64)) < 1e38]
        if not values.size:
            continue
        for rule in (ROBUST, RangeRule(None, 2000, 3000), RangeRule(None, 0, 0)):
            halves = np.array_split(values, 2)
            assert find_range(lambda halves=halves: iter(halves), dtype, rule) == by_sorting(values, rule)


def test_zero_has_no_sign() -> None:
    values = np.array([-0.0, 0.0, 1.0], np.float32)
    found = find_range(lambda: [values], values.dtype, ROBUST)
    assert str(found) == "0 to 1"


def test_a_hot_pixel_does_not_count() -> None:
    x_ray = np.random.default_rng(0).integers(100, 4000, (100, 100)).astype(np.uint16)
    x_ray[5, 5] = 65535
    reading = make_reading(ArraySource(x_ray))
    assert reading.ranges[0].high < 4000


@settings(max_examples=60, deadline=None)
@given(st.integers(-(2**31), 2**31 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32))
def test_integers_are_scaled_exactly(low: int, high: int, seed: int) -> None:
    low, high = min(low, high), max(low, high)
    values = np.random.default_rng(seed).integers(-(2**31), 2**31, 50).astype(np.int32)
    values[:4] = [low, high, max(low - 1, -(2**31)), min(high + 1, 2**31 - 1)]
    size = high - low
    expected = [
        (255 if v > low else 0) if not size else (min(max(v - low, 0), size) * 255 + size // 2) // size
        for v in values.tolist()
    ]
    assert scaled(values, Range(float(low), float(high))).tolist() == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_small_integers_are_scaled_like_large_ones(dtype: Any) -> None:
    info = np.iinfo(dtype)
    values = np.arange(info.min, info.max + 1, 7).astype(dtype)
    limits = Range(float(info.min // 3), float(info.max // 2))
    assert np.array_equal(scaled(values, limits), scaled(values.astype(np.int32), limits))


def test_floats_are_scaled_in_doubles() -> None:
    values = np.array([-1.0, 0.0, 0.5, 0.1, 2.0, np.nan], np.float32)
    assert scaled(values, Range(0.0, 1.0)).tolist() == [0, 0, 128, 26, 255, 0]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("auto", ROBUST),
        ("2%,98%", RangeRule(None, 2000, 2000)),
        ("0.5%, 99.975%", RangeRule(None, 500, 25)),
        ("0%,100%", RangeRule(None, 0, 0)),
        ("100,4000", RangeRule(Range(100.0, 4000.0))),
        ("-1.5,2e3", RangeRule(Range(-1.5, 2000.0))),
    ],
)
def test_rules_as_text(text: str, rule: RangeRule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "1", "5,5", "6,5", "nan,1", "0,inf", "2%,1%", "2,98%", "0.0001%,99%", "1%,101%", "a,b"]
)
def test_texts_that_are_no_rules(text: str) -> None:
    with pytest.raises(LargeFailed, match=r"^range: must be") as error:
        parse_rule(text)
    assert error.value.usage


def test_the_colours_of_a_picture_share_a_range_and_other_bands_do_not() -> None:
    bands = np.stack([np.full((40, 40), value, np.uint16) for value in (0, 500, 1000)], axis=2)
    bands[:20] += 100
    picture = make_reading(ArraySource(bands, facts=Facts("array", color_bands=(0, 1, 2))))
    assert picture.ranges == (Range(0.0, 1100.0),) * 3
    scene = make_reading(ArraySource(bands))
    assert scene.ranges == (Range(0.0, 100.0), Range(500.0, 600.0), Range(1000.0, 1100.0))
    chosen = make_reading(ArraySource(bands), bands=[3, 1, 2], rules=[RangeRule(Range(0, 9)), ROBUST, ROBUST])
    assert chosen.bands == (2, 0, 1)
    assert chosen.ranges == (Range(0, 9), Range(0.0, 100.0), Range(500.0, 600.0))


def test_8_bits_stay_as_they_are() -> None:
    image = np.random.default_rng(0).integers(50, 90, (5, 6, 3), np.uint8)
    source = ArraySource(image)
    pixels, valid = RgbSource(source, make_reading(source)).read_valid(Window(1, 2, 4, 3))
    assert valid is None
    assert np.array_equal(pixels, image[2:5, 1:5])


def test_nodata_nan_and_masks() -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -9999
    mask = np.ones((4, 6), np.uint8)
    mask[3] = 0
    own = np.ones((4, 6), np.bool_)
    own[:, 5] = False
    source = ArraySource(values, facts=Facts("array", nodata=(-9999.0,)), mask=own)
    beside = ArraySource(mask)
    reading = make_reading(source, mask=beside)
    assert reading.ranges == (Range(3.0, 16.0),)
    pixels, valid = RgbSource(source, reading, beside).read_valid(Window(0, 0, 6, 4))
    expected = own & (mask != 0)
    expected[0, :3] = False
    assert valid is not None
    assert np.array_equal(valid, expected)
    assert (pixels[~valid] == 255).all()
    assert pixels[0, 3].tolist() == [0, 0, 0]


def test_a_pixel_with_nodata_in_some_bands_is_valid_and_its_other_samples_count() -> None:
    bands = np.full((2, 600, 3), 7, np.int16)
    bands[0] = 9
    bands[0, :, 0] = -1
    bands[1, 5] = -1
    source = ArraySource(bands, facts=Facts("array", nodata=(-1.0,) * 3))
    reading = make_reading(source)
    assert reading.ranges == (Range(7.0, 7.0), Range(7.0, 9.0), Range(7.0, 9.0))
    _, valid = RgbSource(source, reading).read_valid(Window(0, 0, 600, 2))
    assert valid is not None
    assert np.flatnonzero(~valid.ravel()).tolist() == [605]


@pytest.mark.parametrize(
    ("bands", "text"),
    [([4], "there is no band 4"), ([0], "there is no band 0"), ([1, 2], "must be one or three, got 2")],
)
def test_bands_that_are_not_there(bands: list[int], text: str) -> None:
    with pytest.raises(LargeFailed, match=text):
        make_reading(ArraySource(np.zeros((4, 4, 3), np.uint8)), bands=bands)


def test_an_image_without_a_valid_pixel() -> None:
    source = ArraySource(np.full((4, 4), np.nan, np.float32))
    with pytest.raises(LargeFailed, match="no pixel of the image is valid"):
        make_reading(source)


@pytest.mark.parametrize("window", [(-1, 0, 1, 1), (0, 0, 5, 1), (0, 3, 1, 2), (0, 0, 0, 1)])
def test_windows_outside(window: tuple[int, int, int, int]) -> None:
    source = ArraySource(np.zeros((4, 4), np.uint8))
    with pytest.raises(LargeFailed, match="is not inside the image of 4 x 4"):
        RgbSource(source, make_reading(source)).read(Window(*window))


@pytest.mark.parametrize("dtype", [np.int64, np.complex64, "U1"])
def test_types_that_are_not_supported(dtype: Any) -> None:
    with pytest.raises(LargeFailed, match="are not supported"):
        ArraySource(np.zeros((2, 2), dtype))


def test_a_mask_of_another_size() -> None:
    with pytest.raises(LargeFailed, match="mask: must have the image's 4 x 4 pixels, has 3 x 4"):
        make_reading(ArraySource(np.zeros((4, 4), np.uint8)), mask=ArraySource(np.zeros((4, 3), np.uint8)))
