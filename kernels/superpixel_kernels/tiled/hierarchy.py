"""The result of a tiled run: nested superpixels, of which any window can be read."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_kernels.codec import OUTSIDE
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidParameter, StoreError
from superpixel_kernels.hierarchy import as_merges, checked_count
from superpixel_kernels.params import SegmentParams
from superpixel_kernels.tiled.plan import TilePlan
from superpixel_kernels.tiled.store import FORMAT, Tile, TileStore, Window, as_store

# Tiles whose tables stay in memory, for windows that move. The table of a tile of 2048 takes 0.5 MB.
_KEPT_TABLES = 64


class TiledHierarchy:
    """Nested superpixels of a large image, with any count up to the base regions.

    Label maps are read from the store window by window; with a mask, they have `OUTSIDE` at the pixels
    outside. Threads may use a hierarchy at the same time.

    Attributes:
        shape: (height, width) of the image.
        base_count: number of base regions; cuts have at most as many superpixels.
        merges: (base_count - 1,) of `MERGE_DTYPE`, as in `Hierarchy`.
        params: the parameters of the segmentation.
        prior_components: as in `Hierarchy`.
        plan: the tiles.
        store: where the tiles are.
    """

    def __init__(self, store: TileStore, state: dict[str, Any], merges: NDArray[np.void]) -> None:
        merges.flags.writeable = False
        height, width = state["shape"]
        self.plan = TilePlan(
            SegmentParams(state["compactness"]), height, width, state["channels"], state["tile"]
        )
        self.shape: tuple[int, int] = (self.plan.height, self.plan.width)
        self.base_count = len(merges) + 1
        self.merges = merges
        self.params = self.plan.params
        self.prior_components: int | None = state["prior_components"]
        self.store = store
        self._ids: OrderedDict[Tile, NDArray[np.int32]] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<TiledHierarchy {width}x{height}, {self.base_count} base regions, {len(self.plan)} tiles>"

    @property
    def base_labels(self) -> "TiledLabels":
        """The base regions: (height, width) int32, 0..base_count-1, read window by window."""
        return TiledLabels(self, None, self.base_count)

    def cut(self, count: int) -> "TiledLabels":
        """The label map with exactly `count` superpixels, equal to that of `Hierarchy.cut`.

        Args:
            count: 1 to `base_count`.

        Returns:
            (height, width) int32, read window by window: `hierarchy.cut(400)[y0:y1, x0:x1]`.

        Raises:
            InvalidParameter: count is not an integer in range.
        """
        return TiledLabels(self, self.labels_of_base(count), count)

    def labels_of_base(self, count: int) -> NDArray[np.int32]:
        """(base_count,) int32: the superpixel of each base region in the cut at `count`.

        Raises:
            InvalidParameter: count is not an integer in range.
        """
        count = self._checked("count", count)
        rows = self.merges.view(np.int32).reshape(-1, 4)
        return _engine.label_nodes(self.base_count, rows, self.base_count - count)

    def lut(self, fine: int, coarse: int) -> NDArray[np.int32]:
        """For each superpixel of the `fine` cut, that of the `coarse` cut which contains it: (fine,) int32.

        Raises:
            InvalidParameter: a count is not an integer in range, or coarse is above fine.
        """
        if self._checked("coarse", coarse) > self._checked("fine", fine):
            raise InvalidParameter("coarse", f"must be at most fine, {fine}, got {coarse}")
        lut = np.empty(fine, np.int32)
        lut[self.labels_of_base(fine)] = self.labels_of_base(coarse)
        return lut

    def tree(self, count: int) -> codec.Tree:
        """The merges from the cut at `count` down to one region, in terms of that cut's labels.

        Raises:
            InvalidParameter: count is not an integer in range.
        """
        labels = self.labels_of_base(count)
        left = self.merges[self.base_count - count :]
        into, order = _engine.tree(labels[left["a"]], labels[left["b"]])
        return codec.Tree(into=into, order=order)

    def heights(self, count: int) -> NDArray[np.float32]:
        """The heights of the merges from the cut at `count` down to one region: (count - 1,) float32.

        Raises:
            InvalidParameter: count is not an integer in range.
        """
        return np.ascontiguousarray(self.merges["height"][self.base_count - self._checked("count", count) :])

    def areas(self, count: int) -> NDArray[np.int64]:
        """The pixels of each superpixel of the cut at `count`: (count,) int64.

        Raises:
            InvalidParameter: count is not an integer in range.
            StoreError: the store cannot be read.
        """
        labels = self.labels_of_base(count)
        sums = self.store.get("sums", None)
        if sums is None or sums.shape != (self.base_count, 4):
            raise StoreError("store: the sums of the regions are missing or damaged")
        # Sums of doubles below 2^53 are exact.
        return np.bincount(labels, weights=sums[:, 0], minlength=count).astype(np.int64)

    def ids(self, tile: Tile) -> NDArray[np.int32]:
        """(L,) int32: the base region of each local region of a tile.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._lock:
            if (kept := self._ids.get(tile)) is not None:
                self._ids.move_to_end(tile)
                return kept
        found = self._get("ids", tile, None)
        with self._lock:
            self._ids[tile] = found
            while len(self._ids) > _KEPT_TABLES:
                self._ids.popitem(last=False)
        return found

    def local_labels(self, tile: Tile, window: Window) -> NDArray[np.int32]:
        """The local regions of a window, which is counted from the tile's own first pixel.

        Raises:
            StoreError: the store cannot be read.
        """
        return self._get("labels", tile, window)

    def _get(self, name: str, tile: Tile, window: Window | None) -> NDArray[np.int32]:
        try:
            found = self.store.get(name, tile, window)
        except OSError as error:
            raise StoreError(f"store: the {name} of tile {tile} cannot be read: {error}") from error
        if found is None or found.dtype != np.int32:
            raise StoreError(f"store: the {name} of tile {tile} are missing or damaged")
        if window is not None and found.shape != (window[1] - window[0], window[3] - window[2]):
            raise StoreError(f"store: the {name} of tile {tile} are damaged")
        return found

    def _checked(self, name: str, count: int) -> int:
        return checked_count(name, count, self.base_count, "base regions")


