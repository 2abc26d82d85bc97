"""The label map container: what is written, and that it is read back."""

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superpixel_kernels.codec import Regions, Tree, decode, encode, measure_regions, reference
from superpixel_kernels.errors import InvalidImage, InvalidLabelMap, InvalidParameter
from superpixel_kernels.params import ALGORITHM_VERSION
from tests.kernels.codec_tools import (
    END,
    END_ROW,
    Labels,
    as_reference,
    blobs,
    canonical,
    gzip_member,
    header,
    label_payload,
    noise,
    payload_of,
    random_merges,
    replay,
    section,
    short,
    split,
    tree_of,
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


def map_of(rows: list[str]) -> Labels:
    return canonical(np.array([list(map(ord, row)) for row in rows]))


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
        ([[-1]], "row 0, column 0 has -1 after 0 labels"),
        ([[0, -1]], "row 0, column 1 has -1"),
        ([[0, -1, 0]], "row 0, column 1 has -1"),
        ([[0, -5]], "row 0, column 1 has -5 after 1 labels"),
        ([[0, 2, 1]], "row 0, column 1 has 2 after 1 labels"),
        ([[0, 1], [0, 3], [2, 2]], "row 1, column 1 has 3 after 2 labels"),
        ([[0, 1], [0, -1]], "row 1, column 1 has -1 after 2 labels"),
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
        np.array([[0, -1]], np.int64),
        np.broadcast_to(np.int32(0), (2**14 + 1, 2**14)),
    ],
    ids=str,
)
def test_arrays_that_are_no_label_map_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(InvalidLabelMap, match=r"^labels: "):
        encode(labels)


# ---- TREE

# Five labels; merges in this order: 3 with 4; 1 with 3; 0 with 2; all.
MERGES_OF_5 = [(3, 4), (1, 3), (0, 2), (4, 2)]
LABELS_OF_5 = map_of(["0012", "3312", "3442"])


def test_tree_by_hand() -> None:
    tree = tree_of(MERGES_OF_5, 5)
    assert tree.into.tolist() == [0, 0, 1, 3]
    assert tree.order.tolist() == [3, 2, 1, 0]
    data = encode(LABELS_OF_5, tree=tree)
    assert payload_of(data, b"TREE") == bytes([0, 0, 1, 3, 3, 2, 1, 0])
    decoded = decode(data)
    assert [decoded.cut(count).tolist() for count in (5, 4, 3, 2, 1)] == [
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 3],
        [0, 1, 2, 1, 1],
        [0, 1, 0, 1, 1],
        [0, 0, 0, 0, 0],
    ]
    assert decoded.labels_at(2).tolist() == [[0, 0, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0]]


@pytest.mark.parametrize("count", [0, -1, 6, 2**40])
def test_tree_cannot_be_cut_outside_its_counts(count: int) -> None:
    decoded = decode(encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5)))
    with pytest.raises(InvalidParameter, match=rf"^count: must be from 1 to 5, got {count}$"):
        decoded.cut(count)


def test_tree_of_one_label_is_empty_and_present() -> None:
    nothing = np.zeros(0, np.int32)
    data = encode(np.zeros((2, 3), np.int32), tree=Tree(nothing, nothing), heights=nothing.astype(np.float32))
    assert [kind for kind, _ in split(data)[1]] == [b"LABL", b"TREE", b"hght"]
    assert payload_of(data, b"TREE") == payload_of(data, b"hght") == b""
    decoded = decode(data)
    assert decoded.tree is not None
    assert decoded.tree.into.shape == decoded.tree.order.shape == (0,)
    assert decoded.cut(1).tolist() == [0]
    assert reference.decode(data) == as_reference(decoded)


