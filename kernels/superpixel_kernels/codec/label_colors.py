"""Labels as RGB, for PNG files: label = R + 256 G + 65,536 B."""

import numpy as np
from numpy.typing import NDArray

MAX_RGB_LABEL = 2**24 - 1
"""Largest label that has a colour."""


def labels_to_rgb(labels: NDArray[np.int32] | NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return (height, width, 3) uint8 for (height, width) labels, 0..`MAX_RGB_LABEL`."""
    values = np.ascontiguousarray(labels, labels.dtype.newbyteorder("<"))
    return np.ascontiguousarray(values.view(np.uint8).reshape(*labels.shape, 4)[..., :3])


def rgb_to_labels(channels: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return (height, width) int32 for (height, width, 3) uint8."""
    labels: NDArray[np.int32] = channels[..., 0].astype(np.int32)
    for channel in (1, 2):
        labels |= channels[..., channel].astype(np.int32) << (8 * channel)
    return labels
