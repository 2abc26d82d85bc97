"""What the launchers need of a device: memory, copies, kernel launches. Nothing else here knows CuPy."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

DeviceArray = Any
"""A one-dimensional array in device memory: `size`, `dtype`, `nbytes`, and slices that are views."""

Argument = DeviceArray | np.int32 | np.uint32 | np.int64 | np.float64
"""A kernel's argument: an array for a pointer, a NumPy scalar of the parameter's exact type for a value."""


class Device(Protocol):
    """One device and one stream of it: everything happens in the order of the calls.

    Used by one thread at a time, within `active()`. Kernels are found by name: `merge_rounds` is in
    `merge.cu`.
    """

    @property
    def name(self) -> str:
        """The device's name, as its maker gave it."""

    def active(self) -> AbstractContextManager[None]:
        """Within it, this thread works on the device.

        Raises:
            OutOfMemory: the device has no room.
            DeviceLost: the device failed, for good.
        """

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in host memory that is copied fastest, of unspecified content."""

    def empty(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """An array of `count` elements of unspecified content.

        Raises:
            OutOfMemory: the device, or the cap set for it, has no such room.
        """

    def adopt(self, image: Any) -> DeviceArray:
        """An array, with shape and strides, over the memory of an object with `__cuda_array_interface__`.

        Raises:
            InvalidImage: that memory is another device's.
        """

    def host_copy(self, array: DeviceArray) -> NDArray[Any]:
        """A copy in host memory of an array of any shape and strides."""

    def upload(self, host: NDArray[np.generic], to: DeviceArray) -> None:
        """Copy a contiguous host array over an array of the same dtype and size."""

    def download(self, source: DeviceArray, to: NDArray[np.generic]) -> None:
        """Copy an array over a contiguous host array of the same dtype and size; done when this returns."""

    def launch(
        self,
        kernel: str,
        grid: int | tuple[int, int],
        block: int | tuple[int, int],
        args: Sequence[Argument],
        *,
        shared_bytes: int = 0,
        cooperative: bool = False,
    ) -> None:
        """Run a kernel.

        Args:
            kernel: its name.
            grid: blocks, (x, y) where two-dimensional.
            block: threads of a block, likewise.
            args: one for each parameter.
            shared_bytes: dynamic shared memory of a block.
            cooperative: all blocks are resident at the same time, so they may wait for each other. The grid
                is then at most `resident_blocks`.
        """

    def mark(self) -> Any:
        """A point in the stream, for `seconds_between`."""

    def seconds_between(self, start: Any, end: Any) -> float:
        """Seconds the device spent between two marks; after a download, so that both are reached."""

    def give_back(self) -> None:
        """Give back what is kept for later arrays."""

    def used_bytes(self) -> int:
        """Bytes of the device's memory in use, by anyone; may be asked from any thread."""

    def resident_blocks(self, kernel: str, block: int, *, shared_bytes: int = 0) -> int:
        """How many blocks of `block` threads the device can hold at the same time."""
