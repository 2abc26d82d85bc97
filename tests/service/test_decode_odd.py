"""Odd files are read as Chromium reads them; tests/page/test_odd_images.py compares with Chromium itself."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.decode import decode, open_image
from superpixel_service.model import EncodedImage, Notice, NoticeCode, SegmentSpec
from tests.service.images import png_chunk
from tests.service.odd_images import END, SIGNATURE, odd_images, outcome_of, two_frames


def test_the_first_frame_of_an_animation_without_its_default_image() -> None:
    data = two_frames()
    with pytest.raises(InvalidRequest) as caught:
        open_image(SegmentSpec(EncodedImage(data), target_counts=(1,)), Settings())
    assert caught.value.reason is Reason.IMAGE_MULTIPLE_FRAMES
    spec = SegmentSpec(EncodedImage(data), target_counts=(1,), first_frame_only=True)
    pixels, notices = decode(open_image(spec, Settings()), None)
    assert notices == (Notice(NoticeCode.FIRST_FRAME_ONLY),)
    assert outcome_of(np.asarray(Image.fromarray(pixels).convert("RGBA"))) == "16x8 RRRR"


def test_a_small_frame_of_16_bit_gray() -> None:
    def rows(*values: int) -> bytes:
        return zlib.compress(b"".join(b"\0" + struct.pack(">H", value) for value in values))

    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 3, 16, 0, 0, 0, 0))
    control = png_chunk(b"acTL", struct.pack(">II", 1, 0))
    frame = png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 2, 0, 1, 1, 10, 0, 0))
    frame += png_chunk(b"fdAT", struct.pack(">I", 1) + rows(300, 700))
    data = SIGNATURE + head + control + png_chunk(b"IDAT", rows(1, 2, 3)) + frame + END
    opened = open_image(SegmentSpec(EncodedImage(data), target_counts=(1,)), Settings())
    pixels, notices = decode(opened, None)
    assert notices == (Notice(NoticeCode.GRAY16_SCALED, (300, 700)),)
    assert pixels[:, 0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 255], [255, 255, 255, 255]]


@pytest.mark.parametrize("name", odd_images())
def test_outcome(name: str) -> None:
    odd = odd_images()[name]
    try:
        opened = open_image(SegmentSpec(EncodedImage(odd.data), target_counts=(1,)), Settings())
        pixels, notices = decode(opened, None)
    except InvalidRequest as error:
        assert error.reason is Reason.IMAGE_UNDECODABLE  # noqa: PT017
        assert odd.outcome is None
        return
    assert notices == ()
    assert (opened.height, opened.width) == pixels.shape[:2]
    assert outcome_of(np.asarray(Image.fromarray(pixels).convert("RGBA"))) == odd.outcome
