"""Arrays in the simulated device's memory."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tests.kernels.cuda_sim.device import SimDevice


class SimArray:
    """A device array. Only the device's copies and kernels can access its contents."""

    def __init__(
        self, device: "SimDevice", address: int, count: int, dtype: np.dtype, base: "SimArray | None"
    ):
        self.device = device
        self.address = address
        self.size = count
        self.dtype = dtype
        self._base = base  # keeps the memory alive

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: slice) -> "SimArray":
        if not isinstance(key, slice):
            raise TypeError("a device array has slices, no elements: download it")
        start, stop, step = key.indices(self.size)
        if step != 1:
            raise ValueError("slices of a device array are contiguous")
        address = self.address + start * self.dtype.itemsize
        return SimArray(self.device, address, max(0, stop - start), self.dtype, self)

    def __repr__(self) -> str:
        return f"SimArray({self.size}, {self.dtype})"
