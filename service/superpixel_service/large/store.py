"""Reads a store: windows of its image as label maps, and its regions by global id."""

import io
import operator
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from superpixel_kernels import codec
from superpixel_kernels.codec import NO_REGION
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.layout import BASE, IMAGE, REGION_ARRAYS, TREE_ARRAYS, StoreInfo, read_info
from superpixel_service.large.numbering import Numbering, number_labels, number_nodes
from superpixel_service.large.source import Window, check_window, slices
from superpixel_service.large.tree import Ids, Tree
from superpixel_service.large.window_tree import window_tree
from superpixel_service.large.zarr_store import failures_of, open_group

SCREEN_PIXELS = 64
"""Pixels of a region on a screen, on average, at the count that a window has by default."""

MAX_TABLE = 1 << 22
"""Base regions up to which the regions of a count are kept in memory for the next window of that count."""

_TABLES = 3
"""Counts whose regions are kept."""

MAX_WINDOW_PIXELS = 1 << 24
"""Largest window, in pixels of its level."""


@dataclass(frozen=True, slots=True, eq=False)
class StoreRegions:
    """Measurements of regions of the whole image, in its pixels.

    Attributes:
        ids: (n,) uint32, global ids.
        area: (n,) uint64, pixels.
        box: (n, 4) uint32: x0, y0, x1, y1; x1 and y1 lie one past the region.
        centroid: (n, 2) float64: x, y; pixel x is at coordinate x.
        mean_color: (n, 3) uint8: mean of the sRGB bytes that were segmented, rounded half up.
    """

    ids: Ids
    area: NDArray[np.uint64]
    box: NDArray[np.uint32]
    centroid: NDArray[np.float64]
    mean_color: NDArray[np.uint8]


