"""Writes label maps in formats that common programs read."""

import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec

_GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS


def to_png(labels: NDArray[np.int32], count: int) -> bytes:
    """Write a PNG: 16-bit gray up to 65,536 labels; above that 8-bit RGB, with label = R + 256 G + 65,536 B.

    Args:
        labels: (height, width), 0..count-1; -1, of pixels that have no label, becomes white.
        count: number of labels, at most 2**24; with pixels that have none, one fewer.
    """
    if count + int(labels.min() < 0) <= 1 << 16:
        picture = Image.fromarray(labels.astype(np.uint16))
    else:
        picture = Image.fromarray(codec.labels_to_rgb(labels))
    file = io.BytesIO()
    # Z_RLE looks for runs only: faster than the default strategy at this level, and the files are smaller.
    picture.save(file, "PNG", compress_level=1, compress_type=zlib.Z_RLE)
    return file.getvalue()


def to_raw_gzip(labels: NDArray[np.int32]) -> bytes:
    """Write rows of little-endian uint32, as one gzip member without a file name or time.

    -1, of pixels that have no label, becomes 2**32 - 1.
    """
    deflate = zlib.compressobj(level=1, wbits=_GZIP_WINDOW_BITS)
    return deflate.compress(labels.astype("<i4").tobytes()) + deflate.flush()
