"""The interface of a source of pixels: an image that is read window by window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from superpixel_service.large.errors import LargeFailed

Samples = NDArray[Any]
"""(height, width, bands) of the source's dtype."""

Mask = NDArray[np.bool_]
"""(height, width): whether each pixel is valid."""

MAX_PIXELS = 1 << 36
"""Largest image, in pixels."""

DTYPES = tuple(
    np.dtype(name)
    for name in (
        "bool",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "float16",
        "float32",
        "float64",
    )
)
"""The types of samples that sources may have."""


class Window(NamedTuple):
    """A rectangle of an image, in pixels: its first column and row, and its size."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a source says about its image besides the pixels.

    Attributes:
        reader: the reader's name.
        color_bands: the bands, from 0, of red, green and blue, or the one band of gray; empty: not known.
        crs: the coordinate reference system as WKT; empty: none.
        transform: a, b, c, d, e, f of x = a column + b row + c, y = d column + e row + f; None: none.
        nodata: the value, per band, of pixels that are not valid; None: none.
        own_range: the range of values that the file itself names for display; None: none.
        inverted: whether the least value is white.
        block: width and height of the file's own tiles; reading whole blocks is fastest.
        pixel_size: width and height of a pixel in micrometres; None: not known.
    """

    reader: str
    color_bands: tuple[int, ...] = ()
    crs: str = ""
    transform: tuple[float, ...] | None = None
    nodata: tuple[float | None, ...] = ()
    own_range: tuple[float, float] | None = None
    inverted: bool = False
    block: tuple[int, int] = (0, 0)
    pixel_size: tuple[float, float] | None = None


class PixelSource(Protocol):
    """An image that is read window by window. Threads may share it.

    Attributes:
        shape: rows, columns, bands.
        dtype: the type of the samples, one of `DTYPES`.
        facts: what else is known.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    facts: Facts

    def read(self, window: Window, bands: Sequence[int]) -> Samples:
        """The samples of these bands, from 0, in a window inside the image.

        Raises:
            LargeFailed: this part of the file is damaged or missing.
        """

    def read_mask(self, window: Window, bands: Sequence[int]) -> Mask | None:
        """Which pixels the file's own mask or alpha band makes valid; None: all.

        Raises:
            LargeFailed: this part of the file is damaged or missing.
        """

    def close(self) -> None:
        """Close the file."""


def slices(window: Window) -> tuple[slice, slice]:
    """The rows and columns of a window."""
    return slice(window.y, window.y + window.height), slice(window.x, window.x + window.width)


def check_shape(name: str, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
    """Reject an image that cannot be segmented.

    Raises:
        LargeFailed: the image is empty or too large, or its samples have another type than `DTYPES`.
    """
    rows, columns, bands = shape
    if rows < 1 or columns < 1 or bands < 1:
        raise LargeFailed(f"{name}: has no pixels ({columns} x {rows}, {bands} bands)")
    if rows * columns > MAX_PIXELS or max(rows, columns) >= 1 << 31:
        raise LargeFailed(f"{name}: {columns} x {rows} pixels; at most {MAX_PIXELS:,} pixels are possible")
    if dtype.newbyteorder("=") not in DTYPES:
        raise LargeFailed(f"{name}: samples of type {dtype} are not supported")


def check_window(window: Window, rows: int, columns: int) -> None:
    """Reject a window that is not inside the image.

    Raises:
        LargeFailed: the window is empty or not inside.
    """
    x, y, width, height = window
    if min(x, y) < 0 or min(width, height) < 1 or x + width > columns or y + height > rows:
        raise LargeFailed(
            f"the window of {width} x {height} pixels at x {x}, y {y} is not inside the image of "
            f"{columns} x {rows}"
        )


def choose_bands(source: PixelSource, chosen: Sequence[int]) -> tuple[int, ...]:
    """The bands to segment, from 0: one or three.

    Args:
        source: the image.
        chosen: bands from 1, as users count them; empty: the colour bands that the file names, or else the
            first three, or with one or two bands the first.

    Raises:
        LargeFailed: the image does not have these bands, or there are not one or three.
    """
    available = source.shape[2]
    if not chosen:
        return source.facts.color_bands or (tuple(range(3)) if available >= 3 else (0,))
    if len(chosen) not in {1, 3}:
        raise LargeFailed(f"bands: must be one or three, got {len(chosen)}", usage=True)
    for band in chosen:
        if not 1 <= band <= available:
            raise LargeFailed(
                f"bands: there is no band {band}; the image has "
                + ("one band" if available == 1 else f"bands 1 to {available}"),
                usage=True,
            )
    return tuple(band - 1 for band in chosen)
