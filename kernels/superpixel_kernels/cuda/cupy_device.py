"""A GPU, through CuPy. No other module imports CuPy."""

import functools
import importlib
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from superpixel_kernels.cuda.device import Argument, DeviceArray
from superpixel_kernels.cuda.source import OPTIONS, file_of, files, source
from superpixel_kernels.errors import BackendUnavailable, DeviceLost, InvalidImage, OutOfMemory

_OUT_OF_MEMORY = 2
"""The value of both cudaErrorMemoryAllocation and CUDA_ERROR_OUT_OF_MEMORY."""

_MOST_PINNED_BYTES = 64 << 20
"""Larger arrays are not page-locked: CuPy rounds their size up to a power of two, and keeps the memory."""

_COMPILING = threading.Lock()

INSTALL_HINT = "in a checkout: pip install '.[cuda12]' or '.[cuda13]', depending on the driver"


def why_unavailable(index: int = 0) -> str | None:
    """What kernels lack to run on the GPU of this index; None if they can run."""
    try:
        cupy = _import("cupy")
    except ImportError:
        return f"CuPy is not installed ({INSTALL_HINT})"
    except OSError:
        return "CuPy cannot create the folder of its kernel cache: set CUPY_CACHE_DIR to a writable folder"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no usable NVIDIA driver or GPU ({_error_name(error)})"
    if count == 0:
        return "no NVIDIA GPU"
    if not 0 <= index < count:
        return f"no GPU with index {index}: this machine has {count}"
    if not cupy.cuda.Device(index).attributes["CooperativeLaunch"]:
        return f"GPU {index} does not support cooperative launches"
    try:
        cupy.cuda.nvrtc.getVersion()
    except (ImportError, RuntimeError, OSError):
        return f"NVRTC, the run-time compiler, is not installed ({INSTALL_HINT})"
    return None


def _import(name: str) -> Any:
    # CuPy warns that there is no CUDA toolkit; the packages of the extras are enough.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _error_name(error: Exception) -> str:
    return str(error).partition(":")[0]


