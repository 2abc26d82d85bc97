"""The whole format as a short program. It is slow but simple; tests compare it with the real decoder.

It rejects exactly the input that the real decoder rejects, so it can serve, beside docs/label-map.md, as a
model for a decoder in another language. It uses lists instead of arrays; entry 0 of `into`, `order` and
`level` is for label 1.
"""

import bisect
import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

from superpixel_kernels.errors import InvalidLabelMap

Parser = Callable[["Reader", int, int, int], dict[str, Any]]


def decode(data: bytes) -> dict[str, Any]:
    """Decode a container to the fields of a `LabelMap`, as plain lists; heights as their 16 bits.

    Raises:
        InvalidLabelMap: the bytes are not a well-formed label map.
    """
    file = Reader(data)
    check(file.take(4) == b"SPXL" and file.uint(1) == 1)
    flags, version, width, height, count = (file.uint(size) for size in (1, 2, 4, 4, 4))
    check(flags <= 1 and width * height > 0 and 1 <= count <= width * height)
    result: dict[str, Any] = {"count": count, "connected": flags == 1, "algorithm_version": version}

    sections: dict[bytes, tuple[bytes, int]] = {}
    while (kind := file.take(4)) != b"END\0":
        stored_bytes, raw_bytes = file.uint(4), file.uint(4)
        check(kind not in sections and (sections or kind == b"LABL"))
        check(kind in (b"LABL", b"MASK", b"TREE", b"LVLS") or b"a" <= kind[:1] <= b"z")
        sections[kind] = (file.take(stored_bytes), raw_bytes)
    check(file.uint(4) == file.uint(4) == 0)
    file.end()

    check(b"LABL" in sections and not {b"TREE", b"LVLS"} <= sections.keys())
    check(b"hght" not in sections or b"TREE" in sections)
    planes = bytes_for(count - 1)
    with_outside = count + (b"MASK" in sections)
    parsers: dict[bytes, tuple[Parser, int]] = {
        # type: its parser, and the most raw bytes that this header allows
        b"MASK": (mask, 4),
        b"LABL": (
            lambda payload, _, *size: labels(payload, with_outside, *size),
            4 + 17 * width * height + height,
        ),
        b"TREE": (tree, 2 * planes * (count - 1)),
        b"LVLS": (levels, 1 + 4 * 32 + (planes + 1) * (count - 1)),
        b"hght": (heights, 3 * (count - 1)),
        b"regn": (regions, 31 * count + 4 + 5 * (count + 2 * width * height)),
        b"prov": (provenance, 4096),
        b"gids": (global_ids, 4 + 4 * count),
    }
    for kind, (parse, most) in parsers.items():
        if kind in sections:
            stored, raw_bytes = sections[kind]
            check(raw_bytes <= most)
            payload = Reader(inflate(stored, raw_bytes))
            result |= parse(payload, count, width, height)
            payload.end()
    if (outside := result.pop("outside", None)) is not None:
        result["labels"] = [
            [-1 if label == outside else label - (label > outside) for label in row]
            for row in result["labels"]
        ]
    return result


def mask(payload: "Reader", count: int, *_size: int) -> dict[str, Any]:
    """MASK: which label stands for pixels of no superpixel."""
    outside = payload.uint(4)
    check(outside <= count)
    return {"outside": outside}


def labels(payload: "Reader", count: int, width: int, height: int) -> dict[str, Any]:
    """LABL."""
    tokens, arguments = Reader(payload.take(payload.uint(4))), payload
    rows: list[list[int]] = []
    seen = 0
    for y in range(height):
        above = rows[y - 1] if y else [-1] * width
        cuts = [x for x in range(1, width) if above[x - 1] != above[x]]
        row, end = above.copy(), 0
        while (token := tokens.uint(1)) != 0:
            if token <= 2:
                start = end + arguments.varint()
                length = arguments.varint() + 1
                label = seen if token == 1 else seen - 1 - arguments.varint()
                seen += token == 1
                check(label >= 0)
            else:
                check(token <= 4 or token >= 16)
                k, code, length = (token - 16) // 16, token % 2, (token - 16) // 2 % 8 + 1
                if token <= 4:
                    k, code, length = arguments.varint(), token - 3, arguments.varint() + 1
                nearest = bisect.bisect_right(cuts, end) + k
                check(nearest < len(cuts))
                cut = cuts[nearest]
                start = cut if code == 0 else cut - length
                label = above[cut - 1] if code == 0 else above[cut]
            check(end <= start and start + length <= width and (y > 0 or start == end))
            row[start : start + length] = [label] * length
            end = start + length
        check(y > 0 or end == width)
        rows.append(row)
    tokens.end()
    check(seen == count)
    return {"labels": rows}


def tree(payload: "Reader", count: int, *_size: int) -> dict[str, Any]:
    """TREE."""
    into, order = (payload.planes(count - 1, bytes_for(count - 1)) for _ in range(2))
    check(all(a < b for b, a in enumerate(into, 1)) and sorted(order) == list(range(count - 1)))
    return {"tree": (into, order)}


