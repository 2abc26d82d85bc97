"""What the launchers need of a device: memory, copies, kernel launches."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

DeviceArray = Any
"""A one-dimensional array in device memory, with `size`, `dtype`, `nbytes`, and slices that are views."""

Argument = DeviceArray | np.int32 | np.uint32 | np.int64 | np.float64
"""A kernel argument: an array for a pointer; for a value a NumPy scalar of the parameter's exact type."""


class Device(Protocol):
    """One device and one stream of it: the device works in the order of the calls.

    For one thread at a time, within `active()`. A kernel's name begins with that of its file:
    `merge_rounds` is in `merge.cu`.
    """

    @property
    def name(self) -> str:
        """The device's name, as its driver reports it."""

    @property
    def total_bytes(self) -> int:
        """The device's memory, in bytes."""

    def active(self) -> AbstractContextManager[None]:
        """A context in which this thread may use the device.

        Raises:
            OutOfMemory: the device has too little free memory.
            DeviceLost: the device failed; this process cannot use it any more.
        """

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An uninitialised array in host memory: page-locked up to a limit, ordinary beyond it.

        The device copies from and to page-locked memory without a detour. Such memory is used again.
        """

    def empty(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """An uninitialised array of `count` elements.

        Raises:
            OutOfMemory: the device, or the cap set for it, has too little memory.
        """

    def adopt(self, image: Any) -> DeviceArray:
        """A view, with shape and strides, of an object with `__cuda_array_interface__`.

        Raises:
            InvalidImage: its memory is on another device.
        """

    def host_copy(self, array: DeviceArray) -> NDArray[Any]:
        """Copy an array of any shape and strides to host memory."""

    def snapshot(self, array: DeviceArray) -> Callable[[], NDArray[Any]]:
        """Copy an array of any shape and strides within the device.

        Returns:
            a function that copies the copy to host memory. Any thread may call it, at any time after a
            `download` that followed. It raises DeviceLost if the device failed.
        """

    def duplicate(self, array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
        """Copy an array to device memory of the caller's own, in another shape. Call `finish` afterwards.

        Raises:
            OutOfMemory: the device has too little free memory.
        """

    def finish(self) -> None:
        """Wait until the device has done everything that this object asked for."""

    def upload(self, host: NDArray[np.generic], to: DeviceArray) -> None:
        """Copy a contiguous host array to a device array of the same dtype and size."""

    def download(self, *copies: tuple[DeviceArray, NDArray[np.generic]]) -> None:
        """Copy device arrays to contiguous host arrays of the same dtype and size; complete on return."""

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
            grid: number of blocks; (x, y) if two-dimensional.
            block: threads per block; (x, y) if two-dimensional.
            args: one per parameter.
            shared_bytes: dynamic shared memory per block.
            cooperative: all blocks are resident at the same time, so they may wait for each other. The grid
                must then have at most `resident_blocks` blocks.
        """

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """Record launches as one, without running them.

        Args:
            work: launches kernels, and asks nothing else of this device.

        Returns:
            a function that runs the same kernels with the same arguments; None if this device cannot do that.
            The arrays among the arguments must exist as long as it is used.
        """

    def mark(self) -> Any:
        """Mark this point in the stream, for `seconds_between`."""

    def seconds_between(self, start: Any, end: Any) -> float:
        """Seconds of the device between two marks. Call it after a download, when both have been reached."""

    def give_back(self) -> None:
        """Return memory that is kept for later arrays to the device; any thread may call it.

        Raises:
            DeviceLost: the device failed.
        """

    def held_bytes(self) -> int:
        """Bytes of device memory in the arrays from `empty`, and kept for later arrays or snapshots.

        Raises:
            DeviceLost: the device failed.
        """

    def used_bytes(self) -> int:
        """Bytes of the device's memory in use by all processes; any thread may call it.

        Raises:
            DeviceLost: the device failed.
        """

    def resident_blocks(self, kernel: str, block: int, *, shared_bytes: int = 0) -> int:
        """How many blocks of `block` threads can be resident on the device at the same time."""
