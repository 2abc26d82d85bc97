"""Everything that the reader must reject, one rule at a time, with the rule in the error."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from superpixel_kernels.codec import _codec, decode, encode, reference
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter
from tests.kernels.codec_tools import END, END_ROW, gzip_member, header, label_payload, section, short, varint
from tests.kernels.malformed import (
    CONTAINERS,
    HEADER,
    HEIGHTS,
    HGHT,
    INTO,
    LABELS,
    LABL,
    LVLS,
    MEMBER,
    REGN,
    SECTIONS,
    SIX,
    TREE,
    everything,
    regions_payload,
)


def assert_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidLabelMap, match=message):
        decode(data)
    with pytest.raises(InvalidLabelMap):
        reference.decode(data)


@pytest.mark.parametrize(
    "sections", [[LABL], [LABL, TREE], [LABL, LVLS], [LABL, TREE, HGHT], [LABL, HGHT, TREE], [LABL, REGN]]
)
def test_the_sound_maps_that_the_malformed_ones_are_made_of(sections: list[bytes]) -> None:
    data = b"".join([HEADER, *sections, END])
    assert decode(data).labels.tolist() == reference.decode(data)["labels"] == [[0, 0, 1, 1], [0, 0, 0, 1]]


@pytest.mark.parametrize(("data", "message"), CONTAINERS.values(), ids=CONTAINERS.keys())
def test_malformed_containers_are_refused(data: bytes, message: str) -> None:
    assert_refused(data, message)


@pytest.mark.parametrize(("payload", "message"), LABELS.values(), ids=LABELS.keys())
def test_malformed_labels_are_refused(payload: bytes, message: str) -> None:
    assert_refused(HEADER + section(b"LABL", payload) + END, f"^LABL: .*{message}")


def test_a_label_payload_shorter_than_its_first_field() -> None:
    # The container's bounds let none through; the loop itself refuses it as well.
    with pytest.raises(InvalidLabelMap, match="ends inside its number of tokens"):
        _codec.decode_labels(b"\0\0\0", 1, np.empty((1, 1), np.int32))


def test_a_cut_in_the_last_mask_word_only() -> None:
    # 64 + 1 pixels: the one cut is at 64, and nothing lies right of it.
    row = [(1, 0, 63), (1, 0, 0), END_ROW]
    head = header(65, 2, 2)
    sound = head + section(b"LABL", label_payload(*row, short(0, 1, 0), END_ROW)) + END
    assert decode(sound).labels.tolist() == reference.decode(sound)["labels"] == [[0] * 64 + [1], [0] * 65]
    for tokens in [(short(1, 1, 0),), (short(0, 2, 0),), ((2, 0, 63, 0), short(0, 1, 0)), ((3, 63, 0),)]:
        assert_refused(head + section(b"LABL", label_payload(*row, *tokens, END_ROW)) + END, "^LABL: row 1: ")


@pytest.mark.parametrize(("kind", "payload", "message"), SECTIONS.values(), ids=SECTIONS.keys())
def test_malformed_sections_are_refused(kind: bytes, payload: bytes, message: str) -> None:
    assert_refused(SIX + section(kind, payload) + END, message)


@pytest.mark.parametrize(("payload", "message"), HEIGHTS.values(), ids=HEIGHTS.keys())
def test_malformed_heights_are_refused(payload: bytes, message: str) -> None:
    tree = section(b"TREE", INTO + bytes([0, 1, 2, 3, 4]))
    assert decode(SIX + tree + section(b"hght", bytes(5)) + END).heights is not None
    assert_refused(SIX + tree + section(b"hght", payload) + END, f"^hght: .*{message}")


def test_largest_height_is_read() -> None:
    tree = section(b"TREE", INTO + bytes([0, 1, 2, 3, 4]))
    data = SIX + tree + section(b"hght", varint(2 * 65_535) + varint(2 * 65_535 - 1) + bytes(3)) + END
    assert reference.decode(data)["heights"] == [65_535, 0, 0, 0, 0]
    heights = decode(data).heights
    assert heights is not None
    assert (heights.view(np.uint32) >> 16).tolist() == [65_535, 0, 0, 0, 0]


# ---- bounds


def test_the_callers_bound_on_pixels() -> None:
    data = encode(np.zeros((30, 40), np.int32))
    assert decode(data, max_pixels=1200).count == 1
    with pytest.raises(InvalidLabelMap, match="header: 40 x 30 pixels, must be from 1 to 1199"):
        decode(data, max_pixels=1199)


@pytest.mark.parametrize("max_pixels", [0, -1, 2**31])
def test_the_callers_bound_has_bounds(max_pixels: int) -> None:
    with pytest.raises(InvalidParameter, match="max_pixels"):
        decode(HEADER + LABL + END, max_pixels=max_pixels)


BOMB = gzip_member(bytes(50_000_000))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(header(2**14, 2**14 + 1, 1) + LABL + END, id="above the default bound"),
        pytest.param(header(2**32 - 1, 2**32 - 1, 1) + LABL + END, id="largest map"),
        pytest.param(
            HEADER + section(b"LABL", b"", stored=BOMB, raw_bytes=142) + END, id="bomb, small size said"
        ),
        pytest.param(HEADER + section(b"LABL", b"", stored=BOMB, raw_bytes=50_000_000) + END, id="bomb"),
        pytest.param(
            HEADER + LABL + section(b"TREE", b"", stored=BOMB, raw_bytes=2) + END, id="bomb in TREE"
        ),
        pytest.param(
            HEADER + LABL + section(b"regn", b"", stored=BOMB, raw_bytes=156) + END, id="bomb in regn"
        ),
        # The header makes it possible, so that only what the payload holds may be allocated.
        pytest.param(
            header(2**14, 2**14, 1) + section(b"LABL", b"", stored=MEMBER, raw_bytes=2**32 - 1) + END,
            id="4 GB said, 20 bytes held",
        ),
        pytest.param(SIX + section(b"TREE", INTO + bytes([0, 1, 2, 3, 255])) + END, id="order far too large"),
        pytest.param(SIX + section(b"regn", regions_payload(2**32 - 1, *[0] * 6)) + END, id="2^32 - 1 pairs"),
    ],
)
def test_nothing_large_is_made_on_the_bytes_word(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InvalidLabelMap):
            decode(data)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# ---- truncation


@pytest.mark.parametrize("data", everything(), ids=["TREE", "LVLS"])
def test_truncated_at_every_byte(data: bytes) -> None:
    decode(data)
    for size in range(len(data)):
        with pytest.raises(InvalidLabelMap):
            decode(data[:size])


@pytest.mark.parametrize("data", everything(), ids=["TREE", "LVLS"])
def test_every_payload_truncated_at_every_byte(data: bytes) -> None:
    at = 20
    while data[at : at + 4] != b"END\0":
        kind, stored, _ = struct.unpack_from("<4sII", data, at)
        raw = zlib.decompress(data[at + 12 : at + 12 + stored], 31)
        for size in range(len(raw)):
            assert_refused(data[:at] + section(kind, raw[:size]) + data[at + 12 + stored :], kind.decode())
        at += 12 + stored
