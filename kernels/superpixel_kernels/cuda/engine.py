"""The CUDA engine behind `superpixel_kernels.segment`: an image in host or device memory to a hierarchy."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from superpixel_kernels.cpu._engine import CancelToken
from superpixel_kernels.cuda.color import DeviceImage
from superpixel_kernels.cuda.cupy_device import CupyDevice
from superpixel_kernels.cuda.device import Device
from superpixel_kernels.cuda.pipeline import Pipeline, Settings
from superpixel_kernels.cuda.workspace import Tuning
from superpixel_kernels.hierarchy import Hierarchy, as_merges
from superpixel_kernels.params import SegmentParams
from superpixel_kernels.pixels import as_pixels, checked_shape, in_device_memory


class CudaWorkspace:
    """A stream and device memory of a GPU, for one call at a time; reused by later calls.

    Args:
        device: the GPU's index.
        limit_bytes: cap on the device memory for one image; None: all of the GPU's. `cuda.bytes_needed`
            computes what an image takes.
        kept_bytes: if a call leaves the workspace with more device memory than this, all of it is freed:
            one huge image must not keep memory from the other workspaces for good.
        tuning: sizes of blocks; they never change results.
        open_device: opens the device with an index.

    Raises:
        BackendUnavailable: there is no such GPU, or a package that it needs is not installed.

    Attributes:
        device_name: the GPU's name.
    """

    def __init__(
        self,
        device: int = 0,
        *,
        limit_bytes: int | None = None,
        kept_bytes: int = 1 << 29,
        tuning: Tuning | None = None,
        open_device: Callable[[int], Device] = CupyDevice,
    ) -> None:
        def open_pipeline() -> Pipeline:
            opened = open_device(device)
            with opened.active():
                return Pipeline(opened, limit_bytes=limit_bytes, tuning=tuning)

        self._open_pipeline = open_pipeline
        self._pipeline = open_pipeline()
        self._kept_bytes = kept_bytes
        self._claim = threading.Lock()
        self.device_name = self._pipeline.device.name

    @property
    def bytes(self) -> int:
        """Bytes of device memory in this workspace."""
        return self._pipeline.workspace.bytes

    @property
    def device_used_bytes(self) -> int:
        """Bytes of the device's memory in use by all processes."""
        return self._pipeline.device.used_bytes()

    def segment(self, image: Any, params: SegmentParams, cancel: CancelToken | None = None) -> Hierarchy:
        """Segment an image; see `superpixel_kernels.segment`.

        Args:
            image: as there; or an image of the same shapes in device memory, as an object with
                `__cuda_array_interface__` and any strides, which the kernels read in place.
            params: compactness.
            cancel: stops or pauses the call between stages.

        Raises:
            InvalidImage: wrong dtype, shape or size.
            OutOfMemory: the image needs more memory than the GPU has free, or than the cap.
            DeviceLost: the GPU failed.
            Cancelled: `cancel` was set.
        """
        settings = Settings(params.compactness)
        with self._claimed() as device:
            given: NDArray[np.uint8] | DeviceImage
            if in_device_memory(image):
                array = device.adopt(image)
                shape = checked_shape(array)
                row, column, channel = (*array.strides, 0)[:3]
                given = DeviceImage(array, (row, column, channel), shape[2])
                pixels = as_pixels(device.host_copy(array))
            else:
                given = pixels = as_pixels(image, new_array=device.host_array)
            result = self._pipeline.segment(given, (pixels.shape[0], pixels.shape[1]), settings, cancel)

        def make_pixel_merges(cancel: CancelToken | None) -> NDArray[np.int32]:
            # In a temporary workspace: this one may be in use by then, and would keep the memory.
            pipeline = self._open_pipeline()
            try:
                with pipeline.device.active():
                    return pipeline.pixel_merges(pixels, result.labels, settings, cancel)
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
        )

    @contextmanager
    def _claimed(self) -> Iterator[Device]:
        if not self._claim.acquire(blocking=False):
            raise RuntimeError("workspace: in use by another call; give each thread its own")
        try:
            with self._pipeline.device.active():
                yield self._pipeline.device
        finally:
            if self.bytes > self._kept_bytes:
                self._pipeline.workspace.clear()
                self._pipeline.device.give_back()
            self._claim.release()
