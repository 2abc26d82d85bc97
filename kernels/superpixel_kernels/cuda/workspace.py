"""Device memory for one image at a time, and how much of it an image needs."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda.device import Argument, Device, DeviceArray
from superpixel_kernels.errors import AboveDeviceLimit, OutOfMemory

REGIONS_PER_CELL_GUESS = 4
"""Base regions per grid cell to make room for at first. Photographs have 1.0 to 3.6, noise up to 20."""

EDGES_PER_REGION = _engine.EDGES_PER_REGION

EDGES_PER_PIXEL = 2
"""On the pixel level each pixel has at most two edges: to the right and below."""


MAX_TAIL_EDGES = 448
"""Edges that the tail of the merge has shared memory for; `kTailEdges` in merge.cu."""

MAX_MERGE_THREADS = 512
"""`kThreads` in merge.cu."""


class Counter(enum.IntEnum):
    """Indices into the array of counters; the same as in device.cuh."""

    REGIONS = 0
    EDGES = 1
    EDGES_OTHER = 2
    RECORDS = 3
    ROUNDS = 4
    TAIL_ROUND = 5
    TAIL_RECORDS = 6
    TAIL_COLLECTIVE = 7
    ARRIVED = 8
    ARRIVED_FEW = 9
    OUTER_EDGES = 10
    FIRST_RECORDS = 11
    FIRST_ROUNDS = 12
    MARK = 13
    TIED = 14
    PAIRS_LEFT_OUT = 15


STAMPS = 16
"""Where the times of the stages begin in the array of counters: after the counters, two words per time."""

MAX_STAMPS = 16
"""Times that there is room for: one per stage, and one before the first. Some stages run three times."""

COUNTERS = STAMPS + 2 * MAX_STAMPS
"""Elements of the array of counters, times included."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """Sizes that affect speed, never results.

    Attributes:
        threads: threads per block, in kernels with one thread per pixel or region.
        scan_threads: threads of the block that runs `components_scan`.
        merge_threads: threads per block in stage merge; a multiple of 32, at most `MAX_MERGE_THREADS`.
        merge_blocks: blocks that go on with the merge once at most `few_edges` edges are left. A barrier over
            few blocks should take less time, and several images could be merged at a time.
        few_edges: see `merge_blocks`. If it is at most `tail_edges`, all blocks do all rounds before the
            tail; larger values have not been measured.
        tail_edges: once at most this many edges are left, one block finishes the merge alone; at most
            `MAX_TAIL_EDGES`.
    """

    threads: int = 256
    scan_threads: int = 1024
    merge_threads: int = MAX_MERGE_THREADS
    merge_blocks: int = 16
    few_edges: int = 0
    tail_edges: int = MAX_TAIL_EDGES

    def __post_init__(self) -> None:
        if not 32 <= self.merge_threads <= MAX_MERGE_THREADS or self.merge_threads % 32:
            raise ValueError(
                f"merge_threads: must be a multiple of 32 up to {MAX_MERGE_THREADS}, not {self.merge_threads}"
            )
        if not 0 <= self.tail_edges <= MAX_TAIL_EDGES:
            raise ValueError(f"tail_edges: must be 0..{MAX_TAIL_EDGES}, not {self.tail_edges}")


table_slots = _engine.table_slots
"""Slots of the edge table for a number of edges."""

Arguments = dict[tuple[object, ...], tuple[Argument, ...]]
"""Arguments of launches, by the kernel's name and the values that differ between its launches."""

_KEPT_SIZES = 32
"""Number of image sizes that arguments are kept for."""

Allocate = Callable[[Callable[[], None], Callable[[], None]], None]
"""Calls the first function, which allocates; the second one frees what was allocated before."""

Layout = dict[str, tuple[type[np.generic], int]]
"""Name of each array: its dtype and number of elements."""


@dataclass(frozen=True, slots=True)
class GuidanceKind:
    """Which maps of guidance an image has.

    Attributes:
        edges: whether there is an edge map.
        prior: the mode of the prior map, "soft" or "hard"; None: there is none.
        importance: whether there is an importance map.
    """

    edges: bool = False
    prior: str | None = None
    importance: bool = False


UNGUIDED = GuidanceKind()