@pytest.mark.parametrize(("count", "planes"), [(2, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 3)])
def test_tree_takes_the_planes_that_its_labels_need(count: int, planes: int) -> None:
    labels = np.arange(count, dtype=np.int32).reshape(1, -1)
    order = np.random.default_rng(count).permutation(count - 1).astype(np.int32)
    tree = Tree(np.arange(count - 1, dtype=np.int32), order)  # each label into the one before it
    data = encode(labels, tree=tree)
    payload = payload_of(data, b"TREE")
    assert len(payload) == 2 * planes * (count - 1)
    assert payload[: count - 1] == bytes(label % 256 for label in range(count - 1))
    decoded = decode(data)
    assert decoded.tree is not None
    assert np.array_equal(decoded.tree.into, tree.into)
    assert np.array_equal(decoded.tree.order, tree.order)
    assert reference.decode(data)["tree"] == (tree.into.tolist(), tree.order.tolist())


@pytest.mark.parametrize("seed", range(8))
def test_every_cut_is_what_the_merges_do(seed: int) -> None:
    labels = blobs(12, 15, 10 + 5 * seed, seed)
    count = int(labels.max()) + 1
    merges = random_merges(count, seed)
    tree = tree_of(merges, count)
    decoded = decode(encode(labels, tree=tree))
    for regions in range(1, count + 1):
        expected = replay(labels, merges, regions)
        assert np.array_equal(decoded.labels_at(regions), expected)
        lut = reference.cut(tree.into.tolist(), tree.order.tolist(), count - regions)
        assert decoded.cut(regions).tolist() == lut


def malformed(**changes: object) -> Tree:
    return dataclasses.replace(tree_of(MERGES_OF_5, 5), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tree", "parameter"),
    [
        (malformed(into=np.array([0, 0, 1])), "tree.into"),
        (malformed(into=np.array([0, 0, 3, 3])), "tree.into"),
        (malformed(into=np.array([1, 0, 1, 3])), "tree.into"),
        (malformed(into=np.array([0, 0, 1, -1])), "tree.into"),
        (malformed(into=np.array([0.0, 0, 1, 3])), "tree.into"),
        (malformed(order=np.array([3, 2, 1])), "tree.order"),
        (malformed(order=np.array([3, 2, 1, 1])), "tree.order"),
        (malformed(order=np.array([4, 2, 1, 0])), "tree.order"),
        (malformed(order=np.array([3, 2, 1, -1])), "tree.order"),
    ],
)
def test_malformed_trees_are_not_written(tree: Tree, parameter: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        encode(LABELS_OF_5, tree=tree)
    assert error.value.parameter == parameter


# ---- LVLS


def test_levels_by_hand() -> None:
    data = encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5), levels=[4, 2])
    # Label 4 is no longer the smallest of its component at 4 regions; 3 and 2 at 2 regions; 1 at neither.
    assert payload_of(data, b"LVLS") == b"\x02" + struct.pack("<II", 4, 2) + bytes([0, 0, 1, 3, 2, 1, 1, 0])
    assert [kind for kind, _ in split(data)[1]] == [b"LABL", b"LVLS"]
    decoded = decode(data)
    assert decoded.tree is None
    assert decoded.levels is not None
    assert decoded.levels.counts == (4, 2)
    assert decoded.cut(5).tolist() == [0, 1, 2, 3, 4]
    assert decoded.cut(4).tolist() == [0, 1, 2, 3, 3]
    assert decoded.cut(2).tolist() == [0, 1, 0, 1, 1]
    for count in (3, 1, 0, 6):
        with pytest.raises(InvalidParameter, match=r"^count: must be one of \[5, 4, 2\], got"):
            decoded.cut(count)


def test_a_map_alone_can_be_cut_to_itself_only() -> None:
    decoded = decode(encode(LABELS_OF_5))
    assert decoded.cut(5).tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(decoded.labels_at(5), LABELS_OF_5)
    with pytest.raises(InvalidParameter, match=r"^count: must be one of \[5\], got 4$"):
        decoded.cut(4)


@pytest.mark.parametrize("levels", [[1], [299, 298, 1], [150, 20, 3], list(range(40, 8, -1))])
def test_levels_are_the_cuts_of_the_tree(levels: list[int]) -> None:
    labels = np.arange(300, dtype=np.int32).reshape(15, 20)
    tree = tree_of(random_merges(300, seed=5), 300)
    whole = decode(encode(labels, tree=tree))
    data = encode(labels, tree=tree, levels=levels)
    chosen = decode(data)
    assert chosen.levels is not None
    assert chosen.levels.counts == tuple(levels)
    for count in levels:
        assert np.array_equal(chosen.cut(count), whole.cut(count))
    assert reference.decode(data) == as_reference(chosen)


