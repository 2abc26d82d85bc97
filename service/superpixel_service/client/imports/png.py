"""Reads PNG files as numbers."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.client.exports.png import SIGNATURE
from superpixel_service.client.imports.checks import check_size, fail

MAX_16_BITS = 65_535
"""The largest gray of 16 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture as numbers.

    Attributes:
        values: (height, width) uint32: gray, the index in the palette, or R + 256 G + 65,536 B; 0 where
            transparent.
        most: the largest gray that the file can contain; 0 if it is not gray.
        palette: `#rrggbb` of each index; None if it has no palette.
    """

    values: NDArray[np.uint32]
    most: int
    palette: list[str] | None


def read_png(data: bytes) -> Picture:
    """Read a PNG file.

    Raises:
        InvalidParameter: the file is damaged, or too large.
    """
    if not data.startswith(SIGNATURE) or len(data) < len(SIGNATURE) + 21:
        fail("png", "must begin as a PNG file")
    # The header comes first, so nothing large is allocated.
    check_size("png", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            return _picture(image, depth=data[24])
    except (OSError, SyntaxError, ValueError, IndexError, KeyError, Image.DecompressionBombError) as error:
        fail("png", f"is damaged: {error}")


def _picture(image: Image.Image, depth: int) -> Picture:
    mode = image.mode
    if mode == "P":
        values = np.array(image, np.uint32)
        clear = image.info.get("transparency")
        if isinstance(clear, bytes):
            alphas = np.zeros(256, bool)
            alphas[: len(clear)] = np.frombuffer(clear, np.uint8)[:256] == 0
            values[alphas[np.minimum(values, 255)]] = 0
        elif isinstance(clear, int):
            values[values == clear] = 0
        flat = image.getpalette("RGB") or []
        palette = [f"#{bytes(flat[at : at + 3]).hex()}" for at in range(0, len(flat) - 2, 3)]
        return Picture(values, 0, palette)
    if mode in {"1", "L"}:
        values = np.array(image, np.uint32)
        if mode == "L" and depth < 8:  # Pillow stretches gray of 2 and 4 bits to 8
            values = values * (2**depth - 1) // 255
        return Picture(values, 2**depth - 1, None)
    if mode.startswith("I"):
        return Picture(np.array(image).astype(np.uint32), MAX_16_BITS, None)
    if mode == "LA":
        gray, alpha = np.array(image, np.uint32).transpose(2, 0, 1)
        return Picture(np.where(alpha > 0, gray, 0).astype(np.uint32), 255, None)
    colors = np.array(image.convert("RGBA") if mode != "RGB" else image, np.uint8)
    values = codec.rgb_to_labels(np.ascontiguousarray(colors[..., :3])).astype(np.uint32)
    if colors.shape[2] > len("rgb"):
        values[colors[..., 3] == 0] = 0
    return Picture(values, 0, None)
