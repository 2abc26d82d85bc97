"""Image files and pixels for the service's tests: by formula, or from a fixed seed."""

import functools
import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from superpixel_kernels.codec import Provenance
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

Pixels = npt.NDArray[np.uint8]


def scene(width: int = 120, height: int = 90, seed: int = 0) -> Pixels:
    """(height, width, 3): soft blobs of colour and a little noise, a different picture for each seed."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = np.zeros((height, width, 3))
    for _ in range(12):
        cx, cy, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(5, 40)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        picture[inside] = random.uniform(0, 255, 3)
    return np.clip(picture + random.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def encoded(
    pixels: npt.NDArray[Any], file_format: str = "PNG", mode: str | None = None, **options: Any
) -> bytes:
    image = Image.fromarray(pixels)
    if mode is not None:
        image = image.convert(mode)
    return saved(image, file_format, **options)


def saved(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def raw(pixels: Pixels) -> pb.RawImage:
    height, width = pixels.shape[:2]
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    return pb.RawImage(width=width, height=height, channels=channels, data=pixels.tobytes())


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG written by hand: `rows` with their filter bytes, `extra` chunks before the data."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    chunks = b"".join(png_chunk(*chunk) for chunk in extra)
    data = png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + chunks + data


def deflated(byte: int, count: int) -> bytes:
    """A zlib stream of `count` equal bytes, put together from equal pieces: compressing all is slow."""
    part = 1 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    piece = packer.compress(bytes([byte]) * part) + packer.flush(zlib.Z_FULL_FLUSH)
    end = packer.compress(bytes([byte]) * (count % part)) + packer.flush()
    adler = (count + byte * count * (count + 1) // 2) % 65521, (1 + byte * count) % 65521
    return b"\x78\xda" + piece * (count // part) + end + struct.pack(">HH", *adler)


@functools.cache
def png_bomb(side: int = 60_000) -> bytes:
    """A valid PNG of side x side gray pixels, all black: four kilobytes for every 4 MB of pixels."""
    data = deflated(0, side * (1 + side // 8))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def made_from(
    image: bytes, width: int, height: int, compactness: float = 10.0, position: tuple[int, int] = (0, 0)
) -> Provenance:
    """What a label map of an unguided image says about its origin: bytes as sent, and the picture's size."""
    return Provenance(
        compactness=compactness,
        position=position,
        picture_size=(width, height),
        image_sha256=hashlib.sha256(image).digest(),
    )
