"""Calls the tiled engine on the image of a store."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import superpixel_kernels as kernels
from superpixel_kernels import tiled
from superpixel_kernels.guidance import DEFAULT_EDGE_WEIGHT, DEFAULT_PRIOR_WEIGHT
from superpixel_service.large.errors import LargeFailed
from superpixel_service.large.hashing import version_of
from superpixel_service.large.opening import open_source
from superpixel_service.large.source import PixelSource, Window, slices
from superpixel_service.large.stored_mask import StoredMask
from superpixel_service.large.zarr_store import failures_of

_TILES_SHARE = 1, 2
"""The engine's tiles take about this part of its time, as a numerator and a denominator."""


@dataclass(frozen=True, slots=True)
class GuidanceFiles:
    """The maps that superpixels follow besides the colours: sources of one band, by address; empty: none.

    Weights and mode are those of `superpixel_kernels.Guidance`.
    """

    edges: str = ""
    edge_weight: int = DEFAULT_EDGE_WEIGHT
    prior: str = ""
    prior_mode: Literal["soft", "hard"] = "soft"
    prior_weight: int = DEFAULT_PRIOR_WEIGHT
    importance: str = ""

    @property
    def is_hard(self) -> bool:
        """Whether superpixels never cross a border of the prior."""
        return self.prior_mode == "hard"

    def record(self) -> dict[str, Any] | None:
        """What identifies the guidance; None: there is none."""
        addresses = [address for address in (self.edges, self.prior, self.importance) if address]
        if not addresses:
            return None
        return {**asdict(self), "versions": [version_of(address) for address in addresses]}


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The base regions of an image, and their merges.

    Attributes:
        base_count: number of base regions.
        merges: (base_count - 1,) of `superpixel_kernels.MERGE_DTYPE`.
        base: gives the base region of each pixel of a window; -1 for pixels that are not valid.
    """

    base_count: int
    merges: NDArray[np.void]
    base: Callable[[Window], NDArray[np.integer]]


def segment_image(
    image: Any,
    mask: StoredMask | None,
    *,
    address: str,
    fingerprint: str,
    compactness: float,
    tile: int,
    work: Path,
    threads: int,
    backend: kernels.Backend,
    device: int,
    workers: tiled.TileWorkers | None,
    guidance: GuidanceFiles,
    progress: Callable[[int, int], None],
    stopped: Callable[[], bool],
) -> Result:
    """Segment an image.

    Args:
        image: planes, (3, height, width) uint8.
        mask: which pixels are valid; None: all.
        address: of the store that has the image, for error messages.
        fingerprint: of the image and the mask.
        compactness: of the superpixels.
        tile: side of a tile, in pixels.
        work: folder of the engine's state.
        threads: 0 for all cores.
        backend: "cpu" or "cuda": what computes the tiles.
        device: index of the GPU.
        workers: computes the tiles instead of the threads.
        guidance: the maps to follow.
        progress: called with the pixels that are done, and all.
        stopped: whether to stop.

    Raises:
        LargeFailed: a map of the guidance cannot be opened.
        superpixel_kernels.errors.KernelError: the engine cannot read or write its files; or, as `Cancelled`,
            `stopped` was true.
    """
    source = _Planes(image, address, fingerprint)
    cancel = kernels.CancelToken()
    tiles, whole = _TILES_SHARE

    def seen(at: tiled.TiledProgress) -> None:
        done = {"tiles": at.pixels_done * tiles // whole, "done": at.pixels}
        progress(done.get(at.stage, at.pixels * tiles // whole), at.pixels)
        if stopped():
            cancel.cancel()

    with ExitStack() as files:
        found = tiled.segment_tiled(
            source,
            kernels.SegmentParams(compactness),
            tile=tile,
            store=work,
            threads=threads,
            backend=backend,
            device=device,
            workers=workers,
            guidance=_maps(guidance, files),
            mask=None if mask is None else _Mask(mask, fingerprint),
            cancel=cancel,
            progress=seen,
        )
    base = found.base_labels
    return Result(found.base_count, found.merges, lambda window: base[slices(window)])


def check_guidance(guidance: GuidanceFiles) -> None:
    """Open the maps.

    Raises:
        LargeFailed: a map cannot be opened, or has several bands.
        superpixel_kernels.errors.InvalidParameter: a weight is out of range.
    """
    with ExitStack() as files:
        _maps(guidance, files)


def _maps(guidance: GuidanceFiles, files: ExitStack) -> tiled.GuidanceSources | None:
    """The maps as the engine reads them."""
    maps: dict[str, Any] = {}
    for name in ("edges", "prior", "importance"):
        address: str = getattr(guidance, name)
        if address:
            source = open_source(address)
            files.callback(source.close)
            if source.shape[2] != 1:
                raise LargeFailed(f"{name}: {address} must have one band, has {source.shape[2]}", usage=True)
            maps[name] = _Map(source, f"{address} {version_of(address)}")
    if not maps:
        return None
    return tiled.GuidanceSources(
        edges=maps.get("edges"),
        edge_weight=guidance.edge_weight,
        prior=maps.get("prior"),
        prior_mode=guidance.prior_mode,
        prior_weight=guidance.prior_weight,
        importance=maps.get("importance"),
    )


class _Planes:
    """An image of planes as the engine reads it. Threads may share it."""

    thread_safe = True

    def __init__(self, planes: Any, address: str, fingerprint: str) -> None:
        self._planes = planes
        self._address = address
        self.fingerprint = fingerprint
        self.shape: tuple[int, int, int] = (planes.shape[1], planes.shape[2], 3)
        self.dtype = np.dtype(np.uint8)

    def read(self, window: tiled.Window) -> NDArray[np.uint8]:
        """The pixels of rows y0 to y1 - 1 and columns x0 to x1 - 1."""
        y0, y1, x0, x1 = window
        with failures_of(self._address):
            planes = np.asarray(self._planes[:, y0:y1, x0:x1])
        return np.ascontiguousarray(planes.transpose(1, 2, 0))


class _Map:
    """A source of one band as the engine reads a map."""

    thread_safe = True

    def __init__(self, source: PixelSource, fingerprint: str) -> None:
        self._source = source
        self.fingerprint = fingerprint
        self.shape: tuple[int, int] = source.shape[:2]
        self.dtype = source.dtype

    def read(self, window: tiled.Window) -> NDArray[Any]:
        """The values of rows y0 to y1 - 1 and columns x0 to x1 - 1."""
        y0, y1, x0, x1 = window
        return self._source.read(Window(x0, y0, x1 - x0, y1 - y0), (0,))[:, :, 0]


class _Mask:
    """Which pixels are valid, as the engine reads it."""

    thread_safe = True

    def __init__(self, mask: StoredMask, fingerprint: str) -> None:
        self._mask = mask
        self.fingerprint = fingerprint
        self.shape = mask.shape
        self.dtype = np.dtype(np.bool_)

    def read(self, window: tiled.Window) -> NDArray[np.bool_]:
        """The mask of rows y0 to y1 - 1 and columns x0 to x1 - 1."""
        y0, y1, x0, x1 = window
        return self._mask[slice(y0, y1), slice(x0, x1)]
