"""Reads the files and the plain values of maps: those of the guidance, and masks."""

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngImageFile

from superpixel_kernels import codec
from superpixel_service.contract import ImageFormat, Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.guidance import PngMap, RawMap
from superpixel_service.images.file_headers import read_header, sniff
from superpixel_service.images.header import DamagedHeader, check_same_size
from superpixel_service.images.png_chunks import first_picture

_GRAY, _RGB, _PALETTE = 0, 2, 3
_COLOR_TYPE_AT = 25
"""Place of the colour type in a PNG file."""

_KINDS_OF_STRENGTHS = {(_GRAY, depth) for depth in (1, 2, 4, 8)}
_KINDS_OF_LABELS = (
    {(_GRAY, depth) for depth in (1, 2, 4, 8, 16)}
    | {(_PALETTE, depth) for depth in (1, 2, 4, 8)}
    | {(_RGB, 8)}
)


@dataclass(frozen=True, slots=True)
class SentMap:
    """What a map is, and how its errors name it.

    Attributes:
        path: of its field.
        holds_labels: whether its values are labels; otherwise they are strengths.
        metadata: of its errors.
        invalid: the reason of errors about its kind, size, bits and length.
        damaged: the reason of errors about its contents.
    """

    path: str
    holds_labels: bool
    metadata: Mapping[str, str]
    invalid: Reason
    damaged: Reason

    def rejected(self, reason: Reason, text: str, field: str = "", **metadata: str) -> InvalidRequest:
        """The error about a part of the map."""
        path = f"{self.path}{'.' if field else ''}{field}"
        return InvalidRequest(reason, text, field=path, metadata={**self.metadata, **metadata})

    def undecodable(self, field: str, what: str) -> InvalidRequest:
        """The error about damaged contents; `what`: what they must be."""
        return self.rejected(self.damaged, f"must be {what}", field)


def size_of_png(a_map: SentMap, sent: PngMap) -> tuple[int, int]:
    """Width and height by the file's header. Checks everything that needs no decoding.

    Raises:
        InvalidRequest: it is no PNG, or of a kind that the map does not take.
    """
    if sniff(sent.data) is not ImageFormat.PNG:
        raise a_map.rejected(a_map.invalid, "must be a PNG file", "png")
    try:
        header = read_header(sent.data, ImageFormat.PNG)
    except DamagedHeader as error:
        raise a_map.undecodable("png", "a complete, undamaged PNG file") from error
    if header.frames > 1:
        raise a_map.rejected(a_map.invalid, f"must be a single picture, has {header.frames} frames", "png")
    kind = sent.data[_COLOR_TYPE_AT], header.bit_depth
    if kind not in (_KINDS_OF_LABELS if a_map.holds_labels else _KINDS_OF_STRENGTHS):
        wanted = (
            "gray, palette or 8-bit RGB, without alpha" if a_map.holds_labels else "gray of at most 8 bits"
        )
        raise a_map.rejected(
            a_map.invalid,
            f"must be a PNG of {wanted}; this one has colour type {kind[0]} and {kind[1]} bits",
            "png",
        )
    return header.width, header.height


def size_of_raw(a_map: SentMap, sent: RawMap, allowed: Collection[int]) -> tuple[int, int]:
    """Width and height of plain values of `allowed` bits.

    Raises:
        InvalidRequest: size, bits and length do not fit together.
    """
    check_size(a_map, "raw", sent.width, sent.height)
    if sent.bits not in allowed:
        raise a_map.rejected(
            a_map.invalid, f"must be {' or '.join(map(str, allowed))}, is {sent.bits}", "raw.bits"
        )
    length, formula = sent.width * sent.height * sent.bits // 8, "width * height * bits / 8"
    if sent.bits == 1:
        length, formula = (sent.width + 7) // 8 * sent.height, "height rows of whole bytes, in all"
    if len(sent.data) != length:
        raise a_map.rejected(
            a_map.invalid,
            f"must have {formula} = {length} bytes, has {len(sent.data)}",
            "raw.data",
        )
    return sent.width, sent.height


def check_size(a_map: SentMap, source: str, width: int, height: int) -> None:
    """Check that a map has pixels.

    Raises:
        InvalidRequest: it has none.
    """
    for name, value in (("width", width), ("height", height)):
        if value < 1:
            raise a_map.rejected(a_map.invalid, "must be at least 1", f"{source}.{name}")


def decode_png(a_map: SentMap, sent: PngMap) -> NDArray[np.integer]:
    """The values of a PNG file that `size_of_png` accepted.

    Raises:
        InvalidRequest: it is truncated or damaged.
        MemoryError: there is no memory for it.
    """
    try:
        selected = first_picture(sent.data)
        picture = PngImageFile(io.BytesIO(selected.file))
        check_same_size(picture.size, selected.size)
        picture.load()
        values = np.asarray(picture)
    except MemoryError:
        raise
    except Exception as error:
        raise a_map.undecodable("png", "a complete, undamaged PNG file") from error
    color_type, bit_depth = sent.data[_COLOR_TYPE_AT], sent.data[_COLOR_TYPE_AT - 1]
    if color_type == _RGB:
        return codec.rgb_to_labels(values)
    if picture.mode == "1":
        return values.astype(np.uint8) * np.uint8(1 if a_map.holds_labels else 255)
    if a_map.holds_labels and color_type == _GRAY and bit_depth < 8:
        return values // np.uint8(255 // ((1 << bit_depth) - 1))  # Pillow has scaled the samples to 8 bits
    return values
