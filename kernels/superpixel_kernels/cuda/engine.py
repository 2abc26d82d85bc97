"""The CUDA engine behind `superpixel_kernels.segment`: an image in host or device memory to a hierarchy."""

from __future__ import annotations  # evaluating those of inner functions takes time per image

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu._engine import CancelToken
from superpixel_kernels.cuda import tile
from superpixel_kernels.cuda.color import DeviceImage
from superpixel_kernels.cuda.cupy_device import CupyDevice
from superpixel_kernels.cuda.device import Device, DeviceArray
from superpixel_kernels.cuda.pipeline import Pipeline
from superpixel_kernels.cuda.room import Call, Room
from superpixel_kernels.cuda.stages import Settings
from superpixel_kernels.cuda.workspace import Tuning
from superpixel_kernels.guidance import FittedGuidance, Guidance, fitted_to
from superpixel_kernels.hierarchy import Hierarchy, as_merges
from superpixel_kernels.params import SegmentParams
from superpixel_kernels.pixels import as_pixels, checked_shape, in_device_memory

_Where = tuple[Callable[[int], Device], int]
"""What opens a device, and its index."""


@dataclass(frozen=True, slots=True, eq=False)
class DeviceSegmentation:
    """A segmentation in device memory of the caller's own. Its arrays are complete: any stream may read them.

    On a GPU they are CuPy arrays, which also offer `__cuda_array_interface__` and DLPack.

    Attributes:
        labels: (height, width) int32, 0..base_count-1: the base regions, as `Hierarchy.base_labels`.
        merges: (base_count - 1, 4) int32: the bytes of `Hierarchy.merges` (height's bits, round, a, b).
        base_count: number of base regions.
        timings: seconds of each stage, as the device measured them.
        prior_components: as `Hierarchy.prior_components`.
    """

    labels: DeviceArray
    merges: DeviceArray
    base_count: int
    timings: dict[str, float]
    prior_components: int | None


