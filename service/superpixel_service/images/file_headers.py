"""Reads format, size, frames and orientation of an image file from its bytes, without an image library.

The server opens a file with the image library only after it has accepted the header read here. Nothing here
allocates an amount that the file names. Formats: JPEG (ITU-T T.81), PNG (W3C, third edition), WebP
(RFC 9649), EXIF orientation (CIPA DC-008).
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from superpixel_service.model import ImageFormat

MAX_BLOCKS = 20_000
"""Most chunks or segments read per file. A hostile file can have millions of empty ones."""

MAX_SCANS = 64
"""Most scans of a progressive JPEG; encoders write about ten. Even a tiny scan makes the decoder pass over
the whole picture, so a megabyte of tiny scans would occupy a worker for hours."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_EXIF_PREFIX = b"Exif\0\0"
_ORIENTATION_TAG = 0x0112
_JPEG_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_PROGRESSIVE_MARKERS = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_START_OF_SCAN = 0xDA
_JPEG_END_OF_IMAGE = 0xD9
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_APP1 = 0xE1


class DamagedHeader(Exception):
    """The header is truncated, contradicts itself, or has no size."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image file.

    Attributes:
        width: columns as stored, in pixels, at least 1.
        height: rows as stored, in pixels, at least 1.
        bit_depth: bits per sample (PNG); 8 for the other formats.
        frames: frames of an animation, at least 1. Auxiliary pictures of a multi-picture JPEG do not count.
        orientation: EXIF orientation, 1 (as stored) to 8.
    """

    format: ImageFormat
    width: int
    height: int
    bit_depth: int = 8
    frames: int = 1
    orientation: int = 1


def sniff(data: bytes) -> ImageFormat | None:
    """The format, by the file's first bytes; None: not JPEG, PNG or WebP."""
    if data.startswith(_JPEG_SIGNATURE):
        return ImageFormat.JPEG
    if data.startswith(_PNG_SIGNATURE):
        return ImageFormat.PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    return None


def read_header(data: bytes, image_format: ImageFormat) -> Header:
    """Read the header of a file that `sniff` found to be of `image_format`.

    Raises:
        DamagedHeader: the header is damaged, or the file has too many segments or scans.
    """
    readers = {ImageFormat.JPEG: _read_jpeg, ImageFormat.PNG: _read_png, ImageFormat.WEBP: _read_webp}
    try:
        header = readers[image_format](data)
    except (struct.error, IndexError) as error:
        raise DamagedHeader from error
    if header.width < 1 or header.height < 1:
        raise DamagedHeader
    return header


def _read_jpeg(data: bytes) -> Header:
    size, orientation, progressive, end = None, 1, False, 2
    for marker, start, end in _jpeg_segments(data):
        progressive |= marker in _JPEG_PROGRESSIVE_MARKERS
        if marker in _JPEG_FRAME_MARKERS and size is None:
            height, width = struct.unpack_from(">HH", data, start + 1)
            size = width, height
        elif marker == _JPEG_APP1 and data.startswith(_EXIF_PREFIX, start):
            orientation = exif_orientation(data[start:end])
    if size is None or (progressive and _jpeg_scans(data, end) > MAX_SCANS):
        raise DamagedHeader
    return Header(ImageFormat.JPEG, *size, orientation=orientation)


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment before the first scan."""
    position = 2
    for _ in range(MAX_BLOCKS):
        position = data.find(b"\xff", position)
        if position < 0:
            return
        marker = data[position + 1]
        if marker in {0x00, 0xFF}:  # a stuffed byte or a fill byte, not a marker
            position += 1
            continue
        if marker == _JPEG_START_OF_SCAN:
            return
        position += 2
        if marker in _JPEG_BARE_MARKERS:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, position + 2, position + length
        position += max(2, length)
    raise DamagedHeader


def _jpeg_scans(data: bytes, position: int) -> int:
    """The number of scans from `position` to the end of the image; counting stops above `MAX_SCANS`."""
    scans = 0
    for _ in range(MAX_BLOCKS):
        found = _JPEG_MARKER_IN_SCAN.search(data, position)
        if found is None or found[0][1] == _JPEG_END_OF_IMAGE or scans > MAX_SCANS:
            return scans
        scans += found[0][1] == _JPEG_START_OF_SCAN
        position = found.end()
        if found[0][1] not in _JPEG_BARE_MARKERS and position + 2 <= len(data):
            position += max(2, struct.unpack_from(">H", data, position)[0])
    raise DamagedHeader


def _read_png(data: bytes) -> Header:
    width = height = 0
    bit_depth, frames, orientation = 8, 1, 1
    position = len(_PNG_SIGNATURE)
    for index in range(MAX_BLOCKS):
        length, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if (index == 0) != (kind == b"IHDR"):
            raise DamagedHeader
        if kind == b"IHDR":
            width, height, bit_depth = struct.unpack_from(">IIB", data, start)
        elif kind == b"acTL":
            frames = max(1, struct.unpack_from(">I", data, start)[0])
        elif kind == b"eXIf":
            orientation = exif_orientation(data[start : start + length])
        elif kind == b"IDAT":
            return Header(ImageFormat.PNG, width, height, bit_depth, frames, orientation)
        position = start + length + 4
    raise DamagedHeader


def _read_webp(data: bytes) -> Header:
    size, frames, orientation = None, 0, 1
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
        elif kind == b"EXIF":
            orientation = exif_orientation(data[start : start + length])
        position = start + length + (length & 1)
    if size is None:
        raise DamagedHeader
    return Header(ImageFormat.WEBP, *size, frames=max(1, frames), orientation=orientation)


def exif_orientation(exif: bytes) -> int:
    """The orientation in a block of EXIF data, 1 to 8; 1 if it has none or cannot be read."""
    tiff = exif.removeprefix(_EXIF_PREFIX)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(order + "I", tiff, 4)
        (entries,) = struct.unpack_from(order + "H", tiff, directory)
        for index in range(entries):
            tag, kind, count, value = struct.unpack_from(order + "HHIH", tiff, directory + 2 + 12 * index)
            if tag == _ORIENTATION_TAG:
                return value if (kind, count) == (3, 1) and 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1
