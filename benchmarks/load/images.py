"""JPEG files of any size, no two alike, each for the cost of a copy.

A few photographs are encoded once per size. Each file gets another quantization table: some of the steps are
larger by one. So its pixels differ a little everywhere, and no cache knows it. Encoding a photograph per call
would take processor time from the generator or the server.
"""

import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import as_jpeg, load_rgb
from benchmarks.load.arrivals import Size

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
VARIANTS = 6
"""Photographs per size, as service times depend on the scene."""

_CHANGED = range(6, 30)
"""Which steps may be larger, in zigzag order: low frequencies, which every photograph has."""


class Files:
    """JPEG files by size; `next` may be called from any thread."""

    def __init__(self, sizes: tuple[Size, ...], seed: int = 0) -> None:
        self._plain = {
            size: [as_jpeg(picture(size, variant)) for variant in range(VARIANTS)] for size in sizes
        }
        self._numbers = itertools.count(seed << 16)

    def next(self, size: Size) -> bytes:
        """Return a file that was not returned before."""
        return self._varied(size, next(self._numbers))

    def _varied(self, size: Size, number: int) -> bytes:
        variant, number = number % VARIANTS, number // VARIANTS
        file = bytearray(self._plain[size][variant])
        start = _luminance_steps(file)
        for bit, place in enumerate(_CHANGED):
            file[start + place] = min(255, file[start + place] + (number >> bit & 1))
        return bytes(file)


def picture(size: Size, variant: int = 0) -> NDArray[np.uint8]:
    """Return (height, width, 3) RGB: the examples' photographs side by side at their own resolution.

    Scaled-up photographs would be smoother than a camera's, and so easier to segment. Each variant begins
    with another photograph and is shifted.
    """
    width, height = size
    out = np.empty((height, width, 3), np.uint8)
    photos = [load_rgb(file) for file in sorted(PHOTOS.glob("*.jpg"))]
    tiles = itertools.cycle(photos[variant % len(photos) :] + photos[: variant % len(photos)])
    top = 0
    while top < height:
        left, tall = 0, height
        while left < width:
            place = out[top:, left:]
            tile = next(tiles)[: place.shape[0], : place.shape[1]]
            tall = min(tall, tile.shape[0])
            place[: tile.shape[0], : tile.shape[1]] = tile
            left += tile.shape[1]
        top += tall
    return np.roll(out, (37 * variant, 61 * variant), axis=(0, 1))


def _luminance_steps(file: bytes | bytearray) -> int:
    """Return the offset of the 64 luminance steps: DQT segment, 8-bit table 0 (ITU T.81, B.2.4.1)."""
    marker = file.index(b"\xff\xdb")
    if file[marker + 4] != 0:
        raise AssertionError("the first table must be the 8-bit one for luminance")
    return marker + 5
