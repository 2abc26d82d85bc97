"""Reads containers. The input is not trusted: a size that it states is checked before memory is allocated."""

import itertools
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import _codec, layout
from superpixel_kernels.codec.global_ids import global_ids_size, parse_global_ids
from superpixel_kernels.codec.label_map import LabelMap, Levels, Tree
from superpixel_kernels.codec.measured import Regions
from superpixel_kernels.codec.provenance import MAX_BYTES, parse_provenance
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter

_KNOWN = (
    layout.LABELS,
    layout.MASK,
    layout.TREE,
    layout.LEVELS,
    layout.HEIGHTS,
    layout.REGIONS,
    layout.PROVENANCE,
    layout.GLOBAL_IDS,
)


def decode(
    data: bytes | bytearray | memoryview,
    *,
    max_pixels: int | None = None,
    skip: Collection[bytes] = (),
) -> LabelMap:
    """Read a label map container.

    Args:
        data: the whole container and nothing else.
        max_pixels: largest width * height, 1 to 2**31 - 1. A larger map is rejected before its memory is
            allocated, which is 4 bytes per pixel. Default: 2**17 for each byte of `data`, at most 2**27. All
            maps that `encode` writes up to 16,384 pixels wide and 2**27 pixels large fit; for others give the
            size that you expect.
        skip: types of sections, such as b"regn", that are left compressed and are missing in the result;
            not LABL and MASK.

    Raises:
        InvalidLabelMap: the bytes are not a well-formed label map, or it is too large; the message says what
            is wrong and where.
        InvalidParameter: `max_pixels` is out of range.
    """
    if max_pixels is not None and not 1 <= max_pixels < 2**31:
        raise InvalidParameter("max_pixels", f"must be from 1 to {2**31 - 1}, got {max_pixels}")
    view = memoryview(data).cast("B")
    header = _read_header(view, max_pixels)
    sections = {kind: section for kind, section in _split(view).items() if kind not in skip}
    count = header.count

    outside = None
    if layout.MASK in sections:
        outside = _parse_mask(_inflate(layout.MASK, sections[layout.MASK], 4, 4), count)
    labels_payload = _inflate(layout.LABELS, sections[layout.LABELS], *_labels_bounds(header))
    labels = np.empty((header.height, header.width), np.int32)
    _codec.decode_labels(labels_payload, count if outside is None else count + 1, labels)
    if outside is not None:
        _codec.restore_outside(labels, outside)

    tree = levels = heights = regions = provenance = global_ids = None
    if layout.TREE in sections:
        size = 2 * layout.plane_count(count) * (count - 1)
        tree = _parse_tree(_inflate(layout.TREE, sections[layout.TREE], size, size), count)
    if layout.LEVELS in sections:
        size = (layout.plane_count(count) + 1) * (count - 1)
        raw = _inflate(layout.LEVELS, sections[layout.LEVELS], 1 + 4 + size, 1 + 4 * layout.MAX_LEVELS + size)
        levels = _parse_levels(raw, count)
    if layout.HEIGHTS in sections:
        raw = _inflate(layout.HEIGHTS, sections[layout.HEIGHTS], count - 1, 3 * (count - 1))
        heights = _parse_heights(raw, count)
    if layout.REGIONS in sections:
        # A map has at most two pairs of neighbours per pixel, and a varint has at most five bytes.
        fixed = layout.REGION_BYTES * count + 4
        most = fixed + 5 * (count + 2 * labels.size)
        regions = _parse_regions(
            _inflate(layout.REGIONS, sections[layout.REGIONS], fixed + count, most), count
        )
    if layout.PROVENANCE in sections:
        raw = _inflate(layout.PROVENANCE, sections[layout.PROVENANCE], 0, MAX_BYTES)
        provenance = parse_provenance(raw, header.width, header.height)
    if layout.GLOBAL_IDS in sections:
        size = global_ids_size(count)
        global_ids = parse_global_ids(
            _inflate(layout.GLOBAL_IDS, sections[layout.GLOBAL_IDS], size, size), count
        )
    return LabelMap(
        labels,
        count,
        header.connected,
        header.algorithm_version,
        tree,
        levels,
        heights,
        regions,
        provenance,
        global_ids,
    )


@dataclass(frozen=True, slots=True)
class _Header:
    connected: bool
    algorithm_version: int
    width: int
    height: int
    count: int


@dataclass(frozen=True, slots=True)
class _Section:
    stored: memoryview
    raw_bytes: int


