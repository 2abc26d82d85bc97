"""Label maps that the reader must reject, each with the reason, made by hand, one rule at a time."""

import struct
import zlib

import numpy as np

from superpixel_kernels.codec import encode, measure_regions
from tests.kernels.codec_tools import (
    END,
    END_ROW,
    blobs,
    gzip_member,
    header,
    label_payload,
    random_merges,
    section,
    short,
    tree_of,
    varint,
)

# A sound 4 x 2 map of two labels: 0011, 0001.
HEADER = header(4, 2, 2)
LABL_PAYLOAD = label_payload((1, 0, 1), (1, 0, 1), END_ROW, short(0, 1, 0), END_ROW)
LABL = section(b"LABL", LABL_PAYLOAD)
TREE = section(b"TREE", bytes([0, 0]))
LVLS = section(b"LVLS", b"\x01" + struct.pack("<I", 1) + bytes([0, 0]))
HGHT = section(b"hght", bytes([6]))
# 5 and 3 pixels; nothing below reads the other fixed fields. One pair: 0 with 1.
REGN_FIXED = bytes([5, 3]) + bytes(60)
REGN = section(b"regn", REGN_FIXED + struct.pack("<I", 1) + bytes([1, 1, 0]))


def patched(payload: bytes, at: int, value: int) -> bytes:
    """`payload` with another byte, or one byte's bits turned over where `value` is -1."""
    changed = bytearray(payload)
    changed[at] = changed[at] ^ 0xFF if value < 0 else value
    return bytes(changed)


MEMBER = gzip_member(LABL_PAYLOAD)
TRUNCATED_LABL = section(b"LABL", LABL_PAYLOAD, stored=MEMBER[:-1])

