"""A GPU, through CuPy. No other module imports CuPy."""

from __future__ import annotations  # evaluating those of inner functions takes time per image

import functools
import importlib
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from superpixel_kernels.cuda import faults
from superpixel_kernels.cuda.device import Argument, DeviceArray
from superpixel_kernels.cuda.host_memory import HostMemory, is_page_locked
from superpixel_kernels.cuda.source import OPTIONS, file_of, files, source
from superpixel_kernels.errors import BackendUnavailable, DeviceLost, InvalidImage, OutOfMemory

_STAGING_BYTES = 16 << 20
"""Most staging memory of one device object. Larger copies of ordinary memory go through it in parts."""

_COMPILING = threading.Lock()

_opened: set[int] = set()
"""Indices of the GPUs that this process has used: a later failure to open one means that it is lost."""

INSTALL_HINT = "in a checkout: pip install '.[cuda12]' or '.[cuda13]', depending on the driver"


def why_unavailable(index: int = 0) -> str | None:
    """Open the GPU of this index and compile the kernels; return why that fails, None if it works."""
    try:
        CupyDevice(index)
    except (BackendUnavailable, OutOfMemory, DeviceLost) as error:
        return str(error).removeprefix(_PREFIX)
    return None


_PREFIX = "backend 'cuda': "


def _what_is_missing(index: int) -> str | None:
    try:
        cupy = _import("cupy")
    except ModuleNotFoundError as error:
        if error.name == "cupy":
            return f"CuPy is not installed ({INSTALL_HINT})"
        raise
    except OSError:
        return "CuPy cannot create the folder of its kernel cache: set CUPY_CACHE_DIR to a writable folder"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"no usable NVIDIA driver or GPU ({faults.name_of(error)})"
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


