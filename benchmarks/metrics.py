"""Measures of a label map, alone or against human segmentations.

Definitions as in docs/algorithm.md, after Stutz, Hermans, Leibe, "Superpixels: An evaluation of the state of
the art", CVIU 2018. All functions use these arguments:

    labels: (height, width) integers 0..K-1, each in use (see `compact`); superpixels need not be connected
    truth:  one person's segmentation of the photograph, in the same form with labels 0..G-1
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Overlaps = NDArray[np.int64]

BOUNDARY_TOLERANCE = 0.0025
"""Tolerance of boundary recall, as a share of the image's diagonal: one pixel at 481x321."""

SMALL_SHARE = 8
"""A superpixel is small if its area is less than the mean area divided by this."""


@dataclass(frozen=True, slots=True)
class Quality:
    """The measures of one label map, or their means over several; all are shares from 0 to 1.

    The first three are means over the people who segmented the photograph.
    """

    boundary_recall: float
    undersegmentation_error: float
    achievable_accuracy: float
    explained_variation: float
    compactness: float
    contour_density: float
    small_share: float


def measure(labels: Labels, truths: Sequence[Labels], image: NDArray[np.uint8]) -> Quality:
    """Compute all measures of one label map.

    Args:
        labels: (height, width), compact.
        truths: one or more segmentations of the same shape, compact.
        image: (height, width, 3) RGB.
    """
    overlaps = [count_overlaps(truth, labels) for truth in truths]
    return Quality(
        boundary_recall=float(np.mean([boundary_recall(labels, truth) for truth in truths])),
        undersegmentation_error=float(np.mean([undersegmentation_error(each) for each in overlaps])),
        achievable_accuracy=float(np.mean([achievable_accuracy(each) for each in overlaps])),
        explained_variation=explained_variation(labels, image),
        compactness=compactness(labels),
        contour_density=contour_density(labels),
        small_share=small_share(labels),
    )


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """Return the mean of each measure."""
    names = [field.name for field in fields(Quality)]
    return Quality(*(float(np.mean([getattr(each, name) for each in qualities])) for name in names))


def compact(labels: NDArray[np.integer]) -> Labels:
    """Return the same partition with labels 0..K-1, in the order of the given values."""
    _, inverse = np.unique(labels, return_inverse=True)
    compacted: Labels = inverse.reshape(labels.shape).astype(np.int32)
    return compacted


def count_labels(labels: Labels) -> int:
    """Return K, the number of labels of a compact map."""
    return int(labels.max()) + 1


def count_overlaps(truth: Labels, labels: Labels) -> Overlaps:
    """Return (G, K): the number of pixels that each segment shares with each superpixel."""
    segments, superpixels = count_labels(truth), count_labels(labels)
    pairs = truth.ravel().astype(np.int64) * superpixels + labels.ravel()
    return np.bincount(pairs, minlength=segments * superpixels).reshape(segments, superpixels)


def undersegmentation_error(overlaps: Overlaps) -> float:
    """Return how much superpixels leak across segment borders (Neubert and Protzel 2012).

    For each segment and superpixel that overlap, the smaller of the superpixel's parts inside and outside the
    segment counts. The result is their sum divided by the number of pixels.
    """
    outside = overlaps.sum(axis=0) - overlaps
    return float(np.minimum(overlaps, outside).sum() / overlaps.sum())


def achievable_accuracy(overlaps: Overlaps) -> float:
    """Return the achievable segmentation accuracy (Liu, Tuzel, Ramalingam, Chellappa 2011).

    It is the share of correct pixels if each whole superpixel is assigned to the segment that has most of it.
    """
    return float(overlaps.max(axis=0).sum() / overlaps.sum())


def boundary_pixels(labels: Labels) -> NDArray[np.bool_]:
    """Return (height, width): pixels with another label in one of the four neighbours inside the image."""
    vertical, horizontal = _unequal_sides(labels)
    found = np.zeros(labels.shape, np.bool_)
    found[:-1] |= vertical
    found[1:] |= vertical
    found[:, :-1] |= horizontal
    found[:, 1:] |= horizontal
    return found


