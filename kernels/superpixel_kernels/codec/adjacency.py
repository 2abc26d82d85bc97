"""Measures the borders between the regions of a label map."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.codec.measured import Adjacency
from superpixel_kernels.codec.regions import as_named_regions
from superpixel_kernels.errors import InvalidImage


def measure_adjacency(labels: NDArray[np.integer], image: ArrayLike | None = None) -> Adjacency:
    """Find all pairs of regions that share a border, with its length and its contrast.

    Args:
        labels: (height, width) integers; count is the largest + 1. -1 is no region.
        image: (height, width) or (height, width, channels), any numbers: for the contrast. None: the contrast
            is not measured.

    Raises:
        InvalidLabelMap: the labels are not such integers.
        InvalidImage: the image has another height or width.
    """
    labels = as_named_regions(labels)
    count = int(labels.max()) + 1
    values = None if image is None else np.asarray(image)
    if values is not None and (values.ndim not in (2, 3) or values.shape[:2] != labels.shape):
        raise InvalidImage(f"image: must have the shape of the labels, {labels.shape}, got {values.shape}")
    # Both kinds of sides, as flat places of the pixels before and after the side.
    places = np.arange(labels.size).reshape(labels.shape)
    sides = []
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        differs = (labels[before] != labels[after]) & (labels[before] >= 0) & (labels[after] >= 0)
        sides.append((places[before][differs], places[after][differs]))
    firsts, seconds = (np.concatenate(part) for part in zip(*sides, strict=True))
    flat = labels.ravel().astype(np.int64)
    a, b = flat[firsts], flat[seconds]
    keys, rows = np.unique(np.minimum(a, b) * count + np.maximum(a, b), return_inverse=True)
    border = np.bincount(rows, minlength=len(keys))
    contrast = None
    if values is not None:
        table = values.reshape(labels.size, -1)
        difference = table[firsts].astype(np.float64) - table[seconds]
        distance = np.sqrt((difference * difference).sum(axis=1))
        contrast = np.bincount(rows, weights=distance, minlength=len(keys)) / border
    pairs = np.stack([keys // count, keys % count], axis=1).astype(np.int32)
    return Adjacency(count, pairs, border, contrast)
