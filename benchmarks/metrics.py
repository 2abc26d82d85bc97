"""Measures of a label map, alone or against human segmentations.

Definitions as in docs/algorithm.md, after Stutz, Hermans, Leibe, "Superpixels: An evaluation of the state of
the art", CVIU 2018. Throughout:

    labels: (height, width) integers 0..K-1, every one in use (`compact` makes them so); need not be connected
    truth:  the same for one person's segmentation of the photograph, 0..G-1
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
"""A superpixel is small if it has less than one part in so many of the mean area."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What is measured on one label map, or the mean of that over several.

    The first three are means over the people who segmented the photograph; all are shares from 0 to 1.
    """

    boundary_recall: float
    undersegmentation_error: float
    achievable_accuracy: float
    explained_variation: float
    compactness: float
    contour_density: float
    small_share: float


def measure(labels: Labels, truths: Sequence[Labels], image: NDArray[np.uint8]) -> Quality:
    """All measures of one label map.

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
    """The mean of every measure."""
    names = [field.name for field in fields(Quality)]
    return Quality(*(float(np.mean([getattr(each, name) for each in qualities])) for name in names))


def compact(labels: NDArray[np.integer]) -> Labels:
    """The same partition with labels 0..K-1, in the order of the given values."""
    _, inverse = np.unique(labels, return_inverse=True)
    compacted: Labels = inverse.reshape(labels.shape).astype(np.int32)
    return compacted


def count_labels(labels: Labels) -> int:
    """K of a compact label map."""
    return int(labels.max()) + 1


def count_overlaps(truth: Labels, labels: Labels) -> Overlaps:
    """(G, K): how many pixels each segment and each superpixel have in common."""
    segments, superpixels = count_labels(truth), count_labels(labels)
    pairs = truth.ravel().astype(np.int64) * superpixels + labels.ravel()
    return np.bincount(pairs, minlength=segments * superpixels).reshape(segments, superpixels)


def undersegmentation_error(overlaps: Overlaps) -> float:
    """What leaks over the segments' borders (Neubert and Protzel 2012).

    The sum, over every segment and superpixel that meet, of the smaller of the superpixel's parts inside and
    outside of the segment; over the number of pixels.
    """
    outside = overlaps.sum(axis=0) - overlaps
    return float(np.minimum(overlaps, outside).sum() / overlaps.sum())


def achievable_accuracy(overlaps: Overlaps) -> float:
    """Achievable segmentation accuracy (Liu, Tuzel, Ramalingam, Chellappa 2011).

    The share of pixels that are right when every superpixel goes whole to the segment that has most of it.
    """
    return float(overlaps.max(axis=0).sum() / overlaps.sum())


def boundary_pixels(labels: Labels) -> NDArray[np.bool_]:
    """(height, width): pixels of which one of the four neighbours has another label; the frame is none."""
    vertical, horizontal = _unequal_sides(labels)
    found = np.zeros(labels.shape, np.bool_)
    found[:-1] |= vertical
    found[1:] |= vertical
    found[:, :-1] |= horizontal
    found[:, 1:] |= horizontal
    return found


def boundary_recall(labels: Labels, truth: Labels, radius: int | None = None) -> float:
    """The share of the truth's boundary pixels near which the map has one too.

    Near: in the square of `radius` pixels to all sides, by default `BOUNDARY_TOLERANCE` of the diagonal,
    rounded. A truth without any boundary is recalled in full.
    """
    if radius is None:
        radius = round(BOUNDARY_TOLERANCE * math.hypot(*labels.shape))
    wanted = boundary_pixels(truth)
    total = np.count_nonzero(wanted)
    if total == 0:
        return 1.0
    return float(np.count_nonzero(wanted & _dilate(boundary_pixels(labels), radius)) / total)


def contour_density(labels: Labels) -> float:
    """The share of pixels that are boundary pixels."""
    return float(np.mean(boundary_pixels(labels)))


def explained_variation(labels: Labels, image: NDArray[np.uint8]) -> float:
    """The share of the image's variance (of RGB bytes) that is between the superpixels (Moore et al. 2008).

    1.0 for an image of one colour, which has nothing left to explain.
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
    """How round the superpixels are, weighted by their area (Schick, Fischer, Stiefelhagen 2012).

    The isoperimetric quotient 4 pi area / perimeter^2, with the perimeter counted in pixel sides, those on
    the image's frame too: pi/4 for a square, less for everything else on a grid.
    """
    areas = np.bincount(labels.ravel()).astype(np.float64)
    padded = np.pad(labels, 1, constant_values=-1)
    perimeters = np.zeros(len(areas), np.int64)
    inner = padded[1:-1, 1:-1]
    for beside in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        perimeters += np.bincount(inner[inner != beside], minlength=len(areas))
    return float((areas * (4 * math.pi * areas / perimeters**2)).sum() / areas.sum())


def small_share(labels: Labels) -> float:
    """The share of superpixels that have less than an eighth (`SMALL_SHARE`) of the mean area."""
    areas = np.bincount(labels.ravel())
    return float(np.mean(areas * len(areas) * SMALL_SHARE < labels.size))


def nesting_error(coarse: Labels, fine: Labels) -> float:
    """The share of the coarse map's borders, in pixel sides, that the fine map lacks.

    0 if and only if every connected superpixel of the fine map lies in one of the coarse map: going finer
    only adds borders. 1 if all of them move. 0 for a coarse map without borders.
    """
    missing = total = 0
    for coarse_sides, fine_sides in zip(_unequal_sides(coarse), _unequal_sides(fine), strict=True):
        missing += int(np.count_nonzero(coarse_sides & ~fine_sides))
        total += int(np.count_nonzero(coarse_sides))
    return missing / total if total else 0.0


def _unequal_sides(labels: Labels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where labels differ between (y, x) and (y+1, x), and between (y, x) and (y, x+1)."""
    return labels[:-1] != labels[1:], labels[:, :-1] != labels[:, 1:]


def _dilate(mask: NDArray[np.bool_], radius: int) -> NDArray[np.bool_]:
    """True where the square of `radius` pixels to all sides holds a true pixel."""
    rows = mask.copy()
    for shift in range(1, min(radius, mask.shape[0] - 1) + 1):
        rows[shift:] |= mask[:-shift]
        rows[:-shift] |= mask[shift:]
    both = rows.copy()
    for shift in range(1, min(radius, mask.shape[1] - 1) + 1):
        both[:, shift:] |= rows[:, :-shift]
        both[:, :-shift] |= rows[:, shift:]
    return both
