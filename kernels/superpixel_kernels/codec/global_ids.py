"""Which regions of a store the labels of a window are: the section `gids` of the container."""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import layout
from superpixel_kernels.errors import InvalidLabelMap, InvalidParameter

NO_REGION = 0xFFFF_FFFF
"""The global id of pixels that belong to no superpixel."""

_SCALE = struct.Struct("<I")


@dataclass(frozen=True, slots=True, eq=False)
class GlobalIds:
    """The regions of a store that a window of it shows; as the writer states them, not verified.

    Attributes:
        scale: pixels of the whole image per pixel of the map, along each side; at least 1.
        ids: (count,) uint32, distinct: for each label the region's id in the store; `NO_REGION` for the label
            of pixels that belong to no superpixel.
    """

    scale: int
    ids: NDArray[np.uint32]


def global_ids_size(count: int) -> int:
    """Raw bytes of the section for `count` labels."""
    return _SCALE.size + 4 * count


def with_global_ids(container: bytes, value: GlobalIds, count: int) -> bytes:
    """Add the section to a container of `count` labels, as its last one.

    Raises:
        InvalidParameter: the scale is out of range, or the ids are not `count` distinct integers in range.
    """
    if not 1 <= value.scale < 2**32:
        raise InvalidParameter("global_ids.scale", f"must be from 1 to {2**32 - 1}, got {value.scale}")
    ids = value.ids
    if ids.shape != (count,) or not np.issubdtype(ids.dtype, np.integer):
        raise InvalidParameter("global_ids.ids", f"must be {(count,)} integers, got {ids.shape} {ids.dtype}")
    if not 0 <= ids.min() <= ids.max() <= NO_REGION or len(np.unique(ids)) != count:
        raise InvalidParameter("global_ids.ids", f"must be distinct and from 0 to {NO_REGION}")
    planes = np.ascontiguousarray(ids, "<u4").view(np.uint8).reshape(-1, 4).T.tobytes()
    raw = _SCALE.pack(value.scale) + planes
    stored = zlib.compress(raw, 1, layout.GZIP_WINDOW_BITS)
    end = len(container) - layout.SECTION.size
    head = layout.SECTION.pack(layout.GLOBAL_IDS, len(stored), len(raw))
    return b"".join([container[:end], head, stored, container[end:]])


def parse_global_ids(raw: bytes, count: int) -> GlobalIds:
    """Read the section's payload of `global_ids_size(count)` bytes.

    Raises:
        InvalidLabelMap: it is malformed.
    """
    (scale,) = _SCALE.unpack_from(raw)
    if scale < 1:
        raise InvalidLabelMap("gids: scale 0, must be at least 1")
    ids = layout.from_planes(raw[_SCALE.size :], count)
    if len(np.unique(ids)) != count:
        raise InvalidLabelMap("gids: an id comes twice")
    return GlobalIds(scale, ids)