@pytest.mark.parametrize(
    "levels", [[], [5], [6, 2], [4, 4], [2, 4], [4, 0], [0], [-1], list(range(40, 7, -1))], ids=str
)
def test_malformed_levels_are_not_written(levels: list[int]) -> None:
    with pytest.raises(InvalidParameter, match=r"^levels: "):
        encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5), levels=levels)


def test_more_than_32_levels_are_not_written() -> None:
    labels = np.arange(50, dtype=np.int32).reshape(5, 10)
    tree = tree_of(random_merges(50), 50)
    assert len(encode(labels, tree=tree, levels=range(40, 8, -1))) > 0
    with pytest.raises(InvalidParameter, match=r"^levels: must be 1 to 32 counts, got 33$"):
        encode(labels, tree=tree, levels=range(40, 7, -1))


def test_levels_need_their_tree() -> None:
    with pytest.raises(InvalidParameter, match=r"^levels: "):
        encode(LABELS_OF_5, levels=[2])


# ---- hght


def test_heights_by_hand() -> None:
    # 0; 1, exact; the float after 1, which goes up to 1.0078125; 0.5, below what came before it.
    heights = np.array([0, 1, np.nextafter(np.float32(1), np.float32(2)), 0.5], np.float32)
    data = encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5), heights=heights)
    # 0x0000, 0x3f80, 0x3f81, 0x3f00: differences 0, +16256, +1, -129; zig-zag 0, 32512, 2, 257.
    assert payload_of(data, b"hght") == bytes([0, 0x80, 0xFE, 0x01, 2, 0x81, 0x02])
    decoded = decode(data)
    assert decoded.heights is not None
    assert decoded.heights.dtype == np.float32
    assert decoded.heights.tolist() == [0, 1, 1.0078125, 0.5]
    assert reference.decode(data)["heights"] == [0, 0x3F80, 0x3F81, 0x3F00]


def test_heights_keep_their_order_and_never_fall() -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(4000, dtype=np.int32).reshape(40, 100)
    tree = Tree(np.arange(3999), rng.permutation(3999))
    heights = np.sort(np.exp(rng.uniform(-80, 80, 3999)).astype(np.float32))
    data = encode(labels, tree=tree, heights=heights)
    decoded = decode(data).heights
    assert decoded is not None
    assert np.all(decoded >= heights)
    assert np.all(np.diff(decoded) >= 0)
    # To the next bfloat16 at most: those have 8 significant bits.
    assert np.all(decoded.astype(float) <= heights.astype(float) * (1 + 2.0**-7))
    assert reference.decode(data)["heights"] == (decoded.view(np.uint32) >> 16).tolist()


def test_largest_height_and_negative_zero() -> None:
    largest = np.array([0x7F7F0000], np.uint32).view(np.float32)[0]
    heights = np.array([-0.0, largest, 0, largest], np.float32)
    data = encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5), heights=heights)
    assert reference.decode(data)["heights"] == [0, 0x7F7F, 0, 0x7F7F]


@pytest.mark.parametrize(
    "heights",
    [
        np.zeros(3, np.float32),
        np.zeros(4, np.float64),
        np.array([0, 1, 2, np.nan], np.float32),
        np.array([0, 1, 2, np.inf], np.float32),
        np.array([0, 1, 2, np.finfo(np.float32).max], np.float32),  # would go up to infinity
        np.array([0, 1, 2, -1], np.float32),
    ],
    ids=str,
)
def test_malformed_heights_are_not_written(heights: np.ndarray) -> None:
    with pytest.raises(InvalidParameter, match=r"^heights: "):
        encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5), heights=heights)


def test_heights_go_with_the_whole_tree_only() -> None:
    heights = np.zeros(4, np.float32)
    with pytest.raises(InvalidParameter, match=r"^heights: "):
        encode(LABELS_OF_5, heights=heights)
    with pytest.raises(InvalidParameter, match=r"^heights: "):
        encode(LABELS_OF_5, tree=tree_of(MERGES_OF_5, 5), levels=[2], heights=heights)


