"""Decodes an accepted image file with the image libraries.

This module imports little: each decode process of a server loads it.
"""

import io
import warnings
from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, ImageFile
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from superpixel_service.contract import ImageFormat
from superpixel_service.images.header import check_same_size
from superpixel_service.images.png_chunks import first_picture
from superpixel_service.images.samples16 import (
    SampleRange,
    Samples16,
    Scaling,
    oriented,
    read_samples,
    to_8_bits,
)
from superpixel_service.images.tiff_samples import StoredTiff, read_tiff_samples

Pixels = NDArray[np.uint8]
"""(height, width) gray, or (height, width, channels): 1 gray, 3 sRGB, 4 sRGB with straight alpha."""

Box: TypeAlias = tuple[int, int, int, int]
"""x, y, width and height of a part of an image, in pixels."""


class Accepted(Protocol):
    """What `open_image` found in the header of a file."""

    @property
    def format(self) -> ImageFormat:
        """The file's format, not RAW."""

    @property
    def width(self) -> int:
        """Columns after the orientation is applied."""

    @property
    def height(self) -> int:
        """Rows after the orientation is applied."""

    @property
    def orientation(self) -> int:
        """EXIF orientation to apply, 1 (none) to 8."""

    @property
    def bit_depth(self) -> int:
        """Bits per sample."""

    @property
    def sample_range(self) -> SampleRange | None:
        """The values of samples of 16 bits that become 0 and 255; None: they follow from the image."""


# Image.open is not used: the file's content would choose the reader, and a JPEG with auxiliary pictures would
# become an animation.
_READERS: dict[ImageFormat, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    ImageFormat.JPEG: JpegImageFile,
    ImageFormat.WEBP: WebPImageFile,
    ImageFormat.BMP: BmpImageFile,
    ImageFormat.GIF: GifImageFile,
    ImageFormat.TIFF: StoredTiff,
    ImageFormat.AVIF: AvifImageFile,
}

# A decode process has one thread, and its limits are those of one.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

# By EXIF orientation; 1 needs none.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_JPEG_IN_COLOR = {"YCbCr", "RGB"}

FIRST_SIDEWAYS = 5
"""EXIF orientations from this one on swap width and height."""


def ignore_library_warnings() -> None:
    """Keep Pillow's warnings about odd files out of the log. Our own errors and notices report such files."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def decode_file(
    data: bytes | memoryview, image: Accepted, region: Box | None, out: memoryview | None = None
) -> tuple[Pixels, Scaling | None]:
    """Decode a file and apply its orientation.

    Args:
        data: the file.
        image: what its header says.
        region: the part to return, of the upright image; None: the whole image.
        out: memory for the pixels. A decoder that can write into it returns its pixels there.

    Returns:
        The pixels; and for samples of 16 bits how they were scaled, else None.

    Raises:
        Exception: the file is truncated, damaged or of an unsupported kind.
        MemoryError: there is no memory for the pixels.
    """
    jpeg_pixels = _decode_common_jpeg(data, image, out if region is None else None)
    if jpeg_pixels is not None:
        return crop(jpeg_pixels, region), None
    return _decode_with_pillow(data, image, region)


def crop(pixels: Pixels, region: Box | None) -> Pixels:
    """The part of an image in `region`; None: all of it."""
    if region is None:
        return pixels
    x, y, width, height = region
    return np.ascontiguousarray(pixels[y : y + height, x : x + width])


def _decode_common_jpeg(data: bytes | memoryview, image: Accepted, out: memoryview | None) -> Pixels | None:
    """The pixels of an undamaged, upright colour JPEG; None: Pillow must read or reject the file.

    Both decoders use libjpeg-turbo and return the same pixels. Pillow is slower: it copies them three times.
    """
    if image.format is not ImageFormat.JPEG or image.orientation in _TRANSPOSITIONS:
        return None
    try:
        height, width, color, _ = simplejpeg.decode_jpeg_header(data)
        if color not in _JPEG_IN_COLOR or (width, height) != (image.width, image.height):
            return None
        place = None if out is None else out[: width * height * 3]
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", buffer=place)
    except ValueError:
        return None
    return pixels


def _decode_with_pillow(
    data: bytes | memoryview, image: Accepted, region: Box | None
) -> tuple[Pixels, Scaling | None]:
    upright = image.width, image.height
    size = upright if image.orientation < FIRST_SIDEWAYS else upright[::-1]
    if image.format is ImageFormat.PNG:
        return _decode_png(data, image, size, region)
    data = bytes(data)
    if image.format is ImageFormat.TIFF and image.bit_depth == 16:
        return _upright16(read_tiff_samples(data, size), image, region)
    picture = _READERS[image.format](io.BytesIO(data))
    check_same_size(picture.size, size)
    picture.load()
    return _from_8_bits(_upright(picture, image, region), image.bit_depth), None


def _decode_png(
    data: bytes | memoryview, image: Accepted, size: tuple[int, int], region: Box | None
) -> tuple[Pixels, Scaling | None]:
    selected = first_picture(data)
    check_same_size(selected.size, size)
    left, top, right, bottom = selected.box
    is_whole = (right - left, bottom - top) == size
    scaling = None
    if image.bit_depth == 16:
        samples = read_samples(selected.file, (right - left, bottom - top))
        if is_whole:
            return _upright16(samples, image, region)
        pixels, scaling = to_8_bits(samples, image.sample_range)
    else:
        picture: Image.Image = PngImageFile(io.BytesIO(selected.file))
        check_same_size(picture.size, (right - left, bottom - top))
        picture.load()
        if is_whole:
            return _from_8_bits(_upright(picture, image, region), image.bit_depth), None
        pixels = _from_8_bits(picture, image.bit_depth)
    # A frame that is smaller than its animation is drawn on a transparent background.
    ground = Image.new("RGBA", size)
    ground.paste(Image.fromarray(pixels).convert("RGBA"), (left, top))
    return np.asarray(_upright(ground, image, region)), scaling


def _upright16(samples: Samples16, image: Accepted, region: Box | None) -> tuple[Pixels, Scaling]:
    """Samples with their orientation applied, or their part in the region, as 8 bits."""
    values = oriented(samples.values, image.orientation)
    if region is not None:
        x, y, width, height = region
        values = values[y : y + height, x : x + width]
    return to_8_bits(Samples16(values, samples.key), image.sample_range)


def _upright(picture: Image.Image, image: Accepted, region: Box | None) -> Image.Image:
    """The picture with its orientation applied, or its part in the region."""
    if image.orientation in _TRANSPOSITIONS:
        picture = picture.transpose(_TRANSPOSITIONS[image.orientation])
    if region is not None:
        x, y, width, height = region
        picture = picture.crop((x, y, x + width, y + height))
    return picture


def _from_8_bits(picture: Image.Image, bit_depth: int) -> Pixels:
    if not picture.has_transparency_data:
        mode = "L" if picture.mode in {"1", "L"} else "RGB"
        return np.asarray(picture if picture.mode == mode else picture.convert(mode))
    key = picture.info.get("transparency")
    if picture.mode == "L" and isinstance(key, int):
        # The colour key has the file's bit depth, but Pillow has scaled the samples to 8 bits.
        full = (1 << bit_depth) - 1
        picture.info["transparency"] = (key & full) * (255 // full)
    elif picture.mode == "RGB" and isinstance(key, tuple):
        picture.info["transparency"] = tuple(value & 255 for value in key)
    return np.asarray(picture.convert("RGBA"))