CONTAINERS = {
    "empty": (b"", "header: 0 bytes"),
    "header cut short": (HEADER[:19], "header: 19 bytes"),
    "magic": (header(4, 2, 2, magic=b"SPXM") + LABL + END, "does not begin with SPXL"),
    "version 0": (header(4, 2, 2, version=0) + LABL + END, "format version 0"),
    "version 2": (header(4, 2, 2, version=2) + LABL + END, "format version 2"),
    "flag bit 1": (header(4, 2, 2, flags=2) + LABL + END, "unknown flags in 0x02"),
    "flag bit 7": (header(4, 2, 2, flags=0x81) + LABL + END, "unknown flags in 0x81"),
    "width 0": (header(0, 2, 2) + LABL + END, "header: 0 x 2 pixels"),
    "height 0": (header(4, 0, 2) + LABL + END, "header: 4 x 0 pixels"),
    "count 0": (header(4, 2, 0) + LABL + END, "header: 0 labels"),
    "more labels than pixels": (header(4, 2, 9) + LABL + END, "header: 9 labels in 4 x 2"),
    "no sections": (HEADER, "byte 20: the container ends where a section must begin"),
    "no END": (HEADER + LABL, "the container ends where a section must begin"),
    "END cut short": (HEADER + LABL + END[:-1], "the container ends where a section must begin"),
    "END with stored bytes": (HEADER + LABL + b"END\0\1\0\0\0\0\0\0\0", "must have no payload"),
    "END with a payload": (HEADER + LABL + b"END\0\1\0\0\0\0\0\0\0x", "must have no payload"),
    "END with raw bytes": (HEADER + LABL + b"END\0\0\0\0\0\1\0\0\0", "must have no payload"),
    "a byte after END": (HEADER + LABL + END + b"\0", "1 bytes after the last section"),
    "a section after END": (HEADER + LABL + END + TREE + END, "bytes after the last section"),
    "no LABL": (HEADER + END, "LABL: missing"),
    "TREE first": (HEADER + TREE + LABL + END, "the first one must be LABL"),
    "unknown optional section first": (HEADER + section(b"zzzz", b"") + LABL + END, "first one must be LABL"),
    "LABL twice": (HEADER + LABL + LABL + END, "LABL'?: comes twice"),
    "TREE twice": (HEADER + LABL + TREE + TREE + END, "TREE'?: comes twice"),
    "unknown optional section twice": (HEADER + LABL + section(b"zzzz", b"") * 2 + END, "comes twice"),
    "unknown section": (HEADER + LABL + section(b"ZZZZ", b"") + END, "unknown, and not marked optional"),
    "type just below a": (HEADER + LABL + section(b"`zzz", b"") + END, "unknown, and not marked optional"),
    "type just above z": (HEADER + LABL + section(b"{zzz", b"") + END, "unknown, and not marked optional"),
    "known type in other case": (HEADER + LABL + section(b"Tree", b"") + END, "unknown"),
    "END without its zero": (HEADER + LABL + section(b"END ", b"") + END, "unknown"),
    "TREE and LVLS": (HEADER + LABL + TREE + LVLS + END, "LVLS: never together with TREE"),
    "LVLS and TREE": (HEADER + LABL + LVLS + TREE + END, "LVLS: never together with TREE"),
    "hght alone": (HEADER + LABL + HGHT + END, "hght: only together with TREE"),
    "hght with LVLS": (HEADER + LABL + LVLS + HGHT + END, "hght: only together with TREE"),
    "stored bytes beyond the end": (
        HEADER + b"LABL" + struct.pack("<II", len(MEMBER) + 13, len(LABL_PAYLOAD)) + MEMBER + END,
        f"{len(MEMBER) + 13} bytes announced, {len(MEMBER) + 12} left",
    ),
    "stored bytes 2^32 - 1": (HEADER + LABL + b"zzzz" + b"\xff" * 8 + END, "4294967295 bytes announced"),
    "zlib stream instead of gzip": (
        HEADER + section(b"LABL", LABL_PAYLOAD, stored=zlib.compress(LABL_PAYLOAD)) + END,
        "LABL: the payload is not a sound gzip member",
    ),
    "raw deflate instead of gzip": (
        HEADER + section(b"LABL", LABL_PAYLOAD, stored=zlib.compress(LABL_PAYLOAD, wbits=-15)) + END,
        "LABL: the payload is not a sound gzip member",
    ),
    "no payload": (HEADER + section(b"LABL", LABL_PAYLOAD, stored=b"") + END, "gzip member is cut short"),
    "checksum": (
        HEADER + section(b"LABL", LABL_PAYLOAD, stored=patched(MEMBER, -8, -1)) + END,
        "LABL: the payload is not a sound gzip member",
    ),
    "length in the gzip trailer": (
        HEADER + section(b"LABL", LABL_PAYLOAD, stored=patched(MEMBER, -4, -1)) + END,
        "LABL: the payload is not a sound gzip member",
    ),
    "member cut short": (HEADER + TRUNCATED_LABL + END, "LABL: the payload's gzip member is cut short"),
    "a byte after the member": (
        HEADER + section(b"LABL", LABL_PAYLOAD, stored=MEMBER + b"\0") + END,
        "LABL: 1 bytes after the payload's gzip member",
    ),
    "a second member": (
        HEADER + section(b"LABL", LABL_PAYLOAD, stored=MEMBER + gzip_member(b"")) + END,
        "bytes after the payload's gzip member",
    ),
    "more raw bytes announced": (
        HEADER + section(b"LABL", LABL_PAYLOAD, raw_bytes=len(LABL_PAYLOAD) + 1) + END,
        f"inflates to {len(LABL_PAYLOAD)} bytes, {len(LABL_PAYLOAD) + 1} were announced",
    ),
    "fewer raw bytes announced": (
        HEADER + section(b"LABL", LABL_PAYLOAD, raw_bytes=len(LABL_PAYLOAD) - 1) + END,
        f"inflates to more than the {len(LABL_PAYLOAD) - 1} bytes announced",
    ),
    "LABL: more raw bytes than possible": (
        HEADER + section(b"LABL", bytes(4 + 17 * 8 + 2 + 1)) + END,
        "LABL: 143 raw bytes announced, this map's header allows 6 to 142",
    ),
    "LABL: fewer raw bytes than rows": (HEADER + section(b"LABL", bytes(5)) + END, "LABL: 5 raw bytes"),
    "TREE: a byte too many": (HEADER + LABL + section(b"TREE", bytes(3)) + END, "allows 2$"),
    "TREE: a byte too few": (HEADER + LABL + section(b"TREE", bytes(1)) + END, "allows 2$"),
    "TREE: empty": (HEADER + LABL + section(b"TREE", b"") + END, "allows 2$"),
    "MASK: a label above the count": (
        header(4, 2, 1) + LABL + section(b"MASK", b"\2\0\0\0") + END,
        "MASK: label 2, must be at most the count, 1",
    ),
    "MASK: no label for the outside": (HEADER + LABL + section(b"MASK", bytes(4)) + END, "holds 2 labels"),
    "MASK missing": (header(4, 2, 1) + LABL + END, "more labels than the header's"),
    "MASK twice": (header(4, 2, 1) + LABL + section(b"MASK", bytes(4)) * 2 + END, "MASK'?: comes twice"),
    "MASK: a byte too many": (header(4, 2, 1) + LABL + section(b"MASK", bytes(5)) + END, "allows 4$"),
    "MASK: a byte too few": (header(4, 2, 1) + LABL + section(b"MASK", bytes(3)) + END, "allows 4$"),
    "LVLS: more raw bytes than possible": (
        HEADER + LABL + section(b"LVLS", bytes(1 + 4 * 32 + 2 + 1)) + END,
        "LVLS: 132 raw bytes announced, this map's header allows 7 to 131",
    ),
    "LVLS: fewer raw bytes than possible": (HEADER + LABL + section(b"LVLS", bytes(6)) + END, "allows 7"),
    "hght: more raw bytes than possible": (
        HEADER + LABL + TREE + section(b"hght", b"\x85\x80\x80\x00") + END,
        "hght: 4 raw bytes announced, this map's header allows 1 to 3",
    ),
    "hght: fewer raw bytes than values": (
        HEADER + LABL + TREE + section(b"hght", b"") + END,
        "allows 1 to 3",
    ),
    "regn: more raw bytes than possible": (
        HEADER + LABL + section(b"regn", bytes(62 + 4 + 5 * (2 + 16) + 1)) + END,
        "regn: 157 raw bytes announced, this map's header allows 68 to 156",
    ),
    "regn: fewer raw bytes than possible": (
        HEADER + LABL + section(b"regn", bytes(67)) + END,
        "allows 68 to 156",
    ),
}


