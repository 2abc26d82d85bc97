"""Device memory for one image at a time, and how much of it an image needs."""

import enum
from dataclasses import dataclass

import numpy as np

from superpixel_kernels.cuda.device import Device, DeviceArray
from superpixel_kernels.errors import OutOfMemory

REGIONS_PER_CELL_GUESS = 4
"""Regions expected at most, for each cell of the SLIC grid: photographs have 1.0 to 3.6, noise up to 20."""

EDGES_PER_REGION = 3
"""Region adjacency is planar: fewer than three edges a region."""

EDGES_PER_PIXEL = 2
"""On the pixel level: the sides to the right and below."""


class Counter(enum.IntEnum):
    """Places in the array of counters; as in device.cuh."""

    REGIONS = 0
    EDGES = 1
    EDGES_OTHER = 2
    RECORDS = 3
    ROUNDS = 4
    TAIL_ROUND = 5
    TAIL_RECORDS = 6
    TAIL_MERGES = 7
    TAIL_LIVE = 8
    ARRIVED = 9


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes that change how fast a device is, never what comes out.

    Attributes:
        threads: of a block, in kernels over pixels or regions one by one.
        scan_threads: of the one block that sums up all blocks.
        merge_threads: of a block in the merge.
        tail_edges: from so few edges on, one block finishes the merge alone.
    """

    threads: int = 256
    scan_threads: int = 1024
    merge_threads: int = 1024
    tail_edges: int = 4096


def table_slots(edges: int) -> int:
    """Slots of the edge table for at most `edges` edges; as in edge_table.cuh."""
    return max(64, 1 << (2 * edges - 1).bit_length())


Layout = dict[str, tuple[type[np.generic], int]]
"""Arrays by name: their dtype and number of elements."""


@dataclass(frozen=True, slots=True)
class Grid:
    """An image's size, and the SLIC grid over it (kernels/superpixel_kernels/include/superpixel/slic.h)."""

    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Pixels of the image."""
        return self.width * self.height

    @property
    def step(self) -> int:
        """Width of a cell, in pixels."""
        return 4 + sum(self.pixels >= bound for bound in (82944, 123904, 173056, 230400))

    @property
    def columns(self) -> int:
        """Cells in a row."""
        return max(1, (self.width + self.step // 2) // self.step)

    @property
    def rows(self) -> int:
        """Cells in a column."""
        return max(1, (self.height + self.step // 2) // self.step)

    @property
    def cells(self) -> int:
        """Cells in all."""
        return self.columns * self.rows

    @property
    def regions_guess(self) -> int:
        """Base regions to make room for at first."""
        # The cells of an image that is thinner than a cell have few pixels, to shatter into few regions.
        spare = (REGIONS_PER_CELL_GUESS - 1) * min(self.cells, self.pixels // self.step**2)
        return min(self.pixels, max(1024, self.cells + spare))


def image_layout(grid: Grid, image_bytes: int, tuning: Tuning) -> Layout:
    """What the stages up to components need; `image_bytes` is 0 where the image is on the device."""
    return {
        "counters": (np.uint32, len(Counter)),
        "image": (np.uint8, image_bytes),
        "color": (np.uint32, grid.pixels),
        "smooth": (np.uint32, grid.pixels),
        "centers": (np.int32, 5 * grid.cells),
        "sums": (np.int32, 6 * grid.cells),
        "labels": (np.int32, grid.pixels),
        "parent": (np.int32, grid.pixels),
        "number": (np.int32, grid.pixels),
        "block_roots": (np.int32, -(-grid.pixels // tuning.threads)),
    }


def graph_layout(nodes: int, edges_per_node: int) -> Layout:
    """What the stages graph and merge need for so many nodes."""
    edges = edges_per_node * nodes
    slots = table_slots(edges)
    return {
        "n": (np.uint32, nodes),
        "sum_L": (np.uint64, nodes),
        "sum_A": (np.uint64, nodes),
        "sum_B": (np.uint64, nodes),
        "node_height": (np.uint32, nodes),
        "into": (np.int32, nodes),
        "best": (np.uint64, nodes),
        "tie": (np.uint64, nodes),
        "edge_key": (np.uint64, edges),
        "edge_len": (np.uint32, edges),
        "edge_cs": (np.uint64, edges),
        "edge_word": (np.uint64, edges),
        "table_key": (np.uint64, slots),
        "table_len": (np.uint32, slots),
        "table_cs": (np.uint64, slots),
        "records": (np.int32, 4 * nodes),
        "records_other": (np.int32, 4 * nodes),
        "choosers": (np.uint32, nodes),
    }


def layout_bytes(layout: Layout) -> int:
    """Bytes of the arrays together."""
    return sum(np.dtype(dtype).itemsize * count for dtype, count in layout.values())


def bytes_needed(
    width: int, height: int, *, channels: int = 3, regions: int | None = None, tuning: Tuning | None = None
) -> int:
    """Bytes of device memory that an image will need, known before any is allocated.

    Args:
        width: of the image, in pixels.
        height: likewise.
        channels: 1 or 3 of an image that is uploaded; 0 of one that is on the device already.
        regions: base regions; None: as many as are made room for at first. Noise has up to a pixel's third.
        tuning: the sizes in use; the default is `Tuning()`.
    """
    grid = Grid(width, height)
    nodes = grid.regions_guess if regions is None else max(regions, grid.regions_guess)
    return layout_bytes(image_layout(grid, channels * grid.pixels, tuning or Tuning())) + layout_bytes(
        graph_layout(nodes, EDGES_PER_REGION)
    )


class Workspace:
    """Device memory that is reused from image to image, and grows when one needs more.

    Used by one thread at a time. What an earlier image left in it does not matter.
    """

    def __init__(self, device: Device, *, limit_bytes: int | None = None) -> None:
        self._device = device
        self._limit = limit_bytes
        self._arrays: dict[str, DeviceArray] = {}

    def __getitem__(self, name: str) -> DeviceArray:
        """The array of that name; at least as long as it was last asked to be."""
        return self._arrays[name]

    @property
    def bytes(self) -> int:
        """Bytes of device memory held."""
        return sum(array.nbytes for array in self._arrays.values())

    def room(self, name: str) -> int:
        """How many elements the array of that name has; 0 if there is none."""
        return self._arrays[name].size if name in self._arrays else 0

    def clear(self) -> None:
        """Give everything back."""
        self._arrays.clear()

    def make_room(self, layout: Layout) -> None:
        """Make every array at least as long as the layout says; contents are lost.

        Raises:
            OutOfMemory: the cap or the device has no such room. Everything was given back, and the workspace
                can be used on.
        """
        needed = layout_bytes(layout)
        if self._limit is not None and needed > self._limit:
            raise OutOfMemory(
                f"the image needs {needed} bytes of device memory, and the cap is {self._limit}"
            )
        growing = {
            name: need
            for name, need in layout.items()
            if name not in self._arrays or self._arrays[name].size < need[1]
        }
        kept = sum(array.nbytes for name, array in self._arrays.items() if name not in growing)
        if self._limit is not None and kept + layout_bytes(growing) > self._limit:
            growing = layout  # what an image of another shape has left stands in the way
            self._arrays.clear()
        for name in growing:
            self._arrays.pop(name, None)  # first: the new ones may need their room
        try:
            for name, (dtype, count) in growing.items():
                self._arrays[name] = self._device.empty(max(count, 1), dtype)
        except OutOfMemory:
            self._arrays.clear()
            raise
