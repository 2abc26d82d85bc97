"""The section `MASK`: pixels that belong to no superpixel."""

import struct

import numpy as np
import pytest

from superpixel_kernels import OUTSIDE, measure_adjacency, segment
from superpixel_kernels.codec import decode, encode, measure_regions, reference, snap_mask
from superpixel_kernels.errors import InvalidLabelMap
from tests.kernels import images
from tests.kernels.codec_tools import (
    END,
    END_ROW,
    Labels,
    as_reference,
    blobs,
    canonical,
    header,
    label_payload,
    noise,
    payload_of,
    random_merges,
    section,
    tree_of,
)
from tests.kernels.malformed import LABL, LABL_PAYLOAD


def without(labels: Labels, label: int) -> Labels:
    """The map whose pixels of one label belong to no superpixel, numbered anew."""
    inside = labels != label
    made = np.full(labels.shape, OUTSIDE, np.int32)
    made[inside] = canonical(labels[inside])
    return made


def mask(outside: int) -> bytes:
    return section(b"MASK", struct.pack("<I", outside))


MASKED = [
    (labels, outside)
    for labels in (blobs(13, 17, 12), noise(5, 7, 4), noise(1, 70, 9), np.array([[0], [1]], np.int32))
    for outside in sorted({0, 1, int(labels.max())})
]


@pytest.mark.parametrize(("labels", "outside"), MASKED, ids=lambda each: f"{np.shape(each)} {np.max(each)}")
def test_what_is_written_is_read(labels: Labels, outside: int) -> None:
    masked = without(labels, outside)
    count = int(masked.max()) + 1
    tree = tree_of(random_merges(count), count)
    image = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), np.uint8)
    regions = measure_regions(masked, image)
    heights = np.linspace(0, 1, count - 1, dtype=np.float32)
    data = encode(masked, tree=tree, heights=heights, regions=regions)
    label_map = decode(data)
    np.testing.assert_array_equal(label_map.labels, masked)
    np.testing.assert_array_equal(label_map.mask, labels != outside)
    assert label_map.count == count
    assert as_reference(label_map) == reference.decode(data)
    assert payload_of(data, b"MASK") == struct.pack("<I", outside)
    # LABL holds the outside as one label more.
    assert payload_of(data, b"LABL") == payload_of(encode(labels), b"LABL")
    for coarser in {1, max(1, count // 2), count}:
        cut = label_map.labels_at(coarser)
        assert (cut[masked < 0] == OUTSIDE).all()
        np.testing.assert_array_equal(cut[masked >= 0], label_map.cut(coarser)[masked[masked >= 0]])
    np.testing.assert_array_equal(regions.area, np.bincount(masked[masked >= 0], minlength=count))
    np.testing.assert_array_equal(regions.pairs, measure_adjacency(masked).pairs)


def test_a_reader_that_does_not_know_it_rejects_the_map() -> None:
    data = encode(without(noise(5, 7, 4), 1)).replace(b"MASK", b"ZZZZ")
    with pytest.raises(InvalidLabelMap, match="section b'ZZZZ': unknown, and not marked optional"):
        decode(data)


def test_a_map_without_pixels_outside_has_no_such_section() -> None:
    data = encode(noise(5, 7, 4))
    assert b"MASK" not in data
    assert decode(data).mask is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (header(4, 2, 1) + LABL + mask(2**32 - 1), "MASK: label 4294967295, must be"),
        (header(4, 2, 1) + mask(1) + LABL, "the first one must be LABL"),
        (header(4, 2, 8) + section(b"LABL", LABL_PAYLOAD) + mask(0), "LABL: .*holds 2 labels"),
    ],
)
def test_what_is_rejected(data: bytes, text: str) -> None:
    with pytest.raises(InvalidLabelMap, match=text):
        decode(data + END)
    with pytest.raises(InvalidLabelMap):
        reference.decode(data + END)


def test_the_order_of_the_sections_is_free() -> None:
    payload = label_payload((1, 0, 0), (1, 0, 1), (2, 0, 0, 1), END_ROW)
    tree = section(b"TREE", b"")
    for rest in (mask(0) + tree, tree + mask(0)):
        data = header(4, 1, 1) + section(b"LABL", payload) + rest + END
        assert decode(data).labels.tolist() == reference.decode(data)["labels"] == [[-1, 0, 0, -1]]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[-1, -1]], "no pixel belongs to a superpixel"),
        ([[0, -2]], "row 0, column 1 has -2 after 1 labels"),
        ([[-1, 1]], "row 0, column 1 has 2 after 1 labels"),
        ([[2**31 - 1, -1]], "row 0, column 0 has 2147483647 after 0 labels"),
        ([[-1, 2**31 - 1]], "row 0, column 1 has 2147483647 after 1 labels"),
    ],
)
def test_labels_that_cannot_be_written(labels: list[list[int]], message: str) -> None:
    with pytest.raises(InvalidLabelMap, match=message):
        encode(np.array(labels, np.int32))


def test_a_hierarchy_with_a_mask_writes_what_it_cuts() -> None:
    inside = np.zeros((60, 80), bool)
    inside[5:50, 10:35] = inside[20:58, 40:77] = True
    hierarchy = segment(images.photo(80, 60), mask=inside)
    for count in (1, 40, hierarchy.base_count, hierarchy.base_count + 30):
        label_map = decode(hierarchy.encode(count, include_hierarchy=True, include_regions=True))
        np.testing.assert_array_equal(label_map.labels, hierarchy.cut(count))
        np.testing.assert_array_equal(label_map.mask, inside)
        assert label_map.connected == (count >= 2)
        for coarser in {1, min(7, count)}:
            np.testing.assert_array_equal(label_map.labels_at(coarser), hierarchy.cut(coarser))
        expected = hierarchy.regions(count)
        assert label_map.regions is not None
        np.testing.assert_array_equal(label_map.regions.mean_color, expected.mean_color)
        np.testing.assert_array_equal(label_map.regions.pairs, expected.pairs)
    label_map = decode(hierarchy.encode(40, levels=[17, 5]))
    np.testing.assert_array_equal(label_map.labels_at(5), hierarchy.cut(5))
    rough = np.zeros((60, 80), np.uint8)
    rough[10:40, 15:60] = 7
    np.testing.assert_array_equal(snap_mask(label_map, rough, 17), snap_mask(hierarchy, rough, 17))
