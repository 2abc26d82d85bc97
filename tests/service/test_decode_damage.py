"""Damaged files: pixels, or a rejection with IMAGE_UNDECODABLE; nothing else."""

import struct
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images import pixels as pixels_module
from superpixel_service.images.decode import Pixels, decode, open_image
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.model import (
    EncodedImage,
)
from tests.service.decoding import PIXELS, SPEC, read
from tests.service.images import encoded, png, saved


@pytest.fixture(autouse=True)
def _as_in_a_server() -> None:
    ignore_library_warnings()


def by_pillow(data: bytes) -> Pixels:
    """The usual JPEGs are not read by Pillow, so Pillow gives the expected pixels."""
    with Image.open(BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


# Damage


WHOLE = {
    "png": encoded(PIXELS),
    "png palette": saved(Image.fromarray(PIXELS).quantize(8)),
    "png 16 bit": encoded(np.arange(300, dtype=np.uint16).reshape(15, 20)),
    "jpeg": encoded(PIXELS, "JPEG"),
    "jpeg progressive": encoded(PIXELS, "JPEG", progressive=True),
    "webp lossy": encoded(PIXELS, "WEBP"),
    "webp lossless": encoded(PIXELS, "WEBP", lossless=True),
}


@pytest.mark.parametrize("name", WHOLE)
def test_cut_off_anywhere_it_is_an_error_or_whole(name: str) -> None:
    """A file without its last bytes may still have all of its pixels; nothing is ever made up."""
    data = WHOLE[name]
    whole, _ = read(data)
    refused = 0
    for end in range(0, len(data), max(1, len(data) // 150)):
        try:
            pixels, _ = read(data[:end])
        except InvalidRequest as error:
            assert error.reason in {Reason.IMAGE_UNDECODABLE, Reason.IMAGE_FORMAT_NOT_ALLOWED}  # noqa: PT017
            refused += 1
            continue
        assert len(data) - end < max(25, 0.1 * len(data))
        assert np.array_equal(pixels, whole)
    assert refused > 0.6 * min(150, len(data))


@settings(max_examples=250, deadline=None)
@given(
    st.sampled_from(sorted(WHOLE)),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_changed_bytes_give_pixels_or_a_rejection(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[name])
    for position, value in changes:
        data[position % len(data)] = value
    with np.errstate(all="raise"):
        try:
            read(bytes(data), first_frame_only=True)
        except InvalidRequest as error:
            assert error.field == "encoded_image"  # noqa: PT017


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([name for name in sorted(WHOLE) if name.startswith("jpeg")]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=3),
    st.integers(0, 60),
)
def test_a_damaged_jpeg_decodes_as_pillow_decodes_it(
    name: str, changes: list[tuple[int, int]], missing: int
) -> None:
    data = bytearray(WHOLE[name][: len(WHOLE[name]) - missing])
    for position, value in changes:
        data[position % len(data)] = value
    try:
        pixels, _ = read(bytes(data), apply_orientation=False)
    except InvalidRequest:
        return
    if pixels.ndim == 3:
        assert np.array_equal(pixels, by_pillow(bytes(data)))


def test_two_sizes_in_one_file_are_rejected() -> None:
    """We take a JPEG's first frame header. If the library takes the second one, both must agree."""
    data = WHOLE["jpeg"]
    frame = data.index(b"\xff\xc0")
    length = struct.unpack_from(">H", data, frame + 2)[0]
    segment = bytearray(data[frame : frame + 2 + length])
    segment[5:9] = struct.pack(">HH", 5000, 5000)
    with pytest.raises(InvalidRequest) as caught:
        read(data[:frame] + data[frame : frame + 2 + length] + bytes(segment) + data[frame + 2 + length :])
    assert caught.value.reason is Reason.IMAGE_UNDECODABLE


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_size_other_than_the_accepted_one_is_rejected_before_memory_is_allocated(
    orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[object] = []
    for reader in pixels_module._READERS.values():
        monkeypatch.setattr(reader, "load", loaded.append)
    for data in WHOLE.values():
        opened = open_image(replace(SPEC, source=EncodedImage(data)), Settings())
        with pytest.raises(InvalidRequest):
            decode(replace(opened, width=opened.width + 1, orientation=orientation), None)
    assert not loaded


def test_too_much_png_text_is_rejected_or_ignored() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(50_000_000), 9)
    try:
        read(png(4, 1, 8, 0, b"\0abcd", (b"zTXt", bomb)))
    except InvalidRequest as error:
        assert error.reason is Reason.IMAGE_UNDECODABLE  # noqa: PT017
