"""Maps of a request as callers give them: paths, bytes, Pillow images, arrays."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_service.client.errors import InvalidRequest

MapSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]
"""A path or the bytes of a PNG file, a Pillow image, or a (height, width) array."""

Refuse: TypeAlias = Callable[[str], InvalidRequest]
"""Makes the error about a map from what is wrong with it."""

MAX_RAW_BYTES = 4 << 20
"""Most bytes of a map sent uncompressed; label maps compress well."""


def bytes_of(source: object, refuse: Refuse) -> bytes | None:
    """The bytes of a file; None if `source` is no file.

    Raises:
        InvalidRequest: the file cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not isinstance(source, str | os.PathLike):
        return None
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise refuse(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
    except ValueError as error:  # the name has a zero byte
        raise refuse(f"cannot read {os.fspath(source)!r}: {error}") from error


def loaded(picture: Image.Image, refuse: Refuse) -> Image.Image:
    """A Pillow image whose pixels are in memory.

    Raises:
        InvalidRequest: it cannot be decoded.
    """
    try:
        picture.load()  # Pillow may not have read the file yet
    except MemoryError:
        raise
    except Exception as error:
        raise refuse("the Pillow image cannot be decoded: damaged, truncated or closed") from error
    return picture


def gray_of(source: object, refuse: Refuse) -> bytes | NDArray[Any]:
    """The bytes of a file; else the (height, width) values of a Pillow image of mode L or 1, or of an array.

    Raises:
        InvalidRequest: the file cannot be read, or the object is no such map.
    """
    data = bytes_of(source, refuse)
    if data is not None:
        return data
    if isinstance(source, Image.Image):
        source = loaded(source, refuse)
        if source.mode not in {"1", "L"}:
            raise refuse(f"a Pillow image must have mode L or 1, this one has {source.mode}")
    return array_of(source, refuse)


def array_of(source: object, refuse: Refuse) -> NDArray[Any]:
    """(height, width) booleans or integers.

    Raises:
        InvalidRequest: it is no such array, or empty.
    """
    values = np.asarray(source)
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.ndim != 2 or not values.size or values.dtype.kind not in "bui":
        raise refuse(f"an array must be (height, width) and not empty, got {values.shape} of {values.dtype}")
    return values


def png_of(values: NDArray[Any]) -> bytes:
    """A PNG file of booleans, or of labels of 8, 16 or 32 bits."""
    if values.dtype.itemsize == 4:
        values = codec.labels_to_rgb(values)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(values)).save(file, "PNG", compress_level=1)
    return file.getvalue()
