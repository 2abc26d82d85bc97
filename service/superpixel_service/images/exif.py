"""Reads the orientation from EXIF data (CIPA DC-008)."""

import struct

_ORIENTATION_TAG = 0x0112
_SHORT = 3


def exif_orientation(tiff: bytes) -> int:
    """The orientation in a block of EXIF data that begins with its TIFF header, 1 to 8.

    It is 1 if there is none or it cannot be read. As in Chromium, invalid entries are skipped.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    value: int
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(entries):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * index)
            if (tag, kind, count) == (_ORIENTATION_TAG, _SHORT, 1) and 1 <= value <= 8:
                return value
    except struct.error:
        return 1
    return 1
