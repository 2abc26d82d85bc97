"""Reads format, size, frames and orientation of an image file from its bytes, without an image library.

The server opens a file with the image library only after it has accepted the header read here. Nothing here
allocates memory by sizes that the file states. The readers also bound the cost of
decoding the file.
"""

import struct

from superpixel_service.contract import ImageFormat
from superpixel_service.images.avif_boxes import is_avif, read_avif
from superpixel_service.images.bmp_header import BMP_SIGNATURE, read_bmp
from superpixel_service.images.gif_blocks import GIF_SIGNATURES, read_gif
from superpixel_service.images.header import DamagedHeader, Header
from superpixel_service.images.jpeg_segments import read_jpeg
from superpixel_service.images.png_chunks import PNG_SIGNATURE, read_png
from superpixel_service.images.tiff_directories import TIFF_SIGNATURES, read_tiff
from superpixel_service.images.webp_chunks import read_webp

_JPEG_SIGNATURE = b"\xff\xd8\xff"
_READERS = {
    ImageFormat.JPEG: read_jpeg,
    ImageFormat.PNG: read_png,
    ImageFormat.WEBP: read_webp,
    ImageFormat.BMP: read_bmp,
    ImageFormat.GIF: read_gif,
    ImageFormat.TIFF: read_tiff,
    ImageFormat.AVIF: read_avif,
}
_MIN_BMP_BYTES = 26


def sniff(data: bytes) -> ImageFormat | None:
    """The format, by the file's first bytes; None: none that the service reads."""
    if data.startswith(_JPEG_SIGNATURE):
        return ImageFormat.JPEG
    if data.startswith(PNG_SIGNATURE):
        return ImageFormat.PNG
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return ImageFormat.WEBP
    if data.startswith(GIF_SIGNATURES):
        return ImageFormat.GIF
    if data.startswith(TIFF_SIGNATURES):
        return ImageFormat.TIFF
    if data.startswith(BMP_SIGNATURE) and len(data) >= _MIN_BMP_BYTES:
        return ImageFormat.BMP
    if is_avif(data):
        return ImageFormat.AVIF
    return None


def read_header(data: bytes, image_format: ImageFormat) -> Header:
    """Read the header of a file that `sniff` found to be of `image_format`.

    Raises:
        DamagedHeader: the header is damaged, or the file has too many segments, chunks or scans.
    """
    try:
        header = _READERS[image_format](data)
    except (struct.error, IndexError) as error:
        raise DamagedHeader from error
    if header.width < 1 or header.height < 1:
        raise DamagedHeader
    return header
