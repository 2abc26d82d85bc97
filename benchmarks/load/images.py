"""JPEG files of any size of which no two are alike, at the cost of a copy.

A few photographs are encoded once for each size. Each file after that has another quantization table: some
of the coefficients' steps are one larger, so its pixels differ a little all over, and no cache knows it.
Making photographs anew while calls are due would take the processor from the generator, or from the server.
"""

import io
import itertools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.load.arrivals import Size

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
QUALITY = 90
VARIANTS = 6
"""Photographs a size: other scenes take other times."""

_CHANGED = range(6, 30)
"""Which steps may be larger, in zigzag order: low frequencies that every photograph has."""


class Files:
    """JPEG files by size; `next` may be called from any thread."""

    def __init__(self, sizes: tuple[Size, ...], seed: int = 0) -> None:
        self._plain = {
            size: [_encoded(picture(size, variant)) for variant in range(VARIANTS)] for size in sizes
        }
        self._numbers = itertools.count(seed << 16)

    def next(self, size: Size) -> bytes:
        """A file that there has not been."""
        return self._varied(size, next(self._numbers))

    def _varied(self, size: Size, number: int) -> bytes:
        variant, number = number % VARIANTS, number // VARIANTS
        file = bytearray(self._plain[size][variant])
        start = _luminance_steps(file)
        for bit, place in enumerate(_CHANGED):
            file[start + place] = min(255, file[start + place] + (number >> bit & 1))
        return bytes(file)


def picture(size: Size, variant: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3): the examples' photographs side by side at their own resolution.

    Scaled-up photographs would be smoother than what cameras take, and so easier. Variants begin with
    another photograph and are shifted.
    """
    width, height = size
    out = np.empty((height, width, 3), np.uint8)
    photos = [np.array(Image.open(file).convert("RGB")) for file in sorted(PHOTOS.glob("*.jpg"))]
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


def _encoded(image: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _luminance_steps(file: bytes | bytearray) -> int:
    """Where the 64 steps of brightness begin: segment DQT, bytes, table 0 (ITU T.81, B.2.4.1)."""
    marker = file.index(b"\xff\xdb")
    if file[marker + 4] != 0:
        raise AssertionError("the first table is that of brightness, in bytes")
    return marker + 5
