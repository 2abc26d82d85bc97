"""The result of a segmentation: every count of superpixels, nested."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels import codec
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.params import ALGORITHM_VERSION, SegmentParams

MERGE_DTYPE = np.dtype([("height", "<f4"), ("round", "<i4"), ("a", "<i4"), ("b", "<i4")])
"""One merge: its height (the cost, never below that of the merges it builds on), the round that found it, and
the two regions joined, a < b, each named by its smallest base region (`pixel_merges`: by its first pixel)."""


@dataclass(frozen=True, slots=True)
class _Nodes:
    """What a count is cut from: base regions or, for counts above the base, pixels."""

    labels: NDArray[np.int32]  # (nodes,): the label of each node at this count
    is_pixels: bool


class Hierarchy:
    """Nested superpixels of one image: any count from 1 to the number of pixels.

    Of two counts the finer only adds borders. Safe to use from several threads.

    Attributes:
        shape: (height, width) of the image.
        base_count: number of base regions. Counts up to it cost about a millisecond a megapixel; counts above
            it need the merges of the pixels, made on first use: about a second a megapixel on one core, and
            300 bytes of memory a pixel meanwhile.
        base_labels: (height, width) int32, 0..base_count-1, read-only: the base regions.
        merges: (base_count - 1,) of `MERGE_DTYPE`, read-only, sorted by (height, round, a, b). Uniting a and
            b for the first base_count - K of them leaves exactly K superpixels.
        params: what the image was segmented with.
        backend: the engine that made it, "cpu" or "cuda".
        algorithm_version: hierarchies of one image, one compactness and one version are equal.
        timings: seconds spent in each stage; "cut" adds up over calls.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        base_labels: NDArray[np.int32],
        merges: NDArray[np.void],
        params: SegmentParams,
        *,
        backend: str,
        threads: int,
        timings: dict[str, float],
        make_pixel_merges: Callable[[_engine.CancelToken | None], NDArray[np.int32]],
    ) -> None:
        base_labels.flags.writeable = False
        merges.flags.writeable = False
        self.shape: tuple[int, int] = (base_labels.shape[0], base_labels.shape[1])
        self.base_count = len(merges) + 1
        self.base_labels = base_labels
        self.merges = merges
        self.params = params
        self.backend = backend
        self.algorithm_version = ALGORITHM_VERSION
        self.timings = {**timings, "cut": 0.0}
        self._pixels = pixels
        self._threads = threads
        self._make_pixel_merges = make_pixel_merges
        self._pixel_merges: NDArray[np.void] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<Hierarchy {width}x{height}, {self.base_count} base regions, {self.backend}>"

    def cut(self, count: int, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.int32]:
        """The label map with exactly `count` superpixels.

        Args:
            count: 1 to the number of pixels.
            cancel: stops the making of the pixel merges (counts above the base only).

        Returns:
            (height, width) int32, labels 0..count-1 in raster order of first appearance, each 4-connected.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was set.
        """
        nodes = self._nodes(self._checked_count("count", count), cancel)
        start = time.perf_counter()
        if nodes.is_pixels:
            labels = nodes.labels.reshape(self.shape)
        else:
            labels = _engine.lookup(nodes.labels, self.base_labels, self._threads)
        self.timings["cut"] += time.perf_counter() - start
        return labels

    def lut(self, fine: int, coarse: int, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.int32]:
        """Which superpixel of the `coarse` cut each superpixel of the `fine` cut lies in.

        Returns:
            (fine,) int32: `cut(coarse) == lut(fine, coarse)[cut(fine)]`, everywhere.

        Raises:
            InvalidParameter: a count is not an integer in range, or coarse is above fine.
            Cancelled: `cancel` was set.
        """
        fine = self._checked_count("fine", fine)
        coarse = self._checked_count("coarse", coarse)
        if coarse > fine:
            raise InvalidParameter("coarse", f"must be at most fine, {fine}, got {coarse}")
        of_fine = self._nodes(fine, cancel)
        of_coarse = self._nodes(coarse, cancel)
        coarse_labels = of_coarse.labels
        if of_fine.is_pixels and not of_coarse.is_pixels:
            coarse_labels = coarse_labels[self.base_labels.ravel()]
        lut = np.empty(fine, np.int32)
        lut[of_fine.labels] = coarse_labels
        return lut

    def tree(self, count: int, *, cancel: _engine.CancelToken | None = None) -> codec.Tree:
        """The merges from the cut at `count` down to one region, over that cut's labels.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was set.
        """
        count = self._checked_count("count", count)
        nodes = self._nodes(count, cancel)
        a, b = self._label_pairs(nodes, count)
        into, order = _engine.tree(nodes.labels[a], nodes.labels[b])
        return codec.Tree(into=into, order=order)

    def heights(self, count: int, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.float32]:
        """The heights of the merges from the cut at `count` down to one region, in their order.

        Returns:
            (count - 1,) float32. They never fall, but where the merges of pixels end (at base_count).

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was set.
        """
        count = self._checked_count("count", count)
        heights = self.merges["height"][max(self.base_count - count, 0) :]
        if count > self.base_count:
            pixel_heights = self.pixel_merges(cancel=cancel)["height"][self._pixel_count - count :]
            heights = np.concatenate([pixel_heights, heights])
        return np.ascontiguousarray(heights)

    def regions(self, count: int, *, cancel: _engine.CancelToken | None = None) -> codec.Regions:
        """Area, bounding box, centroid, mean colour and neighbours of each superpixel of the cut at `count`.

        Colours are means of the sRGB bytes that were segmented: composited on white; gray has three equal
        channels.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was set.
        """
        return self._measure(self.cut(count, cancel=cancel))

    def encode(
        self,
        count: int,
        *,
        include_hierarchy: bool = False,
        include_regions: bool = False,
        levels: Sequence[int] = (),
        cancel: _engine.CancelToken | None = None,
    ) -> bytes:
        """The cut at `count` as an SPXL label map (docs/label-map.md).

        Args:
            count: 1 to the number of pixels.
            include_hierarchy: add the whole tree above the map, with heights: a reader can cut any count.
            include_regions: add the measurements of the map's regions, as `regions` gives them.
            levels: else: counts of the coarser levels to add, falling, each below `count`.
            cancel: stops the making of the pixel merges (counts above the base only).

        Raises:
            InvalidParameter: a count is not an integer in range, or levels are out of order.
            Cancelled: `cancel` was set.
        """
        labels = self.cut(count, cancel=cancel)
        regions = self._measure(labels) if include_regions else None
        if include_hierarchy:
            tree, heights = self.tree(count, cancel=cancel), self.heights(count, cancel=cancel)
            return codec.encode(labels, tree=tree, heights=heights, regions=regions)
        if levels:
            tree = self.tree(count, cancel=cancel)
            return codec.encode(labels, tree=tree, levels=levels, regions=regions)
        return codec.encode(labels, regions=regions)

    def pixel_merges(self, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.void]:
        """The merges of pixels into base regions; made on first use, then kept.

        Returns:
            (pixels - base_count,) of `MERGE_DTYPE`, sorted like `merges`, all of which come after these.

        Raises:
            Cancelled: `cancel` was set.
        """
        with self._lock:
            if self._pixel_merges is None:
                self._pixel_merges = as_merges(self._make_pixel_merges(cancel))
                self._pixel_merges.flags.writeable = False
            return self._pixel_merges

    def _measure(self, labels: NDArray[np.int32]) -> codec.Regions:
        return codec.measure_regions(labels, np.broadcast_to(self._pixels, (*self.shape, 3)))

    @property
    def _pixel_count(self) -> int:
        return self.shape[0] * self.shape[1]

    def _checked_count(self, name: str, count: int) -> int:
        if isinstance(count, bool) or not isinstance(count, int | np.integer):
            raise InvalidParameter(name, f"must be an integer, got {type(count).__name__}")
        if not 1 <= count <= self._pixel_count:
            raise InvalidParameter(name, f"must be from 1 to {self._pixel_count} (pixels), got {count}")
        return int(count)

    def _nodes(self, count: int, cancel: _engine.CancelToken | None) -> _Nodes:
        if count > self.base_count:
            merges = self.pixel_merges(cancel=cancel)
            nodes = self._pixel_count
        else:
            merges, nodes = self.merges, self.base_count
        start = time.perf_counter()
        labels = _engine.label_nodes(nodes, _rows(merges), nodes - count)
        self.timings["cut"] += time.perf_counter() - start
        return _Nodes(labels, is_pixels=count > self.base_count)

    def _label_pairs(self, nodes: _Nodes, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The nodes that each merge after the cut at `count` joins."""
        if not nodes.is_pixels:
            left = self.merges[self.base_count - count :]
            return left["a"], left["b"]
        # Base regions are named by their first pixels: written last to first, the first one stays.
        first_pixel = np.empty(self.base_count, np.int32)
        first_pixel[self.base_labels.ravel()[::-1]] = np.arange(self._pixel_count - 1, -1, -1, dtype=np.int32)
        left = self.pixel_merges()[self._pixel_count - count :]
        return (
            np.concatenate([left["a"], first_pixel[self.merges["a"]]]),
            np.concatenate([left["b"], first_pixel[self.merges["b"]]]),
        )


def as_merges(rows: NDArray[np.int32]) -> NDArray[np.void]:
    """(M, 4) int32 rows, as the engines give them, as (M,) of `MERGE_DTYPE`."""
    return rows.view(MERGE_DTYPE).reshape(-1)


def _rows(merges: NDArray[np.void]) -> NDArray[np.int32]:
    return merges.view(np.int32).reshape(-1, 4)