class CupyDevice:
    """One GPU, one stream of it, and a memory pool. For one thread at a time.

    The first one in a process loads all kernels from the disk cache, or compiles them, which takes seconds.

    Args:
        index: index of the GPU.

    Raises:
        BackendUnavailable: the GPU cannot be used; the message names what is missing.
        OutOfMemory: this process has used the GPU before, and now it has too little free memory.
        DeviceLost: this process has used the GPU before, and the GPU has failed.
    """

    pooled = True
    """Keep freed memory for later arrays. False: each array is an allocation of its own, for checkers."""

    def __init__(self, index: int = 0) -> None:
        try:
            missing = None if index in _opened else _what_is_missing(index)
            if missing is None:
                self._open(index)
        except (OutOfMemory, DeviceLost):
            raise
        except Exception as error:  # what CuPy raises has no common base class
            raise BackendUnavailable(f"{_PREFIX}{_why_not_opened(error, index)}") from error
        if missing is not None:
            raise BackendUnavailable(f"{_PREFIX}{missing}")
        _opened.add(index)

    def _open(self, index: int) -> None:
        self._cupy = cupy = _import("cupy")
        self._empty_pinned = _import("cupyx").empty_pinned
        self._device = cupy.cuda.Device(index)
        self._kernels: dict[str, Any] = {}
        self._staging: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._uploading: NDArray[Any] | None = None  # page-locked memory that the GPU may still read
        self._pool = cupy.cuda.MemoryPool()
        # Of images and results that callers keep: they are not this object's to give back.
        self._snapshot_pool = cupy.cuda.MemoryPool()
        self._pools = (self._pool, self._snapshot_pool)
        # CuPy 14 never frees the unused blocks of a pool that is dropped.
        weakref.finalize(self, _empty_pools, cupy, self._device, self._pools).atexit = False
        with self._translated() if index in _opened else nullcontext(), self._device:
            self._stream = cupy.cuda.Stream(non_blocking=True)
            # A thread that waits for a blocking event sleeps; otherwise it would occupy a core.
            self._reached = cupy.cuda.Event(block=True, disable_timing=True)
            properties = cupy.cuda.runtime.getDeviceProperties(index)
            self.name: str = properties["name"].decode()
            self.total_bytes = int(properties["totalGlobalMem"])
            self._host_memory = _host_memory(cupy, index)
            for file in files():
                _module(cupy, file, index)

    @contextmanager
    def active(self) -> Iterator[None]:
        """See `Device`. Turns CUDA's errors into those of this package.

        Raises:
            OutOfMemory: the GPU has too little free memory.
            DeviceLost: the GPU failed; this process cannot use it any more.
        """
        cuda = self._cupy.cuda
        with self._translated():
            self._callers_stream = cuda.get_current_stream(self._device.id)
            allocator = self._pool.malloc if self.pooled else None
            with self._device, self._stream, cuda.using_allocator(allocator):
                try:
                    yield
                except BaseException:
                    # Running kernels may still read the caller's memory.
                    self._wait()
                    raise

    def _translated(self) -> AbstractContextManager[None]:
        return faults.translated(self._cupy, self._device, self._pools)

    def _wait(self) -> None:
        self._reached.record(self._stream)
        self._reached.synchronize()
        self._uploading = None

    def give_back(self) -> None:
        """See `Device`. Also frees page-locked memory that is kept for later images."""
        self._host_memory.free_unused()
        faults.free_unused(self._cupy, self._device, self._pools)

    def empty(self, count: int, dtype: DTypeLike) -> DeviceArray:
        """See `Device`."""
        try:
            return self._cupy.empty(count, dtype)
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            raise faults.out_of_memory(self._cupy, self._device, self._pools) from error

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """See `Device`."""
        return self._host_memory.empty(shape, dtype)

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

    def snapshot(self, array: DeviceArray) -> Callable[[], NDArray[Any]]:
        """See `Device`."""
        cupy, device = self._cupy, self._device
        with cupy.cuda.using_allocator(self._snapshot_pool.malloc):
            copy = cupy.array(array, copy=True, order="C")

        def download() -> NDArray[Any]:
            # Without `self`, whose stream may be at work on another image, and whose memory must not stay.
            with faults.translated(cupy, device), device:
                host: NDArray[Any] = copy.get(stream=cupy.cuda.Stream(non_blocking=True))
            return host

        return download

    def duplicate(self, array: DeviceArray, shape: tuple[int, ...]) -> DeviceArray:
        """See `Device`. The copy is a CuPy array."""
        with self._cupy.cuda.using_allocator(self._snapshot_pool.malloc):
            return array.copy().reshape(shape)

    def finish(self) -> None:
        """See `Device`."""
        self._wait()

    def upload(self, host: NDArray[np.generic], to: DeviceArray) -> None:
        """See `Device`."""
        if is_page_locked(host):
            self._uploading = host
            self._copy_to_device(to, 0, host)
            return
        for begin, part in _parts(host):
            self._reached.synchronize()  # the last upload may still read the staging memory
            staging = self._staged(part.size)
            np.copyto(staging, part)
            self._copy_to_device(to, begin, staging)
            self._reached.record(self._stream)

    def download(self, *copies: tuple[DeviceArray, NDArray[np.generic]]) -> None:
        """See `Device`."""
        # One wait for all: if threads compete for Python's lock, each call of CUDA may have to wait for it.
        for array, to in copies:
            if is_page_locked(to):
                self._copy_to_host(array, 0, to)
            else:
                self._download_in_parts(array, to)
        self._wait()

    def _download_in_parts(self, source: DeviceArray, to: NDArray[np.generic]) -> None:
        for begin, part in _parts(to):
            staging = self._staged(part.size)
            self._copy_to_host(source, begin, staging)
            self._wait()
            np.copyto(part, staging)

    def _copy_to_device(self, to: DeviceArray, begin: int, host: NDArray[np.generic]) -> None:
        runtime, place = self._cupy.cuda.runtime, to.data.ptr + begin
        kind, stream = runtime.memcpyHostToDevice, self._stream.ptr
        runtime.memcpyAsync(place, host.ctypes.data, host.nbytes, kind, stream)

    def _copy_to_host(self, source: DeviceArray, begin: int, host: NDArray[np.generic]) -> None:
        runtime, place = self._cupy.cuda.runtime, source.data.ptr + begin
        kind, stream = runtime.memcpyDeviceToHost, self._stream.ptr
        runtime.memcpyAsync(host.ctypes.data, place, host.nbytes, kind, stream)

    def _staged(self, size: int) -> NDArray[np.uint8]:
        if self._staging.size < size:
            self._reached.synchronize()  # an upload may still read the old one
            # CuPy rounds page-locked memory up to a power of two.
            self._staging = self._empty_pinned(1 << (size - 1).bit_length(), np.uint8)
        return self._staging[:size]

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

    def record(self, work: Callable[[], None]) -> Callable[[], None] | None:
        """See `Device`. A CUDA graph."""
        stream = self._stream
        try:
            stream.begin_capture()
            try:
                work()
            finally:
                graph = stream.end_capture()
            graph.upload(stream)
        except self._cupy.cuda.runtime.CUDARuntimeError:
            if stream.is_capturing():
                raise  # nothing else can run on this stream
            return None
        launch: Callable[[], None] = functools.partial(graph.launch, stream)
        return launch

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
        with self._translated(), self._device:
            free, total = self._cupy.cuda.runtime.memGetInfo()
        return int(total - free)

    def held_bytes(self) -> int:
        """See `Device`."""
        with self._translated(), self._device:  # a pool counts the memory of the current device
            return int(self._pool.total_bytes() + self._snapshot_pool.free_bytes())

    def _kernel(self, name: str) -> Any:
        if name not in self._kernels:
            module = _module(self._cupy, file_of(name), self._device.id)
            self._kernels[name] = module.get_function(name).kernel
        return self._kernels[name]


def _why_not_opened(error: Exception, index: int) -> str:
    if type(error).__name__ in ("CompileException", "CUDADriverError", "NVRTCError"):
        return f"the kernels cannot be compiled for this GPU; newer packages may help ({INSTALL_HINT})"
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    hint = "" if type(error).__name__ == "CUDARuntimeError" else f" ({INSTALL_HINT})"
    return f"GPU {index} cannot be opened: {first_line}{hint}"


def _empty_pools(cupy: Any, device: Any, pools: Sequence[Any]) -> None:
    with suppress(DeviceLost):
        faults.free_unused(cupy, device, pools)


def _parts(host: NDArray[np.generic]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The bytes of a contiguous array in parts that fit the staging memory, each with its offset."""
    flat = host.reshape(-1).view(np.uint8)
    for begin in range(0, flat.size, _STAGING_BYTES):
        yield begin, flat[begin : begin + _STAGING_BYTES]


@functools.cache
def _host_memory(cupy: Any, index: int) -> HostMemory:
    """What all users of one GPU share."""
    device = cupy.cuda.Device(index)

    def allocate(size: int) -> NDArray[np.uint8]:
        # Not from CuPy's pool, which rounds up to a power of two.
        try:
            with device:
                memory = cupy.cuda.PinnedMemoryPointer(cupy.cuda.PinnedMemory(size), 0)
        except cupy.cuda.runtime.CUDARuntimeError as error:
            if faults.name_of(error) != "cudaErrorMemoryAllocation":
                raise
            raise MemoryError(size) from error
        return np.ndarray(size, np.uint8, buffer=memory)

    return HostMemory(allocate)


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
