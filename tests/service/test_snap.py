"""Rough masks snapped to the superpixels of an answer."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service import client, segment_file

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "chelsea.jpg"


def test_an_answer_gives_the_same_mask_as_the_engine() -> None:
    assert client.snap_mask is codec.snap_mask is kernels.snap_mask
    answer = segment_file(PHOTO.read_bytes(), counts=[800, 100])
    hierarchy = kernels.segment(np.asarray(Image.open(PHOTO)))
    y, x = np.mgrid[: answer.height, : answer.width]
    mask = np.select([(y - 120) ** 2 + (x - 220) ** 2 < 80**2, y > 250], [2, 1])
    for count in (800, 321, 100):
        snapped = client.snap_mask(answer, mask, count)
        assert np.array_equal(snapped, client.snap_mask(hierarchy, mask, count))
        assert set(np.unique(snapped)) == {0, 1, 2}
    with pytest.raises(codec.InvalidParameter, match=r"^count: must be from 1 to 800, got 801"):
        client.snap_mask(answer, mask, 801)