class CudaWorkspace:
    """A stream and device memory of a GPU, for one call at a time; reused by later calls.

    Args:
        device: the GPU's index.
        limit_bytes: cap on the device memory for one image; None: half of the GPU's; at most all of it.
            `cuda.bytes_needed` computes what an image takes.
        kept_bytes: if a call leaves the workspace with more device memory than this, all of it is freed. The
            default is enough for photographs of 20 megapixels. If another workspace needs the memory, an idle
            workspace gives all of it back.
        tuning: sizes of blocks; they never change results.
        graphs: launch most kernels of an image at once, as a CUDA graph, from the third image of a size on.
            Results are the same.
        open_device: opens the device with an index.

    Raises:
        BackendUnavailable: there is no such GPU, or a package that it needs is not installed.

    Attributes:
        device_name: the GPU's name.
        waited_seconds: how long its calls have waited for device memory in all.
    """

    def __init__(
        self,
        device: int = 0,
        *,
        limit_bytes: int | None = None,
        kept_bytes: int = 1 << 30,
        tuning: Tuning | None = None,
        graphs: bool = True,
        open_device: Callable[[int], Device] = CupyDevice,
    ) -> None:
        def open_pipeline() -> Pipeline:
            opened = open_device(device)
            with opened.active():
                half = opened.total_bytes // 2
                limit = half if limit_bytes is None else min(limit_bytes, opened.total_bytes)
                return Pipeline(opened, limit_bytes=limit, tuning=tuning, graphs=graphs)

        where = (open_device, device)
        self._open_pipeline = open_pipeline
        self._pipeline = open_pipeline()
        self._tables_bytes = self._pipeline.device.held_bytes()
        self._kept_bytes = kept_bytes
        self._state = threading.Lock()  # guards `_busy`, and memory while it is given back
        self._busy = False
        self.device_name = self._pipeline.device.name
        with _OPEN_LOCK:
            _open[self] = where
            self._room = _rooms.setdefault(where, Room(partial(_reclaim_from_idle, where)))
        self.waited_seconds = 0.0

    @property
    def bytes(self) -> int:
        """Bytes of device memory in this workspace's arrays."""
        return self._pipeline.workspace.bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of device memory that no one else can use: `bytes`, and what is kept for later arrays."""
        return self._pipeline.device.held_bytes() - self._tables_bytes

    @property
    def device_used_bytes(self) -> int:
        """Bytes of the device's memory in use by all processes.

        Raises:
            DeviceLost: the GPU failed.
        """
        return self._pipeline.device.used_bytes()

    def segment(
        self,
        image: Any,
        params: SegmentParams,
        cancel: CancelToken | None = None,
        guidance: Guidance | FittedGuidance | None = None,
        on_regions: Callable[[int], None] | None = None,
    ) -> Hierarchy:
        """Segment an image; see `superpixel_kernels.segment`.

        Args:
            image: as there; or an image of the same shapes in device memory, as an object with
                `__cuda_array_interface__` and any strides, which the kernels read in place.
            params: compactness.
            cancel: stops or pauses the call between stages.
            guidance: as there.
            on_regions: called with the number of base regions when it is known. It may raise.

        Raises:
            InvalidImage: wrong dtype, shape or size.
            InvalidParameter: the guidance does not fit the image.
            AboveDeviceLimit: the image needs more memory than the cap.
            OutOfMemory: the GPU has too little free memory, also after other calls of this process have
                ended: the call waits for those.
            DeviceLost: the GPU failed.
            Cancelled: `cancel` was set.
        """
        settings = Settings(params.compactness)
        # A hierarchy must not keep this workspace alive.
        open_pipeline, room = self._open_pipeline, self._room
        pixels: Callable[[], NDArray[np.uint8]]
        with self._called(cancel) as (call, device):
            given, size = _given(device, image)
            if isinstance(given, DeviceImage):
                pixels = _downloaded(device.snapshot(given.data))
            else:
                pixels = partial(_same, given)
            fitted = fitted_to(guidance, *size)
            result = self._pipeline.segment(
                given, size, settings, cancel, guidance=fitted, on_regions=on_regions, call=call
            )

        def make_pixel_merges(cancel: CancelToken | None) -> NDArray[np.int32]:
            # In a temporary workspace: the caller's may be in use by then, and would keep the memory.
            with room.call(cancel) as call:
                call.holds_outside = True  # the caller may hold what other calls wait for
                pipeline = open_pipeline()
                try:
                    with pipeline.device.active():
                        return pipeline.pixel_merges(pixels(), result.labels, settings, cancel, call)
                finally:
                    pipeline.workspace.clear()
                    pipeline.device.give_back()

        return Hierarchy(
            pixels,
            result.labels,
            as_merges(result.records),
            params,
            backend="cuda",
            threads=0,
            timings=result.seconds,
            make_pixel_merges=make_pixel_merges,
            prior_components=result.prior_components,
        )

    def segment_on_device(
        self,
        image: Any,
        params: SegmentParams,
        cancel: CancelToken | None = None,
        guidance: Guidance | FittedGuidance | None = None,
    ) -> DeviceSegmentation:
        """Segment an image and leave the results in device memory. Arguments and errors as for `segment`."""
        settings = Settings(params.compactness)
        with self._called(cancel) as (call, device):
            given, size = _given(device, image)
            fitted = fitted_to(guidance, *size)
            made = self._pipeline.run(given, size, settings, cancel, guidance=fitted, call=call)
            merges = made.regions - 1
            labels = device.duplicate(made.labels, size)
            records = device.duplicate(made.records[: 4 * merges], (merges, 4))
            device.finish()
        return DeviceSegmentation(labels, records, made.regions, made.seconds, made.prior_components)

    def compute_tile(
        self,
        pixels: NDArray[np.uint8],
        params: SegmentParams,
        *,
        step: int,
        window: tile.Window,
        origin: tuple[int, int],
        image_width: int,
        cancel: CancelToken | None = None,
        guidance: FittedGuidance | None = None,
    ) -> tile.TileArrays:
        """Compute one tile of a large image; `tiled.compute_tile` calls it.

        Args:
            pixels: the tile and its margin, as `segment` takes an image in host memory.
            params: compactness.
            step: side of a grid cell of the image, in pixels.
            window: the tile's pixels in `pixels`: y0, y1, x0, x1.
            origin: y and x of the first one of `pixels` in the image.
            image_width: width of the image, in pixels.
            cancel: stops or pauses the call between stages.
            guidance: maps of the size of `pixels`.

        Raises:
            InvalidImage, AboveDeviceLimit, OutOfMemory, DeviceLost, Cancelled: as for `segment`.
        """
        settings = Settings(params.compactness)
        with self._called(cancel) as (call, device):
            crop = as_pixels(pixels, allocate=device.host_array)
            parts = self._pipeline.compute_tile(crop, step, window, settings, cancel, guidance, call)
        return tile.arrays_of(parts, crop.shape[1], window, origin, image_width)

    @contextmanager
    def _called(self, cancel: CancelToken | None) -> Iterator[tuple[Call, Device]]:
        def on_waited(seconds: float) -> None:
            self.waited_seconds += seconds

        # A call ends after its workspace is idle: then a call that waits can take its memory.
        with self._room.call(cancel, on_waited) as call, self._claimed() as device:
            yield call, device

    @contextmanager
    def _claimed(self) -> Iterator[Device]:
        with self._state:
            if self._busy:
                raise RuntimeError("workspace: in use by another call; give each thread its own")
            self._busy = True
        try:
            with self._pipeline.device.active():
                yield self._pipeline.device
        finally:
            with self._state:
                self._busy = False
                if self.held_bytes > self._kept_bytes:
                    self._free()

    def _free(self) -> None:
        self._pipeline.workspace.clear()
        self._pipeline.device.give_back()

    def give_back(self) -> bool:
        """Free all memory, unless a call uses it; returns whether there was any. Any thread may call it.

        Raises:
            DeviceLost: the GPU failed.
        """
        with self._state:
            if self._busy or self.held_bytes == 0:
                return False
            self._free()
            return True


_OPEN_LOCK = threading.Lock()
_open: weakref.WeakKeyDictionary[CudaWorkspace, _Where] = weakref.WeakKeyDictionary()
"""All workspaces of this process, and their devices."""

_rooms: weakref.WeakValueDictionary[_Where, Room] = weakref.WeakValueDictionary()
"""What the workspaces on each device share."""


def _reclaim_from_idle(where: _Where) -> bool:
    """Free the memory of all idle workspaces on one device; returns whether there was any."""
    with _OPEN_LOCK:
        neighbours = [workspace for workspace, at in _open.items() if at == where]
    freed = [workspace.give_back() for workspace in neighbours]
    return any(freed)


def _given(device: Device, image: Any) -> tuple[NDArray[np.uint8] | DeviceImage, tuple[int, int]]:
    """The caller's image as the pipeline takes it, and its height and width."""
    if not in_device_memory(image):
        pixels = as_pixels(image, allocate=device.host_array)
        return pixels, (pixels.shape[0], pixels.shape[1])
    array = device.adopt(image)
    height, width, channels = checked_shape(array)
    row, column, channel = (*array.strides, 0)[:3]
    return DeviceImage(array, (row, column, channel), channels), (height, width)


def _downloaded(download: Callable[[], NDArray[np.uint8]]) -> Callable[[], NDArray[np.uint8]]:
    """The pixels of a copy in device memory, downloaded by the first call; this also frees the copy."""
    lock = threading.Lock()
    source: list[Callable[[], NDArray[np.uint8]]] = [download]
    pixels: list[NDArray[np.uint8]] = []

    def get() -> NDArray[np.uint8]:
        with lock:
            if not pixels:
                pixels.append(as_pixels(source[0]()))
                source.clear()
            return pixels[0]

    return get


def _same(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels
