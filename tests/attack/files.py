"""Hostile image files, made by hand."""

import struct
import zlib

import numpy as np

from tests.service.images import png_chunk
from tests.service.test_decode_cost import empty_blocks

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = png_chunk(b"IEND", b"")


def png_head(width: int, height: int, depth: int, colour: int) -> bytes:
    """The signature and the header of a PNG without interlacing."""
    return SIGNATURE + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))


def png_of_empty_chunks(total_bytes: int) -> bytes:
    """A sound PNG of 64x64 with empty chunks behind its pixels."""
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(64 * (1 + 3 * 64))))
    chunk = png_chunk(b"quIt", b"")
    return png_head(64, 64, 8, 2) + pixels + chunk * (total_bytes // len(chunk)) + END


def png_of_empty_blocks(width: int, height: int) -> bytes:
    """A black PNG with as many empty deflate blocks as the server accepts for its size."""
    rows = bytes(height * (1 + 3 * width))
    whole = zlib.compress(rows)
    room = len(rows) + len(rows) // 64 + 16 * height + (1 << 16) - len(whole)
    data = whole[:2] + empty_blocks(room // 23 * 2) + whole[2:]
    return png_head(width, height, 8, 2) + png_chunk(b"IDAT", data) + END


def png_of_bit_noise(width: int, height: int) -> bytes:
    """Noise of one bit per pixel that packs well: each row is the one above it, inverted."""
    row = np.random.default_rng(0).integers(0, 256, -(-width // 8), np.uint8)
    rows = b"\0" + row.tobytes() + b"\0" + (~row).tobytes()
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(rows) for _ in range(height // 2)) + packer.flush()
    return png_head(width, height, 1, 0) + png_chunk(b"IDAT", data) + END