class Store:
    """A complete store, opened for reading. Threads may share it.

    Args:
        address: a folder, or a URL that fsspec knows.

    Attributes:
        address: as given.
        info: what the store says about itself.

    Raises:
        LargeFailed: there is no store, it is half written, damaged or of another version.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._group, self.info = _opened(address)
        self._levels: dict[str, Any] = {}
        self._tables: dict[int, Ids] = {}  # by count, the least recently used first
        self._lock = threading.Lock()

    def check_present(self) -> None:
        """Check that the store is still there, and still the one that was opened.

        Zarr reads a file that is gone as an empty part of the image, so check after reading as well.

        Raises:
            LargeFailed: it is gone, replaced, or cannot be read.
        """
        _, info = _opened(self.address)
        if info != self.info:
            raise LargeFailed(f"{self.address}: has been replaced", kind="replaced")

    def window(
        self,
        x: int,
        y: int,
        width: int,
        height: int,
        *,
        scale: int = 1,
        count: int | None = None,
        include_hierarchy: bool = True,
        include_regions: bool = False,
    ) -> bytes:
        """A window of the image as an SPXL label map, with the global ids of its regions (section `gids`).

        Windows agree with each other: each shows the cut of the whole image at `count`.

        Args:
            x: first column of the window, in pixels of the level.
            y: its first row.
            width: its columns.
            height: its rows.
            scale: one of `info.scales`: pixels of the image per pixel of the level, along each side. A pixel
                of the level has the region of one pixel of the image.
            count: number of superpixels of the whole image, 1 to the base count; None: `count_for(scale)`.
            include_hierarchy: add the merges between the regions of the window, with heights.
            include_regions: add what `codec.measure_regions` finds in the window.

        Raises:
            LargeFailed: the window is not inside the level or too large, there is no such scale or count, or
                the store cannot be read.
        """
        info = self.info
        if count is None:
            count = self.count_for(scale)
        elif not 1 <= count <= info.base_count:
            raise LargeFailed(f"count: must be from 1 to {info.base_count}, got {count}", usage=True)
        window = Window(x, y, width, height)
        base = self.base(window, scale)
        numbering = self._numbered(base, count)
        tree = heights = regions = None
        if include_hierarchy:
            tree, heights = window_tree(self.tree, numbering.ids)
        if include_regions:
            regions = codec.measure_regions(numbering.labels, self.pixels(window, scale))
        provenance = codec.Provenance(
            compactness=info.compactness,
            position=(x, y),
            picture_size=info.level_size(scale),
            image_sha256=info.source_sha256,
        )
        return codec.encode(
            numbering.labels,
            tree=tree,
            heights=heights,
            regions=regions,
            provenance=provenance,
            global_ids=codec.GlobalIds(scale, numbering.ids),
            connected=False,
            algorithm_version=info.algorithm_version,
        )

    def count_for(self, scale: int, pixels: int = SCREEN_PIXELS) -> int:
        """The count whose regions have about `pixels` pixels of a level on average, if it has so many."""
        width, height = self.info.level_size(scale)
        return max(1, min(self.info.base_count, width * height // pixels))

    def pixels(self, window: Window, scale: int = 1) -> NDArray[np.uint8]:
        """The image as it was segmented: (height, width, 3) uint8, sRGB. Arguments as for `window`."""
        planes = self._read(IMAGE, scale, window)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))

    def png(self, window: Window, scale: int = 1) -> bytes:
        """`pixels` as a PNG file."""
        file = io.BytesIO()
        Image.fromarray(self.pixels(window, scale)).save(file, "PNG", compress_level=1)
        return file.getvalue()

    def base(self, window: Window, scale: int = 1) -> Ids:
        """The base region of each pixel: (height, width) uint32. Arguments as for `window`."""
        found: Ids = self._read(BASE, scale, window)
        return found

    def nodes(self, window: Window, count: int, scale: int = 1) -> Ids:
        """The global id of the region of each pixel at a count: (height, width) uint32."""
        numbering = self._numbered(self.base(window, scale), count)
        return numbering.ids[numbering.labels]

    def members(self, ids: Iterable[int]) -> Ids:
        """The base regions of these regions, ascending, each once.

        Raises:
            LargeFailed: an id is not that of a region.
        """
        parts = [self.tree.members(self._checked(id_)) for id_ in ids]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, np.uint32)

    def regions(self, ids: Iterable[int]) -> StoreRegions:
        """Measure regions by global id.

        Raises:
            LargeFailed: an id is not that of a region.
        """
        nodes = np.array([self._checked(id_) for id_ in ids], np.uint32)
        if not nodes.size:
            return self.measured([], nodes)
        return self.measured([self.tree.members(int(node)) for node in nodes], nodes)

    def regions_at(self, count: int) -> StoreRegions:
        """Measure all regions of a count, in the order of their least base regions."""
        _, ids = self.tree.numbered(count)
        return self.measured([self.tree.members(int(node)) for node in ids], ids)

    def measured(self, members: list[Ids], ids: Ids) -> StoreRegions:
        """Measure sets of base regions, none of them empty."""
        if not members:
            none = np.zeros((0, 4), np.uint32)
            return StoreRegions(
                ids, np.zeros(0, np.uint64), none, np.zeros((0, 2)), np.zeros((0, 3), np.uint8)
            )
        base = np.concatenate(members)
        starts = np.concatenate([[0], np.cumsum([len(each) for each in members])[:-1]])
        measures = self._measures
        area = np.add.reduceat(measures["area"][base].astype(np.uint64), starts)
        box = measures["box"][base]
        low = np.minimum.reduceat(box[:, :2], starts, axis=0)
        high = np.maximum.reduceat(box[:, 2:], starts, axis=0)
        position = np.add.reduceat(measures["position_sum"][base], starts, axis=0)
        color = np.add.reduceat(measures["color_sum"][base].astype(np.uint64), starts, axis=0)
        some = np.maximum(area, 1)[:, None]
        return StoreRegions(
            ids=ids,
            area=area,
            box=np.concatenate([low, high], axis=1).astype(np.uint32),
            centroid=position / some,
            mean_color=((2 * color + some) // (2 * some)).astype(np.uint8),
        )

    @cached_property
    def tree(self) -> Tree:
        """The merge tree; read on first use, then kept: 24 bytes per base region."""
        with failures_of(self.address):
            arrays = {name: self._group[path][:] for name, path in TREE_ARRAYS.items()}
        count = self.info.base_count
        sizes = {
            "parent": 2 * count - 1,
            "heights": count - 1,
            "leaves": count,
            "first_leaf": 2 * count - 1,
            "leaf_count": 2 * count - 1,
        }
        for name, size in sizes.items():
            if arrays[name].shape != (size,):
                raise LargeFailed(f"{self.address}: {TREE_ARRAYS[name]} has a wrong length", kind="damaged")
        return Tree(count, **arrays)

    def load_measures(self) -> None:
        """Read the measurements of the base regions; they are then kept: 48 bytes per base region."""
        _ = self._measures

    @cached_property
    def areas(self) -> NDArray[np.uint32]:
        """(base_count,): the pixels of each base region; read on first use, then kept."""
        with failures_of(self.address):
            found: NDArray[np.uint32] = self._group[REGION_ARRAYS["area"]][:]
        return found

    @cached_property
    def _measures(self) -> dict[str, Any]:
        with failures_of(self.address):
            return {name: self._group[path][:] for name, path in REGION_ARRAYS.items()}

    def _numbered(self, base: Ids, count: int) -> Numbering:
        if self.info.base_count <= MAX_TABLE:
            table = self._table(count)
            return number_nodes(table[np.minimum(base, self.info.base_count)], 2 * self.info.base_count)
        return number_labels(base, lambda ids: self.tree.at_count(ids, count))

    def _table(self, count: int) -> Ids:
        """The region of each base region at a count, and `NO_REGION` at the end."""
        with self._lock:
            found = self._tables.pop(count, None)
            if found is not None:
                self._tables[count] = found
                return found
        made = self.tree.at_count(np.arange(self.info.base_count, dtype=np.uint32), count)
        made = np.append(made, np.uint32(NO_REGION))
        with self._lock:
            self._tables[count] = made
            while len(self._tables) > _TABLES:
                del self._tables[next(iter(self._tables))]
        return made

    def _checked(self, id_: int) -> int:
        number = operator.index(id_)  # accepts NumPy's integers, rejects floats
        if not 0 <= number < 2 * self.info.base_count - 1:
            raise LargeFailed(
                f"region {id_}: the store has the regions 0 to {2 * self.info.base_count - 2}", usage=True
            )
        return number

    def _read(self, name: str, scale: int, window: Window) -> Any:
        if scale not in self.info.scales:
            raise LargeFailed(
                f"scale: must be one of {', '.join(map(str, self.info.scales))}; got {scale}", usage=True
            )
        width, height = self.info.level_size(scale)
        check_window(window, height, width)
        if window.width * window.height > MAX_WINDOW_PIXELS:
            raise LargeFailed(
                f"the window has {window.width} x {window.height} pixels; at most {MAX_WINDOW_PIXELS:,} are "
                "possible",
                usage=True,
            )
        with failures_of(self.address):
            array = self._level(f"{name}/{self.info.scales.index(scale)}")
            return array[(..., *slices(window))]

    def _level(self, path: str) -> Any:
        with self._lock:
            if path not in self._levels:
                self._levels[path] = self._group[path]
            return self._levels[path]


def _opened(address: str) -> tuple[Any, StoreInfo]:
    group = open_group(address, writable=False)
    with failures_of(address):
        attributes = dict(group.attrs)
    return group, read_info(address, attributes)
