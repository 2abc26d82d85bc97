"""Reads the directories of a TIFF file (TIFF 6.0, and BigTIFF)."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from superpixel_service.contract import ImageFormat
from superpixel_service.images.header import DamagedHeader, Header

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_MAX_PAGES = 1000
_MAX_ENTRIES = 500
_MAX_VALUES = 1 << 20
"""Most values of a tag. Pillow makes Python numbers of all of them."""

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _ORIENTATION, _SAMPLE_FORMAT = 254, 256, 257, 258, 274, 339
_UNSIGNED = 1
_REDUCED = 1
_DEPTHS = {1, 2, 4, 8, 16}
_KINDS = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 16: (8, "Q")}
"""Types of tags with unsigned integers: bytes of a value, and its code."""


class _Layout(NamedTuple):
    """How a TIFF or a BigTIFF is laid out: codes of a pointer and a number of entries, bytes of an entry."""

    order: str
    pointer: str
    entries: str
    entry_bytes: int
    first: int


def read_tiff(data: bytes) -> Header:
    """Read the first directory, and count the pages. Reduced copies of a page do not count.

    Raises:
        DamagedHeader, struct.error: the file is damaged, or has samples that are not unsigned integers.
    """
    order = "<" if data[:1] == b"I" else ">"
    is_big = data[2:4] in {b"+\0", b"\0+"}
    layout = _Layout(order, "Q", "Q", 20, 8) if is_big else _Layout(order, "I", "H", 12, 4)
    first: dict[int, list[int]] | None = None
    pages = 0
    for tags in _directories(data, layout):
        if first is None:
            first = tags
            pages = 1
        elif not tags.get(_SUBFILE, [0])[0] & _REDUCED:
            pages += 1
    if first is None:
        raise DamagedHeader
    depths, formats = set(first.get(_BITS, [1])), set(first.get(_SAMPLE_FORMAT, [_UNSIGNED]))
    if len(depths) != 1 or not depths <= _DEPTHS or formats != {_UNSIGNED}:
        raise DamagedHeader
    orientation = first.get(_ORIENTATION, [1])[0]
    try:
        width, height = first[_WIDTH][0], first[_HEIGHT][0]
    except KeyError:
        raise DamagedHeader from None
    return Header(
        ImageFormat.TIFF,
        width,
        height,
        bit_depth=16 if depths == {16} else 8,
        frames=pages,
        orientation=orientation if 1 <= orientation <= 8 else 1,
    )


def _directories(data: bytes, layout: _Layout) -> Iterator[dict[int, list[int]]]:
    """The tags of each directory in the chain.

    Raises:
        DamagedHeader: the chain is a circle, or has too many directories, entries or values.
    """
    (at,) = struct.unpack_from(layout.order + layout.pointer, data, layout.first)
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) >= _MAX_PAGES:
            raise DamagedHeader
        seen.add(at)
        (entries,) = struct.unpack_from(layout.order + layout.entries, data, at)
        if entries > _MAX_ENTRIES:
            raise DamagedHeader
        start = at + struct.calcsize(layout.order + layout.entries)
        yield dict(filter(None, (_tag(data, layout, start + layout.entry_bytes * i) for i in range(entries))))
        (at,) = struct.unpack_from(layout.order + layout.pointer, data, start + layout.entry_bytes * entries)


def _tag(data: bytes, layout: _Layout, at: int) -> tuple[int, list[int]] | None:
    """A tag of unsigned integers and its first values; None: of another type."""
    tag, kind, count = struct.unpack_from(f"{layout.order}HH{layout.pointer}", data, at)
    value_at = at + layout.entry_bytes - struct.calcsize(layout.order + layout.pointer)
    if count > _MAX_VALUES:
        raise DamagedHeader
    if kind not in _KINDS or not count:
        return None
    size, code = _KINDS[kind]
    if size * count > struct.calcsize(layout.order + layout.pointer):
        (value_at,) = struct.unpack_from(layout.order + layout.pointer, data, value_at)
    return tag, list(struct.unpack_from(f"{layout.order}{min(count, 8)}{code}", data, value_at))
