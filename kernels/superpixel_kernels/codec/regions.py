"""Measurements of the regions of a label map."""

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import _codec
from superpixel_kernels.codec.label_map import OUTSIDE
from superpixel_kernels.codec.measured import Regions
from superpixel_kernels.codec.writer import as_labels
from superpixel_kernels.errors import InvalidImage, InvalidLabelMap


def measure_regions(labels: NDArray[np.integer], image: NDArray[np.uint8]) -> Regions:
    """Measure area, bounding box, centroid, mean colour and neighbours of every region.

    Args:
        labels: (height, width) integers; each of 0..count-1 must occur, in any order. -1 is no region.
        image: (height, width, 3) uint8, the sRGB bytes R, G, B to average.

    Raises:
        InvalidLabelMap: the labels are not such integers, or a label below the largest has no pixel.
        InvalidImage: the image has another shape or dtype.
    """
    labels = as_labels(labels)
    if labels.min() == OUTSIDE and labels.max() > OUTSIDE:
        as_region = np.where(labels == OUTSIDE, labels.max() + np.int32(1), labels)
        return _without_last(measure_regions(as_region, image))
    if image.shape != (*labels.shape, 3) or image.dtype != np.uint8:
        raise InvalidImage(
            f"image: must be {(*labels.shape, 3)} uint8 for these labels, got {image.shape} {image.dtype}"
        )
    count = int(labels.max()) + 1
    if not 1 <= count <= labels.size:
        raise InvalidLabelMap(f"labels: the largest is {count - 1} in a map of {labels.size} pixels")
    area = np.empty(count, np.uint32)
    box = np.empty((count, 4), np.uint32)
    centroid = np.empty((count, 2), np.uint32)
    mean_color = np.empty((count, 3), np.uint8)
    offsets, neighbors = _codec.measure_regions(
        labels, np.ascontiguousarray(image), count, area, box, centroid, mean_color
    )
    return Regions(area, box, centroid, mean_color, offsets, neighbors)


def _without_last(regions: Regions) -> Regions:
    """The measures without the last region, which is the outside."""
    last = len(regions.area) - 1
    end = int(regions.neighbor_offsets[last])
    kept = regions.neighbors[:end] != last
    before = np.concatenate([[0], np.cumsum(kept)]).astype(regions.neighbor_offsets.dtype)
    return Regions(
        regions.area[:last],
        regions.box[:last],
        regions.centroid[:last],
        regions.mean_color[:last],
        before[regions.neighbor_offsets[: last + 1]],
        regions.neighbors[:end][kept],
    )


def as_named_regions(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Convert labels that need not all occur, such as those of `slic`, to int32 in C order.

    Raises:
        InvalidLabelMap: they are not (height, width) integers from -1 (no region) to the number of pixels, or
            all are -1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise InvalidLabelMap(
            f"labels: must be integers in two dimensions, got {labels.shape} {labels.dtype}"
        )
    if not -1 <= labels.min() <= labels.max() <= labels.size or labels.max() < 0:
        raise InvalidLabelMap(
            f"labels: must be from -1 to {labels.size}, not all -1; got {labels.min()} to {labels.max()}"
        )
    return np.ascontiguousarray(labels, np.int32)
