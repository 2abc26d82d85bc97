"""Records launches, to compare their arguments with the parameters of the compiled kernels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from superpixel_kernels.cuda.device import Device

Launch = tuple[str, tuple[str, ...]]
"""A kernel's name, and the PTX types of its arguments: u64 for arrays and 64-bit integers, u32, f32, f64."""


class RecordingDevice:
    """A device that forwards all calls to another one, and records each launch in `launches`."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.launches: set[Launch] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._device, name)

    def launch(
        self,
        kernel: str,
        grid: int | tuple[int, int],
        block: int | tuple[int, int],
        args: Sequence[Any],
        *,
        shared_bytes: int = 0,
        cooperative: bool = False,
    ) -> None:
        self.launches.add((kernel, tuple(map(_ptx_type, args))))
        self._device.launch(kernel, grid, block, args, shared_bytes=shared_bytes, cooperative=cooperative)


def _ptx_type(argument: Any) -> str:
    if isinstance(argument, np.generic):
        return ("f" if argument.dtype.kind == "f" else "u") + str(8 * argument.dtype.itemsize)
    return "u64"