# ---- LABL, in a map of 4 x 2 pixels and two labels

ROW = [(1, 0, 1), (1, 0, 1), END_ROW]
TOO_LARGE = b"\x80\x80\x80\x80\x10"  # 2^32
SIX_BYTES = b"\x80\x80\x80\x80\x80\x00"


def raw_tokens(tokens: bytes, arguments: bytes) -> bytes:
    return struct.pack("<I", len(tokens)) + tokens + arguments


LABELS = {
    "tokens beyond the payload": (struct.pack("<I", 4) + bytes(3), "ends inside its tokens"),
    "tokens far beyond the payload": (struct.pack("<I", 2**32 - 1) + bytes(3), "ends inside its tokens"),
    "no tokens": (raw_tokens(b"", bytes(7)), "row 0: the tokens end inside it"),
    "a row missing": (label_payload(*ROW), "row 1: the tokens end inside it"),
    "a row's end missing": (label_payload(*ROW, short(0, 1, 0)), "row 1: the tokens end inside it"),
    "tokens left over": (label_payload(*ROW, END_ROW, END_ROW), "1 tokens are left over"),
    "arguments left over": (label_payload(*ROW, END_ROW, more=b"\0"), "1 bytes are left over at its end"),
    "arguments missing": (
        raw_tokens(b"\1\1\0\0", varint(0) + varint(1) + varint(0)),
        "ends inside its variable-length integers",
    ),
    "argument cut short": (
        raw_tokens(b"\1\1\0\0", b"\0\1\0\x81"),
        "ends inside its variable-length integers",
    ),
    "argument of 2^32": (raw_tokens(b"\1\1\0\0", TOO_LARGE + bytes(3)), r"2\^32 or more, or over 5 bytes"),
    "argument of 6 bytes": (raw_tokens(b"\1\1\0\0", SIX_BYTES + bytes(3)), r"2\^32 or more, or over 5 bytes"),
    "new label past the width": (label_payload((1, 0, 1), (1, 0, 2), END_ROW, END_ROW), "right of the map"),
    "old label past the width": (label_payload(*ROW, (2, 3, 1, 0), END_ROW), "right of the map"),
    "gap past the width": (label_payload(*ROW, (2, 4, 0, 0), END_ROW), "right of the map"),
    "largest gap": (label_payload(*ROW, (2, 2**32 - 1, 0, 0), END_ROW), "right of the map"),
    "largest length": (label_payload(*ROW, (2, 0, 2**32 - 1, 0), END_ROW), "right of the map"),
    "largest gap and length": (
        label_payload(*ROW, (2, 2**32 - 1, 2**32 - 1, 0), END_ROW),
        "right of the map",
    ),
    "code 0 past the width": (label_payload(*ROW, short(0, 3, 0), END_ROW), "right of the map"),
    "long code 0 past the width": (label_payload(*ROW, (3, 0, 2**32 - 1), END_ROW), "right of the map"),
    "code 1 before the row": (label_payload(*ROW, short(0, 3, 1), END_ROW), "starts before the end"),
    "long code 1 before the row": (label_payload(*ROW, (4, 0, 2**32 - 1), END_ROW), "starts before the end"),
    "code 1 before the previous span's end": (
        label_payload(*ROW, (2, 0, 0, 0), short(0, 2, 1), END_ROW),
        "starts before the end of the previous one",
    ),
    "second cut of one": (label_payload(*ROW, short(1, 1, 0), END_ROW), "a cut that the row above"),
    "cut far away": (label_payload(*ROW, (3, 2**32 - 1, 0), END_ROW), "a cut that the row above"),
    "cut at the previous span's end": (
        label_payload(*ROW, (2, 0, 1, 0), short(0, 1, 0), END_ROW),
        "a cut that the row above",
    ),
    "cut behind the last pixel": (
        label_payload(*ROW, (2, 0, 3, 0), short(0, 1, 0), END_ROW),
        "a cut that the row above",
    ),
    "code 0 in row 0": (label_payload((1, 0, 1), short(0, 1, 0), END_ROW, END_ROW), "row 0: a cut that"),
    "code 1 in row 0": (label_payload((1, 0, 1), short(0, 1, 1), END_ROW, END_ROW), "row 0: a cut that"),
    "long code in row 0": (label_payload((1, 0, 1), (3, 0, 0), END_ROW, END_ROW), "row 0: a cut that"),
    "gap in row 0": (label_payload((1, 0, 0), (1, 1, 1), END_ROW, END_ROW), "row 0: a gap"),
    "gap at the start of row 0": (label_payload((1, 1, 0), (1, 0, 1), END_ROW, END_ROW), "row 0: a gap"),
    "row 0 not covered": (label_payload((1, 0, 1), (1, 0, 0), END_ROW, END_ROW), "row 0: not covered"),
    "row 0 empty": (label_payload(END_ROW, *ROW), "row 0: not covered"),
    "old label before any": (label_payload((2, 0, 3, 0), END_ROW, END_ROW), "a label not seen yet"),
    "old label not seen": (label_payload(*ROW, (2, 0, 0, 2), END_ROW), "a label not seen yet"),
    "old label far away": (label_payload(*ROW, (2, 0, 0, 2**32 - 1), END_ROW), "a label not seen yet"),
    "more labels than the count": (label_payload(*ROW, (1, 0, 0), END_ROW), "more labels than the header's"),
    "fewer labels than the count": (label_payload((1, 0, 3), END_ROW, END_ROW), "holds 1 labels"),
} | {
    f"token {token}": (label_payload(*ROW, (token, 0, 0, 0), END_ROW), f"row 1: unknown token {token}$")
    for token in range(5, 16)
}