def boundary_recall(labels: Labels, truth: Labels, radius: int | None = None) -> float:
    """Return the share of the truth's boundary pixels that have a boundary pixel of the map nearby.

    Nearby: in the square of `radius` pixels to all sides; by default `BOUNDARY_TOLERANCE` times the diagonal,
    rounded. The result is 1 if the truth has no boundary.
    """
    if radius is None:
        radius = round(BOUNDARY_TOLERANCE * math.hypot(*labels.shape))
    wanted = boundary_pixels(truth)
    total = np.count_nonzero(wanted)
    if total == 0:
        return 1.0
    return float(np.count_nonzero(wanted & _dilate(boundary_pixels(labels), radius)) / total)


def contour_density(labels: Labels) -> float:
    """Return the share of pixels that are boundary pixels."""
    return float(np.mean(boundary_pixels(labels)))


def explained_variation(labels: Labels, image: NDArray[np.uint8]) -> float:
    """Return the variance between superpixels as a share of the image's variance (Moore et al. 2008).

    Variances are of RGB bytes. The result is 1 for an image of one colour, whose variance is 0.
    """
    flat = labels.ravel()
    sizes = np.bincount(flat)
    between = total = 0.0
    for channel in range(image.shape[2]):
        values = image[:, :, channel].ravel().astype(np.float64)
        values -= values.mean()
        sums = np.bincount(flat, weights=values)
        between += float((sums * sums / sizes).sum())
        total += float((values * values).sum())
    return between / total if total > 0 else 1.0


def compactness(labels: Labels) -> float:
    """Return the roundness of the superpixels, weighted by area (Schick, Fischer, Stiefelhagen 2012).

    Roundness is the isoperimetric quotient 4 pi area / perimeter^2. The perimeter is counted in pixel sides,
    including those on the image's frame: pi/4 for a square, less for every other shape on a grid.
    """
    areas = np.bincount(labels.ravel()).astype(np.float64)
    padded = np.pad(labels, 1, constant_values=-1)
    perimeters = np.zeros(len(areas), np.int64)
    inner = padded[1:-1, 1:-1]
    for beside in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        perimeters += np.bincount(inner[inner != beside], minlength=len(areas))
    return float((areas * (4 * math.pi * areas / perimeters**2)).sum() / areas.sum())


def small_share(labels: Labels) -> float:
    """Return the share of superpixels with less than an eighth (`SMALL_SHARE`) of the mean area."""
    areas = np.bincount(labels.ravel())
    return float(np.mean(areas * len(areas) * SMALL_SHARE < labels.size))


def nesting_error(coarse: Labels, fine: Labels) -> float:
    """Return the share of the coarse map's borders, in pixel sides, that the fine map lacks.

    0 if and only if each connected superpixel of the fine map lies in one of the coarse map, so the finer map
    only adds borders. 1 if the fine map has none of the borders. 0 if the coarse map has no borders.
    """
    missing = total = 0
    for coarse_sides, fine_sides in zip(_unequal_sides(coarse), _unequal_sides(fine), strict=True):
        missing += int(np.count_nonzero(coarse_sides & ~fine_sides))
        total += int(np.count_nonzero(coarse_sides))
    return missing / total if total else 0.0


def _unequal_sides(labels: Labels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where labels differ between (y, x) and (y+1, x), and between (y, x) and (y, x+1)."""
    return labels[:-1] != labels[1:], labels[:, :-1] != labels[:, 1:]


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """Return where the square of `radius` pixels to all sides contains a true pixel."""
    rows = mask.copy()
    for shift in range(1, min(radius, mask.shape[0] - 1) + 1):
        rows[shift:] |= mask[:-shift]
        rows[:-shift] |= mask[shift:]
    both = rows.copy()
    for shift in range(1, min(radius, mask.shape[1] - 1) + 1):
        both[:, shift:] |= rows[:, :-shift]
        both[:, :-shift] |= rows[:, shift:]
    return both
