"""PNG files."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from superpixel_service.client.exports.annotation import Annotation
from superpixel_service.client.exports.groups import bytes_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
"""The first bytes of a PNG file."""


def to_indexed_png(annotation: Annotation) -> bytes:
    """An 8-bit indexed PNG. The pixel value is the class; the palette holds the colours of the classes."""
    palette = [0, 0, 0, *(byte for one in annotation.classes for byte in bytes_of(one.color))]
    return write_png(annotation.mask, 3, bytes(palette))


def write_png(picture: NDArray[np.uint8] | NDArray[np.uint16], kind: int, palette: bytes = b"") -> bytes:
    """A PNG file of the picture's own depth: Pillow would take fewer bits for a short palette.

    Args:
        picture: (height, width) or (height, width, 3), 8 or 16 bits per sample.
        kind: PNG's colour type: 0 gray, 2 RGB, 3 indexed.
        palette: red, green and blue of each index.
    """
    height, width = picture.shape[:2]
    depth = 8 * picture.itemsize
    rows = picture.astype(picture.dtype.newbyteorder(">")).reshape(height, -1).view(np.uint8)
    filtered = np.zeros((height, rows.shape[1] + 1), np.uint8)  # filter 0 in each row
    filtered[:, 1:] = rows
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(filtered.data)), (b"IEND", b"")]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
        if data or name != b"PLTE"
    )