# ---- the other sections, above a map of 6 x 1 pixels and six labels

SIX = header(6, 1, 6) + section(b"LABL", label_payload(*[(1, 0, 0)] * 6, END_ROW))
INTO = bytes([0, 1, 0, 3, 2])


def levels_payload(counts: list[int], level: bytes, into: bytes = INTO, number: int | None = None) -> bytes:
    head = bytes([len(counts) if number is None else number])
    return head + struct.pack(f"<{len(counts)}I", *counts) + into + level


def regions_payload(pairs: int, *varints: int, more: bytes = b"") -> bytes:
    return bytes(31 * 6) + struct.pack("<I", pairs) + b"".join(map(varint, varints)) + more


def field(number: int, value: bytes) -> bytes:
    """A field of prov."""
    return bytes([number, len(value)]) + value


def guidance_field(*, maps: int = 2, mode: int = 0, edges: int = 0, prior: int = 0) -> bytes:
    return field(4, struct.pack("<HBBHH32s", 1, maps, mode, edges, prior, bytes(range(32))))


SECTIONS = {
    "TREE: into itself": (b"TREE", bytes([0, 2, 0, 3, 2, 0, 1, 2, 3, 4]), "into: label 2 goes into 2"),
    "TREE: label 1 into itself": (
        b"TREE",
        bytes([1, 1, 0, 3, 2, 0, 1, 2, 3, 4]),
        "into: label 1 goes into 1",
    ),
    "TREE: into a label not there": (
        b"TREE",
        bytes([0, 1, 0, 3, 255, 0, 1, 2, 3, 4]),
        "label 5 goes into 255",
    ),
    "TREE: order twice the same": (
        b"TREE",
        INTO + bytes([0, 1, 2, 3, 3]),
        r"order does not hold each of 0\.\.4",
    ),
    "TREE: order too large": (b"TREE", INTO + bytes([0, 1, 2, 3, 5]), r"order does not hold each of 0\.\.4"),
    "LVLS: no levels": (b"LVLS", levels_payload([], bytes(9)), "0 levels, must be 1 to 32"),
    "LVLS: 33 levels": (
        b"LVLS",
        levels_payload([3], bytes([0, 0, 0, 1, 1]), number=33),
        "33 levels, must be",
    ),
    "LVLS: a level's bytes missing": (
        b"LVLS",
        levels_payload([3], bytes([0, 0, 0, 1, 1]), number=2),
        "15 bytes, 2 levels take 19",
    ),
    "LVLS: bytes left over": (
        b"LVLS",
        levels_payload([3], bytes([0, 0, 0, 1, 1, 0])),
        "16 bytes, 1 levels take 15",
    ),
    "LVLS: into itself": (
        b"LVLS",
        levels_payload([3], bytes([0, 0, 0, 1, 1]), into=bytes([0, 1, 0, 4, 2])),
        "into: label 4 goes into 4",
    ),
    "LVLS: as many as the map": (b"LVLS", levels_payload([6], bytes([1] * 5)), "do not fall strictly"),
    "LVLS: more than the map": (b"LVLS", levels_payload([7], bytes([1] * 5)), "do not fall strictly"),
    "LVLS: the same count twice": (
        b"LVLS",
        levels_payload([3, 3], bytes([0, 0, 0, 2, 2])),
        "do not fall strictly",
    ),
    "LVLS: counts that rise": (
        b"LVLS",
        levels_payload([3, 4], bytes([0, 0, 1, 2, 2])),
        "do not fall strictly",
    ),
    "LVLS: a count of 0": (b"LVLS", levels_payload([3, 0], bytes([0, 0, 0, 1, 1])), "do not fall strictly"),
    "LVLS: a level above their number": (
        b"LVLS",
        levels_payload([3], bytes([0, 0, 0, 1, 2])),
        "level is above 1",
    ),
    "LVLS: another count than said": (
        b"LVLS",
        levels_payload([4], bytes([0, 0, 0, 1, 1])),
        r"yield \[3\] regions, not \[4\]",
    ),
    "LVLS: another second count than said": (
        b"LVLS",
        levels_payload([3, 1], bytes([0, 0, 0, 1, 2])),
        r"yield \[3, 2\] regions, not \[3, 1\]",
    ),
    "regn: more pairs than bytes": (b"regn", regions_payload(3, 1, 1, 0, 0, 0, 0, 0), "hold fewer"),
    "regn: 2^32 - 1 pairs": (b"regn", regions_payload(2**32 - 1, 0, 0, 0, 0, 0, 0), "hold fewer"),
    "regn: a neighbour far away": (
        b"regn",
        regions_payload(2, 1, 300, 0, 0, 0, 0, 0),
        "label 0: a label that the map does not have",
    ),
    "regn: pairs missing": (
        b"regn",
        regions_payload(1, 0, 0, 0, 0, 0, 0, more=b"\0"),
        "fewer pairs of neighbours",
    ),
    "regn: more pairs than said": (
        b"regn",
        regions_payload(1, 1, 1, 1, 1, 0, 0, 0, 0),
        "label 1: more pairs",
    ),
    "regn: a label its own neighbour": (
        b"regn",
        regions_payload(1, 1, 0, 0, 0, 0, 0, 0),
        "label 0: not larger",
    ),
    "regn: neighbours twice": (
        b"regn",
        regions_payload(2, 2, 1, 1, 0, 0, 0, 0, 0),
        "label 0: .*not ascending",
    ),
    "regn: neighbours that fall": (
        b"regn",
        regions_payload(2, 2, 2, 1, 0, 0, 0, 0, 0),
        "label 0: .*not ascending",
    ),
    "regn: a neighbour that is not there": (
        b"regn",
        regions_payload(1, 0, 0, 1, 4, 0, 0, 0),
        "label 2: a label that the map does not have",
    ),
    "regn: bytes left over": (b"regn", regions_payload(0, *[0] * 7), "1 bytes are left over"),
    "regn: cut short": (b"regn", regions_payload(0, 0, 0, 0, 0, 0, more=b"\x80"), "ends inside"),
    "prov: a field's number alone": (b"prov", b"\x01", "ends inside a field"),
    "prov: a field cut short": (b"prov", field(1, bytes(8))[:-1], "field 1: 8 bytes announced, 7 left"),
    "prov: field 0": (b"prov", field(0, b""), "field 0 after field 0"),
    "prov: a field twice": (b"prov", field(1, bytes(8)) * 2, "field 1 after field 1"),
    "prov: fields that fall": (
        b"prov",
        field(3, bytes(32)) + field(1, bytes(8)),
        "field 1 after field 3",
    ),
    "prov: a compactness of 4 bytes": (b"prov", field(1, bytes(4)), "field 1: 4 bytes, must be 8"),
    "prov: a hash of 33 bytes": (b"prov", field(3, bytes(33)), "field 3: 33 bytes, must be 32"),
    "prov: a compactness below 0": (b"prov", field(1, struct.pack("<d", -1e-300)), "must be 0 or more"),
    "prov: a compactness of infinity": (b"prov", field(1, struct.pack("<d", float("inf"))), "0 or more"),
    "prov: no number": (b"prov", field(1, struct.pack("<d", float("nan"))), "compactness nan"),
    "prov: right of the picture": (b"prov", field(2, struct.pack("<4I", 1, 0, 6, 1)), "not inside a picture"),
    "prov: below the picture": (b"prov", field(2, struct.pack("<4I", 0, 9, 6, 9)), "not inside a picture"),
    "prov: far outside": (
        b"prov",
        field(2, struct.pack("<4I", 2**32 - 1, 0, 2**32 - 1, 1)),
        "not inside a picture",
    ),
    "prov: guidance without maps": (b"prov", guidance_field(maps=0), "unknown maps 0"),
    "prov: guidance with unknown maps": (b"prov", guidance_field(maps=8), "unknown maps 8"),
    "prov: an unknown mode": (b"prov", guidance_field(mode=2), "unknown mode 2"),
    "prov: a mode without a prior map": (b"prov", guidance_field(maps=1, mode=1), "not used must be 0"),
    "prov: an edge weight without a map": (b"prov", guidance_field(edges=1), "not used must be 0"),
    "prov: a prior weight without a map": (b"prov", guidance_field(maps=1, prior=1), "not used must be 0"),
    "prov: a prior weight in mode hard": (b"prov", guidance_field(mode=1, prior=1), "not used must be 0"),
    "prov: more than the most": (b"prov", field(255, bytes(255)) * 16, "4112 raw bytes announced"),
}


