"""Stores and sources for the tests of tiled runs, and what must hold for their results."""

from typing import Any

import numpy as np

from superpixel_kernels import segment
from superpixel_kernels.tiled import TiledHierarchy


class MemoryStore:
    """A `TileStore` in memory."""

    def __init__(self) -> None:
        self.state: dict[str, Any] | None = None
        self.arrays: dict[Any, Any] = {}

    def read_state(self):
        return self.state

    def write_state(self, state):
        self.state = dict(state)

    def put(self, name, tile, array):
        self.arrays[name, tile] = array.copy()

    def get(self, name, tile, window=None):
        array = self.arrays.get((name, tile))
        if array is None or window is None:
            return array
        y0, y1, x0, x1 = window
        return array[y0:y1, x0:x1]


class CountingSource:
    """An array as a source that notes the windows that are read, and may fail at one of them."""

    def __init__(self, array, *, fails_at=None, error=None, fingerprint=None):
        self.array = array
        self.shape = array.shape
        self.dtype = array.dtype
        self.windows: list[Any] = []
        self.fails_at = fails_at
        self.error = error
        if fingerprint is not None:
            self.fingerprint = fingerprint

    def read(self, window):
        self.windows.append(window)
        if self.fails_at is not None and len(self.windows) >= self.fails_at:
            raise self.error
        y0, y1, x0, x1 = window
        return self.array[y0:y1, x0:x1]


def assert_equal_to_segment(tiled: TiledHierarchy, image, params=None, guidance=None) -> None:
    """Base regions, merges and cuts of a tiled run are those of `segment`."""
    whole = segment(image, params, guidance=guidance, backend="cpu")
    assert tiled.base_count == whole.base_count
    assert tiled.shape == whole.shape
    assert tiled.prior_components == whole.prior_components
    np.testing.assert_array_equal(tiled.base_labels, whole.base_labels)
    np.testing.assert_array_equal(tiled.merges, whole.merges)
    for count in {1, 1 + whole.base_count // 7, whole.base_count}:
        np.testing.assert_array_equal(tiled.cut(count), whole.cut(count))
