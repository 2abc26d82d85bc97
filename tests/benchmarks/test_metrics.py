"""The measures, on label maps small enough to work out by hand."""

import math

import numpy as np
import pytest

from benchmarks import metrics


def grid(*rows: str) -> metrics.Labels:
    """A label map from rows of digits."""
    return np.array([[int(digit) for digit in row] for row in rows], np.int32)


# Two people's segmentations of a 3x4 image, and a map of three superpixels.
HALVES = grid("0011", "0011", "0011")
MAP = grid("0001", "0001", "2222")


def test_overlaps() -> None:
    # Superpixel 0 has 6 pixels: 4 in the left half, 2 in the right. Superpixel 2 is the lowest row: 2 and 2.
    assert metrics.count_overlaps(HALVES, MAP).tolist() == [[4, 0, 2], [2, 2, 2]]


def test_undersegmentation_error() -> None:
    # Left half: min(4, 2) + min(2, 2) = 4. Right half: min(2, 4) + min(2, 0) + min(2, 2) = 4. Of 12 pixels.
    assert metrics.undersegmentation_error(metrics.count_overlaps(HALVES, MAP)) == pytest.approx(8 / 12)


def test_achievable_accuracy() -> None:
    # Superpixel 0 goes left (4 right of 6), 1 goes right (2 of 2), 2 either way (2 of 4).
    assert metrics.achievable_accuracy(metrics.count_overlaps(HALVES, MAP)) == pytest.approx(8 / 12)


def test_a_map_that_refines_the_truth_leaks_nothing() -> None:
    overlaps = metrics.count_overlaps(HALVES, grid("0123", "0123", "0123"))
    assert metrics.undersegmentation_error(overlaps) == 0
    assert metrics.achievable_accuracy(overlaps) == 1


def test_boundary_pixels_lie_on_both_sides_and_not_on_the_frame() -> None:
    assert metrics.boundary_pixels(MAP).astype(int).tolist() == [[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_contour_density() -> None:
    assert metrics.contour_density(MAP) == pytest.approx(10 / 12)
    assert metrics.contour_density(grid("0000", "0000")) == 0


def test_boundary_recall() -> None:
    # The truth's boundary: columns 1 and 2, six pixels. The map's boundary pixels among them: all but (0, 1).
    assert metrics.boundary_recall(MAP, HALVES, radius=0) == pytest.approx(5 / 6)
    assert metrics.boundary_recall(MAP, HALVES, radius=1) == 1


def test_boundary_recall_looks_in_a_square() -> None:
    truth = grid("011111", "111111", "111111", "111111", "111111")  # boundary: (0, 0), (0, 1), (1, 0)
    labels = grid("000000", "000000", "000000", "000000", "000001")  # boundary: (4, 5), (4, 4), (3, 5)
    # From (0, 1), (4, 4) is 4 rows and 3 columns away; so it is from (1, 0), where columns count: 3 and 4.
    assert metrics.boundary_recall(labels, truth, radius=3) == 0
    assert metrics.boundary_recall(labels, truth, radius=4) == 1
    # All pixels beside a border that the truth does not have: nothing to recall.
    assert metrics.boundary_recall(labels, np.zeros_like(labels), radius=0) == 1


def test_boundary_tolerance_is_a_share_of_the_diagonal() -> None:
    # At 481x321 the diagonal is 578.3 pixels and the tolerance 1.4, so 1: off by one is found, by two is not.
    # With the border between columns x-1 and x, both of these are boundary pixels: 200 is one off, 201 two.
    def split(x: int) -> metrics.Labels:
        return np.repeat((np.arange(481) >= x).astype(np.int32)[np.newaxis], 321, axis=0)

    assert metrics.boundary_recall(split(201), split(200)) == 1  # 200, 201 found from 199 and 200
    assert metrics.boundary_recall(split(202), split(200)) == 0.5  # 201, 202: from 200 only
    assert metrics.boundary_recall(split(203), split(200)) == 0  # 202, 203


def test_explained_variation() -> None:
    # One channel with 0, 0, 2 | 4: mean 1.5, squares 2.25 + 2.25 + 0.25 + 6.25 = 11. The means of the parts
    # are 2/3 and 4: 3 * (5/6)^2 + 1 * 2.5^2 = 8 1/3. The other two channels are flat and add nothing.
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, :, 1] = 0, 0, 2, 4
    assert metrics.explained_variation(grid("0001"), image) == pytest.approx((25 / 3) / 11)
    assert metrics.explained_variation(grid("0012"), image) == pytest.approx(1)
    assert metrics.explained_variation(grid("0000"), image) == pytest.approx(0)
    assert metrics.explained_variation(grid("0001"), np.full((1, 4, 3), 7, np.uint8)) == 1


def test_compactness() -> None:
    # Superpixel 0: 2x3 pixels, perimeter 10; 1: 2x1, 6; 2: 1x4, 10. Each counts by its area.
    expected = sum(area / 12 * 4 * math.pi * area / side**2 for area, side in ((6, 10), (2, 6), (4, 10)))
    assert metrics.compactness(MAP) == pytest.approx(expected)
    assert metrics.compactness(grid("0011", "0011")) == pytest.approx(math.pi / 4)  # squares


def test_compactness_counts_the_rim_of_a_hole() -> None:
    # A 3x3 ring: 12 sides outside and 4 inside, 8 pixels; its hole: 1 pixel, 4 sides.
    expected = 8 / 9 * 4 * math.pi * 8 / 16**2 + 1 / 9 * math.pi / 4
    assert metrics.compactness(grid("000", "010", "000")) == pytest.approx(expected)


def test_small_share() -> None:
    # 6x4 = 24 pixels and 3 superpixels: the mean is 8, an eighth of it 1. Of 1 pixel: not less than 1.
    assert metrics.small_share(grid("000000", "000000", "111111", "111112")) == 0
    # 5x5 = 25 pixels and 3 superpixels: an eighth of the mean is 1.04, so the one pixel is small.
    assert metrics.small_share(grid("00000", "00000", "11111", "11111", "11112")) == pytest.approx(1 / 3)


def test_nesting_error() -> None:
    coarse = grid("0011", "0011", "0011")  # three sides, between columns 1 and 2
    assert metrics.nesting_error(coarse, grid("0112", "0112", "0112")) == 1  # none of them
    assert metrics.nesting_error(coarse, grid("0122", "0122", "3333")) == pytest.approx(1 / 3)  # no third one
    assert metrics.nesting_error(coarse, grid("0123", "0123", "4455")) == 0
    assert metrics.nesting_error(np.zeros_like(coarse), coarse) == 0


def test_compact_keeps_the_partition_whatever_the_labels() -> None:
    delivered = np.array([[-1, 70_000, 5], [5, -1, 70_000]])
    assert metrics.compact(delivered).tolist() == [[0, 2, 1], [1, 0, 2]]


def test_measure_takes_the_mean_over_people() -> None:
    same, image = MAP.copy(), np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    quality = metrics.measure(MAP, [HALVES, same], image)
    assert quality.undersegmentation_error == pytest.approx((8 / 12 + 0) / 2)
    assert quality.achievable_accuracy == pytest.approx((8 / 12 + 1) / 2)
    assert quality.boundary_recall == pytest.approx((5 / 6 + 1) / 2)
    assert metrics.mean_quality([quality, quality]) == quality
