"""Reads the blocks of a GIF file (version 89a)."""

import struct

from superpixel_service.contract import ImageFormat
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader, Header

GIF_SIGNATURES = (b"GIF87a", b"GIF89a")

_IMAGE, _EXTENSION = 0x2C, 0x21
_BYTES_PER_BLOCK = 64
"""Encoders write data in blocks of 255 bytes. A file of empty blocks is not read to its end."""


def read_gif(data: bytes) -> Header:
    """Read the size, and count the frames.

    Raises:
        DamagedHeader, struct.error, IndexError: the file is damaged, or has too many blocks.
    """
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _table_bytes(flags)
    left = MAX_BLOCKS + len(data) // _BYTES_PER_BLOCK
    frames = 0
    while position < len(data):
        kind = data[position]
        if kind == _IMAGE:
            frames += 1
            if position + 10 > len(data):
                break
            position += 11 + _table_bytes(data[position + 9])
        elif kind == _EXTENSION:
            position += 2
        else:
            break  # the trailer, or damage: what came before counts
        while position < len(data):
            length = data[position]
            position += length + 1
            left -= 1
            if left < 0:
                raise DamagedHeader
            if not length:
                break
    if not frames:
        raise DamagedHeader
    return Header(ImageFormat.GIF, width, height, frames=frames)


def _table_bytes(flags: int) -> int:
    """Bytes of the colour table that the flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
