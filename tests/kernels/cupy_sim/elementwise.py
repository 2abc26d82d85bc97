"""CuPy's own kernel `cupy_copy`, which copies arrays with strides, on the CPU."""

import struct
from typing import TYPE_CHECKING

import numpy as np

from tests.kernels.cupy_sim.errors import Code

if TYPE_CHECKING:
    from tests.kernels.cupy_sim.gpu import Gpu


def run(gpu: "Gpu", name: str, arguments: list[bytes]) -> None:
    """Run `cupy_copy__FROM_TO`; any other kernel of CuPy's is a fault."""
    kernel, _, types = name.partition("__")
    if kernel != "cupy_copy":
        gpu.fail(
            Code.LAUNCH_FAILURE, f"{name}: a kernel of CuPy's that cupy_sim/elementwise.py does not have"
        )
        return
    source, target = (_Array(gpu, *pair) for pair in zip(types.split("_"), arguments, strict=False))
    target.view()[...] = source.view().reshape(target.shape)
    gpu.write(target.low, target.memory.tobytes())


class _Array:
    """A `CArray`: address, size, shape and strides. `memory` is what it spans, `low` the address of that."""

    def __init__(self, gpu: "Gpu", dtype: str, argument: bytes) -> None:
        numbers = struct.unpack(f"<{len(argument) // 8}q", argument)
        dimensions = (len(numbers) - 2) // 2
        self.address, self.dtype = numbers[0], np.dtype(dtype)
        self.shape, self.strides = numbers[2 : 2 + dimensions], numbers[2 + dimensions :]
        reach = [(n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True)]
        self.low = self.address + sum(min(0, step) for step in reach)
        high = self.address + sum(max(0, step) for step in reach) + self.dtype.itemsize
        self.memory = np.frombuffer(bytearray(gpu.read(self.low, high - self.low)), np.uint8)

    def view(self) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
        offset = self.address - self.low
        return np.ndarray(self.shape, self.dtype, self.memory.data, offset, self.strides)
