"""Turns an image as sent into pixels, in two steps.

`open_image` reads the header and accepts or rejects the image. It runs before the image enters the queue,
takes microseconds, and allocates no memory by sizes that the file states. `decode` runs on a worker and
returns the pixels.
"""

import io
import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.file_headers import read_header, sniff
from superpixel_service.images.header import DamagedHeader
from superpixel_service.images.png_chunks import first_picture
from superpixel_service.model import (
    EncodedImage,
    ImageFormat,
    NoticeCode,
    OpenedImage,
    RawImage,
    Rectangle,
    SegmentSpec,
)


class ImageLimits(Protocol):
    """The largest image to accept. The server's settings have these attributes."""

    @property
    def max_image_bytes(self) -> int:
        """Largest size as sent, in bytes."""

    @property
    def max_image_pixels(self) -> int:
        """Largest number of pixels."""


Pixels = NDArray[np.uint8]
"""(height, width) gray, or (height, width, channels): 1 gray, 3 sRGB, 4 sRGB with straight alpha."""

# Image.open is not used: the file's content would choose the reader, and a JPEG with auxiliary pictures would
# become an animation.
_READERS: dict[ImageFormat, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    ImageFormat.JPEG: JpegImageFile,
    ImageFormat.PNG: PngImageFile,
    ImageFormat.WEBP: WebPImageFile,
}

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

_FIRST_SIDEWAYS = 5
"""EXIF orientations from this one on swap width and height."""


