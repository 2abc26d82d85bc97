"""Reads the header of a JPEG file and counts its scans (ITU-T T.81)."""

import re
import struct
from collections.abc import Iterator

import numpy as np

from superpixel_service.contract import ImageFormat
from superpixel_service.images.exif import exif_orientation
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader, Header

MAX_SEQUENTIAL_SCANS = 4
"""Most scans of a sequential JPEG. Each component has one, and there are at most four components."""

MAX_PROGRESSIVE_SCANS = 32
"""Most scans of a progressive JPEG; a scan of n components counts n times. Encoders write about 14.

Even an empty scan makes the decoder pass over the whole picture, so a decode costs scans times pixels,
whatever the file's size. Within these bounds the worst file costs 4.2 times a progressive photograph of the
same pixels.
"""

MAX_ARITHMETIC_SCANS = 16
"""The same for arithmetic coding, in which an empty scan costs several times as much."""

MAX_PASSES = 4
"""Most times that a progressive JPEG's scans pass over all coefficients, on average. Encoders need 2 to 4."""

_EXIF_PREFIX = b"Exif\0"
_EXIF_PREFIX_BYTES = 6  # and a byte of any value
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_FIRST_KNOWN_MARKER = 0xC0
_BARE_MARKERS = frozenset(range(0xD0, 0xD9))
_PROGRESSIVE_MARKERS = {
    **dict.fromkeys((0xC2, 0xC6), MAX_PROGRESSIVE_SCANS),
    **dict.fromkeys((0xCA, 0xCE), MAX_ARITHMETIC_SCANS),
}
_COEFFICIENTS = 64
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_APP1 = 0xE1
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_COUNTED_PAIRS = 1 << 19
_SEARCH_BYTES = 1 << 16
"""Bytes searched at a time: a search holds the interpreter's lock."""


def read_jpeg(data: bytes) -> Header:
    """Read the header.

    Raises:
        DamagedHeader, struct.error, IndexError: the file is damaged, or has too many segments or scans.
    """
    size, orientation, frame, end = None, None, None, 2
    for marker, start, end in _segments_before_scans(data):
        if marker in _FRAME_MARKERS and size is None:
            height, width = struct.unpack_from(">HH", data, start + 1)
            size, frame = (width, height), (marker, data[start + 5])
        elif marker == _APP1 and orientation is None and data.startswith(_EXIF_PREFIX, start):
            orientation = exif_orientation(data[start + _EXIF_PREFIX_BYTES : end])
    if size is None or frame is None:
        raise DamagedHeader
    marker, components = frame
    if marker in _PROGRESSIVE_MARKERS:
        _check_scans(data, end, _PROGRESSIVE_MARKERS[marker], MAX_PASSES * _COEFFICIENTS * components)
    elif _scan_markers(data) > MAX_SEQUENTIAL_SCANS:  # thumbnails and random matches count too
        _check_scans(data, end, MAX_SEQUENTIAL_SCANS, MAX_SEQUENTIAL_SCANS * _COEFFICIENTS)
    return Header(ImageFormat.JPEG, *size, orientation=orientation or 1)


def _segments_before_scans(data: bytes) -> Iterator[tuple[int, int, int]]:
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
        if marker == _START_OF_SCAN:
            return
        position += 2
        if marker in _BARE_MARKERS or marker < _FIRST_KNOWN_MARKER:
            continue
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, position + 2, position + length
        position += max(2, length)
    raise DamagedHeader


def _scan_markers(data: bytes) -> int:
    """The number of byte pairs in the whole file that start a scan if they are markers."""
    count = 0
    for offset in (0, 1):
        pairs = np.frombuffer(data, "<u2", (len(data) - offset) // 2, offset)
        for start in range(0, len(pairs), _COUNTED_PAIRS):
            part = pairs[start : start + _COUNTED_PAIRS]
            count += int(np.count_nonzero(part == (_START_OF_SCAN << 8 | 0xFF)))
    return count


def _check_scans(data: bytes, position: int, max_scans: int, max_coefficients: int) -> None:
    """Check the scans from `position` to the end of the image.

    Raises:
        DamagedHeader: there are too many, or they pass over too many coefficients of the components.
    """
    scans = coefficients = 0
    for marker, start in _markers_among_scans(data, position):
        if marker == _END_OF_IMAGE:
            return
        if marker == _START_OF_SCAN and start + 3 < len(data):
            components = max(1, data[start + 2])
            first, last = data[start + 3 + 2 * components : start + 5 + 2 * components].ljust(2, b"\0")
            scans += components
            coefficients += components * max(1, last - first + 1)
            if scans > max_scans or coefficients > max_coefficients:
                raise DamagedHeader


def _markers_among_scans(data: bytes, position: int) -> Iterator[tuple[int, int]]:
    """Each marker from `position` on, and the position after it.

    Unknown markers count as markers without content: a decoder that looks for a restart marker skips only
    their two bytes, so scans could hide in their apparent content.
    """
    markers = 0
    while position < len(data):
        found = _MARKER_IN_SCAN.search(data, position, position + _SEARCH_BYTES)
        if found is None:
            position += _SEARCH_BYTES - 1  # a marker may begin with the last byte
            continue
        marker, position, markers = found[0][1], found.end(), markers + 1
        if markers > MAX_BLOCKS:
            raise DamagedHeader
        yield marker, position
        if marker not in _BARE_MARKERS and marker >= _FIRST_KNOWN_MARKER and position + 2 <= len(data):
            position += max(2, struct.unpack_from(">H", data, position)[0])