# ---- regn

LABELS_3X4 = map_of(["0011", "0001", "2221"])
# Red is ten times x, green is y, blue is 255.
IMAGE_3X4 = np.array([[(10 * x, y, 255) for x in range(4)] for y in range(3)], np.uint8)


def planes(*values: int) -> bytes:
    """Three values below 256 in four planes."""
    return bytes([*values, *bytes(9)])


def test_regions_by_hand() -> None:
    regions = measure_regions(LABELS_3X4, IMAGE_3X4)
    assert regions.area.tolist() == [5, 4, 3]
    assert regions.box.tolist() == [[0, 0, 3, 2], [2, 0, 4, 3], [0, 2, 3, 3]]
    # Sums of x: 4, 11, 3; of y: 3, 3, 6. 16 * 4/5 = 12.8, 16 * 11/4 = 44, 16 * 3/3; 9.6, 12, 32.
    assert regions.centroid.tolist() == [[13, 10], [44, 12], [16, 32]]
    # Red: 40/5, 110/4 = 27.5, 30/3. Green: 3/5, 3/4, 2.
    assert regions.mean_color.tolist() == [[8, 1, 255], [28, 1, 255], [10, 2, 255]]
    assert regions.neighbor_offsets.tolist() == [0, 2, 3, 3]
    assert regions.neighbors.tolist() == [1, 2, 2]

    payload = payload_of(encode(LABELS_3X4, regions=regions), b"regn")
    assert payload == b"".join(
        [
            planes(5, 4, 3),
            planes(0, 2, 0),
            planes(0, 0, 2),
            planes(3, 4, 3),
            planes(2, 3, 3),
            planes(13, 44, 16),
            planes(10, 12, 32),
            bytes([8, 28, 10]),
            bytes([1, 1, 2]),
            bytes([255, 255, 255]),
            struct.pack("<I", 3),
            bytes([2, 1, 2, 1, 1, 0]),
        ]
    )


def naive_regions(labels: Labels, image: np.ndarray) -> Regions:
    """By the definition, in Python's integers."""
    count = int(labels.max()) + 1
    area, box, centroid, color, offsets, neighbors = [], [], [], [], [0], []
    touching: set[tuple[int, int]] = set()
    for first, second in [(labels[:-1], labels[1:]), (labels[:, :-1], labels[:, 1:])]:
        touching |= {
            (min(p), max(p)) for p in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
        }
    for label in range(count):
        y, x = np.nonzero(labels == label)
        n = len(x)
        area.append(n)
        box.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
        centroid.append([(32 * int(v.sum()) + n) // (2 * n) for v in (x, y)])
        color.append([(2 * int(c) + n) // (2 * n) for c in image[y, x].astype(np.int64).sum(axis=0)])
        neighbors += sorted(b for a, b in touching if a == label and b > a)
        offsets.append(len(neighbors))
    return Regions(*map(np.array, (area, box, centroid, color, offsets, neighbors)))


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((1, 1), np.int32),
        np.zeros((5, 7), np.int32),
        noise(1, 40, 6),
        noise(40, 1, 6),
        noise(20, 30, 3),
        noise(15, 20, 120),
        (np.indices((9, 11)).sum(axis=0) % 2).astype(np.int32),
        blobs(40, 50, 30),
        np.arange(63, dtype=np.int32).reshape(7, 9),
    ],
    ids=lambda labels: f"{labels.shape} {labels.max() + 1}",
)
def test_regions_are_measured_and_read_back(labels: Labels) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*labels.shape, 3), np.uint8)
    measured, expected = measure_regions(labels, image), naive_regions(labels, image)
    data = encode(labels, regions=measured)
    decoded = decode(data)
    assert decoded.regions is not None
    for field in dataclasses.fields(Regions):
        values, read = getattr(measured, field.name), getattr(decoded.regions, field.name)
        assert np.array_equal(values, getattr(expected, field.name)), field.name
        assert np.array_equal(values, read), field.name
        assert (values.dtype, values.shape) == (read.dtype, read.shape), field.name
    assert reference.decode(data) == as_reference(decoded)