def _read_header(view: memoryview, max_pixels: int | None) -> _Header:
    if len(view) < layout.HEADER.size:
        raise InvalidLabelMap(f"header: {len(view)} bytes, it takes {layout.HEADER.size}")
    magic, version, flags, algorithm_version, width, height, count = layout.HEADER.unpack_from(view)
    if magic != layout.MAGIC:
        raise InvalidLabelMap("header: not a label map, it does not begin with SPXL")
    if version != layout.FORMAT_VERSION:
        raise InvalidLabelMap(f"header: format version {version}, only {layout.FORMAT_VERSION} is known")
    if flags & ~layout.FLAG_CONNECTED:
        raise InvalidLabelMap(f"header: unknown flags in {flags:#04x}")
    limit, why = max_pixels, ""
    if limit is None:
        limit = min(layout.PIXELS_PER_BYTE * len(view), layout.MAX_PIXELS_READ)
        why = f", which is {layout.PIXELS_PER_BYTE} per byte and at most 2**27; max_pixels sets another limit"
    if not 1 <= width * height <= limit:
        raise InvalidLabelMap(f"header: {width} x {height} pixels, must be from 1 to {limit}{why}")
    if not 1 <= count <= width * height:
        raise InvalidLabelMap(f"header: {count} labels in {width} x {height} pixels")
    return _Header(bool(flags), algorithm_version, width, height, count)


def _split(view: memoryview) -> dict[bytes, _Section]:
    """Find the sections; their payloads stay compressed. Includes unknown optional sections."""
    sections: dict[bytes, _Section] = {}
    at = layout.HEADER.size
    while True:
        if len(view) - at < layout.SECTION.size:
            raise InvalidLabelMap(f"byte {at}: the container ends where a section must begin")
        kind, stored_bytes, raw_bytes = layout.SECTION.unpack_from(view, at)
        at += layout.SECTION.size
        if kind == layout.END:
            break
        if not sections and kind != layout.LABELS:
            raise InvalidLabelMap(f"section {kind!r}: the first one must be LABL")
        if kind in sections:
            raise InvalidLabelMap(f"section {kind!r}: comes twice")
        if kind not in _KNOWN and not b"a" <= kind[:1] <= b"z":
            raise InvalidLabelMap(f"section {kind!r}: unknown, and not marked optional by a lowercase letter")
        if stored_bytes > len(view) - at:
            raise InvalidLabelMap(
                f"section {kind!r}: {stored_bytes} bytes announced, {len(view) - at} left in the container"
            )
        sections[kind] = _Section(view[at : at + stored_bytes], raw_bytes)
        at += stored_bytes
    if stored_bytes or raw_bytes:
        raise InvalidLabelMap(f"section {kind!r}: must have no payload")
    if at != len(view):
        raise InvalidLabelMap(f"byte {at}: {len(view) - at} bytes after the last section")
    if layout.LABELS not in sections:
        raise InvalidLabelMap("section LABL: missing")
    if layout.TREE in sections and layout.LEVELS in sections:
        raise InvalidLabelMap("section LVLS: never together with TREE")
    if layout.HEIGHTS in sections and layout.TREE not in sections:
        raise InvalidLabelMap("section hght: only together with TREE")
    return sections


def _labels_bounds(header: _Header) -> tuple[int, int]:
    """Least and most raw bytes of LABL: one token per row; a token and 16 bytes per pixel."""
    least = 4 + header.height
    return least, least + 17 * header.width * header.height


def _inflate(kind: bytes, section: _Section, least: int, most: int) -> bytes:
    """Decompress a payload. Never produces more than one byte beyond the announced size."""
    name = kind.decode("ascii")
    size = section.raw_bytes
    if not least <= size <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise InvalidLabelMap(f"{name}: {size} raw bytes announced, this map's header allows {expected}")
    inflate = zlib.decompressobj(layout.GZIP_WINDOW_BITS)
    try:
        raw = inflate.decompress(section.stored, size + 1)
    except zlib.error as error:
        raise InvalidLabelMap(f"{name}: the payload is not a sound gzip member") from error
    if len(raw) > size:
        raise InvalidLabelMap(f"{name}: the payload inflates to more than the {size} bytes announced")
    if not inflate.eof:
        raise InvalidLabelMap(f"{name}: the payload's gzip member is cut short")
    if len(raw) < size:
        raise InvalidLabelMap(f"{name}: the payload inflates to {len(raw)} bytes, {size} were announced")
    if inflate.unused_data:
        raise InvalidLabelMap(f"{name}: {len(inflate.unused_data)} bytes after the payload's gzip member")
    return raw


