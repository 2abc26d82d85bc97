"""Reads the header of a BMP file."""

import struct

from superpixel_service.contract import ImageFormat
from superpixel_service.images.header import DamagedHeader, Header

BMP_SIGNATURE = b"BM"

_CORE_BYTES = 12
_PLAIN = {0, 3, 6}
"""Compressions: none, and none with masks. Pillow decodes run lengths in Python, a second per megapixel."""


def read_bmp(data: bytes) -> Header:
    """Read the header.

    Raises:
        DamagedHeader, struct.error: the file is damaged, or has run lengths.
    """
    (size,) = struct.unpack_from("<I", data, 14)
    if size == _CORE_BYTES:
        width, height = struct.unpack_from("<HH", data, 18)
        return Header(ImageFormat.BMP, width, height)
    width, height = struct.unpack_from("<ii", data, 18)
    (compression,) = struct.unpack_from("<I", data, 30)
    if compression not in _PLAIN:
        raise DamagedHeader
    return Header(ImageFormat.BMP, width, abs(height))  # a negative height: rows from the top
