"""Reads the chunks of a PNG file (W3C, third edition) and selects those that Chromium uses for the pixels.

Ancillary chunks that are damaged are ignored, as browsers ignore them. Damage in a critical chunk rejects the
file.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from superpixel_service.contract import ImageFormat
from superpixel_service.images.exif import exif_orientation
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader, Header

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_HEADER_BYTES = 13
_ANIMATION_BYTES = 8
_FRAME_BYTES = 26
_MAX_COLORS = 256
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel, by colour type."""
_PALETTE_TYPE = 3
_SPARE_ROW_BYTES = 16
_SPARE_DATA_BYTES = 1 << 16
"""Compressed data may exceed the pixels by 1/64, plus this, plus the constant above per row, because some
encoders store each row in a separate block. Empty deflate blocks cost ten times as much per byte as a normal
file."""
_ANCILLARY_BIT = 0x20


Data: TypeAlias = bytes | memoryview


@dataclass(frozen=True, slots=True)
class _Chunk:
    kind: bytes
    start: int
    length: int

    def content(self, data: Data) -> bytes:
        return bytes(data[self.start : self.start + self.length])

    def is_sound(self, data: Data) -> bool:
        """Whether the chunk is complete and its checksum is right."""
        end = self.start + self.length
        if end + 4 > len(data):
            return False
        checksum = zlib.crc32(memoryview(data)[self.start - 4 : end])
        return bool(checksum == struct.unpack_from(">I", data, end)[0])


@dataclass(frozen=True, slots=True)
class PngPicture:
    """The picture that a browser shows first, as a PNG of critical chunks and transparency alone.

    Attributes:
        file: the PNG.
        box: left, top, right and bottom of the picture in the image, in pixels.
        size: width and height of the image, in pixels.
    """

    file: bytes
    box: tuple[int, int, int, int]
    size: tuple[int, int]


def read_png(data: bytes) -> Header:
    """Read the header, and the kind and length of every chunk.

    Raises:
        DamagedHeader, struct.error, IndexError: the file is damaged, or has too many chunks.
    """
    chunks = _chunks(data)
    first = next(chunks, None)
    if first is None or first.kind != b"IHDR" or first.length != _HEADER_BYTES or not first.is_sound(data):
        raise DamagedHeader
    width, height, bit_depth = struct.unpack_from(">IIB", data, first.start)
    frames, orientation, has_pixels = 0, None, False
    for chunk in chunks:
        if chunk.kind == b"IDAT":
            has_pixels = True
        elif has_pixels:
            continue
        elif chunk.kind == b"IHDR":
            raise DamagedHeader
        elif chunk.kind == b"acTL" and not frames:
            frames = _frames(data, chunk)
        elif chunk.kind == b"eXIf" and orientation is None and chunk.is_sound(data):
            orientation = exif_orientation(chunk.content(data))
    if not has_pixels:
        raise DamagedHeader
    return Header(ImageFormat.PNG, width, height, bit_depth, frames or 1, orientation or 1)


def first_picture(data: Data) -> PngPicture:
    """Select the chunks of the picture that Chromium shows first, from a file that `read_png` accepted.

    It is the default image, or the first frame of an animation that leaves the default image out.

    Raises:
        ValueError, struct.error: a critical chunk is damaged, missing or out of place.
    """
    chunks = list(_chunks(data))
    pixels = next(index for index, chunk in enumerate(chunks) if chunk.kind == b"IDAT")
    after = next((i for i in range(pixels, len(chunks)) if chunks[i].kind != b"IDAT"), len(chunks))
    _check_critical(data, [*chunks[:after], *(chunk for chunk in chunks[after:] if chunk.kind == b"IEND")])
    header = chunks[0].content(data)
    colors = list(_colors(data, header[9], chunks[1:pixels]))
    full_width, full_height = struct.unpack_from(">II", header)
    frame = _first_frame(data, chunks, pixels, after)
    if frame is None:
        width, height, x, y = full_width, full_height, 0, 0
        view = memoryview(data)  # pixel data is large: `_assemble` makes the only copy
        parts = [view[chunk.start : chunk.start + chunk.length] for chunk in chunks[pixels:after]]
    else:
        control, parts = frame
        width, height, x, y = struct.unpack_from(">4I", control, 4)
        if not (width and height and x + width <= full_width and y + height <= full_height):
            raise ValueError("the first frame does not fit the image")
    file = _assemble(struct.pack(">II", width, height) + header[8:], colors, parts)
    return PngPicture(file, (x, y, x + width, y + height), (full_width, full_height))


