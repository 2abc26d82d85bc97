"""The mask of a request: which pixels belong to superpixels."""

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
import numpy as np

from superpixel_service.client.errors import InvalidRequest
from superpixel_service.client.map_sources import MAX_RAW_BYTES, MapSource, gray_of, png_of
from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

MaskOf: TypeAlias = Callable[[Any], MapSource | None]
"""Returns the mask of an image of `segment_many` by its key; may raise `InvalidRequest` for the image."""


def build_mask(source: object) -> pb.Mask | None:
    """Build the message from a `MapSource`: files as they are; pixels as one bit each, or large ones as PNG.

    Raises:
        InvalidRequest: the file cannot be read, or the object is no mask.
    """
    if source is None:
        return None
    values = gray_of(source, _invalid)
    if isinstance(values, bytes):
        return pb.Mask(png=values)
    if values.dtype not in (np.bool_, np.uint8):
        raise _invalid(f"an array must be bool or uint8, got {values.dtype}")
    inside = values != 0
    height, width = inside.shape
    if (width + 7) // 8 * height > MAX_RAW_BYTES:
        return pb.Mask(png=png_of(inside))
    data = np.packbits(inside, axis=1).tobytes()
    return pb.Mask(raw=pb.RawMap(width=width, height=height, bits=1, data=data))


def mask_bytes(message: pb.Mask) -> int:
    """Bytes of a mask as sent."""
    return len(message.png) + len(message.raw.data)


def _invalid(text: str) -> InvalidRequest:
    return InvalidRequest(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"mask: {text}",
        reason=Reason.MASK_INVALID.value,
        field="mask",
    )
