"""One tile of a large image, after the stages up to graph: what it gives to the graph of the whole image."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda.device import DeviceArray
from superpixel_kernels.cuda.stage import Stage
from superpixel_kernels.cuda.workspace import (
    EDGES_PER_REGION,
    Grid,
    GuidanceKind,
    Layout,
    Tuning,
    graph_layout,
    guidance_layout,
    image_layout,
)

TILE_HEIGHT = 8

Window = tuple[int, int, int, int]
"""y0, y1, x0, x1: rows y0 to y1 - 1, columns x0 to x1 - 1."""

TileArrays = tuple[
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32],
    NDArray[np.int32] | None,
    NDArray[np.int32] | None,
]
"""What the C++ engine's `tile` returns: the fields of `tiled.TileResult` up to `prior`, in their order."""

_MERGE_ALONE = ("edge_word", "records", "records_other", "choosers")
"""Arrays of `graph_layout` that no stage before merge uses."""


@dataclass(frozen=True, slots=True, eq=False)
class TileParts:
    """What the device finds out about a tile. R: the regions of the crop, E: the edges between them.

    Attributes:
        labels: (h, w) int32: the region of each pixel of the tile.
        first: (R,) int32: the first pixel of each region in the crop.
        seen: (R,) uint32: whether it has pixels in the tile, 0 or 1.
        nodes: (R, 4) uint64: the sums of L, A and B; the number of pixels in the lower 32 bits.
        keys: (E,) uint64, in any order: the smaller region in the upper 32 bits, the larger in the lower.
        lengths: (E,) uint32: pixel sides.
        contrasts: (E,) uint64: their contrast.
        importance: (R,) uint64: the sum of the importance map; None without it.
        prior: (R,) uint64: its lower 32 bits are the complement of the hard prior's label; None without it.
    """

    labels: NDArray[np.int32]
    first: NDArray[np.int32]
    seen: NDArray[np.uint32]
    nodes: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    lengths: NDArray[np.uint32]
    contrasts: NDArray[np.uint64]
    importance: NDArray[np.uint64] | None
    prior: NDArray[np.uint64] | None


@lru_cache(maxsize=256)
def layout(grid: Grid, channels: int, nodes: int, tuning: Tuning, kind: GuidanceKind) -> Layout:
    """The arrays of a tile; the same object for the same arguments. Do not change it.

    Args:
        grid: of the crop.
        channels: of its pixels: 1 or 3.
        nodes: number of regions to make room for.
        tuning: sizes of blocks.
        kind: which maps of guidance there are.
    """
    graph = graph_layout(nodes, EDGES_PER_REGION)
    arrays = image_layout(grid, channels * grid.pixels, tuning)
    arrays |= {name: array for name, array in graph.items() if name not in _MERGE_ALONE}
    return arrays | guidance_layout(grid, nodes, kind) | {"seen": (np.uint32, nodes)}


def find_regions(stage: Stage, window: Window) -> None:
    """Write "into": the first pixels of the regions; "seen"; and "number": the tile's labels.

    Args:
        stage: the crop, after stage graph.
        window: the tile's pixels in the crop.
    """
    workspace = stage.workspace
    y0, y1, x0, x1 = (np.int32(side) for side in window)
    stage.launch_each("tile_clear", stage.node_capacity, [*stage.counters, workspace["seen"]])
    stage.launch_tiles(
        "tile_regions",
        TILE_HEIGHT,
        [
            *stage.counters,
            workspace["labels"],
            workspace["parent"],
            *stage.size,
            x0,
            y0,
            x1,
            y1,
            workspace["into"],
            workspace["seen"],
            workspace["number"],
        ],
    )


def download(stage: Stage, window: Window, kind: GuidanceKind, regions: int, edges: int) -> TileParts:
    """Copy what `find_regions` and stage graph have left on the device."""
    copies: list[tuple[DeviceArray, NDArray[Any]]] = []

    def host(name: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        array = stage.device.host_array(shape, dtype)
        if array.size > 0:
            copies.append((stage.workspace[name][: array.size], array.reshape(-1)))
        return array

    y0, y1, x0, x1 = window
    parts = TileParts(
        labels=host("number", (y1 - y0, x1 - x0), np.int32),
        first=host("into", (regions,), np.int32),
        seen=host("seen", (regions,), np.uint32),
        nodes=host("nodes", (regions, 4), np.uint64),
        keys=host("edge_key", (edges,), np.uint64),
        lengths=host("edge_len", (edges,), np.uint32),
        contrasts=host("edge_cs", (edges,), np.uint64),
        importance=host("importance_sum", (regions,), np.uint64) if kind.importance else None,
        prior=host("share", (regions,), np.uint64) if kind.prior == "hard" else None,
    )
    stage.device.download(*copies)
    return parts


def arrays_of(
    parts: TileParts, width: int, window: Window, origin: tuple[int, int], stride: int
) -> TileArrays:
    """Choose what belongs to the tile, and give its regions their local numbers.

    Args:
        parts: what the device has found out.
        width: of the crop, in pixels.
        window: the tile's pixels in the crop.
        origin: y and x of the crop's first pixel in the image.
        stride: width of the image, in pixels.
    """
    y0, y1, x0, x1 = window
    y, x = np.divmod(parts.first, np.int32(width))
    is_owned = (y0 <= y) & (y < y1) & (x0 <= x) & (x < x1)
    kept = np.flatnonzero(is_owned[(parts.keys >> np.uint64(32)).astype(np.intp)])
    kept = kept[np.argsort(parts.keys[kept])]
    begins = (parts.keys[kept] >> np.uint64(32)).astype(np.intp)
    ends = (parts.keys[kept] & np.uint64(0xFFFFFFFF)).astype(np.intp)
    is_local = parts.seen != 0
    is_local[ends] = True
    local = np.cumsum(is_local, dtype=np.int32) - np.int32(1)
    columns = (local[ends], parts.lengths[kept], parts.contrasts[kept])
    nodes = parts.nodes[is_owned]
    pixels = nodes[:, 3] & np.uint64(0xFFFFFFFF)
    importance = prior = None
    if parts.importance is not None:
        importance = (np.uint64(32) * pixels + parts.importance[is_owned]).astype(np.int32)
    if parts.prior is not None:
        prior = (~parts.prior[is_owned].astype(np.uint32)).view(np.int32)
    first = (origin[0] + y[is_local].astype(np.int64)) * stride + origin[1] + x[is_local]
    return (
        _engine.lookup(local, parts.labels, 1),
        first,
        local[is_owned],
        np.stack([pixels, *nodes[:, :3].T], axis=1, dtype=np.int32, casting="unsafe"),
        np.bincount(begins, minlength=len(is_owned))[is_owned].astype(np.int32),
        np.stack(columns, axis=1, dtype=np.int32, casting="unsafe"),
        importance,
        prior,
    )
