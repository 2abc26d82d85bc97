"""Reads the header of a WebP file (RFC 9649)."""

import struct

from superpixel_service.contract import ImageFormat
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader, Header

_PIXEL_CHUNKS = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}
_SPARE_BYTES = 1 << 16


def read_webp(data: bytes) -> Header:
    """Read the header. EXIF is ignored, as browsers ignore it in WebP files.

    Raises:
        DamagedHeader, struct.error, IndexError: the file is damaged, or has too many chunks.
    """
    size, frames, largest = None, 0, 0
    position = 12
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        start = position + 8
        if kind == b"VP8X" and size is None:
            width, width_top, height, height_top = struct.unpack_from("<HBHB", data, start + 4)
            size = (width_top << 16 | width) + 1, (height_top << 16 | height) + 1
        elif kind == b"VP8 " and size is None:
            width, height = struct.unpack_from("<HH", data, start + 6)
            size = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and size is None:
            (bits,) = struct.unpack_from("<I", data, start + 1)
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind == b"ANMF":
            frames += 1
        if kind in _PIXEL_CHUNKS:
            largest = max(largest, length)
        position = start + length + (length & 1)
    else:
        raise DamagedHeader
    # Pixels have 4 bytes, and compression adds less than 1/16. The rest would be code tables without pixels.
    if size is None or largest > size[0] * size[1] * 17 // 4 + _SPARE_BYTES:
        raise DamagedHeader
    return Header(ImageFormat.WEBP, *size, frames=max(1, frames))
