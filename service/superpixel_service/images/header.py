"""The header of an image file, as the readers of all formats return it."""

from dataclasses import dataclass

from superpixel_service.contract import ImageFormat

MAX_BLOCKS = 20_000
"""Most chunks or segments read per file, about 20 ms. A hostile file can have millions of empty ones."""


class DamagedHeader(Exception):
    """The file's structure is truncated, contradicts itself, has no size, or has too many parts."""


@dataclass(frozen=True, slots=True)
class Header:
    """The header of an image file.

    Attributes:
        width: columns as stored, in pixels, at least 1.
        height: rows as stored, in pixels, at least 1.
        bit_depth: bits per sample (PNG; 8 or 16 of a TIFF); 8 for the other formats.
        frames: frames of an animation or pages of a TIFF, at least 1. Auxiliary pictures of a multi-picture
            JPEG do not count.
        orientation: EXIF orientation as browsers apply it, 1 (as stored) to 8.
    """

    format: ImageFormat
    width: int
    height: int
    bit_depth: int = 8
    frames: int = 1
    orientation: int = 1


def check_same_size(found: tuple[int, int], accepted: tuple[int, int]) -> None:
    """Check the size that Pillow will decode: the limits were checked against the size in the header."""
    if found != accepted:
        raise ValueError("Pillow and the header have different sizes")
