"""The label map's section regn, and a container that holds every section."""

import dataclasses
import struct

import numpy as np
import pytest

from superpixel_kernels.codec import Regions, decode, encode, measure_regions, reference
from superpixel_kernels.errors import InvalidImage, InvalidLabelMap, InvalidParameter
from tests.kernels.codec_tools import (
    END,
    Labels,
    as_reference,
    blobs,
    gzip_member,
    map_of,
    noise,
    payload_of,
    random_merges,
    section,
    split,
    tree_of,
)

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


@pytest.mark.parametrize("labels", [[[0, 2]], [[1, 1]], [[0, -2]], [[-1, -1]], [[0, 2**30]]])
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
