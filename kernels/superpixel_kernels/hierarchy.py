"""The result of a segmentation: nested superpixels, in any count."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from superpixel_kernels import codec
from superpixel_kernels.cpu import _engine
from superpixel_kernels.errors import InvalidParameter
from superpixel_kernels.params import ALGORITHM_VERSION, SegmentParams

MERGE_DTYPE = np.dtype([("height", "<f4"), ("round", "<i4"), ("a", "<i4"), ("b", "<i4")])
"""One merge: its height (the cost, but at least the heights of earlier merges in the two regions), its round,
and the two regions a < b, each named by its smallest base region (`pixel_merges`: by its first pixel)."""


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The nodes of a cut: base regions or, for counts above the base, pixels."""

    labels: NDArray[np.int32]  # (nodes,): the label of each node at this count
    is_pixels: bool


class Hierarchy:
    """Nested superpixels of one image: any count from 1 to the number of pixels.

    A larger count only adds borders to a smaller one. Threads may use a hierarchy at the same time. It can be
    pickled and copied; the copy has the pixels and computes pixel merges, if it needs them, on the CPU.

    Attributes:
        shape: (height, width) of the image.
        base_count: number of base regions. Counts up to it take about a millisecond per megapixel. Counts
            above it need the merges of the pixels, which are computed on first use: about a second per
            megapixel on one core, and 300 bytes of memory per pixel during that time.
        base_labels: (height, width) int32, 0..base_count-1, read-only: the base regions.
        merges: (base_count - 1,) of `MERGE_DTYPE`, read-only, sorted by (height, round, a, b). Uniting a and
            b for the first base_count - K of them leaves exactly K superpixels. With a hard prior these are
            two lists, each sorted: the second one begins at K = prior_components.
        params: the parameters of the segmentation.
        backend: the engine that was used, "cpu" or "cuda".
        algorithm_version: the same image, compactness, guidance and versions give the same hierarchy.
        prior_components: with a hard prior, the number of 4-connected components of equal prior label, which
            are the superpixels at that count; otherwise None.
        timings: seconds of each stage; "cut" is the sum over all calls.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8] | Callable[[], NDArray[np.uint8]],
        base_labels: NDArray[np.int32],
        merges: NDArray[np.void],
        params: SegmentParams,
        *,
        backend: str,
        threads: int,
        timings: dict[str, float],
        make_pixel_merges: Callable[[_engine.CancelToken | None], NDArray[np.int32]],
        prior_components: int | None = None,
    ) -> None:
        base_labels.flags.writeable = False
        merges.flags.writeable = False
        self.shape: tuple[int, int] = (base_labels.shape[0], base_labels.shape[1])
        self.base_count = len(merges) + 1
        self.base_labels = base_labels
        self.merges = merges
        self.params = params
        self.backend = backend
        self.prior_components = prior_components
        self.algorithm_version = ALGORITHM_VERSION
        self.timings = {**timings, "cut": 0.0}
        self._pixels = pixels
        self._threads = threads
        self._make_pixel_merges = make_pixel_merges
        self._pixel_merges: NDArray[np.void] | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            pixel_merges = self._pixel_merges
        return {
            "algorithm_version": self.algorithm_version,
            "pixels": self._host_pixels(),
            "base_labels": self.base_labels,
            "merges": self.merges,
            "params": self.params,
            "backend": self.backend,
            "threads": self._threads,
            "timings": dict(self.timings),
            "prior_components": self.prior_components,
            "pixel_merges": pixel_merges,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state["algorithm_version"] != ALGORITHM_VERSION:
            raise InvalidParameter(
                "algorithm_version",
                f"must be {ALGORITHM_VERSION}, the hierarchy was made with {state['algorithm_version']}",
            )
        pixels, base_labels, params = state["pixels"], state["base_labels"], state["params"]
        threads, timings = state["threads"], state["timings"]
        pixels.flags.writeable = False

        def make_pixel_merges(cancel: _engine.CancelToken | None) -> NDArray[np.int32]:
            return pixel_merges_on_cpu(pixels, base_labels, params.compactness, threads, cancel)

        self.__init__(  # type: ignore[misc]  # gives the attributes that a pickle does not have
            pixels,
            base_labels,
            state["merges"],
            params,
            backend=state["backend"],
            threads=threads,
            timings=timings,
            make_pixel_merges=make_pixel_merges,
            prior_components=state["prior_components"],
        )
        self.timings["cut"] = timings["cut"]
        self._pixel_merges = state["pixel_merges"]
        if self._pixel_merges is not None:
            self._pixel_merges.flags.writeable = False

    def __repr__(self) -> str:
        height, width = self.shape
        return f"<Hierarchy {width}x{height}, {self.base_count} base regions, {self.backend}>"

    def cut(self, count: int, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.int32]:
        """The label map with exactly `count` superpixels.

        Args:
            count: 1 to the number of pixels.
            cancel: stops or pauses the computation of the pixel merges (only for counts above the base).

        Returns:
            (height, width) int32, labels 0..count-1 in raster order of first appearance, each 4-connected.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was cancelled.
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
        """For each superpixel of the `fine` cut, the superpixel of the `coarse` cut that contains it.

        Returns:
            (fine,) int32: `cut(coarse) == lut(fine, coarse)[cut(fine)]` in every pixel.

        Raises:
            InvalidParameter: a count is not an integer in range, or coarse is above fine.
            Cancelled: `cancel` was cancelled.
        """
        fine = self._checked_count("fine", fine)
        coarse = self._checked_count("coarse", coarse)
        if coarse > fine:
            raise InvalidParameter("coarse", f"must be at most fine, {fine}, got {coarse}")
        of_fine = self._nodes(fine, cancel)
        of_coarse = self._nodes(coarse, cancel)
        coarse_labels = of_coarse.labels
        if of_fine.is_pixels and not of_coarse.is_pixels:
            coarse_labels = coarse_labels[self._base_of_pixels()]
        lut = np.empty(fine, np.int32)
        lut[of_fine.labels] = coarse_labels
        return lut

    def tree(self, count: int, *, cancel: _engine.CancelToken | None = None) -> codec.Tree:
        """The merges from the cut at `count` down to one region, in terms of that cut's labels.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was cancelled.
        """
        count = self._checked_count("count", count)
        nodes = self._nodes(count, cancel)
        a, b = self._label_pairs(nodes, count)
        into, order = _engine.tree(nodes.labels[a], nodes.labels[b])
        return codec.Tree(into=into, order=order)

    def heights(self, count: int, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.float32]:
        """The heights of the merges from the cut at `count` down to one region, in order.

        Returns:
            (count - 1,) float32. They never decrease, except from the last merge of pixels to the first of
            base regions, and with a hard prior from the last merge inside its components to the first between
            them.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was cancelled.
        """
        count = self._checked_count("count", count)
        heights = self.merges["height"][max(self.base_count - count, 0) :]
        if count > self.base_count:
            pixel_heights = self.pixel_merges(cancel=cancel)["height"][self._pixel_count - count :]
            heights = np.concatenate([pixel_heights, heights])
        return np.ascontiguousarray(heights)

    def regions(self, count: int, *, cancel: _engine.CancelToken | None = None) -> codec.Regions:
        """Area, bounding box, centroid, mean colour and neighbours of each superpixel of the cut at `count`.

        Colours are means of the sRGB bytes that were segmented: composited on white if there was alpha; with
        three equal channels if the image was gray.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was cancelled.
        """
        return codec.measure_regions(self.cut(count, cancel=cancel), self._rgb())

    def adjacency(self, count: int, *, cancel: _engine.CancelToken | None = None) -> codec.Adjacency:
        """The neighbours in the cut at `count`, with the length and the contrast of their borders.

        The contrast is in sRGB bytes, as segmented.

        Raises:
            InvalidParameter: count is not an integer in range.
            Cancelled: `cancel` was cancelled.
        """
        return codec.measure_adjacency(self.cut(count, cancel=cancel), self._rgb())

    def pool(
        self,
        count: int,
        values: ArrayLike,
        how: codec.How = "mean",
        *,
        cancel: _engine.CancelToken | None = None,
    ) -> NDArray[Any]:
        """Pool values per pixel over the superpixels of the cut at `count`; see `pool`.

        Raises:
            InvalidParameter: count is not an integer in range, or the values do not fit.
            Cancelled: `cancel` was cancelled.
        """
        return codec.pool(self.cut(count, cancel=cancel), values, how)

    def encode(
        self,
        count: int,
        *,
        include_hierarchy: bool = False,
        include_regions: bool = False,
        levels: Sequence[int] = (),
        provenance: codec.Provenance | None = None,
        cancel: _engine.CancelToken | None = None,
    ) -> bytes:
        """The cut at `count` as an SPXL label map (docs/label-map.md).

        Args:
            count: 1 to the number of pixels.
            include_hierarchy: add the whole tree, with heights, so that a reader can cut any coarser count.
            include_regions: add the measurements of the regions that `regions` returns.
            levels: counts of coarser levels to add, decreasing, each below `count`. Not used with
                `include_hierarchy`.
            provenance: what the map was made from, to be stored with it; None: nothing is stored.
            cancel: stops or pauses the computation of the pixel merges (only for counts above the base).

        Raises:
            InvalidParameter: a count is not an integer in range, or levels are out of order.
            Cancelled: `cancel` was cancelled.
        """
        labels = self.cut(count, cancel=cancel)
        tree = self.tree(count, cancel=cancel) if include_hierarchy or levels else None
        return codec.encode(
            labels,
            tree=tree,
            levels=levels if levels and not include_hierarchy else None,
            heights=self.heights(count, cancel=cancel) if include_hierarchy else None,
            regions=codec.measure_regions(labels, self._rgb()) if include_regions else None,
            provenance=provenance,
            connected=self._is_connected(count),
        )

    def pixel_merges(self, *, cancel: _engine.CancelToken | None = None) -> NDArray[np.void]:
        """The merges of pixels into base regions; computed on first use, then kept.

        Returns:
            (pixels - base_count,) of `MERGE_DTYPE`, sorted like `merges`. All of `merges` come after them.

        Raises:
            Cancelled: `cancel` was cancelled.
        """
        with self._lock:
            if self._pixel_merges is None:
                self._pixel_merges = as_merges(self._make_pixel_merges(cancel))
                self._pixel_merges.flags.writeable = False
            return self._pixel_merges

    def _is_connected(self, count: int) -> bool:  # noqa: ARG002
        """Whether each superpixel of the cut at `count` is one 4-connected region."""
        return True

    def _rgb(self) -> NDArray[np.uint8]:
        return np.broadcast_to(self._host_pixels(), (*self.shape, 3))

    def _host_pixels(self) -> NDArray[np.uint8]:
        return self._pixels() if callable(self._pixels) else self._pixels

    def _base_of_pixels(self) -> NDArray[np.int32]:
        """(pixels,): the base region of each pixel that has one."""
        return self.base_labels.ravel()

    @property
    def _pixel_count(self) -> int:
        return self.shape[0] * self.shape[1]

    def _checked_count(self, name: str, count: int) -> int:
        return checked_count(name, count, self._pixel_count, "pixels")

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
        """The two nodes of each merge after the cut at `count`."""
        if not nodes.is_pixels:
            left = self.merges[self.base_count - count :]
            return left["a"], left["b"]
        # Identifies base regions by their first pixels: assigned in reverse, so the first pixel is written
        # last.
        first_pixel = np.empty(self.base_count, np.int32)
        first_pixel[self._base_of_pixels()[::-1]] = np.arange(self._pixel_count - 1, -1, -1, dtype=np.int32)
        left = self.pixel_merges()[self._pixel_count - count :]
        return (
            np.concatenate([left["a"], first_pixel[self.merges["a"]]]),
            np.concatenate([left["b"], first_pixel[self.merges["b"]]]),
        )