def _parse_mask(raw: bytes, count: int) -> int:
    """The label of LABL that stands for pixels of no superpixel."""
    (outside,) = struct.unpack("<I", raw)
    if outside > count:
        raise InvalidLabelMap(f"MASK: label {outside}, must be at most the count, {count}")
    return int(outside)


def _parse_into(name: str, raw: bytes, count: int) -> NDArray[np.int32]:
    into = layout.from_planes(raw, count - 1)
    wrong = np.flatnonzero(into >= np.arange(1, count))
    if wrong.size:
        label = int(wrong[0]) + 1
        raise InvalidLabelMap(
            f"{name}: into: label {label} goes into {into[label - 1]}, which is not below it"
        )
    return into.astype(np.int32)


def _parse_tree(raw: bytes, count: int) -> Tree:
    half = len(raw) // 2
    into = _parse_into("TREE", raw[:half], count)
    order = layout.from_planes(raw[half:], count - 1)
    # The bound comes first, because bincount allocates an array as long as the largest value.
    if np.any(order >= count - 1) or np.any(np.bincount(order, minlength=count - 1) != 1):
        raise InvalidLabelMap(f"TREE: order does not hold each of 0..{count - 2} once")
    return Tree(into, order.astype(np.int32))


def _parse_levels(raw: bytes, count: int) -> Levels:
    number = raw[0]
    if not 1 <= number <= layout.MAX_LEVELS:
        raise InvalidLabelMap(f"LVLS: {number} levels, must be 1 to {layout.MAX_LEVELS}")
    expected = 1 + 4 * number + (layout.plane_count(count) + 1) * (count - 1)
    if len(raw) != expected:
        raise InvalidLabelMap(f"LVLS: {len(raw)} bytes, {number} levels take {expected}")
    counts = struct.unpack_from(f"<{number}I", raw, 1)
    if any(finer <= coarser for finer, coarser in itertools.pairwise([count, *counts, 0])):
        raise InvalidLabelMap(f"LVLS: counts {counts} do not fall strictly from below {count} to at least 1")
    fields = raw[1 + 4 * number :]
    into = _parse_into("LVLS", fields[: 1 - count], count)
    level = np.frombuffer(fields[1 - count :], np.uint8)
    if np.any(level > number):
        raise InvalidLabelMap(f"LVLS: a label's level is above {number}")
    left = np.cumsum(np.bincount(level, minlength=number))[:number]
    if np.any(count - left != counts):
        raise InvalidLabelMap(f"LVLS: levels yield {(count - left).tolist()} regions, not {list(counts)}")
    return Levels(counts, into, level)


def _parse_heights(raw: bytes, count: int) -> NDArray[np.float32]:
    zigzag = np.empty(count - 1, np.uint32)
    _codec.decode_varints("hght", raw, zigzag)
    wide = zigzag.astype(np.int64)
    bits = np.cumsum((wide >> 1) ^ -(wide & 1))
    if np.any((bits < 0) | (bits > 0xFFFF)):
        raise InvalidLabelMap("hght: a value leaves 0..65535")
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _parse_regions(raw: bytes, count: int) -> Regions:
    wide = 7 * 4 * count
    fields = np.stack(
        [layout.from_planes(raw[at : at + 4 * count], count) for at in range(0, wide, 4 * count)]
    )
    fixed = layout.REGION_BYTES * count
    mean_color = np.frombuffer(raw[wide:fixed], np.uint8).reshape(3, count).T
    (pairs,) = struct.unpack_from("<I", raw, fixed)
    varints = raw[fixed + 4 :]
    # A varint has at least one byte, so the array below is no larger than the payload.
    if count + pairs > len(varints):
        raise InvalidLabelMap(
            f"regn: {pairs} pairs of neighbours announced, its {len(varints)} bytes hold fewer"
        )
    offsets = np.empty(count + 1, np.uint32)
    neighbors = np.empty(pairs, np.int32)
    _codec.decode_adjacency(varints, offsets, neighbors)
    return Regions(
        area=fields[0],
        box=np.ascontiguousarray(fields[1:5].T),
        centroid=np.ascontiguousarray(fields[5:7].T),
        mean_color=np.ascontiguousarray(mean_color),
        neighbor_offsets=offsets,
        neighbors=neighbors,
    )
