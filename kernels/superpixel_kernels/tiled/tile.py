"""One tile, from its pixels to its labels and its part of the region graph."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.cuda import CudaWorkspace
from superpixel_kernels.errors import InvalidImage, InvalidParameter
from superpixel_kernels.guidance import FittedGuidance
from superpixel_kernels.pixels import as_pixels
from superpixel_kernels.tiled.plan import TilePlan
from superpixel_kernels.tiled.store import Tile

_GRAPH_VERSION = 1
_CHECK_BYTES = 32


@dataclass(frozen=True, eq=False)
class TileResult:
    """What a tile gives. It can be pickled.

    A region belongs to the tile of its first pixel, and is complete there, also the part outside the tile.
    Local regions are those with pixels in the tile, and the neighbours of those it owns.

    Attributes:
        labels: (h, w) int32: the local region of each pixel of the tile.
        first: (L,) int64, ascending: the first pixel of each local region, y * width + x in the image.
        owned: (O,) int32, ascending: the local regions that belong to the tile.
        sums: (O, 4) int32: of each of them, its pixels and the sums of L, A and B.
        degrees: (O,) int32: of each of them, how many edges lead to regions with a later first pixel.
        edges: (E, 3) int32: these edges one after the other: local region, `len`, `cs` (docs/algorithm.md).
        importance: (O,) int32: W of each owned region; None without an importance map.
        prior: (O,) int32: prior label of each owned region; None without a hard prior.
        check: SHA-256 of what was read for the tile; 32 zeros if the source's fingerprint is enough.
    """

    labels: NDArray[np.int32]
    first: NDArray[np.int64]
    owned: NDArray[np.int32]
    sums: NDArray[np.int32]
    degrees: NDArray[np.int32]
    edges: NDArray[np.int32]
    importance: NDArray[np.int32] | None = None
    prior: NDArray[np.int32] | None = None
    check: bytes = bytes(_CHECK_BYTES)


def compute_tile(
    plan: TilePlan,
    tile: Tile,
    pixels: NDArray[np.uint8],
    guidance: FittedGuidance | None = None,
    *,
    check: bytes = bytes(_CHECK_BYTES),
    workspace: _engine.Workspace | CudaWorkspace | None = None,
    cancel: _engine.CancelToken | None = None,
) -> TileResult:
    """Compute one tile. It depends on the arguments only, so any process on any machine may do it.

    Args:
        plan: of the run.
        tile: which one.
        pixels: (h, w), or (h, w, 1, 3 or 4) uint8: the pixels of `plan.crop(tile)`.
        guidance: maps of the same window.
        check: is put into the result.
        workspace: memory to reuse, of the CPU with its threads, or of a GPU; None: one thread of the CPU.
        cancel: stops or pauses the work.

    Raises:
        InvalidImage: the pixels have another size, or are not uint8.
        InvalidParameter: the maps have another size.
        OutOfMemory, DeviceLost: with a GPU, as in `superpixel_kernels.segment`.
        Cancelled: `cancel` was cancelled.
    """
    top, bottom, left, right = plan.crop(tile)
    y0, y1, x0, x1 = plan.window(tile)
    if pixels.shape[:2] != (bottom - top, right - left):
        raise InvalidImage(f"pixels: must be those of {bottom - top} x {right - left}, got {pixels.shape}")
    if guidance is not None and guidance.shape != (bottom - top, right - left):
        raise InvalidParameter("guidance", f"must be {bottom - top} x {right - left}, got {guidance.shape}")
    window = (y0 - top, y1 - top, x0 - left, x1 - left)
    if isinstance(workspace, CudaWorkspace):
        made = workspace.compute_tile(
            pixels,
            plan.params,
            step=plan.step,
            window=window,
            origin=(top, left),
            image_width=plan.width,
            cancel=cancel,
            guidance=guidance,
        )
    else:
        workspace = _engine.Workspace(threads=1) if workspace is None else workspace
        made = _engine.tile(
            as_pixels(pixels, workspace),
            plan.params.compactness,
            plan.step,
            window,
            (top, left),
            plan.width,
            workspace,
            cancel,
            guidance,
        )
    labels, first, owned, sums, degrees, edges, importance, prior = made
    return TileResult(labels, first, owned, sums, degrees, edges, importance, prior, check)


def pack(result: TileResult) -> NDArray[np.int32]:
    """The array `graph` of a tile: all but its labels."""
    maps = [values for values in (result.importance, result.prior) if values is not None]
    header = np.array(
        [
            _GRAPH_VERSION,
            len(result.first),
            len(result.owned),
            len(result.edges),
            result.importance is not None,
            result.prior is not None,
        ],
        np.int32,
    )
    check = np.frombuffer(result.check, np.int32)
    parts = [header, check, result.first.view(np.int32), result.owned, result.sums, result.degrees]
    return np.concatenate([part.ravel() for part in (*parts, result.edges, *maps)])


def unpack(graph: NDArray[np.int32]) -> dict[str, Any] | None:
    """The fields of a `TileResult` without its labels; None if `pack` did not make the array."""
    if graph.dtype != np.int32 or graph.ndim != 1 or len(graph) < 6 or graph[0] != _GRAPH_VERSION:
        return None
    local, owned, edges, has_importance, has_prior = (int(value) for value in graph[1:6])
    lengths = [_CHECK_BYTES // 4, 2 * local, owned, 4 * owned, owned, 3 * edges]
    lengths += [owned * has_importance, owned * has_prior]
    if min(lengths) < 0 or 6 + sum(lengths) != len(graph):
        return None
    parts = np.split(graph[6:], np.cumsum(lengths)[:-1])
    return {
        "check": parts[0].tobytes(),
        "first": parts[1].copy().view(np.int64),
        "owned": parts[2],
        "sums": parts[3].reshape(-1, 4),
        "degrees": parts[4],
        "edges": parts[5].reshape(-1, 3),
        "importance": parts[6] if has_importance else None,
        "prior": parts[7] if has_prior else None,
    }