def tree_of_merges(a: NDArray[np.integer], b: NDArray[np.integer]) -> codec.Tree:
    """The tree of a label map from its merges.

    Args:
        a: (count - 1,) integers: a label, 0..count-1, of one of the two components that each merge joins.
        b: (count - 1,) integers: a label of the other one.

    Raises:
        InvalidParameter: the merges do not join all labels, each time two components.
    """
    try:
        into, order = _engine.tree(np.ascontiguousarray(a, np.int32), np.ascontiguousarray(b, np.int32))
    except ValueError as error:
        raise InvalidParameter("a", f"with b, must join all labels: {error}") from None
    return codec.Tree(into=into, order=order)


def checked_count(name: str, count: int, most: int, unit: str) -> int:
    """A number of superpixels as an int.

    Raises:
        InvalidParameter: it is not an integer from 1 to `most`, the number of `unit`.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise InvalidParameter(name, f"must be an integer, got {type(count).__name__}")
    if not 1 <= count <= most:
        raise InvalidParameter(name, f"must be from 1 to {most} ({unit}), got {count}")
    return int(count)


def pixel_merges_on_cpu(
    pixels: NDArray[np.uint8],
    base_labels: NDArray[np.int32],
    compactness: float,
    threads: int,
    cancel: _engine.CancelToken | None,
) -> NDArray[np.int32]:
    """The merges of pixels into base regions, (M, 4) int32, computed by the C++ engine."""
    # In a temporary workspace: the caller's may be in use by then, and would keep the memory.
    workspace = _engine.Workspace(threads=threads, kept_bytes=0)
    return _engine.pixel_merges(pixels, base_labels, compactness, workspace, cancel)


def as_merges(rows: NDArray[np.int32]) -> NDArray[np.void]:
    """View (M, 4) int32 rows, as the engines return them, as (M,) of `MERGE_DTYPE`."""
    return rows.view(MERGE_DTYPE).reshape(-1)


def _rows(merges: NDArray[np.void]) -> NDArray[np.int32]:
    return merges.view(np.int32).reshape(-1, 4)