class TiledLabels:
    """A label map that is read window by window: `labels[y0:y1, x0:x1]` is an int32 array.

    Slices follow NumPy, with step 1 only.

    Attributes:
        shape: (height, width).
        dtype: int32.
        ndim: 2.
        count: number of labels.
    """

    dtype = np.dtype(np.int32)
    ndim = 2

    def __init__(self, hierarchy: TiledHierarchy, of_base: NDArray[np.int32] | None, count: int) -> None:
        self.shape = hierarchy.shape
        self.count = count
        self._hierarchy = hierarchy
        self._of_base = of_base

    def __repr__(self) -> str:
        return f"<TiledLabels {self.shape[1]}x{self.shape[0]}, {self.count} labels>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:, :], dtype)

    def __getitem__(self, key: slice | tuple[slice, slice]) -> NDArray[np.int32]:
        rows, columns = key if isinstance(key, tuple) and len(key) == 2 else (key, slice(None))
        y0, y1 = _range(rows, self.shape[0])
        x0, x1 = _range(columns, self.shape[1])
        out = np.empty((y1 - y0, x1 - x0), np.int32)
        if out.size == 0:
            return out
        side = self._hierarchy.plan.tile
        for row in range(y0 // side, (y1 - 1) // side + 1):
            for column in range(x0 // side, (x1 - 1) // side + 1):
                top, left = max(y0, row * side), max(x0, column * side)
                bottom, right = min(y1, (row + 1) * side), min(x1, (column + 1) * side)
                part = self._part((row, column), (top, bottom, left, right))
                out[top - y0 : bottom - y0, left - x0 : right - x0] = part
        return out

    def tiles(self) -> Iterator[tuple[Window, NDArray[np.int32]]]:
        """All tiles in raster order: the window of each, and its labels."""
        for tile in self._hierarchy.plan:
            window = self._hierarchy.plan.window(tile)
            yield window, self._part(tile, window)

    def _part(self, tile: Tile, window: Window) -> NDArray[np.int32]:
        """The labels of a window inside one tile."""
        y, _, x, _ = self._hierarchy.plan.window(tile)
        local = self._hierarchy.local_labels(
            tile, (window[0] - y, window[1] - y, window[2] - x, window[3] - x)
        )
        table = self._hierarchy.ids(tile)
        if self._of_base is not None:
            outside = table < 0
            table = self._of_base[table]
            table[outside] = OUTSIDE
        if int(local.min()) < 0 or int(local.max()) >= len(table):
            raise StoreError(f"store: the labels of tile {tile} are damaged")
        return _engine.lookup(table, np.ascontiguousarray(local), 1)


def open_tiled(store: object) -> TiledHierarchy:
    """Open the result of a run that is complete.

    Args:
        store: the path or the `TileStore` of the run.

    Raises:
        InvalidParameter: the store is neither a path nor a `TileStore`.
        StoreError: there is no complete run in it, or it is damaged.
    """
    store = as_store(store)
    state = store.read_state()
    if state is None:
        raise StoreError("store: has no run")
    if state.get("format") != FORMAT:
        raise StoreError(f"store: has format {state.get('format')!r}, and this version reads format {FORMAT}")
    base_count = state.get("base_count")
    if base_count is None:
        raise StoreError(
            "store: the run is not complete; call segment_tiled with the same arguments to go on"
        )
    rows = store.get("merges", None)
    if rows is None or rows.dtype != np.int32 or rows.shape != (base_count - 1, 4):
        raise StoreError("store: the merges are missing or damaged")
    try:
        return TiledHierarchy(store, state, as_merges(rows))
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"store: the state is damaged: {error}") from error


def _range(key: object, side: int) -> tuple[int, int]:
    if not isinstance(key, slice):
        raise InvalidParameter("key", f"must be slices of rows and columns, got {key!r}")
    begin, end, step = key.indices(side)
    if step != 1:
        raise InvalidParameter("key", f"slices must have step 1, got {step}")
    return begin, max(begin, end)