HEIGHTS = {
    "below 0": (bytes([2, 3, 0, 0, 0]), r"leaves 0\.\.65535"),  # 1, then -1
    "above 65535": (varint(2 * 65_536) + bytes(4), r"leaves 0\.\.65535"),
    "above 65535 in two steps": (varint(2 * 65_535) + bytes([2, 0, 0, 0]), r"leaves 0\.\.65535"),
    "out and back again": (bytes([2, 3, 2, 0, 0]), r"leaves 0\.\.65535"),
    "a value missing": (bytes([2, 2, 2, 2, 0x80]), "ends inside"),
    "a value too many": (bytes(6), "1 bytes are left over"),
    "2^32": (TOO_LARGE + bytes(4), r"2\^32 or more"),
    "largest step": (b"\xff\xff\xff\xff\x0f" + bytes(4), r"leaves 0\.\.65535"),
}


# ---- for truncation: sound maps with all sections


def everything() -> list[bytes]:
    labels = blobs(13, 17, 12)
    count = int(labels.max()) + 1
    tree = tree_of(random_merges(count), count)
    image = np.random.default_rng(0).integers(0, 256, (13, 17, 3), np.uint8)
    heights = np.linspace(0, 1, count - 1, dtype=np.float32)
    regions = measure_regions(labels, image)
    return [
        encode(labels, tree=tree, heights=heights, regions=regions),
        encode(labels, tree=tree, levels=[5, 2], regions=regions),
    ]