class CupyDevice:
    """One GPU and one stream of it. For one thread at a time.

    The first one in a process loads all kernels from the disk cache, or compiles them, which takes seconds.

    Args:
        index: index of the GPU.

    Raises:
        BackendUnavailable: the GPU cannot be used; the message names what is missing.
    """

    def __init__(self, index: int = 0) -> None:
        missing = why_unavailable(index)
        if missing is not None:
            raise BackendUnavailable(f"backend 'cuda': {missing}")
        self._cupy = cupy = _import("cupy")
        self._empty_pinned = _import("cupyx").empty_pinned
        self._device = cupy.cuda.Device(index)
        with self._device:
            self._stream = cupy.cuda.Stream(non_blocking=True)
        self.name: str = cupy.cuda.runtime.getDeviceProperties(index)["name"].decode()
        self._kernels: dict[str, Any] = {}
        try:
            with self._device:
                for file in files():
                    _module(cupy, file, index)
        except (cupy.cuda.compiler.CompileException, cupy.cuda.driver.CUDADriverError) as error:
            raise BackendUnavailable(
                f"backend 'cuda': the kernels cannot be compiled for this GPU; newer packages may help "
                f"({INSTALL_HINT})"
            ) from error

    @contextmanager
    def active(self) -> Iterator[None]:
        """See `Device`. Turns CUDA's errors into those of this package.

        Raises:
            OutOfMemory: the GPU has too little free memory.
            DeviceLost: the GPU failed; this process cannot use it any more.
        """
        cuda = self._cupy.cuda
        self._callers_stream = cuda.get_current_stream(self._device.id)
        try:
            with self._device, self._stream:
                try:
                    yield
                except BaseException:
                    # Running kernels may still read the caller's memory.
                    self._stream.synchronize()
                    raise
        except cuda.memory.OutOfMemoryError as error:
            raise self._out_of_memory() from error
        except (cuda.runtime.CUDARuntimeError, cuda.driver.CUDADriverError) as error:
            if error.status == _OUT_OF_MEMORY:
                raise self._out_of_memory() from error
            if self._is_lost():
                raise DeviceLost(f"the GPU failed: {_error_name(error)}") from error
            raise

    def _out_of_memory(self) -> OutOfMemory:
        # Memory that CuPy keeps for later arrays, of any thread, may be enough for the next call.
        self.give_back()
        return OutOfMemory("the GPU has too little free memory for this image")

    def give_back(self) -> None:
        """See `Device`."""
        with self._device:
            self._cupy.get_default_memory_pool().free_all_blocks()
        self._cupy.get_default_pinned_memory_pool().free_all_blocks()

    def _is_lost(self) -> bool:
        # After a fault in a kernel, every further call fails until the process ends.
        try:
            with self._device:
                self._cupy.cuda.runtime.deviceSynchronize()
        except self._cupy.cuda.runtime.CUDARuntimeError:
            return True
        return False

    def empty(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """See `Device`."""
        try:
            return self._cupy.empty(count, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise self._out_of_memory() from error

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """See `Device`: page-locked memory from CuPy's pool, except for very large arrays."""
        if math.prod(shape) * np.dtype(dtype).itemsize > _MOST_PINNED_BYTES:
            return np.empty(shape, dtype)
        array: NDArray[Any] = self._empty_pinned(shape, dtype)
        return array

    def adopt(self, image: Any) -> DeviceArray:
        """See `Device`.

        The GPU waits for all earlier work on the default stream and on the caller's current CuPy stream.
        Work on other streams must be complete.
        """
        pointer = image.__cuda_array_interface__["data"][0]
        home = self._cupy.cuda.runtime.pointerGetAttributes(pointer).device if pointer else self._device.id
        if home != self._device.id:
            raise InvalidImage(f"image: is on GPU {home}, must be on GPU {self._device.id}")
        for stream in (self._cupy.cuda.Stream.null, self._callers_stream):
            if stream.ptr != self._stream.ptr:
                event = self._cupy.cuda.Event(disable_timing=True)
                event.record(stream)
                self._stream.wait_event(event)
        return self._cupy.asarray(image)

    def host_copy(self, array: DeviceArray) -> NDArray[Any]:
        """See `Device`."""
        copy: NDArray[Any] = self._cupy.asnumpy(array, stream=self._stream)
        return copy

    def upload(self, host: NDArray[np.generic], to: DeviceArray) -> None:
        """See `Device`."""
        to.set(host, stream=self._stream)

    def download(self, source: DeviceArray, to: NDArray[np.generic]) -> None:
        """See `Device`."""
        source.get(stream=self._stream, out=to)

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
        """See `Device`."""
        self._kernel(kernel)(
            _dimensions(grid),
            _dimensions(block),
            tuple(args),
            shared_mem=shared_bytes,
            stream=self._stream,
            enable_cooperative_groups=cooperative,
        )

    def resident_blocks(self, kernel: str, block: int, *, shared_bytes: int = 0) -> int:
        """See `Device`."""
        per_processor: int = self._cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
            self._kernel(kernel).ptr, block, shared_bytes
        )
        processors: int = self._device.attributes["MultiProcessorCount"]
        return per_processor * processors

    def mark(self) -> Any:
        """See `Device`."""
        event = self._cupy.cuda.Event()
        event.record(self._stream)
        return event

    def seconds_between(self, start: Any, end: Any) -> float:
        """See `Device`."""
        milliseconds: float = self._cupy.cuda.get_elapsed_time(start, end)
        return milliseconds / 1e3

    def used_bytes(self) -> int:
        """See `Device`."""
        with self._device:
            free, total = self._cupy.cuda.runtime.memGetInfo()
        return int(total - free)

    def _kernel(self, name: str) -> Any:
        if name not in self._kernels:
            module = _module(self._cupy, file_of(name), self._device.id)
            self._kernels[name] = module.get_function(name).kernel
        return self._kernels[name]


def _dimensions(size: int | tuple[int, int]) -> tuple[int, ...]:
    return (size,) if isinstance(size, int) else size


def _module(cupy: Any, file: str, index: int) -> Any:
    """The compiled kernels of one file, for the GPU of this index, which must be the current one."""
    with _COMPILING:  # otherwise several threads would compile the same file
        return _compiled(cupy, file, index)


@functools.cache
def _compiled(cupy: Any, file: str, index: int) -> Any:
    del index  # a key of the cache: each device needs a module of its own
    module = cupy.RawModule(code=source(file), options=OPTIONS)
    module.compile()
    return module
