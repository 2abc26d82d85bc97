"""Superpixels of images larger than memory: the bits of `segment`, computed tile by tile.

```
hierarchy = segment_tiled(source, SegmentParams(), store="scene.tiles")
labels = hierarchy.cut(1_000_000)[4096:6144, 0:2048]        # any window of any cut
```

docs/large-images.md explains sources, stores, limits and memory.
"""

from superpixel_kernels.backends import Backend, checked_params, choose_backend
from superpixel_kernels.cpu._engine import CancelToken, Workspace
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.params import SegmentParams
from superpixel_kernels.tiled.hierarchy import TiledHierarchy, TiledLabels, open_tiled
from superpixel_kernels.tiled.maps import GuidanceSources
from superpixel_kernels.tiled.plan import DEFAULT_TILE, MAX_TILE, MAX_TILED_PIXELS, TilePlan
from superpixel_kernels.tiled.progress import Progress, TiledProgress
from superpixel_kernels.tiled.run import TiledRun
from superpixel_kernels.tiled.source import PixelSource
from superpixel_kernels.tiled.store import FolderStore, Tile, TileStore, Window
from superpixel_kernels.tiled.tile import TileResult, compute_tile
from superpixel_kernels.tiled.workers import CudaWorkers, LocalWorkers, TileWorkers

__all__ = [
    "DEFAULT_TILE",
    "MAX_TILE",
    "MAX_TILED_PIXELS",
    "CudaWorkers",
    "FolderStore",
    "GuidanceSources",
    "PixelSource",
    "Tile",
    "TilePlan",
    "TileResult",
    "TileStore",
    "TileWorkers",
    "TiledHierarchy",
    "TiledLabels",
    "TiledProgress",
    "TiledRun",
    "Window",
    "compute_tile",
    "open_tiled",
    "segment_tiled",
]


def segment_tiled(
    source: object,
    params: SegmentParams | None = None,
    *,
    tile: int = DEFAULT_TILE,
    store: object = None,
    backend: Backend = "cpu",
    device: int = 0,
    threads: int = 0,
    workers: TileWorkers | None = None,
    guidance: object = None,
    mask: object = None,
    cancel: CancelToken | None = None,
    progress: Progress | None = None,
) -> TiledHierarchy:
    """Segment a large image into nested superpixels, tile by tile.

    Base regions, merges and cuts are those of `segment`, bit for bit, for every size of tiles, backend and
    number of threads. A run that was stopped or killed goes on if it is called again with the same arguments:
    tiles in the store are not computed again. If the source has no fingerprint, they are read again, and
    those whose pixels have changed are computed again.

    Args:
        source: an array, or a `PixelSource`: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) uint8, as in
            `segment`; 1 to 2^36 pixels, and fewer than 2^31 base regions. It must not change during the run.
        params: compactness; the default is `SegmentParams()`.
        tile: side of a tile in pixels, 1 to `MAX_TILE`.
        store: a folder, or a `TileStore`; None: a temporary folder, which is removed with the result.
        backend: what computes the tiles: "cpu", "cuda", or "auto" for "cuda" if there is a GPU. The CPU
            makes the graph and the merge in any case. A run may go on with another backend.
        device: index of the GPU.
        threads: 0 for all cores. Each computes one tile at a time, with about 33 bytes per pixel of it; with
            backend "cuda" it reads and keeps tiles.
        workers: computes the tiles instead of the threads, for instance on a cluster; the threads still make
            the graph and the merge.
        guidance: `Guidance`, or `GuidanceSources` for maps that are not in memory.
        mask: (H, W) bool, an array or a source: as in `segment`.
        cancel: a token that stops or pauses the run; finished tiles stay in the store.
        progress: called from the run's threads, one call at a time, after each tile and before each later
            stage. It may raise, which ends the run.

    Raises:
        InvalidImage: the source has the wrong shape, type or size, or too many base regions.
        InvalidParameter: another argument is out of range.
        BackendUnavailable: the backend cannot run here; the message says what is missing.
        OutOfMemory: the GPU has too little free memory for a tile, or a tile needs more than half of it.
        DeviceLost: the GPU failed. The finished tiles stay in the store, and a run in a new process, or with
            backend "cpu", goes on.
        SourceError: the source or a map failed, or gave something else than it said.
        StoreError: the store fails, is damaged, or has a run with other arguments.
        WorkerLost: `workers` cannot compute a tile.
        Cancelled: `cancel` was cancelled.
    """
    params = checked_params(params, threads, cancel)
    if workers is not None and not isinstance(workers, TileWorkers):
        raise InvalidParameter("workers", f"must be TileWorkers, got {type(workers).__name__}")
    if workers is not None and backend != "cpu":
        raise InvalidParameter("backend", f"must be 'cpu' with workers, got {backend!r}")
    chosen = choose_backend(backend, device)
    threads = threads or Workspace(threads=0).threads
    run = TiledRun(source, params, tile=tile, store=store, guidance=guidance, mask=mask)
    if run.complete:
        return open_tiled(run.store)
    if workers is None:
        on_gpu = chosen == "cuda"
        workers = CudaWorkers(threads, cancel, device) if on_gpu else LocalWorkers(threads, cancel)
    run.compute_missing(workers, cancel, progress)
    del workers  # its memory
    return run.finish(threads, cancel, progress)
