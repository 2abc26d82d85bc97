"""Conversion of images from callers to the arrays that the engines take."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidImage
from superpixel_kernels.params import MAX_PIXELS

CHANNELS = (1, 3, 4)


def in_device_memory(image: object) -> bool:
    """Whether an image is in a GPU's memory."""
    return hasattr(image, "__cuda_array_interface__")


def checked_shape(array: Any) -> tuple[int, int, int]:
    """Height, width and channels of an image in host or device memory.

    Raises:
        InvalidImage: wrong dtype, shape or size.
    """
    if array.dtype != np.uint8:
        raise InvalidImage(f"image: must be uint8, got {array.dtype}")
    shape = (*array.shape, 1) if array.ndim == 2 else array.shape
    if len(shape) != 3 or shape[2] not in CHANNELS:
        raise InvalidImage(f"image: must be (H, W) or (H, W, 1, 3 or 4), got {array.shape}")
    height, width, channels = shape
    if not 1 <= height * width <= MAX_PIXELS:
        raise InvalidImage(f"image: must have from 1 to {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width, channels


def image_size(image: Any) -> tuple[int, int]:
    """Height and width of an image in host or device memory.

    Raises:
        InvalidImage: it has no such shape.
    """
    try:
        shape = image.__cuda_array_interface__["shape"] if in_device_memory(image) else np.shape(image)
    except ValueError as error:
        raise InvalidImage("image: must be an array with rows of equal length") from error
    if len(shape) < 2:
        raise InvalidImage(f"image: must be (H, W) or (H, W, 1, 3 or 4), got {shape}")
    return int(shape[0]), int(shape[1])


def as_pixels(
    image: ArrayLike,
    workspace: _engine.Workspace | None = None,
    allocate: Callable[[tuple[int, ...], type[np.uint8]], NDArray[np.uint8]] | None = None,
) -> NDArray[np.uint8]:
    """Make a private copy of an image, in the form that the engines take.

    Args:
        image: uint8, any strides: (H, W) or (H, W, 1) gray, (H, W, 3) RGB, (H, W, 4) RGBA (straight alpha).
        workspace: its threads do the copying; None: the calling thread does it.
        allocate: makes the array for an image without alpha, from shape and dtype; None: ordinary memory.

    Returns:
        (H, W, 1 or 3) uint8, C order, read-only, alpha composited on white. Never shares the caller's memory.

    Raises:
        InvalidImage: wrong dtype, shape or size, or the image is in a GPU's memory.
    """
    if in_device_memory(image):
        raise InvalidImage("image: is in a GPU's memory; backend 'cpu' takes arrays in host memory")
    try:
        array = np.asarray(image)
    except ValueError as error:
        raise InvalidImage("image: must be an array with rows of equal length") from error
    shape = checked_shape(array)
    array = array.reshape(shape)
    pixels: NDArray[np.uint8]
    if allocate is not None and shape[2] != 4:
        pixels = allocate(shape, np.uint8)
        np.copyto(pixels, array)
        pixels.flags.writeable = False
        return pixels
    contiguous = np.ascontiguousarray(array)
    if shape[2] != 4 and not np.may_share_memory(contiguous, array):
        pixels = contiguous  # ascontiguousarray has copied it
    else:
        pixels = _engine.copy_pixels(contiguous, workspace or _engine.Workspace(threads=1))
    pixels.flags.writeable = False
    return pixels
