"""A source as 8-bit RGB: bands, ranges, nodata and masks applied. docs/stores.md specifies it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.source import Mask, PixelSource, Samples, Window, check_window, choose_bands
from superpixel_service.sample_ranges import ROBUST, Range, RangeRule, find_range, scaled

_READ_PIXELS = 1 << 22
"""About how many pixels are read at a time for the histogram."""

OUTSIDE = 255
"""Every channel of a pixel that is not valid."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a source becomes 8-bit RGB.

    Attributes:
        bands: one or three bands, from 0.
        ranges: the range of each band.
        nodata: per band, the value of pixels that are not valid; None: there is none.
        inverted: whether the least value becomes 255.
    """

    bands: tuple[int, ...]
    ranges: tuple[Range, ...]
    nodata: tuple[float | None, ...]
    inverted: bool = False


class RgbSource:
    """8-bit RGB pixels of a source, window by window, and which of them are valid. Threads may share it.

    Attributes:
        shape: rows, columns, 3.
        dtype: uint8.
        reading: how the samples become RGB.
    """

    def __init__(self, source: PixelSource, reading: Reading, mask: PixelSource | None = None) -> None:
        rows, columns, _ = source.shape
        self.shape = (rows, columns, 3)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self.reading = reading
        self._source = source
        self._mask = mask
        _check_mask(source, mask)

    def read(self, window: Window) -> NDArray[np.uint8]:
        """The pixels of a window: (height, width, 3) uint8."""
        return self.read_valid(window)[0]

    def read_valid(self, window: Window) -> tuple[NDArray[np.uint8], Mask | None]:
        """The pixels of a window, and which of them are valid (None: all of them).

        Raises:
            LargeFailed: the window is not inside, or the file cannot be read there.
        """
        check_window(window, *self.shape[:2])
        reading = self.reading
        samples = self._source.read(window, reading.bands)
        valid = valid_pixels(self._source, window, samples, reading.bands, reading.nodata, self._mask)
        planes = [scaled(samples[:, :, at], limits) for at, limits in enumerate(reading.ranges)]
        pixels = np.stack(planes * (3 // len(planes)), axis=2)
        if reading.inverted:
            pixels = 255 - pixels
        if valid is not None:
            pixels[~valid] = OUTSIDE
        return pixels, valid


def make_reading(
    source: PixelSource,
    *,
    bands: Sequence[int] = (),
    rules: Sequence[RangeRule] = (),
    nodata: float | None = None,
    mask: PixelSource | None = None,
    progress: Callable[[int], None] = lambda _pixels: None,
) -> Reading:
    """Choose bands, and find their ranges: given, the file's own, or robust from the histogram.

    Args:
        source: the image.
        bands: from 1, one or three; empty: the colours of the file, or else its first three or its first.
        rules: one for all bands, or one per band; empty: samples of 8 bits stay as they are, then the file's
            own range counts, and else the robust range.
        nodata: the value of pixels that are not valid, instead of the file's.
        mask: an image of the same size with one band; 0 where pixels are not valid.
        progress: called with the number of pixels that were read.

    Raises:
        LargeFailed: an argument is wrong, no pixel is valid, or the file cannot be read.
    """
    _check_mask(source, mask)
    chosen = choose_bands(source, bands)
    if len(rules) not in {0, 1, len(chosen)}:
        raise LargeFailed(f"range: must be one, or one per band; got {len(rules)}", usage=True)
    values = (nodata,) * source.shape[2] if nodata is not None else source.facts.nodata
    no_data = tuple(values[band] for band in chosen) if values else (None,) * len(chosen)
    given = _default_range(source) if not rules else None
    if given is not None:
        return Reading(chosen, (given,) * len(chosen), no_data, source.facts.inverted)
    each = tuple(rules) if len(rules) == len(chosen) else (tuple(rules) or (ROBUST,)) * len(chosen)
    # The three colours of a picture share one range, so that they keep their hue.
    groups = (
        [tuple(range(len(chosen)))]
        if len(rules) <= 1 and chosen == source.facts.color_bands
        else [(at,) for at in range(len(chosen))]
    )
    ranges: list[Range] = [Range(0.0, 0.0)] * len(chosen)
    for group in groups:

        def samples(group: tuple[int, ...] = group) -> Iterator[NDArray[Any]]:
            yield from _valid_samples(source, chosen, no_data, mask, group, progress)

        found = find_range(samples, source.dtype, each[group[0]])
        if found is None:
            raise LargeFailed("no pixel of the image is valid: all are nodata, NaN or outside the mask")
        for at in group:
            ranges[at] = found
    return Reading(chosen, tuple(ranges), no_data, source.facts.inverted)


def valid_pixels(
    source: PixelSource,
    window: Window,
    samples: Samples,
    bands: Sequence[int],
    nodata: Sequence[float | None],
    mask: PixelSource | None,
) -> Mask | None:
    """Which pixels of a window are valid; None: all.

    A pixel is not valid if all its bands have their nodata value, if one of them is not finite, or if the
    file's mask, its alpha band or the mask beside it is 0 there.
    """
    valid = source.read_mask(window, bands)
    if None not in nodata:
        is_data = [_is_data(samples[:, :, at], value) for at, value in enumerate(nodata)]
        valid = _both(valid, np.logical_or.reduce([each for each in is_data if each is not None]))
    if samples.dtype.kind == "f":
        valid = _both(valid, np.asarray(np.isfinite(samples).all(axis=2)))
    if mask is not None:
        valid = _both(valid, mask.read(window, (0,))[:, :, 0] != 0)
    return None if valid is None or valid.all() else valid


def _both(first: Mask | None, second: Mask) -> Mask:
    return second if first is None else first & second


def _is_data(samples: NDArray[Any], nodata: float | None) -> Mask | None:
    """Where samples differ from the nodata value; None: there is none."""
    if nodata is None:
        return None
    if math.isnan(nodata):
        return ~np.isnan(samples) if samples.dtype.kind == "f" else np.ones(samples.shape, np.bool_)
    if samples.dtype.kind == "f":
        # The file states the value with more digits than its samples have.
        return np.asarray(samples != samples.dtype.type(nodata))
    return np.asarray(samples != nodata)


def _default_range(source: PixelSource) -> Range | None:
    if source.dtype == np.bool_:
        return Range(0.0, 1.0)
    if source.dtype == np.uint8:
        return Range(0.0, 255.0)
    own = source.facts.own_range
    return None if own is None else Range(*own)


def _valid_samples(
    source: PixelSource,
    bands: Sequence[int],
    nodata: Sequence[float | None],
    mask: PixelSource | None,
    group: Sequence[int],
    progress: Callable[[int], None],
) -> Iterator[NDArray[Any]]:
    for window in strips(source):
        samples = source.read(window, bands)
        valid = valid_pixels(source, window, samples, bands, nodata, mask)
        for at in group:
            band = samples[:, :, at]
            usable = _is_data(band, nodata[at])
            if valid is not None:
                usable = _both(usable, valid)
            yield band.ravel() if usable is None else band[usable]
        progress(window.width * window.height)


def strips(source: PixelSource) -> Iterator[Window]:
    """Windows that cover the image, of whole blocks of the file and about four megapixels."""
    rows, columns, _ = source.shape
    block_width, block_height = (max(1, size) for size in source.facts.block)
    width = min(
        columns, max(block_width, _READ_PIXELS // max(block_height, 256) // block_width * block_width)
    )
    height = min(rows, max(block_height, _READ_PIXELS // width // block_height * block_height))
    for y in range(0, rows, height):
        for x in range(0, columns, width):
            yield Window(x, y, min(width, columns - x), min(height, rows - y))


def _check_mask(source: PixelSource, mask: PixelSource | None) -> None:
    if mask is not None and mask.shape[:2] != source.shape[:2]:
        rows, columns, _ = source.shape
        raise LargeFailed(
            f"mask: must have the image's {columns} x {rows} pixels, has {mask.shape[1]} x {mask.shape[0]}",
            usage=True,
        )
