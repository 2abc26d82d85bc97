"""The part of CuPy that `cuda.cupy_device` uses, on memory of the host: for faults that no test can cause.

Kernels do nothing. A test sets `FakeCupy.faults` to make calls fail, or calls `lose()` to lose the GPU.
"""

import ctypes
import weakref
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import numpy as np

ILLEGAL_ADDRESS = "cudaErrorIllegalAddress: an illegal memory access was encountered"


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text=ILLEGAL_ADDRESS):
        super().__init__(text)
        self.status = status


class CUDADriverError(CUDARuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class CompileException(Exception):
    pass


class Array:
    """A device array: one-dimensional, or of an image."""

    def __init__(self, fake, host, memory=None):
        self.fake, self.host, self.memory = fake, host, memory
        self.data = SimpleNamespace(ptr=host.ctypes.data)
        self.size, self.nbytes, self.dtype, self.shape = host.size, host.nbytes, host.dtype, host.shape
        self.ndim, self.strides = host.ndim, host.strides

    def __getitem__(self, key):
        return Array(self.fake, self.host[key], self.memory)

    def copy(self):
        return self.fake.array(self, copy=True, order="C")

    def reshape(self, shape):
        return Array(self.fake, self.host.reshape(shape), self.memory)

    def get(self, stream):
        del stream
        self.fake.call("get")
        self.fake.downloads += 1
        return self.host.copy()


class OnDevice:
    """An image of the caller's in the fake GPU's memory."""

    def __init__(self, array):
        self.array = array
        self.__cuda_array_interface__ = array.__array_interface__


class MemoryPool:
    """Keeps freed memory in blocks of 512 bytes; reuses a block only for its own size.

    As in CuPy 14, a pool that is dropped never frees its unused blocks.
    """

    def __init__(self, fake):
        self.fake, self.unused, self.total = fake, [], 0

    def malloc(self, size):
        size = -(-size // 512) * 512
        if size in self.unused:
            self.unused.remove(size)
        else:
            if self.fake.used + size > self.fake.memory:
                raise OutOfMemoryError(f"{size} bytes")
            self.fake.used += size
            self.total += size
        return _Block(self, size)

    def total_bytes(self):
        return self.total

    def free_bytes(self):
        return sum(self.unused)

    def free_all_blocks(self):
        self.fake.call("free_all_blocks")
        self.fake.used -= sum(self.unused)
        self.total -= sum(self.unused)
        self.unused.clear()


class _Block:
    def __init__(self, pool, size):
        self.fake, self.pool, self.size = pool.fake, weakref.ref(pool), size

    def __del__(self):
        pool = self.pool()
        if pool is None:
            self.fake.used -= self.size
        else:
            pool.unused.append(self.size)


class FakeCupy:
    """Stands for the modules `cupy` and `cupyx`.

    Attributes:
        faults: error by the name of the call that raises it.
        memory: bytes of the GPU.
        used: bytes taken from it.
        downloads: number of whole arrays that were copied to the host.
        pinned: page-locked arrays that were made for staging.
        page_locked: page-locked memory that was made for images and results.
        waits: whether each wait was for a blocking event.
    """

    def __init__(self, memory=1 << 40, count=1):
        self.memory, self.count, self.used, self.downloads = memory, count, 0, 0
        self.faults, self.pinned, self.page_locked, self.waits = {}, [], [], []
        self._default = MemoryPool(self)
        self._allocator = self._default.malloc
        self.cuda = SimpleNamespace(
            runtime=SimpleNamespace(
                CUDARuntimeError=CUDARuntimeError,
                getDeviceCount=lambda: self.call("getDeviceCount") or self.count,
                getDeviceProperties=lambda _: (
                    self.call("getDeviceProperties") or {"name": b"Fake", "totalGlobalMem": self.memory}
                ),
                memGetInfo=lambda: self.call("memGetInfo") or (self.memory - self.used, self.memory),
                deviceSynchronize=lambda: self.call("deviceSynchronize"),
                pointerGetAttributes=lambda _: SimpleNamespace(device=0),
                memcpyAsync=self._copy,
                memcpyHostToDevice=1,
                memcpyDeviceToHost=2,
            ),
            driver=SimpleNamespace(
                CUDADriverError=CUDADriverError,
                occupancyMaxActiveBlocksPerMultiprocessor=lambda *_: 1,
            ),
            nvrtc=SimpleNamespace(getVersion=lambda: self.call("getVersion") or (13, 0)),
            compiler=SimpleNamespace(CompileException=CompileException),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            Device=lambda index: _Device(self, index),
            Stream=self._stream_type(),
            Event=lambda **options: _Event(self, **options),
            MemoryPool=lambda: MemoryPool(self),
            get_current_stream=lambda _: self.cuda.Stream.null,
            get_elapsed_time=lambda *_: 0.0,
            PinnedMemory=self._pinned_memory,
            PinnedMemoryPointer=lambda memory, _: memory,
            using_allocator=self._using_allocator,
        )

    def call(self, name):
        """Raise the fault of this call, if a test has planned one."""
        if name in self.faults:
            raise self.faults[name]
        if "everything" in self.faults:
            raise self.faults["everything"]

    def lose(self):
        """From now on every call fails, as after a fault in a kernel."""
        self.faults["everything"] = CUDARuntimeError(700)

    def empty(self, count, dtype):
        block = self._allocator(int(count) * np.dtype(dtype).itemsize)
        return Array(self, np.zeros(count, dtype), block)

    def array(self, source, copy, order):
        block = self._allocator(source.nbytes)
        return Array(self, np.array(source.host, copy=copy, order=order), block)

    def asarray(self, image):
        return Array(self, image.array)

    def empty_pinned(self, shape, dtype):
        self.call("empty_pinned")
        array = np.empty(shape, dtype)
        self.pinned.append(array)
        return array

    def _pinned_memory(self, size):
        self.call("PinnedMemory")
        memory = np.empty(size, np.uint8)
        self.page_locked.append(memory)
        return memory

    def get_default_memory_pool(self):
        return self._default

    def get_default_pinned_memory_pool(self):
        return SimpleNamespace(free_all_blocks=lambda: self.call("free_all_blocks"))

    def RawModule(self, code, options):  # noqa: N802 (CuPy's name)
        del code, options
        return SimpleNamespace(
            compile=lambda: self.call("compile"),
            get_function=lambda name: SimpleNamespace(kernel=_Kernel(self, name)),
        )

    def _copy(self, to, source, size, kind, stream):
        del kind, stream
        self.call("memcpyAsync")
        ctypes.memmove(to, source, size)

    @contextmanager
    def _using_allocator(self, allocator):
        before, self._allocator = self._allocator, allocator
        yield
        self._allocator = before

    def _stream_type(self):
        fake = self

        class Stream(nullcontext):
            ptr = 1

            def __init__(self, non_blocking=False):
                del non_blocking
                super().__init__()
                fake.call("Stream")

            def synchronize(self):
                fake.waits.append(False)
                fake.call("synchronize")

            def wait_event(self, event):
                pass

            def begin_capture(self):
                raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: no graphs here")

            def end_capture(self):
                raise CUDARuntimeError("cudaErrorIllegalState: there is no capture")

            def is_capturing(self):
                return False

        Stream.null = Stream()
        return Stream


class _Device(nullcontext):
    def __init__(self, fake, index):
        super().__init__()
        self.fake, self.id = fake, index

    def __enter__(self):
        self.fake.call("setDevice")

    @property
    def attributes(self):
        self.fake.call("attributes")
        return {"CooperativeLaunch": 1, "MultiProcessorCount": 2}


class _Event:
    def __init__(self, fake, block=False, disable_timing=False):
        del disable_timing
        fake.call("Event")
        self.fake, self.block = fake, block

    def record(self, stream):
        del stream
        self.fake.call("record")

    def synchronize(self):
        self.fake.waits.append(self.block)
        self.fake.call("synchronize")


class _Kernel:
    ptr = 0

    def __init__(self, fake, name):
        self.fake, self.name = fake, name

    def __call__(self, grid, block, args, **options):
        del grid, block, options
        self.fake.call(self.name)
        if self.name == "merge_tail":
            args[0].host[0] = 1  # one region, and so no records
