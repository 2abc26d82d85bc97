"""From what callers hand in to what the engines take."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidImage
from superpixel_kernels.params import MAX_PIXELS

CHANNELS = (1, 3, 4)


def as_pixels(image: ArrayLike, workspace: _engine.Workspace | None = None) -> NDArray[np.uint8]:
    """A private copy of an image, as the engines take it.

    Args:
        image: uint8, any strides: (H, W) or (H, W, 1) gray, (H, W, 3) RGB, (H, W, 4) RGBA (straight alpha).
        workspace: whose threads do the copying; without one, it is done by the caller's alone.

    Returns:
        (H, W, 1 or 3) uint8, C order, read-only, alpha composited on white; never the caller's own memory.

    Raises:
        InvalidImage: wrong dtype, shape or size.
    """
    try:
        array = np.asarray(image)
    except ValueError as error:
        raise InvalidImage("image: must be an array, its rows of equal length") from error
    if array.dtype != np.uint8:
        raise InvalidImage(f"image: must be uint8, got {array.dtype}")
    shape = array.shape
    if len(shape) == 2:
        array = array[:, :, np.newaxis]
    if array.ndim != 3 or array.shape[2] not in CHANNELS:
        raise InvalidImage(f"image: must be (H, W) or (H, W, 1, 3 or 4), got {shape}")
    height, width, channels = array.shape
    if not 1 <= height * width <= MAX_PIXELS:
        raise InvalidImage(f"image: must have from 1 to {MAX_PIXELS} pixels, got {height} x {width}")
    contiguous = np.ascontiguousarray(array)
    if channels != 4 and not np.may_share_memory(contiguous, array):
        pixels = contiguous  # a copy already
    else:
        pixels = _engine.copy_pixels(contiguous, workspace or _engine.Workspace(threads=1))
    pixels.flags.writeable = False
    return pixels
