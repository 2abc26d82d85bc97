"""The layout of the container, shared by writer and reader."""

import struct

import numpy as np
from numpy.typing import NDArray

MAGIC = b"SPXL"
FORMAT_VERSION = 1
FLAG_CONNECTED = 1

HEADER = struct.Struct("<4sBBHIII")
"""Magic, format version, flags, algorithm version, width, height, count."""

SECTION = struct.Struct("<4sII")
"""Type, stored bytes, raw bytes; the payload follows."""

LABELS = b"LABL"
MASK = b"MASK"
TREE = b"TREE"
LEVELS = b"LVLS"
HEIGHTS = b"hght"
REGIONS = b"regn"
PROVENANCE = b"prov"
GLOBAL_IDS = b"gids"
END = b"END\0"

GZIP_WINDOW_BITS = 31
"""zlib's code for a 32 KiB window and a gzip header."""

MAX_PIXELS = 2**28
"""Largest map written: 1 GiB of labels."""

MAX_PIXELS_READ = 2**27
"""Largest map read unless the caller gives a limit: the engine's largest image, 512 MiB of labels."""

PIXELS_PER_BYTE = 2**17
"""Most pixels read per byte of a container, unless the caller gives a limit.

The writer needs a bit per row at least, so every map up to 2**17 / 8 = 16,384 pixels wide fits.
"""

MAX_LEVELS = 32

REGION_BYTES = 4 + 4 * 4 + 2 * 4 + 3
"""Bytes of a region's fixed fields in REGIONS: area, box, centroid, mean colour."""


def plane_count(count: int) -> int:
    """Bytes per label in a map of `count` labels: the number of byte planes of its tree's fields."""
    return ((count - 1).bit_length() + 7) // 8


def from_planes(data: bytes, size: int) -> NDArray[np.uint32]:
    """Join byte planes to `size` values, as uint32."""
    planes = len(data) // size if size else 0
    wide = np.zeros((size, 4), np.uint8)
    wide[:, :planes] = np.frombuffer(data, np.uint8).reshape(planes, size).T
    return wide.view("<u4").reshape(size).astype(np.uint32, copy=False)