def levels(payload: "Reader", count: int, *_size: int) -> dict[str, Any]:
    """LVLS."""
    counts = [payload.uint(4) for _ in range(payload.uint(1))]
    check(
        1 <= len(counts) <= 32 and counts == sorted(set(counts))[::-1] and 0 < counts[-1] <= counts[0] < count
    )
    into, level = payload.planes(count - 1, bytes_for(count - 1)), list(payload.take(count - 1))
    check(all(a < b for b, a in enumerate(into, 1)) and all(x <= len(counts) for x in level))
    check(all(count - sum(x <= j for x in level) == counts[j] for j in range(len(counts))))
    return {"levels": (counts, into, level)}


def heights(payload: "Reader", count: int, *_size: int) -> dict[str, Any]:
    """Section hght."""
    bits = [0]
    for _ in range(count - 1):
        zigzag = payload.varint()
        bits.append(bits[-1] + (zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2))
        check(0 <= bits[-1] <= 0xFFFF)
    return {"heights": bits[1:]}


def regions(payload: "Reader", count: int, *_size: int) -> dict[str, Any]:
    """Section regn: area, x0, y0, x1, y1, centroid x, y; R, G, B; the neighbours b > a of each a."""
    fields = [payload.planes(count, 4) for _ in range(7)] + [payload.planes(count, 1) for _ in range(3)]
    pairs = payload.uint(4)
    neighbors = [[a + payload.varint() for _ in range(payload.varint())] for a in range(count)]
    check(sum(map(len, neighbors)) == pairs)
    check(all(b == sorted({*b} - {a}) and (not b or b[-1] < count) for a, b in enumerate(neighbors)))
    return {"regions": (fields, neighbors)}


def provenance(payload: "Reader", _count: int, width: int, height: int) -> dict[str, Any]:
    """Section prov: the known fields; an unknown field is skipped."""
    result: dict[str, Any] = {}
    last = 0
    while payload.at < len(payload.data):
        number, size = payload.uint(1), payload.uint(1)
        field = Reader(payload.take(size))
        check(number > last)
        last = number
        if number == 1:
            (result["compactness"],) = struct.unpack("<d", field.take(8))
            check(0 <= result["compactness"] < math.inf)
        elif number == 2:
            x, y, picture_width, picture_height = place = [field.uint(4) for _ in range(4)]
            check(x + width <= picture_width and y + height <= picture_height)
            result["place"] = place
        elif number == 3:
            result["image"] = field.take(32).hex()
        elif number == 4:
            version, maps, mode, edges, prior = (field.uint(size) for size in (2, 1, 1, 2, 2))
            check(1 <= maps <= 7 and mode <= 1 and (mode == 0 or maps & 2))
            check((edges == 0 or maps & 1) and (prior == 0 or (maps & 2 and mode == 0)))
            result["guidance"] = [version, maps, mode, edges, prior, field.take(32).hex()]
        else:
            field.take(size)
        field.end()
    return {"provenance": result}


def global_ids(payload: "Reader", count: int, *_size: int) -> dict[str, Any]:
    """Section gids."""
    scale, ids = payload.uint(4), payload.planes(count, 4)
    check(scale >= 1 and len(set(ids)) == count)
    return {"global_ids": (scale, ids)}


def cut(into: list[int], rank: list[int], limit: int) -> list[int]:
    """The region of each label after the merges with rank below `limit`.

    For K regions of TREE: rank = order, limit = count - K. For level j of LVLS: rank = level, limit = j + 1.
    """
    lut, following = [0], 1
    for target, rank_of_label in zip(into, rank, strict=True):
        merged = rank_of_label < limit
        lut.append(lut[target] if merged else following)
        following += not merged
    return lut


class Reader:
    """Reads bytes from the front. Reading past the end is an error, and so are bytes left over."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self.at += size
        check(self.at <= len(self.data))
        return self.data[self.at - size : self.at]

    def uint(self, size: int) -> int:
        """A little-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        """An integer of seven bits per byte, lowest first; the high bit of a byte means that more follow."""
        value = 0
        for shift in range(0, 35, 7):
            byte = self.uint(1)
            value += (byte % 128) << shift
            if byte < 128:
                check(value < 2**32)
                return value
        raise InvalidLabelMap("varint of more than 5 bytes")

    def planes(self, size: int, planes: int) -> list[int]:
        """`size` integers, stored as all lowest bytes, then all second bytes, and so on."""
        return [
            int.from_bytes(value, "little")
            for value in zip(*(self.take(size) for _ in range(planes)), strict=True)
        ]

    def end(self) -> None:
        """Check that no bytes are left."""
        check(self.at == len(self.data))


def inflate(stored: bytes, raw_bytes: int) -> bytes:
    """Decompress one gzip member of exactly `raw_bytes` with nothing after it."""
    member = zlib.decompressobj(wbits=31)
    try:
        raw = member.decompress(stored, raw_bytes + 1)
    except zlib.error as error:
        raise InvalidLabelMap("not a gzip member") from error
    check(member.eof and not member.unused_data and len(raw) == raw_bytes)
    return raw


def bytes_for(value: int) -> int:
    """Number of bytes that `value` needs."""
    return (value.bit_length() + 7) // 8


def check(condition: object) -> None:
    """Reject the input unless `condition` is true."""
    if not condition:
        raise InvalidLabelMap("malformed label map")
