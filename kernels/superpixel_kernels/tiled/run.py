"""A tiled run: tiles one by one, then the graph and the merge of the whole image."""

import hashlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidImage, StoreError
from superpixel_kernels.guidance import FittedGuidance
from superpixel_kernels.params import ALGORITHM_VERSION, SegmentParams
from superpixel_kernels.pixels import CHANNELS
from superpixel_kernels.tiled.hierarchy import TiledHierarchy, open_tiled
from superpixel_kernels.tiled.maps import TiledGuidance
from superpixel_kernels.tiled.plan import DEFAULT_TILE, TilePlan
from superpixel_kernels.tiled.source import Reader
from superpixel_kernels.tiled.store import FolderStore, Tile, TileStore, as_store
from superpixel_kernels.tiled.tile import TileResult, compute_tile, pack, unpack

FORMAT = 1
"""Version of what a run keeps in its store."""

_MAX_REGIONS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class TiledProgress:
    """How far a run is.

    Attributes:
        stage: "tiles", then "graph", then "merge", then "done". The merge takes about a quarter of the time.
        tiles_done: tiles whose results are in the store, also those of an earlier run.
        tiles: of the image.
        pixels_done: in the tiles that are done.
        pixels: of the image.
    """

    stage: Literal["tiles", "graph", "merge", "done"]
    tiles_done: int
    tiles: int
    pixels_done: int
    pixels: int


class TiledRun:
    """The parts of `segment_tiled`, for programs that compute the tiles elsewhere.

    For each tile of `missing()`, `read` gives what `compute_tile` needs, on this machine or on another one
    that has a `TiledRun` of its own; `put` keeps the result; at the end, `finish` merges.

    Args:
        source: as in `segment_tiled`; likewise the others.
        params: of the segmentation.
        tile: side of a tile, in pixels.
        store: path or `TileStore`; None: a temporary folder.
        guidance: `Guidance` or `GuidanceSources`.

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
    ) -> None:
        self._reader = Reader(source, "source")
        shape = self._reader.shape
        if self._reader.dtype != np.uint8:
            raise InvalidImage(f"source: must be uint8, got {self._reader.dtype}")
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in CHANNELS):
            raise InvalidImage(f"source: must be (H, W) or (H, W, 1, 3 or 4), got {shape}")
        self.plan = TilePlan(params, shape[0], shape[1], shape[2] if len(shape) == 3 else 1, tile)
        self.guidance = None if guidance is None else TiledGuidance(guidance, shape[0], shape[1])
        self.store: TileStore = temporary_store() if store is None else as_store(store)
        self._trusted = self._reader.fingerprint is not None and (not self.guidance or self.guidance.trusted)
        self._resumes = self._begin()

    def _begin(self) -> bool:
        """Write the state, or compare it with that of the run in the store. Returns whether there is one."""
        state = self._state()
        found = self.store.read_state()
        if found is None:
            with _writing("the state"):
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
            "guidance": self.guidance.state() if self.guidance else None,
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
        graph = self._graph(tile)
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
        guidance = self.guidance.read(window) if self.guidance else None
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
        with _writing(f"tile {tile}"):
            self.store.put("labels", tile, result.labels)
            self.store.put("graph", tile, pack(result))

    def compute(self, tile: Tile, workspace: _engine.Workspace, cancel: _engine.CancelToken | None) -> None:
        """Read a tile, compute it and keep the result."""
        pixels, guidance, check = self.read(tile)
        result = compute_tile(
            self.plan, tile, pixels, guidance, check=check, workspace=workspace, cancel=cancel
        )
        self.put(tile, result)

    def compute_missing(
        self,
        threads: int,
        cancel: _engine.CancelToken | None = None,
        progress: Callable[[TiledProgress], object] | None = None,
    ) -> None:
        """Compute the tiles that are not done, one per thread at a time."""
        if self._resumes:
            with _writing("the state"):
                self.store.write_state(self._state())
        done = _Counter(self.plan, progress)
        spare = [_engine.Workspace(threads=1) for _ in range(threads)]

        def work(tile: Tile) -> None:
            if not self.is_done(tile):
                workspace = spare.pop()
                try:
                    self.compute(tile, workspace, cancel)
                finally:
                    spare.append(workspace)
            done.add(tile)

        _in_threads(threads, self.plan, work, cancel)

    def finish(
        self,
        threads: int,
        cancel: _engine.CancelToken | None = None,
        progress: Callable[[TiledProgress], object] | None = None,
    ) -> TiledHierarchy:
        """Make the graph from all tiles, and the merge.

        Raises:
            StoreError: a tile is missing or damaged; such tiles are computed by the next run.
            Cancelled: `cancel` was cancelled.
        """
        _report(progress, "graph", self.plan)
        try:
            graph = self._build_graph(threads, cancel)
            _report(progress, "merge", self.plan)
            workspace = _engine.Workspace(threads=threads, kept_bytes=0)
            merges, components = graph.merge(self.plan.params.compactness, self.plan.step, workspace, cancel)
        except ValueError as error:
            raise StoreError(f"store: a tile is damaged: {error}") from error
        with _writing("the merges"):
            self.store.put("merges", None, merges)
            # One component of the prior is the whole image: the map has no effect.
            self.store.write_state(self._state(len(merges) + 1, None if components == 1 else components))
        _report(progress, "done", self.plan)
        return open_tiled(self.store, threads=threads)

    def _build_graph(self, threads: int, cancel: _engine.CancelToken | None) -> _engine.RegionGraph:
        graph = self._counted_graph(self._number(cancel), threads, cancel)
        graph.seal()

        def add(tile: Tile) -> None:
            ids = self.store.get("ids", tile)
            if ids is None:
                raise StoreError(f"store: the ids of tile {tile} are gone")
            graph.add(ids, **_parts(self._graph_of(tile)))

        _in_threads(threads, self.plan, add, cancel)
        return graph

    def _counted_graph(
        self, first: NDArray[np.int64], threads: int, cancel: _engine.CancelToken | None
    ) -> _engine.RegionGraph:
        """The graph with room for all edges; puts the numbers and the sums of the base regions."""
        guidance = self.guidance
        graph = _engine.RegionGraph(
            len(first), bool(guidance and guidance.weighted), bool(guidance and guidance.hard)
        )
        sums = np.zeros((len(first), 4), np.int32)

        def count(tile: Tile) -> None:
            found = self._graph_of(tile)
            ids = _engine.ranks(first, found["first"])
            with _writing(f"tile {tile}"):
                self.store.put("ids", tile, ids)
            sums[ids[found["owned"]]] = found["sums"]
            graph.count(ids, **_parts(found))

        _in_threads(threads, self.plan, count, cancel)
        with _writing("the sums of the regions"):
            self.store.put("sums", None, sums)
        return graph

    def _number(self, cancel: _engine.CancelToken | None) -> NDArray[np.int64]:
        """The first pixels of all base regions, ascending: their ranks are the base regions' numbers."""
        parts = []
        for tile in self.plan:
            if cancel is not None:
                cancel.begin_step()
            found = self._graph_of(tile)
            if found["owned"].size and not 0 <= found["owned"].min() <= found["owned"].max() < len(
                found["first"]
            ):
                raise StoreError(f"store: tile {tile} is damaged")
            parts.append(found["first"][found["owned"]])
        first = np.concatenate(parts)
        del parts
        if len(first) > _MAX_REGIONS:
            raise InvalidImage(
                f"source: has {len(first)} base regions, and at most {_MAX_REGIONS} are possible"
            )
        first.sort()
        return first

    def _graph(self, tile: Tile) -> dict[str, Any] | None:
        try:
            graph = self.store.get("graph", tile)
        except OSError as error:
            raise StoreError(f"store: tile {tile} cannot be read: {error}") from error
        return None if graph is None else unpack(graph)

    def _graph_of(self, tile: Tile) -> dict[str, Any]:
        graph = self._graph(tile)
        if graph is None:
            raise StoreError(f"store: tile {tile} is missing or damaged")
        return graph


