"""A decoded label map and its parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.codec import _codec
from superpixel_kernels.codec.global_ids import GlobalIds
from superpixel_kernels.codec.measured import Regions
from superpixel_kernels.codec.provenance import Provenance
from superpixel_kernels.errors import InvalidParameter

OUTSIDE = -1
"""The label of pixels outside a mask: they belong to no superpixel."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The merges from a label map of `count` labels down to one region.

    Attributes:
        into: (count - 1,) integers; entry 0 is label 1. The component of label b = 1..count-1 is merged into
            that of `into[b - 1]`, which is below b, when b stops being the smallest label of its component.
        order: (count - 1,) integers; the rank, 0..count-2, of that merge among all merges.
    """

    into: NDArray[np.integer]
    order: NDArray[np.integer]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Chosen coarser levels of a label map of `count` labels.

    Attributes:
        counts: number of regions of each level: strictly decreasing, below `count`.
        into: (count - 1,) int32; as in `Tree`.
        level: (count - 1,) uint8; entry 0 is label 1: the first (finest) level in which the label is no
            longer the smallest of its component; `len(counts)` if it is the smallest in all of them.
    """

    counts: tuple[int, ...]
    into: NDArray[np.int32]
    level: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """A decoded label map.

    Attributes:
        labels: (height, width) int32, 0..count-1, numbered by first appearance row by row; `OUTSIDE` at
            pixels that belong to no superpixel.
        count: number of superpixels.
        connected: whether every label is one 4-connected region, as the writer states; not verified.
        algorithm_version: the version of the algorithm that made the map, 0..65535.
        tree: all coarser levels, or None.
        levels: some coarser levels, or None; never together with `tree`.
        heights: (count - 1,) float32, the heights of the merges in order, each rounded up to bfloat16; or
            None. Only together with `tree`.
        regions: measurements of the map's regions, as the writer states them; not verified. Or None.
        provenance: what the map was made from, as the writer states it; not verified. Or None.
        global_ids: the regions of a store that the labels are, if the map is a window of one. Or None.
    """

    labels: NDArray[np.int32]
    count: int
    connected: bool
    algorithm_version: int
    tree: Tree | None = None
    levels: Levels | None = None
    heights: NDArray[np.float32] | None = None
    regions: Regions | None = None
    provenance: Provenance | None = None
    global_ids: GlobalIds | None = None

    @property
    def width(self) -> int:
        """Pixels per row."""
        return int(self.labels.shape[1])

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.labels.shape[0])

    @property
    def mask(self) -> NDArray[np.bool_] | None:
        """(height, width) bool: the pixels that belong to a superpixel; None: all of them do."""
        inside: NDArray[np.bool_] = self.labels >= 0
        return None if inside.all() else inside

    def cut(self, count: int) -> NDArray[np.int32]:
        """For each label, the region that contains it in the level with `count` regions.

        Args:
            count: the map's own count; with a `tree` any count from 1; with `levels` one of them.

        Returns:
            (self.count,) int32, 0..count-1, numbered by first appearance, like the labels.

        Raises:
            InvalidParameter: the map does not contain that level.
        """
        if count == self.count:
            return np.arange(count, dtype=np.int32)
        if self.tree is not None:
            if not 1 <= count < self.count:
                raise InvalidParameter("count", f"must be from 1 to {self.count}, got {count}")
            return cut(self.tree.into, self.tree.order, self.count - count)
        stored = () if self.levels is None else self.levels.counts
        if self.levels is None or count not in stored:
            raise InvalidParameter("count", f"must be one of {[self.count, *stored]}, got {count}")
        return cut(self.levels.into, self.levels.level, stored.index(count) + 1)

    def labels_at(self, count: int) -> NDArray[np.int32]:
        """The label map of the level with `count` regions: (height, width) int32. Arguments as for `cut`.

        Pixels that belong to no superpixel have `OUTSIDE`.
        """
        return with_outside(self.cut(count), OUTSIDE)[self.labels]


def with_outside(of_labels: NDArray[Any], value: int) -> NDArray[Any]:
    """Append `value` to a table by label. Index `OUTSIDE`, -1, then finds it."""
    return np.append(of_labels, of_labels.dtype.type(value))


def cut(into: NDArray[np.integer], rank: NDArray[np.integer], limit: int) -> NDArray[np.int32]:
    """The look-up table after all merges with `rank[b - 1] < limit`; arrays as in `Tree`."""
    lut = np.empty(len(into) + 1, np.int32)
    _codec.cut_tree(np.ascontiguousarray(into, np.int32), np.ascontiguousarray(rank, np.int32), limit, lut)
    return lut
