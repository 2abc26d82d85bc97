"""Odd files are read as Chromium reads them; tests/page/test_odd_images.py compares with Chromium itself."""

import numpy as np
import pytest
from PIL import Image

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest
from superpixel_service.images.decode import decode, open_image
from superpixel_service.model import EncodedImage, SegmentSpec
from tests.service.odd_images import odd_images, outcome_of


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
