"""A client's answer measures, finds neighbours and pools like the hierarchy of the same image."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superpixel_kernels import segment
from superpixel_kernels.errors import InvalidImage, InvalidParameter
from superpixel_service import segment_file

PHOTO = Path(__file__).parents[2] / "examples" / "photos" / "chelsea.jpg"
IMAGE = np.asarray(Image.open(PHOTO))


@pytest.mark.parametrize("count", [300, 40])
def test_an_answer_measures_like_a_hierarchy(count: int) -> None:
    answer = segment_file(PHOTO.read_bytes(), counts=300, include_hierarchy=True, include_regions=True)
    hierarchy = segment(IMAGE)
    regions, expected = answer.regions_at(count, IMAGE), hierarchy.regions(count)
    assert regions.to_table().equals(expected.to_table())
    if count == 300:
        assert answer.regions is not None
        assert answer.regions.to_table().equals(expected.to_table())
    assert answer.adjacency(count, IMAGE).to_table().equals(hierarchy.adjacency(count).to_table())
    assert answer.adjacency(count).contrast is None
    assert np.array_equal(answer.pool(count, IMAGE, "max"), hierarchy.pool(count, IMAGE, "max"))
    with pytest.raises(InvalidParameter, match="count"):
        answer.pool(301, IMAGE)
    with pytest.raises(InvalidImage, match="image"):
        answer.regions_at(count, IMAGE[1:])
