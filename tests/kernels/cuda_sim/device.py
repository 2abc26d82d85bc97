"""A CUDA device, simulated on the CPU by a worker process: `SimDevice`."""

import ctypes
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tests.kernels.cuda_sim import build
from tests.kernels.cuda_sim.arguments import Kernel, pair, parse_kernel, slots
from tests.kernels.cuda_sim.arrays import SimArray
from tests.kernels.cuda_sim.errors import BadLaunch
from tests.kernels.cuda_sim.process import Worker

MODES = ("plain", "race", "asan")
SECONDS = 120.0


class SimDevice:
    """Runs .cu files with CUDA's semantics, behind `superpixel_kernels.cuda.device.Device`.

    Args:
        seed: seed of the order of threads, and of the garbage in new arrays and in shared memory.
        mode: "plain"; "race", which also finds data races, uninitialised reads and accesses out of bounds;
            or "asan", under AddressSanitizer and UBSan.
        resident: number of blocks that are resident at the same time.
        folder: the folder of the .cu files.
        memory: most bytes of all arrays together; None: no limit.
        seconds: time after which a launch counts as endless.
    """

    def __init__(
        self,
        seed: int = 0,
        mode: str = "plain",
        *,
        resident: int = 3,
        folder: Path = build.KERNELS,
        memory: int | None = None,
        seconds: float = SECONDS,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
        self.mode = mode
        self.seed = seed
        self._variant = "asan" if mode == "asan" else "hooks"
        self._resident = resident
        self._folder = folder
        self._memory = memory
        self._used = 0
        self._kernels: dict[str, Kernel] = {}
        self._loaded: set[Path] = set()
        self.worker = Worker(
            self._variant, seed=seed, races=mode == "race", resident=resident, seconds=seconds
        )

    @property
    def name(self) -> str:
        return f"CUDA simulated on the CPU ({self.mode}, seed {self.seed})"

    def close(self) -> None:
        """End the worker. Later calls raise SimError."""
        self.worker.close()

    def active(self) -> AbstractContextManager[None]:
        """See `Device`. Nothing to do here: any thread may use the device, one at a time."""
        return nullcontext()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """See `Device`. Launches again, with the arguments that the arrays then give."""
        return work

    def mark(self) -> float:
        """See `Device`. The present time, because every launch has ended when `launch` returns."""
        return time.perf_counter()

    def seconds_between(self, start: float, end: float) -> float:
        return end - start

    def give_back(self) -> None:
        """See `Device`. Nothing to do here."""

    def used_bytes(self) -> int:
        return self._used

    def held_bytes(self) -> int:
        return self._used

    @property
    def total_bytes(self) -> int:
        return self._memory or 1 << 40

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def adopt(self, image: Any) -> SimArray:
        """Copy all memory that the image spans; its strides are kept. The image is in fact in host memory."""

        class Host:
            __array_interface__ = image.__cuda_array_interface__

        view = np.asarray(Host)
        low, high = np.lib.array_utils.byte_bounds(view)
        memory = np.ctypeslib.as_array((ctypes.c_uint8 * (high - low)).from_address(low))
        array = self.empty(memory.size, np.uint8)
        self.upload(memory, array)
        begin = array[view.ctypes.data - low :]
        begin.shape, begin.strides, begin.ndim, begin.dtype = view.shape, view.strides, view.ndim, view.dtype
        begin.host = view.copy()
        return begin

    def host_copy(self, array: SimArray) -> NDArray[Any]:
        """See `Device`. Only for arrays from `adopt`."""
        return array.host

    def snapshot(self, array: SimArray) -> Callable[[], NDArray[Any]]:
        """See `Device`. Only for arrays from `adopt`."""
        return array.host.copy

    def duplicate(self, array: SimArray, shape: tuple[int, ...]) -> SimArray:
        """See `Device`."""
        host = np.empty(array.size, array.dtype)
        self.download((array, host))
        copy = self.empty(array.size, array.dtype)
        self.upload(host, copy)
        copy.shape = shape
        return copy

    def finish(self) -> None:
        """See `Device`. Nothing to do here."""

    def empty(self, count: int, dtype: DTypeLike) -> SimArray:
        """See `Device`. The array holds seeded garbage.

        Raises:
            OutOfMemory: all arrays together would exceed `memory`.
        """
        kind = np.dtype(dtype)
        size = int(count) * kind.itemsize
        if count < 0:
            raise ValueError(f"count is negative: {count}")
        if self._memory is not None and self._used + size > self._memory:
            raise _out_of_memory(
                f"{size} bytes asked for, {self._memory - self._used} of {self._memory} left"
            )
        address = self.worker.allocate(size, kind.itemsize)
        self._used += size
        array = SimArray(self, address, int(count), kind, None)
        weakref.finalize(array, self._free, address, size).atexit = False
        return array

    def _free(self, address: int, size: int) -> None:
        self._used -= size
        self.worker.free(address)

    def upload(self, host: NDArray[np.generic], to: SimArray) -> None:
        self._check_copy(host, to)
        self.worker.write(to.address, host.tobytes())

    def download(self, *copies: tuple[SimArray, NDArray[np.generic]]) -> None:
        for source, to in copies:
            self._check_copy(to, source)
            data = self.worker.read(source.address, source.nbytes)
            to.reshape(-1)[:] = np.frombuffer(data, source.dtype)

    def _check_copy(self, host: NDArray[np.generic], array: SimArray) -> None:
        if not isinstance(array, SimArray) or array.device is not self:
            raise BadLaunch(f"not an array of this device: {array!r}")
        if not isinstance(host, np.ndarray) or not host.flags.c_contiguous:
            raise BadLaunch("the host's side of a copy must be a contiguous NumPy array")
        if (host.dtype, host.size) != (array.dtype, array.size):
            raise BadLaunch(f"copy between {host.size} {host.dtype} and {array.size} {array.dtype}")

    def launch(
        self,
        kernel: str,
        grid: int | tuple[int, int],
        block: int | tuple[int, int],
        args: Sequence[object],
        *,
        shared_bytes: int = 0,
        cooperative: bool = False,
    ) -> None:
        """Run a kernel, and wait for it to end.

        Raises:
            BadLaunch: there is no such kernel, or the sizes or arguments do not fit it.
            KernelFault: the kernel did something invalid; names what, where, and which thread.
        """
        found = self.kernel(kernel)
        self.run(
            found,
            [*pair("grid", grid), *pair("block", block)],
            slots(self, found, args),
            shared_bytes=shared_bytes,
            cooperative=cooperative,
        )

    def run(
        self,
        kernel: Kernel,
        sizes: Sequence[int],
        arguments: Sequence[bytes],
        *,
        shared_bytes: int = 0,
        cooperative: bool = False,
    ) -> None:
        """Run a kernel with arguments of eight bytes each; `sizes` are grid (x, y) and block (x, y).

        Raises:
            BadLaunch, KernelFault: as for `launch`.
        """
        name = kernel.name
        threads = sizes[2] * sizes[3]
        most = kernel.max_threads or 1024
        if threads > min(most, 1024):
            raise BadLaunch(f"{name}: blocks of {threads} threads, but its __launch_bounds__ allow {most}")
        blocks = sizes[0] * sizes[1]
        if sizes[0] > 2**31 - 1 or sizes[1] > 65535:
            raise BadLaunch(f"{name}: a grid of {sizes[0]} x {sizes[1]} blocks")
        if not 0 <= shared_bytes <= 48 << 10:
            raise BadLaunch(f"{name}: shared_bytes is {shared_bytes}, not between 0 and 49152")
        if cooperative and blocks > self.resident_blocks(name, threads, shared_bytes=shared_bytes):
            raise BadLaunch(
                f"{name}: a cooperative launch of {blocks} blocks, but {self._resident} can be resident"
            )
        self.worker.launch(name, [*sizes, shared_bytes, int(cooperative)], arguments)

    def resident_blocks(self, kernel: str, block: int, *, shared_bytes: int = 0) -> int:  # noqa: ARG002
        return self._resident

    def kernel(self, name: str) -> Kernel:
        """A kernel by its name; the first one of a file compiles and loads the file.

        Raises:
            BadLaunch: there is no such kernel.
        """
        if name not in self._kernels:
            parts = name.split("_")
            files = [self._folder / ("_".join(parts[:n]) + ".cu") for n in range(len(parts), 0, -1)]
            file = next((f for f in files if f.exists()), None)
            if file is None:
                raise BadLaunch(f"kernel {name} should be in {files[-1].name}, which does not exist")
            if file not in self._loaded:
                text = self.worker.load(build.library(file, self._variant))
                for kernel in map(parse_kernel, text.splitlines()):
                    self._kernels[kernel.name] = kernel
                self._loaded.add(file)
            if name not in self._kernels:
                raise BadLaunch(f"{file.name} has no kernel {name}")
        return self._kernels[name]


def _out_of_memory(message: str) -> Exception:
    from superpixel_kernels import errors

    return getattr(errors, "OutOfMemory", MemoryError)(message)
