"""Calls the tiled engine on the image of a store."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels import tiled
from superpixel_service.large.source import Window, slices


@dataclass(frozen=True, slots=True)
class GuidanceFiles:
    """The maps that superpixels follow besides the colours, by address; empty: none."""

    def record(self) -> dict[str, Any] | None:
        """What identifies the guidance; None: there is none."""
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The base regions of an image, and their merges.

    Attributes:
        base_count: number of base regions.
        merges: (base_count - 1,) of `superpixel_kernels.MERGE_DTYPE`.
        base: gives the base region of each pixel of a window.
    """

    base_count: int
    merges: NDArray[np.void]
    base: Callable[[Window], NDArray[np.integer]]


def segment_image(
    image: Any,
    *,
    fingerprint: str,
    compactness: float,
    tile: int,
    work: Path,
    threads: int,
    progress: Callable[[int, int], None],
    stopped: Callable[[], bool],
) -> Result:
    """Segment an image of planes, (3, height, width) uint8.

    Raises:
        superpixel_kernels.errors.KernelError: the engine cannot read or write its files.
        superpixel_kernels.errors.Cancelled: `stopped` was true.
    """
    source = _Planes(image, fingerprint)
    cancel = kernels.CancelToken()
    params = kernels.SegmentParams(compactness)

    def seen(done: int, total: int) -> None:
        progress(done, total)
        if stopped():
            cancel.cancel()

    run = getattr(tiled, "segment_tiled", None)
    if run is None:
        pixels = source.read((0, source.shape[0], 0, source.shape[1]))
        whole = kernels.segment(pixels, params, threads=threads, cancel=cancel)
        return Result(whole.base_count, whole.merges, lambda window: whole.base_labels[slices(window)])
    found = run(source, params, tile=tile, store=work, threads=threads, cancel=cancel, progress=seen)
    base = found.cut(found.base_count)
    return Result(found.base_count, found.merges, lambda window: base[slices(window)])


class _Planes:
    """An image of planes as the engine reads it. Threads may share it."""

    thread_safe = True

    def __init__(self, planes: Any, fingerprint: str) -> None:
        self._planes = planes
        self.fingerprint = fingerprint
        self.shape: tuple[int, int, int] = (planes.shape[1], planes.shape[2], 3)
        self.dtype = np.dtype(np.uint8)

    def read(self, window: tiled.Window) -> NDArray[np.uint8]:
        """The pixels of rows y0 to y1 - 1 and columns x0 to x1 - 1."""
        y0, y1, x0, x1 = window
        return np.ascontiguousarray(np.asarray(self._planes[:, y0:y1, x0:x1]).transpose(1, 2, 0))