@contextmanager
def _writing(what: str) -> Iterator[None]:
    """Name what could not be written."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"store: {what} cannot be written: {error.strerror or error}") from error


class _Counter:
    """Counts the tiles that are done, and reports them."""

    def __init__(self, plan: TilePlan, progress: Callable[[TiledProgress], object] | None) -> None:
        self._plan = plan
        self._progress = progress
        self._tiles = 0
        self._pixels = 0
        self._lock = threading.Lock()

    def add(self, tile: Tile) -> None:
        y0, y1, x0, x1 = self._plan.window(tile)
        with self._lock:
            self._tiles += 1
            self._pixels += (y1 - y0) * (x1 - x0)
            if self._progress is not None:
                pixels = self._plan.height * self._plan.width
                self._progress(TiledProgress("tiles", self._tiles, len(self._plan), self._pixels, pixels))


def _report(
    progress: Callable[[TiledProgress], object] | None,
    stage: Literal["graph", "merge", "done"],
    plan: TilePlan,
) -> None:
    if progress is not None:
        pixels = plan.height * plan.width
        progress(TiledProgress(stage, len(plan), len(plan), pixels, pixels))


def _parts(graph: dict[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in graph.items() if name not in ("check", "first")}


def _in_threads(
    threads: int, tiles: Iterable[Tile], work: Callable[[Tile], None], cancel: _engine.CancelToken | None
) -> None:
    """Do the work for all tiles; the first error ends it after the tiles that are under way."""
    waiting = iter(tiles)
    lock = threading.Lock()
    stop = threading.Event()

    def take() -> Tile | None:
        with lock:
            return None if stop.is_set() else next(waiting, None)

    def loop() -> None:
        try:
            while (tile := take()) is not None:
                if cancel is not None:
                    cancel.begin_step()
                work(tile)
        except BaseException:
            stop.set()
            raise

    if threads == 1:
        loop()
        return
    with ThreadPoolExecutor(threads, "superpixel-tile") as pool:
        loops = [pool.submit(loop) for _ in range(threads)]
        try:
            for one in loops:
                one.result()
        finally:
            stop.set()


def temporary_store() -> TileStore:
    """A store in a folder that is removed together with the last object that uses it."""
    folder = tempfile.mkdtemp(prefix="superpixel-tiled-")
    store = FolderStore(Path(folder))
    weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
    return store
