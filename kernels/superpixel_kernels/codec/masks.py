"""Masks in COCO's run-length encoding, painted over one another into one label map."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import _codec
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter


class InvalidMask(InvalidLabelMap):
    """A mask's runs are malformed, or do not add up to its size.

    Attributes:
        index: the mask's position in the list.
    """

    def __init__(self, index: int) -> None:
        super().__init__(f"mask {index}: its runs must be well-formed and add up to height * width")
        self.index = index


def paint_masks(masks: Sequence[tuple[bytes, bool]], height: int, width: int) -> NDArray[np.int32]:
    """Paint masks over one another.

    Runs go down the columns, from left to right; background and foreground alternate, beginning with
    background (COCO; Lin et al., 2014).

    Args:
        masks: the runs of each mask, and whether they are COCO's compressed string; if not, they are
            little-endian uint32 lengths.
        height: of each mask in pixels.
        width: of each mask in pixels; height * width below 2^31.

    Returns:
        (height, width) int32, not in C order: i + 1 where mask i is the last one that covers the pixel, 0
        where none does.

    Raises:
        InvalidMask: a mask is malformed.
        InvalidParameter: a size is out of range.
    """
    if not (height >= 1 and width >= 1 and height * width < 2**31):
        raise InvalidParameter(
            "height", f"and width must be from 1 to 2^31 - 1 pixels, got {height} x {width}"
        )
    columns = np.zeros((width, height), np.int32)
    wrong = _codec.paint_masks([data for data, _ in masks], [packed for _, packed in masks], columns)
    if wrong >= 0:
        raise InvalidMask(wrong)
    return columns.T