def test_regions_far_from_the_origin_do_not_overflow() -> None:
    labels = np.zeros((2, 2**22), np.int32)
    labels[:, -1] = 1
    regions = measure_regions(labels, np.full((2, 2**22, 3), 255, np.uint8))
    n = 2**22 - 1
    assert regions.centroid.tolist() == [[(32 * n * (n - 1) + 2 * n) // (4 * n), 8], [16 * n, 8]]
    assert regions.box.tolist() == [[0, 0, n, 2], [n, 0, n + 1, 2]]
    assert regions.mean_color.tolist() == [[255] * 3] * 2


@pytest.mark.parametrize("labels", [[[0, 2]], [[1, 1]], [[0, -1]], [[-1, -1]], [[0, 2**30]]])
def test_labels_with_gaps_are_not_measured(labels: list[list[int]]) -> None:
    with pytest.raises(InvalidLabelMap, match=r"^labels: "):
        measure_regions(np.array(labels, np.int32), np.zeros((1, 2, 3), np.uint8))


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((3, 4), np.uint8),
        np.zeros((4, 3, 3), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((3, 4, 3)),
    ],
    ids=lambda image: f"{image.shape} {image.dtype}",
)
def test_images_that_do_not_fit_are_not_measured(image: np.ndarray) -> None:
    with pytest.raises(InvalidImage, match=r"^image: must be \(3, 4, 3\) uint8"):
        measure_regions(LABELS_3X4, image)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("area", [5, 4]),
        ("area", [5, 4, -3]),
        ("area", [5, 4, 2**32]),
        ("box", [[0, 0, 3], [2, 0, 4], [0, 2, 3]]),
        ("centroid", [13, 44, 16]),
        ("mean_color", [[8, 1, 256], [28, 1, 255], [10, 2, 255]]),
        ("neighbor_offsets", [0, 2, 3]),
        ("neighbor_offsets", [0, 2, 3, 4]),
        ("neighbor_offsets", [0, 2, 2, 2]),
        ("neighbor_offsets", [1, 2, 3, 3]),
        ("neighbor_offsets", [0, 3, 2, 3]),
        ("neighbors", [2, 1, 2]),
        ("neighbors", [1, 1, 2]),
        ("neighbors", [0, 2, 2]),
        ("neighbors", [1, 2, 3]),
        ("neighbors", [1, 2, 1]),
    ],
)
def test_malformed_regions_are_not_written(field: str, values: list[int]) -> None:
    regions = dataclasses.replace(measure_regions(LABELS_3X4, IMAGE_3X4), **{field: np.array(values)})
    with pytest.raises(InvalidParameter) as error:
        encode(LABELS_3X4, regions=regions)
    assert error.value.parameter == f"regions.{field}"


# ---- all at once


def test_everything_in_one_container() -> None:
    labels = blobs(60, 80, 280)
    count = int(labels.max()) + 1
    assert count > 256
    image = np.random.default_rng(2).integers(0, 256, (60, 80, 3), np.uint8)
    tree = tree_of(random_merges(count), count)
    heights = np.linspace(0, 9, count - 1, dtype=np.float32)
    data = encode(labels, tree=tree, heights=heights, regions=measure_regions(labels, image))
    assert [kind for kind, _ in split(data)[1]] == [b"LABL", b"TREE", b"hght", b"regn"]
    assert reference.decode(data) == as_reference(decode(data))
    # Sections may come in any order behind LABL, and gzip members may be made by anyone.
    head, sections = split(data)
    shuffled = [sections[0], *sections[:0:-1]]
    again = head + b"".join(section(kind, raw, stored=gzip_member(raw)) for kind, raw in shuffled) + END
    assert reference.decode(again) == as_reference(decode(again)) == as_reference(decode(data))


@pytest.mark.parametrize("version", [-1, 65_536])
def test_algorithm_version_fits_16_bits(version: int) -> None:
    with pytest.raises(InvalidParameter, match=r"^algorithm_version: "):
        encode(LABELS_3X4, algorithm_version=version)
