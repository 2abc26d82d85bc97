"""The graph and the merge of a whole image, from its tiles in a store."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidImage, InvalidParameter, StoreError
from superpixel_kernels.masked import numbers_inside
from superpixel_kernels.tiled.maps import TiledGuidance
from superpixel_kernels.tiled.plan import TilePlan
from superpixel_kernels.tiled.store import Tile, TileStore, writing
from superpixel_kernels.tiled.threads import in_threads
from superpixel_kernels.tiled.tile import unpack

_MAX_REGIONS = 2**31 - 1


class Assembly:
    """Puts the tiles together: `build`, then `merge`.

    Args:
        store: with all tiles.
        plan: of the run.
        guidance: its maps and its mask.
        threads: to use.
        cancel: stops or pauses the work.
    """

    def __init__(
        self,
        store: TileStore,
        plan: TilePlan,
        guidance: TiledGuidance,
        threads: int,
        cancel: _engine.CancelToken | None,
    ) -> None:
        self._store = store
        self._plan = plan
        self._guidance = guidance
        self._threads = threads
        self._cancel = cancel
        self._inside: NDArray[np.bool_] | None = None
        self._graph: _engine.RegionGraph | None = None

    def build(self) -> None:
        """Make the graph; put the number of each region, and the sums.

        Raises:
            StoreError: a tile is missing or damaged, or the store cannot be written.
            InvalidImage: there are too many base regions.
            InvalidParameter: the mask has no pixel inside.
            ValueError: the tiles do not fit together.
        """
        self._graph = self._counted_graph(self._number())
        self._graph.seal()
        self._add_tiles(self._graph, None if self._inside is None else numbers_inside(self._inside))

    def merge(self) -> tuple[NDArray[np.int32], int | None]:
        """Merge, once.

        Returns:
            The rows of the merges, and `prior_components`.
        """
        graph, self._graph = self._graph, None
        assert graph is not None, "build comes first"  # noqa: S101
        workspace = _engine.Workspace(threads=self._threads, kept_bytes=0)
        rows, components = graph.merge(
            self._plan.params.compactness, self._plan.step, workspace, self._cancel
        )
        if self._inside is not None and not self._inside.all():
            rows, early = _engine.merges_inside(rows, self._inside, len(rows) + 1 - (components or 1))
            return rows, len(rows) + 1 - early
        # One component of a prior is the whole image: the map has no effect.
        return rows, None if components == 1 else components

    def _number(self) -> NDArray[np.int64]:
        """The first pixels of all base regions, ascending: their ranks are the base regions' numbers."""
        parts = []
        for tile in self._plan:
            if self._cancel is not None:
                self._cancel.begin_step()
            found = self._tile(tile)
            first, owned = found["first"], found["owned"]
            if owned.size and not 0 <= owned.min() <= owned.max() < len(first):
                raise StoreError(f"store: tile {tile} is damaged")
            parts.append(first[owned])
        numbered = np.concatenate(parts)
        del parts
        if len(numbered) > _MAX_REGIONS:
            raise InvalidImage(f"source: has {len(numbered)} base regions, more than {_MAX_REGIONS}")
        numbered.sort()
        return numbered

    def _counted_graph(self, first: NDArray[np.int64]) -> _engine.RegionGraph:
        """The graph with room for all edges."""
        graph = _engine.RegionGraph(len(first), self._guidance.weighted, self._guidance.hard)
        sums = np.zeros((len(first), 4), np.int32)
        inside = np.zeros(len(first), np.bool_) if self._guidance.masked else None

        def count(tile: Tile) -> None:
            found = self._tile(tile)
            ids = _engine.ranks(first, found["first"])
            with writing(f"tile {tile}"):
                self._store.put("ids", tile, ids)
            owned = ids[found["owned"]]
            sums[owned] = found["sums"]
            if inside is not None:
                inside[owned] = found["prior"] != 0
            graph.count(ids, **_parts(found))

        in_threads(self._threads, self._plan, count, self._cancel)
        if inside is not None and not inside.any():
            raise InvalidParameter("mask", "has no pixel inside")
        self._inside = inside
        with writing("the sums of the regions"):
            self._store.put("sums", None, sums if inside is None else sums[inside])
        return graph

    def _add_tiles(self, graph: _engine.RegionGraph, number: NDArray[np.int32] | None) -> None:
        """Add all tiles to the graph, and give the regions other numbers in the store."""

        def add(tile: Tile) -> None:
            ids = self._store.get("ids", tile)
            if ids is None:
                raise StoreError(f"store: the ids of tile {tile} are gone")
            graph.add(ids, **_parts(self._tile(tile)))
            if number is not None:
                with writing(f"tile {tile}"):
                    self._store.put("ids", tile, number[ids])

        in_threads(self._threads, self._plan, add, self._cancel)

    def _tile(self, tile: Tile) -> dict[str, Any]:
        found = graph_of(self._store, tile)
        if found is None or (self._guidance.hard and found["prior"] is None):
            raise StoreError(f"store: tile {tile} is missing or damaged")
        return found


def graph_of(store: TileStore, tile: Tile) -> dict[str, Any] | None:
    """The `graph` of a tile, unpacked; None if it is missing or damaged.

    Raises:
        StoreError: the store cannot be read.
    """
    try:
        graph = store.get("graph", tile)
    except OSError as error:
        raise StoreError(f"store: tile {tile} cannot be read: {error}") from error
    return None if graph is None else unpack(graph)


def _parts(graph: dict[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in graph.items() if name not in ("check", "first")}
