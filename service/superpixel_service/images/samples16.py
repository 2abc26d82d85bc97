"""PNG files with samples of 16 bits: all 16 bits of them, and their conversion to 8 bits."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile
from PIL.PngImagePlugin import PngImageFile

from superpixel_service.images.header import check_same_size
from superpixel_service.sample_ranges import ROBUST, Range, find_range, scaled

SampleRange: TypeAlias = tuple[int, int]
"""Two values of samples: the one that becomes 0, and the one that becomes 255."""


class Scaling(NamedTuple):
    """How samples were scaled to 8 bits.

    Attributes:
        low: the value that became 0.
        high: the value that became 255.
        is_gray: whether they were gray without alpha.
    """

    low: int
    high: int
    is_gray: bool


_ROWS = 256
"""Rows that are converted at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples16:
    """Samples of 16 bits.

    Attributes:
        values: (height, width, channels) uint16: 1 gray, 2 gray and alpha, 3 RGB, 4 RGB and alpha.
        key: the samples of pixels that are transparent; None: there is no such colour.
    """

    values: NDArray[np.uint16]
    key: tuple[int, ...] | None = None


def read_samples(file: bytes, size: tuple[int, int]) -> Samples16:
    """Read a PNG of 16-bit samples, `size` pixels large.

    Pillow keeps the high bytes of colour alone. So it decodes such a file twice, and takes the low bytes for
    the high ones in the second pass. Gray with alpha has the four bytes of an RGBA pixel.

    Raises:
        Exception: the file is damaged.
    """
    first = _open(file, size)
    kind = str(first.tile[0].args)
    if kind == "I;16B":
        first.load()
        values = np.asarray(first)[:, :, None].astype(np.uint16)
    elif kind == "LA;16B":
        values = join_bytes(*np.split(_decoded(_with(first, "RGBA")).reshape(*size[::-1], 2, 2), 2, axis=3))[
            ..., 0
        ]
    else:
        high = _decoded(first)
        values = join_bytes(high, _decoded(_with(_open(file, size), kind.replace("16B", "16L"))))
    key = first.info.get("transparency")
    if isinstance(key, int):
        return Samples16(values, (key,))
    return Samples16(values, key if isinstance(key, tuple) else None)


def _open(file: bytes, size: tuple[int, int]) -> PngImageFile:
    picture = PngImageFile(io.BytesIO(file))
    check_same_size(picture.size, size)
    return picture


def _with(picture: PngImageFile, raw_mode: str) -> PngImageFile:
    tile = picture.tile[0]
    picture.tile = [ImageFile._Tile(tile.codec_name, tile.extents, tile.offset, raw_mode)]  # noqa: SLF001
    return picture


def _decoded(picture: PngImageFile) -> NDArray[np.uint8]:
    picture.load()
    return np.asarray(picture)


def join_bytes(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Samples of 16 bits from their high and low bytes."""
    values = high.astype(np.uint16)
    values <<= 8
    values |= low
    return values


def oriented(values: NDArray[np.uint16], orientation: int) -> NDArray[np.uint16]:
    """Apply an EXIF orientation, 1 to 8, to (height, width, channels)."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in {2, 3, 7, 6}:
        values = values[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        values = values[::-1]
    return values


def to_8_bits(samples: Samples16, given: SampleRange | None) -> tuple[NDArray[np.uint8], Scaling]:
    """Scale samples to 8 bits.

    Args:
        samples: the samples.
        given: the values that become 0 and 255; None: the robust range of the samples of all colours, of
            pixels that are not wholly transparent.

    Returns:
        (height, width) gray if there is no alpha, else (height, width, 3 or 4) with straight alpha; and how
        they were scaled. Gray pixels of the colour key are white.
    """
    values = samples.values
    height, width, channels = values.shape
    colors = 3 if channels >= 3 else 1
    limits = Range(*map(float, given or (0, 0)))
    if given is None:
        limits = find_range(lambda: _visible(samples, colors), values.dtype, ROBUST) or limits
    keyed = samples.key is not None and channels in {1, 3}
    out = np.empty((height, width, {1: 1, 2: 4, 3: 4 if keyed else 3, 4: 4}[channels]), np.uint8)
    for y in range(0, height, _ROWS):
        rows = values[y : y + _ROWS]
        part = out[y : y + _ROWS]
        part[:, :, : 3 if part.shape[2] >= 3 else 1] = scaled(
            np.ascontiguousarray(rows[:, :, :colors]), limits
        )
        if channels in {2, 4}:
            part[:, :, 3] = rows[:, :, -1] >> 8
        elif keyed:
            is_key = (rows == np.array(samples.key, np.uint16)).all(axis=2)
            if channels == 1:
                part[is_key] = 255
            else:
                part[:, :, 3] = np.where(is_key, 0, 255)
    scaling = Scaling(int(limits.low), int(limits.high), is_gray=channels == 1)
    return (out[:, :, 0] if channels == 1 else out), scaling


def _visible(samples: Samples16, colors: int) -> Iterator[NDArray[np.uint16]]:
    """The samples of pixels that are not wholly transparent, in parts."""
    values = samples.values
    for y in range(0, len(values), _ROWS):
        rows = values[y : y + _ROWS]
        if values.shape[2] in {2, 4}:
            visible = rows[:, :, -1] >= 1 << 8
            yield (rows[:, :, :colors] if visible.all() else rows[visible][:, :colors]).ravel()
        elif samples.key is not None:
            yield rows[(rows != np.array(samples.key, np.uint16)).any(axis=2)].ravel()
        else:
            yield np.ascontiguousarray(rows).ravel()