def _chunks(data: Data) -> Iterator[_Chunk]:
    """The chunks up to IEND. A chunk that the end of the file cuts off is the last.

    Raises:
        DamagedHeader: there are too many.
    """
    position = len(PNG_SIGNATURE)
    for _ in range(MAX_BLOCKS):
        if position + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, position)
        yield _Chunk(kind, position + 8, length)
        if kind == b"IEND":
            return
        position += length + 12
    raise DamagedHeader


def _frames(data: Data, chunk: _Chunk) -> int:
    """The number of frames that an animation control chunk names; 0 if it is damaged."""
    if chunk.length != _ANIMATION_BYTES or not chunk.is_sound(data):
        return 0
    (frames,) = struct.unpack_from(">I", data, chunk.start)
    return int(frames)


def _check_critical(data: Data, chunks: list[_Chunk]) -> None:
    for chunk in chunks:
        if chunk.kind[0] & _ANCILLARY_BIT:
            continue
        if chunk.kind not in {b"IHDR", b"PLTE", b"IDAT", b"IEND"}:
            raise ValueError("an unknown critical chunk")
        if not chunk.is_sound(data):
            raise ValueError("a critical chunk has a wrong checksum or is cut off")


def _colors(data: Data, color_type: int, chunks: list[_Chunk]) -> Iterator[tuple[bytes, bytes]]:
    """The palette, and the transparency if it is sound. Other chunks do not change pixels here."""
    entries = 0
    if color_type == _PALETTE_TYPE:
        palettes = [index for index, chunk in enumerate(chunks) if chunk.kind == b"PLTE"]
        if len(palettes) != 1:
            raise ValueError("an indexed PNG must have one palette")
        entries = chunks[palettes[0]].length // 3
        if not 1 <= entries <= _MAX_COLORS:
            raise ValueError("the palette must have 1 to 256 colors")
        yield b"PLTE", chunks[palettes[0]].content(data)[: 3 * entries]
        chunks = chunks[palettes[0] + 1 :]
    shortest, longest = {0: (2, 2), 2: (6, 6), _PALETTE_TYPE: (1, entries)}.get(color_type, (1, 0))
    for chunk in chunks:
        if chunk.kind == b"tRNS" and chunk.length >= shortest and longest and chunk.is_sound(data):
            yield b"tRNS", chunk.content(data)[:longest]
            return


def _first_frame(
    data: Data, chunks: list[_Chunk], pixels: int, after: int
) -> tuple[bytes, list[memoryview]] | None:
    """Frame control and pixel data of the first frame, if an animation leaves the default image out."""
    before = chunks[:pixels]
    animated = any(chunk.kind == b"acTL" and _frames(data, chunk) for chunk in before)
    if not animated or any(chunk.kind == b"fcTL" and chunk.is_sound(data) for chunk in before):
        return None
    frames = iter(chunks[after:])
    control = next((chunk for chunk in frames if chunk.kind == b"fcTL"), None)
    if control is None:
        return None
    parts = []
    for chunk in frames:
        if chunk.kind == b"fcTL":
            break
        if chunk.kind == b"fdAT":
            if chunk.length < 4 or not chunk.is_sound(data):
                raise ValueError("the first frame is damaged")
            parts.append(memoryview(data)[chunk.start + 4 : chunk.start + chunk.length])
    if control.length != _FRAME_BYTES or not control.is_sound(data):
        raise ValueError("the first frame's control chunk is damaged")
    return control.content(data), parts


def _assemble(header: bytes, colors: list[tuple[bytes, bytes]], parts: list[memoryview]) -> bytes:
    """A PNG file with one chunk of pixel data."""
    width, height, bit_depth, color_type = struct.unpack_from(">IIBB", header)
    row = (width * bit_depth * _SAMPLES.get(color_type, 1) + 7) // 8 + 1
    size = sum(map(len, parts))
    raw = row * height
    if size > raw + raw // 64 + _SPARE_ROW_BYTES * height + _SPARE_DATA_BYTES:
        raise ValueError("far more compressed data than pixels")
    file: list[Data] = [PNG_SIGNATURE, *_written(b"IHDR", header)]
    for kind, content in colors:
        file += _written(kind, content)
    # The checksum of the pixel data was checked; Pillow does not read it again.
    file += [struct.pack(">I4s", size, b"IDAT"), *parts, bytes(4), *_written(b"IEND", b"")]
    return b"".join(file)


def _written(kind: bytes, content: bytes) -> list[bytes]:
    checksum = zlib.crc32(kind + content)
    return [struct.pack(">I", len(content)), kind, content, struct.pack(">I", checksum)]
