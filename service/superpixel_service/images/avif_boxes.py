"""Reads the boxes of an AVIF file (AV1 Image File Format; ISO/IEC 14496-12 and 23008-12)."""

import struct
from collections.abc import Iterator

from superpixel_service.contract import ImageFormat
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader, Header

_BRANDS = {b"avif", b"avis"}
_SAMPLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz")
_ESSENTIAL_16 = 0x8000

# By the turns of 90 degrees against the clock, and the axis of mirroring: -1 none, 0 top and bottom, 1 sides.
_ORIENTATIONS = {
    (0, -1): 1, (1, -1): 8, (2, -1): 3, (3, -1): 6,
    (0, 0): 4, (1, 0): 5, (2, 0): 2, (3, 0): 7,
    (0, 1): 2, (1, 1): 7, (2, 1): 4, (3, 1): 5,
}  # fmt: skip


def is_avif(data: bytes) -> bool:
    """Whether a file says that it is one."""
    if data[4:8] != b"ftyp":
        return False
    (size,) = struct.unpack_from(">I", data)
    brands = data[8 : min(size, 256)]
    return any(brands[at : at + 4] in _BRANDS for at in range(0, len(brands), 4) if at != 4)


def read_avif(data: bytes) -> Header:
    """Read size and orientation of the primary item, and the frames of a sequence. EXIF is ignored.

    Raises:
        DamagedHeader, struct.error, IndexError: the file is damaged, cropped, or has too many boxes.
    """
    meta = _find(data, 0, len(data), b"meta")
    if meta is None:
        raise DamagedHeader
    start, end = meta[0] + 4, meta[1]  # a full box: version and flags come first
    primary = _required(_find(data, start, end, b"pitm"))
    item_format = ">I" if data[primary[0]] else ">H"
    (item,) = struct.unpack_from(item_format, data, primary[0] + 4)
    properties = _required(_find(data, start, end, b"iprp"))
    listed = list(_boxes(data, *_required(_find(data, *properties, b"ipco"))))
    size: tuple[int, int] | None = None
    turns, axis = 0, -1
    for index in _associations(data, *_required(_find(data, *properties, b"ipma")), item):
        if not 1 <= index <= len(listed):
            raise DamagedHeader
        kind, at, _ = listed[index - 1]
        if kind == b"ispe":
            width, height = struct.unpack_from(">II", data, at + 4)
            size = width, height
        elif kind == b"irot":
            turns = data[at] & 3
        elif kind == b"imir":
            axis = data[at] & 1
        elif kind == b"clap":
            raise DamagedHeader
    if size is None:
        raise DamagedHeader
    return Header(ImageFormat.AVIF, *size, frames=_frames(data), orientation=_ORIENTATIONS[turns, axis])


def _frames(data: bytes) -> int:
    """The frames of a sequence; 1 for a still picture."""
    if data[8:12] != b"avis":
        return 1
    place: tuple[int, int] | None = (0, len(data))
    for kind in _SAMPLES:
        place = None if place is None else _find(data, *place, kind)
    return 1 if place is None else max(1, int(struct.unpack_from(">I", data, place[0] + 8)[0]))


def _associations(data: bytes, start: int, _end: int, item: int) -> list[int]:
    """The properties of an item, as numbers from 1."""
    version, flags = data[start], data[start + 3]
    (entries,) = struct.unpack_from(">I", data, start + 4)
    if entries > MAX_BLOCKS:
        raise DamagedHeader
    at = start + 8
    for _ in range(entries):
        (found,) = struct.unpack_from(">I" if version else ">H", data, at)
        at += 4 if version else 2
        count = data[at]
        at += 1
        if flags & 1:
            indexes = [each & ~_ESSENTIAL_16 for each in struct.unpack_from(f">{count}H", data, at)]
            at += 2 * count
        else:
            indexes = [each & 0x7F for each in data[at : at + count]]
            at += count
        if found == item:
            return indexes
    raise DamagedHeader


def _required(place: tuple[int, int] | None) -> tuple[int, int]:
    if place is None:
        raise DamagedHeader
    return place


def _find(data: bytes, start: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    """The content of the first box of this type."""
    return next(((at, stop) for kind, at, stop in _boxes(data, start, end) if kind == wanted), None)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of the content of each box.

    Raises:
        DamagedHeader: a box leaves its parent, or there are too many.
    """
    for _ in range(MAX_BLOCKS):
        if start + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        elif size == 0:
            size = end - start
        if size < content - start or start + size > end:
            raise DamagedHeader
        yield kind, content, start + size
        start += size
    raise DamagedHeader
