"""The label map's section LABL and its header: what is written, and that it is read back."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpixel_kernels.codec import decode, encode, reference
from superpixel_kernels.errors import InvalidLabelMap
from superpixel_kernels.params import ALGORITHM_VERSION
from tests.kernels.codec_tools import (
    END,
    END_ROW,
    Labels,
    as_reference,
    blobs,
    canonical,
    header,
    label_payload,
    map_of,
    noise,
    payload_of,
    section,
    short,
)


def assert_round_trip(labels: Labels) -> None:
    data = encode(labels)
    decoded = decode(data)
    assert decoded.labels.dtype == np.int32
    assert np.array_equal(decoded.labels, labels)
    assert (decoded.height, decoded.width) == labels.shape
    assert decoded.count == labels.max() + 1
    assert reference.decode(data) == as_reference(decoded)
    assert encode(decoded.labels) == data


# ---- LABL: round trips


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.zeros((1, 1), np.int32), id="1x1"),
        pytest.param(np.zeros((37, 53), np.int32), id="one label"),
        pytest.param(noise(1, 1000, 7), id="one row"),
        pytest.param(noise(1000, 1, 7), id="one column"),
        pytest.param(np.arange(300, dtype=np.int32).reshape(1, -1), id="one row, all different"),
        pytest.param(np.arange(300, dtype=np.int32).reshape(-1, 1), id="one column, all different"),
        pytest.param((np.indices((37, 41)).sum(axis=0) % 2).astype(np.int32), id="checkerboard"),
        pytest.param(noise(50, 70, 2), id="noise, 2 labels"),
        pytest.param(noise(50, 70, 300), id="noise, 300 labels"),
        pytest.param(np.arange(264 * 266, dtype=np.int32).reshape(264, 266), id="70,224 labels"),
        pytest.param(noise(266, 300, 300_000), id="noise, over 2^16 labels"),
        pytest.param(noise(4, 16_384, 5), id="16 k wide, noise"),
        pytest.param(np.repeat(noise(6, 16, 9), 1024, axis=1), id="16 k wide, long spans"),
        pytest.param(blobs(120, 160, 150), id="regions"),
    ],
)
def test_round_trip(labels: Labels) -> None:
    assert_round_trip(labels)


@pytest.mark.parametrize("width", [1, 2, 7, 8, 9, 62, 63, 64, 65, 66, 127, 128, 129, 191, 192, 193])
def test_round_trip_at_every_place_in_a_mask_word(width: int) -> None:
    for values in (2, 3, 40):
        assert_round_trip(noise(6, width, values, seed=width))
    assert_round_trip(np.zeros((3, width), np.int32))
    assert_round_trip(np.arange(2 * width, dtype=np.int32).reshape(2, width))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_round_trip_of_any_map(data: st.DataObject) -> None:
    height = data.draw(st.integers(1, 7))
    width = data.draw(st.integers(1, 9))
    stretch = data.draw(st.sampled_from([1, 1, 3, 17]))
    values = data.draw(st.lists(st.integers(0, 5), min_size=height * width, max_size=height * width))
    assert_round_trip(canonical(np.repeat(np.array(values).reshape(height, width), stretch, axis=1)))


def test_the_same_map_gives_the_same_bytes_whatever_holds_it() -> None:
    labels = blobs(20, 30, 25)
    expected = encode(labels)
    for dtype in (np.uint8, np.int16, np.uint16, np.uint32, np.int64, np.uint64, np.dtype(">i4")):
        assert encode(labels.astype(dtype)) == expected
    assert encode(np.asfortranarray(labels)) == expected
    wide = np.zeros((40, 60), np.int32)
    wide[::2, ::2] = labels
    assert encode(wide[::2, ::2]) == expected
    frozen = labels.copy()
    frozen.flags.writeable = False
    assert encode(frozen) == expected


def test_header_and_flags() -> None:
    labels = np.array([[0, 1, 1]], np.int32)
    assert encode(labels)[:20] == b"SPXL\x01\x01" + struct.pack("<HIII", ALGORITHM_VERSION, 3, 1, 2)
    data = encode(labels, connected=False, algorithm_version=0xABCD)
    assert data[:8] == b"SPXL\x01\x00\xcd\xab"
    decoded = decode(data)
    assert not decoded.connected
    assert decoded.algorithm_version == 0xABCD
    assert (decoded.tree, decoded.levels, decoded.heights, decoded.regions) == (None,) * 4
    assert decode(encode(labels)).connected


def test_reads_any_kind_of_buffer() -> None:
    labels = blobs(9, 11, 8)
    data = encode(labels)
    for buffer in (bytearray(data), memoryview(data), memoryview(bytearray(data))):
        assert np.array_equal(decode(buffer).labels, labels)


# ---- LABL: the canonical encoding, by hand

FIRST_ROW_OF_17 = [(1, 0, 0)] * 16 + [(1, 0, 3)]

TOKENS = {
    "new labels, code 0, a new label again": (
        ["0011", "0001", "2221"],
        [(1, 0, 1), (1, 0, 1), END_ROW, short(0, 1, 0), END_ROW, (1, 0, 2), END_ROW],
    ),
    "code 1": (["0011", "0111"], [(1, 0, 1), (1, 0, 1), END_ROW, short(0, 1, 1), END_ROW]),
    "code 1 from the last pixel": (["001", "011"], [(1, 0, 1), (1, 0, 0), END_ROW, short(0, 1, 1), END_ROW]),
    "second cut": (
        ["0122", "0112"],
        [(1, 0, 0), (1, 0, 0), (1, 0, 1), END_ROW, short(1, 1, 0), END_ROW],
    ),
    "both codes fit: code 0": (
        ["0010", "0000"],
        [(1, 0, 1), (1, 0, 0), (2, 0, 0, 1), END_ROW, short(0, 1, 0), END_ROW],
    ),
    "a cut at the previous span's end does not count": (
        ["0123", "0022"],
        [(1, 0, 0)] * 4 + [END_ROW, short(0, 1, 0), short(0, 1, 0), END_ROW],
    ),
    "code 0 needs its span to start right of the previous end": (
        ["0111", "1011"],
        [(1, 0, 0), (1, 0, 2), END_ROW, short(0, 1, 1), (2, 0, 0, 1), END_ROW],
    ),
    "an old label from elsewhere, after a gap": (
        ["0122", "0120"],
        [(1, 0, 0), (1, 0, 0), (1, 0, 1), END_ROW, (2, 3, 0, 2), END_ROW],
    ),
    "touching spans of different labels": (
        ["0000", "0123"],
        [(1, 0, 3), END_ROW, (1, 1, 0), (1, 0, 0), (1, 0, 0), END_ROW],
    ),
    "rows without change": (["01", "01", "01"], [(1, 0, 0), (1, 0, 0), END_ROW, END_ROW, END_ROW]),
    "length 8 is short": (
        ["0" * 10 + "1" * 10, "0" * 18 + "1" * 2],
        [(1, 0, 9), (1, 0, 9), END_ROW, short(0, 8, 0), END_ROW],
    ),
    "length 9 is long": (
        ["0" * 10 + "1" * 10, "0" * 19 + "1"],
        [(1, 0, 9), (1, 0, 9), END_ROW, (3, 0, 8), END_ROW],
    ),
    "length 9 from the right is long": (
        ["0" * 10 + "1" * 10, "0" + "1" * 19],
        [(1, 0, 9), (1, 0, 9), END_ROW, (4, 0, 8), END_ROW],
    ),
    "k 14 is short": (
        ["0123456789abcdefgggg", "0123456789abcdeegggg"],
        [*FIRST_ROW_OF_17, END_ROW, short(14, 1, 0), END_ROW],
    ),
    "k 15 is long": (
        ["0123456789abcdefgggg", "0123456789abcdeffggg"],
        [*FIRST_ROW_OF_17, END_ROW, (3, 15, 0), END_ROW],
    ),
    "k 14 from the right is short": (
        ["0123456789abcdefgggg", "0123456789abcdffgggg"],
        [*FIRST_ROW_OF_17, END_ROW, short(14, 1, 1), END_ROW],
    ),
    "k 15 from the right is long": (
        ["0123456789abcdefgggg", "0123456789abcdeggggg"],
        [*FIRST_ROW_OF_17, END_ROW, (4, 15, 0), END_ROW],
    ),
}


@pytest.mark.parametrize(("rows", "tokens"), TOKENS.values(), ids=TOKENS.keys())
def test_canonical_tokens(rows: list[str], tokens: list[tuple[int, ...]]) -> None:
    assert payload_of(encode(map_of(rows)), b"LABL") == label_payload(*tokens)


def test_short_tokens_fill_the_byte() -> None:
    assert short(0, 1, 0) == (16,)
    assert short(0, 1, 1) == (17,)
    assert short(0, 2, 0) == (18,)
    assert short(1, 1, 0) == (32,)
    assert short(14, 8, 1) == (255,)


def test_reads_encodings_that_are_not_the_canonical_one() -> None:
    # The same 4 x 2 map: a span that changes nothing, a short form written long, integers with spare bytes.
    rows = map_of(["0011", "0001"])
    spare = (
        struct.pack("<I", 4) + bytes([1, 1, 0, 0]) + b"\x80\x80\x00" + b"\x81\x80\x80\x80\x00" + b"\x00\x01"
    )
    for payload, expected in [
        (label_payload((1, 0, 1), (1, 0, 1), END_ROW, (2, 0, 0, 1), (3, 0, 0), END_ROW), rows),
        (label_payload((1, 0, 0), (2, 0, 0, 0), (1, 0, 1), END_ROW, (2, 2, 0, 1), END_ROW), rows),
        (spare, map_of(["0011", "0011"])),
    ]:
        data = header(4, 2, 2) + section(b"LABL", payload) + END
        assert np.array_equal(decode(data).labels, expected)
        assert reference.decode(data)["labels"] == expected.tolist()


def test_skips_unknown_optional_sections_without_inflating_them() -> None:
    labels = blobs(9, 11, 8)
    data = encode(labels)
    garbage = section(b"zzzz", b"", stored=b"not gzip", raw_bytes=2**32 - 1)
    longer = data[:-12] + garbage + section(b"a\0\xff ", b"x") + END
    assert np.array_equal(decode(longer).labels, labels)
    assert reference.decode(longer) == as_reference(decode(data))


# ---- what the encoder refuses


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[1]], "row 0, column 0 has 1 after 0 labels"),
        ([[-2]], "row 0, column 0 has -2 after 0 labels"),
        ([[0, -2]], "row 0, column 1 has -2"),
        ([[0, -2, 0]], "row 0, column 1 has -2"),
        ([[0, -5]], "row 0, column 1 has -5 after 1 labels"),
        ([[0, 2, 1]], "row 0, column 1 has 2 after 1 labels"),
        ([[0, 1], [0, 3], [2, 2]], "row 1, column 1 has 3 after 2 labels"),
        ([[0, 1], [0, -2]], "row 1, column 1 has -2 after 2 labels"),
    ],
)
def test_labels_numbered_otherwise_are_refused(labels: list[list[int]], message: str) -> None:
    with pytest.raises(InvalidLabelMap, match=message):
        encode(np.array(labels, np.int32))


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2), np.bool_),
        np.zeros(4, np.int32),
        np.zeros((1, 2, 2), np.int32),
        np.zeros((0, 3), np.int32),
        np.zeros((3, 0), np.int32),
        np.array([[0, 2**32]], np.int64),  # would wrap around to 0
        np.array([[0, 2**32 + 1]], np.uint64),
        np.array([[0, -2]], np.int64),
        np.broadcast_to(np.int32(0), (2**14 + 1, 2**14)),
    ],
    ids=str,
)
def test_arrays_that_are_no_label_map_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InvalidLabelMap, match=r"^labels: "):
        encode(labels)
