"""Decodes image files as the server does, for the tests of decoding."""

from dataclasses import replace
from typing import Any

import numpy as np

from superpixel_service.config import Settings
from superpixel_service.images.decode import Pixels, decode, open_image
from superpixel_service.model import EncodedImage, Notice, Rectangle, SegmentSpec
from tests.service.images import scene

PIXELS = scene(37, 21)
SPEC = SegmentSpec(EncodedImage(b""), target_counts=(1,))


def read(
    data: bytes, *, region: Rectangle | None = None, **changes: Any
) -> tuple[Pixels, tuple[Notice, ...]]:
    spec = replace(SPEC, source=EncodedImage(data), region=region, **changes)
    opened = open_image(spec, Settings())
    pixels, notices = decode(opened, region)
    if region is None:
        assert pixels.shape[:2] == (opened.height, opened.width)
    assert pixels.dtype == np.uint8
    return pixels, notices


def pixels_of(data: bytes, **changes: Any) -> Pixels:
    pixels, notices = read(data, **changes)
    assert notices == ()
    return pixels
