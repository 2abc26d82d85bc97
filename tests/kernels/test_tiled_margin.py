"""The margin of a tile: an image on which a smaller one gives wrong regions."""

import base64
import types
import zlib

import numpy as np
import pytest

from superpixel_kernels import SegmentParams, segment
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import StoreError
from superpixel_kernels.tiled import TiledHierarchy, plan, segment_tiled
from tests.kernels.tiled_tools import MemoryStore, assert_equal_to_segment

# Found by a search for images whose first tile of one cell depends on pixels that are far away.
FAR = (
    "eNpt0U8og3Ecx/GfjaFFU9qJojgII6uVw/J3YunBRdoO1vxrpSnKyYH8OaC0g+XfkIM/SRPRLv6Ug3IjIimRltnGPA"
    "9GK49PffWkpd6np6ff6/f7flVDmr7tXSQetlNbQoGJ8y063xfHAnOTviVH6O2o3awPto5cicc9y4FsZpJx1QK+I2MZ"
    "n5akaCj2J5pYRdUdVW66LbDbkaw5kWqs+Eb1bCLWxnD4tPpRNaShSN97y6Kgi2c2AydAr+buGwwvs84g6Y2GZ9bEnO"
    "M+6JGjLvSra5+hu6YeKOGyt7frGtENkbr/FJGOw9ccgqSXXq4iSTd6NPjhqli1GcxlbQpc5uuk+8CbA93zqXOOeg2l"
    "j+4PLenrL0XQN590C2NP/HEHdcNd0Nsl3cNXIujyzv91afLMqkyxy10zHzR5zM1oDGwM+qCbawS8fYXPW3Dwf/Wl4U"
    "BtXutyOJ9yi4Wku9811MqEiKBvRTKh74R0UZOP0oWBwboSf0Z8C24+P/uaYFZYhs+hyy0Me0/uUCpddYh0WT3z6NNZ"
    "SwwVLvdG7T3Omoqgb4tZ+2K2tPcfayE1hw=="
)
IMAGE = np.frombuffer(zlib.decompress(base64.b64decode(FAR)), np.uint8).reshape(5, 42, 3)
PARAMS = SegmentParams(compactness=0.0)


def tiled() -> TiledHierarchy:
    return segment_tiled(IMAGE, PARAMS, tile=4, threads=1, store=MemoryStore())


def test_the_margin_is_wide_enough_for_the_image() -> None:
    assert_equal_to_segment(tiled(), IMAGE, PARAMS)


@pytest.mark.parametrize("cells", range(3, 10))
def test_a_smaller_margin_gives_other_regions(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    smaller = types.SimpleNamespace(grid=_engine.grid, TILE_MARGIN=cells)
    monkeypatch.setattr(plan, "_engine", smaller)
    whole = segment(IMAGE, PARAMS)
    try:
        found = tiled()
    except StoreError:  # the tiles do not fit together
        return
    same_regions = np.array_equal(found.base_labels, whole.base_labels)
    assert not (same_regions and np.array_equal(found.merges, whole.merges))