@dataclass(frozen=True, slots=True)
class Grid:
    """An image's size, and the SLIC grid over it, which include/superpixel/slic.h computes.

    Attributes:
        width: of the image, in pixels.
        height: of the image, in pixels.
        step: width and height of a grid cell, in pixels; the crop of an image is given the step of the image.
        columns: cells per row.
        rows: cells per column.
        pixels: of the image.
        cells: all cells of the grid.
        regions_guess: number of base regions to make room for at first.
        records_guess: number of merges to download before it is known how many there are.
    """

    width: int
    height: int
    step: int = 0
    columns: int = field(init=False)
    rows: int = field(init=False)
    pixels: int = field(init=False)
    cells: int = field(init=False)
    regions_guess: int = field(init=False)
    records_guess: int = field(init=False)

    def __post_init__(self) -> None:
        step, columns, rows = _engine.grid(self.width, self.height, self.step)
        pixels, cells = self.width * self.height, columns * rows
        # If the image is thinner than a cell, cells have few pixels and so few regions.
        spare = (REGIONS_PER_CELL_GUESS - 1) * min(cells, pixels // step**2)
        guess = min(pixels, max(1024, cells + spare))
        names = ("step", "columns", "rows", "pixels", "cells", "regions_guess", "records_guess")
        for name, value in zip(
            names, (step, columns, rows, pixels, cells, guess, -(-3 * guess // 4)), strict=True
        ):
            object.__setattr__(self, name, value)


grid_of = lru_cache(maxsize=256)(Grid)
"""The grid of an image of this width and height, or of a crop; kept for later images of that size."""


def image_layout(grid: Grid, image_bytes: int, tuning: Tuning) -> Layout:
    """The arrays of the stages up to components; `image_bytes` is 0 if the image is on the device already."""
    return {
        "counters": (np.uint32, COUNTERS),
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
    """The arrays of the stages graph and merge, for `nodes` nodes."""
    edges = edges_per_node * nodes
    slots = table_slots(edges)
    return {
        "nodes": (np.uint64, 4 * nodes),  # sums of L, A and B; number of pixels and height, 32 bits each
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


def guidance_layout(grid: Grid, nodes: int, kind: GuidanceKind) -> Layout:
    """The arrays that guidance needs. Kernels take all of them; those without use have one element."""
    edges, prior, importance = kind.edges, kind.prior is not None, kind.importance
    return {
        "edge_map": (np.uint8, grid.pixels if edges else 1),
        "prior_map": (np.int32, grid.pixels if prior else 1),
        "importance_map": (np.uint8, grid.pixels if importance else 1),
        "edge_sum": (np.uint64, nodes if edges else 1),
        "share": (np.uint64, nodes if prior else 1),
        "importance_sum": (np.uint64, nodes if importance else 1),
    }


@lru_cache(maxsize=256)
def whole_layout(
    grid: Grid,
    image_bytes: int,
    nodes: int,
    edges_per_node: int,
    tuning: Tuning,
    kind: GuidanceKind = UNGUIDED,
) -> Layout:
    """The arrays of all stages; the same object for the same arguments. Do not change it."""
    arrays = image_layout(grid, image_bytes, tuning) | graph_layout(nodes, edges_per_node)
    return arrays | guidance_layout(grid, nodes, kind)


def layout_bytes(layout: Layout) -> int:
    """Total size of the arrays, in bytes."""
    return sum(np.dtype(dtype).itemsize * count for dtype, count in layout.values())


def bytes_needed(
    width: int,
    height: int,
    *,
    channels: int = 3,
    regions: int | None = None,
    tuning: Tuning | None = None,
    guidance: GuidanceKind = UNGUIDED,
) -> int:
    """Compute how many bytes of device memory an image needs, before anything is allocated.

    Args:
        width: of the image, in pixels.
        height: of the image, in pixels.
        channels: 1 or 3, if the image is uploaded; 0 if it is on the device already.
        regions: number of base regions; None: the number that room is made for at first. Noise has up to one
            region per three pixels.
        tuning: the sizes in use; the default is `Tuning()`.
        guidance: the maps of guidance.
    """
    grid = grid_of(width, height)
    nodes = grid.regions_guess if regions is None else max(regions, grid.regions_guess)
    image_bytes = channels * grid.pixels
    return layout_bytes(
        whole_layout(grid, image_bytes, nodes, EDGES_PER_REGION, tuning or Tuning(), guidance)
    )


def at_once(attempt: Callable[[], None], give_back: Callable[[], None]) -> None:
    """Allocate, or fail."""
    del give_back
    attempt()


class Workspace:
    """Device memory that is reused by later images, and grows when one needs more.

    For one thread at a time. Results do not depend on what earlier images left in it.

    Attributes:
        recorded: launches recorded as one (None: not yet) and the names of their stages, by what their
            arguments depend on; dropped if arrays change.

    Args:
        device: where the memory is.
        limit_bytes: cap on the memory for one image; None: no cap.
    """

    def __init__(
        self,
        device: Device,
        *,
        limit_bytes: int | None = None,
    ) -> None:
        self._device = device
        self._limit = limit_bytes
        self._arrays: dict[str, DeviceArray] = {}
        self._arguments: dict[tuple[Grid, int], Arguments] = {}
        self.recorded: dict[tuple[object, ...], tuple[Callable[[], None] | None, list[str]]] = {}
        self._fitting: Layout | None = None  # the layout of the last `make_room`, if its arrays still exist

    def __getitem__(self, name: str) -> DeviceArray:
        """The array with this name, at least as long as the last `make_room` asked for."""
        return self._arrays[name]

    @property
    def bytes(self) -> int:
        """Bytes of device memory in use."""
        return sum(array.nbytes for array in self._arrays.values())

    def room(self, name: str) -> int:
        """Number of elements of the array with this name; 0 if there is none."""
        return self._arrays[name].size if name in self._arrays else 0

    def arguments(self, grid: Grid, nodes: int) -> Arguments:
        """Kernel arguments kept for images of this size; dropped if arrays change."""
        if len(self._arguments) > _KEPT_SIZES:
            self._forget_arguments()
        return self._arguments.setdefault((grid, nodes), {})

    def _forget_arguments(self) -> None:
        self._fitting = None
        self.recorded.clear()
        for kept in self._arguments.values():
            kept.clear()  # a stage may still have it, and it keeps arrays alive
        self._arguments.clear()

    def clear(self) -> None:
        """Free all arrays."""
        self._forget_arguments()
        self._arrays.clear()

    def make_room(self, layout: Layout, allocate: Allocate = at_once) -> None:
        """Make every array at least as long as the layout says; the contents are lost.

        Args:
            layout: the arrays.
            allocate: calls a function that allocates, again if that may help; and before it waits, a function
                that frees.

        Raises:
            AboveDeviceLimit: the layout exceeds the cap.
            OutOfMemory: it exceeds the device's free memory. All arrays have been freed, and the workspace
                remains usable.
        """
        if layout is self._fitting:
            return
        needed = layout_bytes(layout)
        if self._limit is not None and needed > self._limit:
            raise AboveDeviceLimit(needed, self._limit)
        growing = self._missing(layout)
        kept = sum(array.nbytes for name, array in self._arrays.items() if name not in growing)
        too_much = self._limit is not None and kept + layout_bytes(growing) > self._limit
        if not growing and not too_much:
            self._fitting = layout
            return
        self._forget_arguments()
        if too_much:
            growing = layout  # arrays left by an image of another shape take too much of the cap
            self.clear()
        freed = [self._arrays.pop(name) for name in growing if name in self._arrays]
        if growing is layout or freed:
            # The new arrays may need this memory, and a pool would keep the old ones beside the new ones.
            freed.clear()
            self._device.give_back()
        allocate(lambda: self._allocate(self._missing(layout)), self._free)
        self._fitting = layout

    def _missing(self, layout: Layout) -> Layout:
        """The arrays that do not exist, or are too short."""
        return {
            name: need
            for name, need in layout.items()
            if name not in self._arrays or self._arrays[name].size < need[1]
        }

    def _allocate(self, layout: Layout) -> None:
        try:
            for name, (dtype, count) in layout.items():
                self._arrays[name] = self._device.empty(max(count, 1), dtype)
        except OutOfMemory:
            self._free()
            raise

    def _free(self) -> None:
        self.clear()
        self._device.give_back()
