"""Headers of files, read without the image library; odd bytes do no harm."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superpixel_service.images.exif import exif_orientation
from superpixel_service.images.file_headers import read_header, sniff
from superpixel_service.images.header import MAX_BLOCKS, DamagedHeader, Header
from superpixel_service.model import ImageFormat
from tests.service.images import encoded, png_chunk, saved, scene

PIXELS = scene(37, 21)
FILES = {
    "png": encoded(PIXELS),
    "png interlaced": encoded(PIXELS, "PNG", "P"),
    "jpeg": encoded(PIXELS, "JPEG"),
    "jpeg progressive": encoded(PIXELS, "JPEG", progressive=True),
    "webp lossy": encoded(PIXELS, "WEBP"),
    "webp lossless": encoded(PIXELS, "WEBP", lossless=True),
    "webp extended": encoded(PIXELS, "WEBP", exif=Image.Exif().tobytes() + bytes(1), icc_profile=bytes(200)),
    "webp with alpha": saved(Image.fromarray(PIXELS).convert("RGBA"), "WEBP"),
}


def header_of(data: bytes) -> Header:
    image_format = sniff(data)
    assert image_format is not None
    return read_header(data, image_format)


@pytest.mark.parametrize("name", FILES)
def test_size(name: str) -> None:
    header = header_of(FILES[name])
    assert (header.width, header.height, header.frames, header.orientation) == (37, 21, 1, 1)
    assert header.format == name.split()[0]


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_frames(file_format: str) -> None:
    frames = [Image.fromarray(scene(37, 21, seed)) for seed in range(4)]
    data = saved(frames[0], file_format, save_all=True, append_images=frames[1:])
    header = header_of(data)
    assert (header.width, header.height, header.frames) == (37, 21, 4)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description before the orientation"
    exif[0x0112] = orientation
    shown = 1 if file_format == "WEBP" else orientation  # browsers ignore it in WebP files
    assert header_of(encoded(PIXELS, file_format, exif=exif.tobytes())).orientation == shown


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_in_both_byte_orders(order: str) -> None:
    signature = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, 8, 0)
    exif = signature + struct.pack(order + "IH", 8, 1) + entry
    assert exif_orientation(exif) == 8
    for end in range(len(exif) - 2):
        assert exif_orientation(exif[:end]) == 1
    for wrong in (
        struct.pack(order + "HHIHH", 0x0112, 4, 1, 8, 0),
        struct.pack(order + "HHIHH", 0x0112, 3, 1, 9, 0),
    ):
        assert exif_orientation(exif[:10] + wrong) == 1


def test_a_multi_picture_jpeg_is_one_picture() -> None:
    frames = [Image.fromarray(scene(37, 21, seed)) for seed in range(2)]
    data = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    header = header_of(data)
    assert (header.format, header.frames, header.width) == (ImageFormat.JPEG, 1, 37)


def test_bit_depth() -> None:
    assert header_of(encoded(np.zeros((5, 5), np.uint16))).bit_depth == 16
    assert header_of(saved(Image.new("1", (5, 5)))).bit_depth == 1


@pytest.mark.parametrize("name", FILES)
def test_cut_off_anywhere_it_is_the_same_header_or_an_error(name: str) -> None:
    data = FILES[name]
    whole = header_of(data)
    for end in range(12, min(len(data), 700)):
        try:
            header = header_of(data[:end])
        except DamagedHeader:
            continue
        assert (header.width, header.height) == (whole.width, whole.height)


@pytest.mark.parametrize("first", [b"IDAT", b"acTL", b"tEXt"])
def test_a_png_begins_with_its_header(first: bytes) -> None:
    with pytest.raises(DamagedHeader):
        read_header(b"\x89PNG\r\n\x1a\n" + png_chunk(first, bytes(13)), ImageFormat.PNG)


def test_a_second_png_header_is_rejected() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 0, 0, 0, 0))
    with pytest.raises(DamagedHeader):
        read_header(b"\x89PNG\r\n\x1a\n" + header + header, ImageFormat.PNG)


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0)])
def test_sizes_of_zero_are_rejected(width: int, height: int) -> None:
    chunks = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)) + png_chunk(
        b"IDAT", b""
    )
    with pytest.raises(DamagedHeader):
        read_header(b"\x89PNG\r\n\x1a\n" + chunks, ImageFormat.PNG)


def test_millions_of_empty_blocks_are_not_walked() -> None:
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 5, 5, 8, 0, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"teXt", b"") * (2 * MAX_BLOCKS)
    jpeg = b"\xff\xd8" + b"\xff\xe5\x00\x02" * (2 * MAX_BLOCKS)
    webp = b"RIFF" + bytes(4) + b"WEBP" + (b"JUNK" + bytes(4)) * (2 * MAX_BLOCKS)
    for data, image_format in ((png, ImageFormat.PNG), (jpeg, ImageFormat.JPEG), (webp, ImageFormat.WEBP)):
        with pytest.raises(DamagedHeader):
            read_header(data, image_format)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 700),
)
def test_changed_bytes_do_no_harm(name: str, changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(FILES[name])
    for position, value in changes:
        data[position % len(data)] = value
    check_total(bytes(data[:end] if end else data))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"]), st.binary(max_size=300))
def test_random_bytes_do_no_harm(signature: bytes, rest: bytes) -> None:
    check_total(signature + rest)


def check_total(data: bytes) -> None:
    """A header with a size, or DamagedHeader; nothing else comes out."""
    image_format = sniff(data)
    if image_format is None:
        return
    try:
        header = read_header(data, image_format)
    except DamagedHeader:
        return
    assert header.width >= 1
    assert header.height >= 1
    assert header.frames >= 1
    assert 1 <= header.orientation <= 8