def ignore_library_warnings() -> None:
    """Keep Pillow's warnings about odd files out of the log. Our own errors and notices report such files."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def open_image(spec: SegmentSpec, limits: ImageLimits) -> OpenedImage:
    """Accept or reject the image by its size in bytes and its header.

    Raises:
        InvalidRequest: the image is rejected.
    """
    if isinstance(spec.source, RawImage):
        return _open_raw(spec.source, limits)
    return _open_encoded(spec.source, spec, limits)


def _open_raw(raw: RawImage, limits: ImageLimits) -> OpenedImage:
    _check_bytes(raw.data, "raw_image.data", limits)
    for name, value in (("width", raw.width), ("height", raw.height)):
        if value < 1:
            raise InvalidRequest(Reason.RAW_IMAGE_INVALID, "must be at least 1", field=f"raw_image.{name}")
    if raw.channels not in {1, 3, 4}:
        raise InvalidRequest(Reason.RAW_IMAGE_INVALID, "must be 1, 3 or 4", field="raw_image.channels")
    _check_pixels(raw.width, raw.height, "raw_image", limits)
    length = raw.width * raw.height * raw.channels
    if len(raw.data) != length:
        raise InvalidRequest(
            Reason.RAW_IMAGE_INVALID,
            f"must have width * height * channels = {length} bytes, has {len(raw.data)}",
            field="raw_image.data",
        )
    return OpenedImage(raw, ImageFormat.RAW, raw.width, raw.height)


def _open_encoded(encoded: EncodedImage, spec: SegmentSpec, limits: ImageLimits) -> OpenedImage:
    _check_bytes(encoded.data, "encoded_image", limits)
    image_format = sniff(encoded.data)
    if image_format is None:
        raise InvalidRequest(
            Reason.IMAGE_FORMAT_NOT_ALLOWED, "must be a JPEG, PNG or WebP file", field="encoded_image"
        )
    try:
        header = read_header(encoded.data, image_format)
    except DamagedHeader as error:
        raise _undecodable(image_format) from error
    _check_pixels(header.width, header.height, "encoded_image", limits)
    if header.frames > 1 and not spec.first_frame_only:
        raise InvalidRequest(
            Reason.IMAGE_MULTIPLE_FRAMES,
            f"must be a single picture, has {header.frames} frames; set first_frame_only to use the first",
            field="encoded_image",
            metadata={"frames": str(header.frames)},
        )
    orientation = header.orientation if spec.apply_orientation else 1
    size = header.width, header.height
    width, height = size if orientation < _FIRST_SIDEWAYS else size[::-1]
    return OpenedImage(encoded, image_format, width, height, orientation, header.bit_depth, header.frames)


def _check_bytes(data: bytes, field: str, limits: ImageLimits) -> None:
    if len(data) > limits.max_image_bytes:
        raise InvalidRequest(
            Reason.IMAGE_TOO_MANY_BYTES,
            f"must have at most {limits.max_image_bytes} bytes, has {len(data)}",
            field=field,
            metadata={"limit_bytes": str(limits.max_image_bytes)},
        )


def _check_pixels(width: int, height: int, field: str, limits: ImageLimits) -> None:
    if width * height > limits.max_image_pixels:
        raise InvalidRequest(
            Reason.IMAGE_TOO_MANY_PIXELS,
            f"must have at most {limits.max_image_pixels} pixels, has {width}x{height}",
            field=field,
            metadata={"limit_pixels": str(limits.max_image_pixels)},
        )


def decode(image: OpenedImage, region: Rectangle | None) -> tuple[Pixels, tuple[NoticeCode, ...]]:
    """Decode an accepted image and apply its orientation.

    Args:
        image: the accepted image.
        region: the part to return, in pixels of the upright image; None: the whole image.

    Returns:
        The pixels, and notices about how the image was read.

    Raises:
        InvalidRequest: the file is truncated, damaged or of an unsupported kind.
        MemoryError: there is no memory for the pixels.
    """
    if isinstance(image.source, RawImage):
        shape = image.source.height, image.source.width, image.source.channels
        pixels = np.frombuffer(image.source.data, np.uint8).reshape(shape)
        return _crop(pixels, region), ()
    try:
        jpeg_pixels = _decode_common_jpeg(image.source, image)
        if jpeg_pixels is not None:
            return _crop(jpeg_pixels, region), ()
        return _decode_with_pillow(image.source, image, region)
    except MemoryError:
        raise
    except Exception as error:
        raise _undecodable(image.format) from error


def _undecodable(image_format: ImageFormat) -> InvalidRequest:
    return InvalidRequest(
        Reason.IMAGE_UNDECODABLE,
        f"must be a complete, undamaged image; this {image_format.upper()} file is truncated, damaged or of "
        "an unsupported kind",
        field="encoded_image",
    )


def _crop(pixels: Pixels, region: Rectangle | None) -> Pixels:
    if region is None:
        return pixels
    rows = slice(region.y, region.y + region.height)
    columns = slice(region.x, region.x + region.width)
    return np.ascontiguousarray(pixels[rows, columns])


def _decode_common_jpeg(source: EncodedImage, opened: OpenedImage) -> Pixels | None:
    """The pixels of an undamaged, upright colour JPEG; None: Pillow must read or reject the file.

    Both decoders use libjpeg-turbo and return the same pixels. Pillow is slower: it copies them three times.
    """
    if opened.format is not ImageFormat.JPEG or opened.orientation in _TRANSPOSITIONS:
        return None
    try:
        height, width, color, _ = simplejpeg.decode_jpeg_header(source.data)
        if color not in _JPEG_IN_COLOR or (width, height) != (opened.width, opened.height):
            return None
        pixels: Pixels = simplejpeg.decode_jpeg(source.data, "RGB")
    except ValueError:
        return None
    return pixels


def _decode_with_pillow(
    source: EncodedImage, opened: OpenedImage, region: Rectangle | None
) -> tuple[Pixels, tuple[NoticeCode, ...]]:
    accepted = opened.width, opened.height
    size = accepted if opened.orientation < _FIRST_SIDEWAYS else accepted[::-1]
    picture, is_gray16 = _load(source.data, opened, size)
    if opened.orientation in _TRANSPOSITIONS:
        picture = picture.transpose(_TRANSPOSITIONS[opened.orientation])
    if region is not None:
        picture = picture.crop((region.x, region.y, region.x + region.width, region.y + region.height))
    notices = [NoticeCode.FIRST_FRAME_ONLY] if opened.frames > 1 else []
    if is_gray16:
        notices.append(NoticeCode.GRAY16_SCALED)
    elif opened.bit_depth == 16:
        notices.append(NoticeCode.HIGH_BYTES_ONLY)
    return _to_8_bits(picture, opened.bit_depth), tuple(notices)


def _load(data: bytes, opened: OpenedImage, size: tuple[int, int]) -> tuple[Image.Image, bool]:
    """The picture as stored, `size` pixels large, and whether the file has 16-bit gray."""
    if opened.format is ImageFormat.PNG:
        return _load_png(data, opened, size)
    picture = _READERS[opened.format](io.BytesIO(data))
    _check_same_size(picture.size, size)
    picture.load()
    return picture, False


def _load_png(data: bytes, opened: OpenedImage, size: tuple[int, int]) -> tuple[Image.Image, bool]:
    selected = first_picture(data)
    _check_same_size(selected.size, size)
    picture = _READERS[ImageFormat.PNG](io.BytesIO(selected.file))
    left, top, right, bottom = selected.box
    _check_same_size(picture.size, (right - left, bottom - top))
    picture.load()
    is_gray16 = _is_gray16(picture)
    if picture.size == size:
        return picture, is_gray16
    # A frame that is smaller than its animation is drawn on a transparent background.
    ground = Image.new("RGBA", size)
    ground.paste(Image.fromarray(_to_8_bits(picture, opened.bit_depth)).convert("RGBA"), (left, top))
    return ground, is_gray16


def _check_same_size(found: tuple[int, int], accepted: tuple[int, int]) -> None:
    """Check the size that Pillow will decode: the limits were checked against the size in `open_image`."""
    if found != accepted:
        raise ValueError("Pillow and open_image found different sizes")


def _is_gray16(picture: Image.Image) -> bool:
    return picture.mode.startswith("I")


def _to_8_bits(picture: Image.Image, bit_depth: int) -> Pixels:
    return _from_gray16(picture) if _is_gray16(picture) else _from_8_bits(picture, bit_depth)


def _from_gray16(picture: Image.Image) -> Pixels:
    """16-bit gray, scaled from its own range of values to 0..255. Pixels of the colour key become white."""
    values = np.asarray(picture).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if high == low:
        scaled = np.zeros(values.shape, np.uint8)
    else:
        scaled = (((values - low) * 255 + (high - low) // 2) // (high - low)).astype(np.uint8)
    if "transparency" in picture.info:
        scaled[values == picture.info["transparency"]] = 255
    return scaled


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
        picture.info["transparency"] = tuple(value >> 8 if bit_depth == 16 else value & 255 for value in key)
    return np.asarray(picture.convert("RGBA"))
