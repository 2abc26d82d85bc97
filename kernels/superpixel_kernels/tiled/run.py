"""A tiled run: tiles one by one, then the graph and the merge of the whole image."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidImage, KernelError, StoreError
from superpixel_kernels.guidance import FittedGuidance
from superpixel_kernels.params import ALGORITHM_VERSION, SegmentParams
from superpixel_kernels.pixels import CHANNELS
from superpixel_kernels.tiled.assembly import Assembly, graph_of
from superpixel_kernels.tiled.hierarchy import TiledHierarchy, open_tiled
from superpixel_kernels.tiled.maps import TiledGuidance
from superpixel_kernels.tiled.plan import DEFAULT_TILE, TilePlan
from superpixel_kernels.tiled.progress import Progress, TileCounter, report
from superpixel_kernels.tiled.source import Reader
from superpixel_kernels.tiled.store import FORMAT, Tile, TileStore, as_store, temporary_store, writing
from superpixel_kernels.tiled.threads import in_threads
from superpixel_kernels.tiled.tile import TileResult, pack
from superpixel_kernels.tiled.workers import TileWorkers


class TiledRun:
    """The parts of `segment_tiled`, for programs that compute the tiles elsewhere.

    For each tile of `missing()`, `read` gives what `compute_tile` needs, on this machine or on another one
    that has a `TiledRun` of its own; `put` keeps the result; at the end, `finish` merges.

    Args:
        source: as in `segment_tiled`.
        params: of the segmentation.
        tile: side of a tile, in pixels.
        store: path or `TileStore`; None: a temporary folder.
        guidance: `Guidance` or `GuidanceSources`.
        mask: (H, W) bool, an array or a source.

    Raises:
        InvalidImage: the source has the wrong shape, type or size.
        InvalidParameter: another argument is out of range.
        StoreError: the store belongs to another run, or fails.
    """

    def __init__(
        self,
        source: object,
        params: SegmentParams,
        *,
        tile: int = DEFAULT_TILE,
        store: object = None,
        guidance: object = None,
        mask: object = None,
    ) -> None:
        self._reader = Reader(source, "source")
        shape = self._reader.shape
        if self._reader.dtype != np.uint8:
            raise InvalidImage(f"source: must be uint8, got {self._reader.dtype}")
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in CHANNELS):
            raise InvalidImage(f"source: must be (H, W) or (H, W, 1, 3 or 4), got {shape}")
        self.plan = TilePlan(params, shape[0], shape[1], shape[2] if len(shape) == 3 else 1, tile)
        self.guidance = TiledGuidance(guidance, mask, shape[0], shape[1])
        self.store: TileStore = temporary_store() if store is None else as_store(store)
        # No later run goes on with a temporary store, so nothing needs to be compared.
        self._trusted = store is None or (self._reader.fingerprint is not None and self.guidance.trusted)
        self._resumes = self._begin()

    def _begin(self) -> bool:
        """Write the state, or compare it with that of the run in the store. Returns whether there is one."""
        state = self._state()
        found = self.store.read_state()
        if found is None:
            with writing("the state"):
                self.store.write_state(state)
            return False
        for name in (
            "format",
            "algorithm_version",
            "shape",
            "channels",
            "compactness",
            "tile",
            "guidance",
            "source",
        ):
            if found.get(name) != state[name]:
                raise StoreError(
                    f"store: has another run, with {name} {found.get(name)!r} instead of {state[name]!r}"
                )
        return True

    def _state(self, base_count: int | None = None, prior_components: int | None = None) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "algorithm_version": ALGORITHM_VERSION,
            "shape": [self.plan.height, self.plan.width],
            "channels": self.plan.channels,
            "compactness": self.plan.params.compactness,
            "tile": self.plan.tile,
            "guidance": self.guidance.state(),
            "source": self._reader.fingerprint,
            "base_count": base_count,
            "prior_components": prior_components,
        }

    @property
    def complete(self) -> bool:
        """Whether the store has the result, of a source that has not changed since."""
        state = self.store.read_state()
        if state is None or state.get("base_count") is None:
            return False
        return self._trusted or all(self.is_done(tile) for tile in self.plan)

    def missing(self) -> Iterator[Tile]:
        """The tiles that are not in the store, or whose pixels have changed since, in raster order."""
        return (tile for tile in self.plan if not self.is_done(tile))

    def is_done(self, tile: Tile) -> bool:
        """Whether the store has the tile's result. Reads its pixels if a source has no fingerprint."""
        if not self._resumes:
            return False
        graph = graph_of(self.store, tile)
        if graph is None or self.store.get("labels", tile, (0, 1, 0, 1)) is None:
            return False
        return self._trusted or bool(graph["check"] == self.read(tile)[2])

    def read(self, tile: Tile) -> tuple[NDArray[np.uint8], FittedGuidance | None, bytes]:
        """What `compute_tile` needs: pixels, guidance, check.

        Raises:
            SourceError: the source or a map cannot be read.
        """
        window = self.plan.crop(tile)
        pixels = self._reader.read(window)
        guidance = self.guidance.read(window)
        if self._trusted:
            return pixels, guidance, bytes(32)
        digest = hashlib.sha256(np.ascontiguousarray(pixels).data)
        if guidance is not None:
            for values in (guidance.edges, guidance.prior, guidance.importance):
                digest.update(b"" if values is None else values.data)
        return pixels, guidance, digest.digest()

    def put(self, tile: Tile, result: TileResult) -> None:
        """Keep the result of a tile.

        Raises:
            StoreError: it cannot be written.
        """
        with writing(f"tile {tile}"):
            self.store.put("labels", tile, result.labels)
            self.store.put("graph", tile, pack(result))

    def compute_missing(
        self,
        workers: TileWorkers,
        cancel: _engine.CancelToken | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Compute the tiles that are not done, `workers.count` at a time."""
        if self._resumes:
            with writing("the state"):
                self.store.write_state(self._state())
        done = TileCounter(self.plan, progress)

        def work(tile: Tile) -> None:
            if not self.is_done(tile):
                pixels, guidance, check = self.read(tile)
                self.put(tile, workers.compute(self.plan, tile, pixels, guidance, check))
            done.add(tile)

        in_threads(workers.count, self.plan, work, cancel)

    def finish(
        self,
        threads: int,
        cancel: _engine.CancelToken | None = None,
        progress: Progress | None = None,
    ) -> TiledHierarchy:
        """Make the graph from all tiles, and the merge.

        Raises:
            StoreError: a tile is missing or damaged; such tiles are computed by the next run.
            InvalidImage: there are too many base regions.
            InvalidParameter: the mask has no pixel inside.
            Cancelled: `cancel` was cancelled.
        """
        assembly = Assembly(self.store, self.plan, self.guidance, threads, cancel)
        report(progress, "graph", self.plan)
        try:
            assembly.build()
            report(progress, "merge", self.plan)
            merges, prior_components = assembly.merge()
        except KernelError:
            raise
        except ValueError as error:
            raise StoreError(f"store: a tile is damaged: {error}") from error
        with writing("the merges"):
            self.store.put("merges", None, merges)
            self.store.write_state(self._state(len(merges) + 1, prior_components))
        report(progress, "done", self.plan)
        return open_tiled(self.store)
