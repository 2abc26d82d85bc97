"""What Python's own superpixels say the page must select."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import SegmentParams, segment

Mask = NDArray[np.uint8]


def labels_of(path: Path, count: int, compactness: float = 10.0) -> NDArray[np.int32]:
    return segment(np.asarray(Image.open(path)), SegmentParams(compactness=compactness)).cut(count)


def swept(
    shape: tuple[int, ...], start: tuple[int, int], end: tuple[int, int], radius: float
) -> NDArray[np.bool_]:
    """Pixels whose centres a circle covers on its way between two pixel corners, along a row or a column."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    (x0, y0), (x1, y1) = np.minimum(start, end), np.maximum(start, end)
    dx = columns - np.clip(columns, x0, x1)
    dy = rows - np.clip(rows, y0, y1)
    return np.asarray(dx**2 + dy**2 <= radius**2)


def brushed(mask: Mask, labels: NDArray[np.int32], where: NDArray[np.bool_], value: int) -> Mask:
    """The mask after the superpixels that have a pixel in `where` got a class."""
    return np.where(np.isin(labels, np.unique(labels[where])), value, mask).astype(np.uint8)


def at_least_half(labels: NDArray[np.int32], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of the superpixels that lie inside by at least half of their area."""
    areas = np.bincount(labels.ravel())
    shares = np.bincount(labels[inside], minlength=len(areas)) / areas
    return np.asarray((shares >= 0.5)[labels])
