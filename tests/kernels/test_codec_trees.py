"""The label map's hierarchy: sections TREE, LVLS and hght."""

import dataclasses
import struct

import numpy as np
import pytest

from superpixel_kernels.codec import Tree, decode, encode, reference
from superpixel_kernels.errors import InvalidParameter
from tests.kernels.codec_tools import (
    as_reference,
    blobs,
    map_of,
    payload_of,
    random_merges,
    replay,
    split,
    tree_of,
)

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
    "levels",
    [[], [5], [6, 2], [4, 4], [2, 4], [4, 0], [0], [-1], [3.5], [3, 2.0], list(range(40, 7, -1))],
    ids=str,
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
