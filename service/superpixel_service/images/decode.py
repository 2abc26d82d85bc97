"""Turns an image as sent into pixels, in two steps.

`open_image` reads the header and accepts or rejects the image. It runs before the image enters the queue,
takes microseconds, and allocates no memory by sizes that the file states. `decode` runs on a worker and
returns the pixels.
"""

from typing import Protocol

import numpy as np

from superpixel_service.contract import IMAGE_FILE, ImageFormat, Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.file_headers import read_header, sniff
from superpixel_service.images.header import DamagedHeader
from superpixel_service.images.pixels import FIRST_SIDEWAYS, Box, Pixels, crop, decode_file
from superpixel_service.images.samples16 import Scaling
from superpixel_service.model import (
    EncodedImage,
    Notice,
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
            Reason.IMAGE_FORMAT_NOT_ALLOWED,
            f"must be a {IMAGE_FILE}",
            field="encoded_image",
        )
    try:
        header = read_header(encoded.data, image_format)
    except DamagedHeader as error:
        raise undecodable(image_format) from error
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
    width, height = size if orientation < FIRST_SIDEWAYS else size[::-1]
    return OpenedImage(
        encoded,
        image_format,
        width,
        height,
        orientation,
        header.bit_depth,
        header.frames,
        spec.sample_range if header.bit_depth == 16 else None,
    )


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


def decode(image: OpenedImage, region: Rectangle | None) -> tuple[Pixels, tuple[Notice, ...]]:
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
    box = box_of(region)
    if isinstance(image.source, RawImage):
        return crop(raw_pixels(image.source), box), ()
    try:
        pixels, scaling = decode_file(image.source.data, image, box)
    except MemoryError:
        raise
    except Exception as error:
        raise undecodable(image.format) from error
    return pixels, notices_of(image, scaling)


def raw_pixels(raw: RawImage) -> Pixels:
    """The pixels of an accepted raw image, not copied."""
    return np.frombuffer(raw.data, np.uint8).reshape(raw.height, raw.width, raw.channels)


def box_of(region: Rectangle | None) -> Box | None:
    """The region as `decode_file` takes it."""
    return None if region is None else (region.x, region.y, region.width, region.height)


def notices_of(image: OpenedImage, scaling: Scaling | None) -> tuple[Notice, ...]:
    """What the caller should know about how a file was read.

    Args:
        image: the accepted file.
        scaling: how its samples of 16 bits were scaled; None: it had none.
    """
    notices = [Notice(NoticeCode.FIRST_FRAME_ONLY)] if image.frames > 1 else []
    if scaling is not None:
        code = NoticeCode.GRAY16_SCALED if scaling.is_gray else NoticeCode.COLOR16_SCALED
        notices.append(Notice(code, (scaling.low, scaling.high)))
    return tuple(notices)


def undecodable(image_format: ImageFormat) -> InvalidRequest:
    """The error for a file that its decoder rejects."""
    return InvalidRequest(
        Reason.IMAGE_UNDECODABLE,
        f"must be a complete, undamaged image; this {image_format.upper()} file is truncated, damaged or of "
        "an unsupported kind",
        field="encoded_image",
    )
