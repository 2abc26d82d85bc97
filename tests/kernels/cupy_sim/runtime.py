"""The fake CUDA runtime and driver: the C functions that CuPy calls, on fake GPUs."""

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import Any

from tests.kernels.cupy_sim import cubin
from tests.kernels.cupy_sim.calls import export, store, text
from tests.kernels.cupy_sim.errors import RUNTIME_NAMES, Code, Failure
from tests.kernels.cupy_sim.gpu import PROCESSORS, Function, Gpu, Graph, Stream, Work
from tests.kernels.cupy_sim.stream_calls import StreamCalls

VERSION = 13000
HOST_TO_HOST, HOST_TO_DEVICE, DEVICE_TO_HOST, DEVICE_TO_DEVICE, BY_ADDRESS = range(5)

_ATTRIBUTES = {1: 1024, 10: 32, 16: PROCESSORS, 75: 9, 76: 0, 95: 1}
"""Threads per block, warp, multiprocessors, compute capability, cooperative launches; the others are 0."""


class Runtime(StreamCalls):
    """All functions: also errors, devices, memory, modules and launches."""

    # --- errors, devices --------------------------------------------------------------------------------

    @export("cudaGetErrorName", "cudaGetErrorString", types=(c_int,))
    def _error_text(self, code: int) -> int:
        known = code in RUNTIME_NAMES
        return ctypes.addressof(text(RUNTIME_NAMES[Code(code)] if known else f"error {code}"))

    @export("cuGetErrorName", "cuGetErrorString", types=(c_int, c_void_p))
    def _driver_error_text(self, code: int, to: int) -> None:
        name = Code(code).name if code in RUNTIME_NAMES else str(code)
        store(c_void_p, to, ctypes.addressof(text(f"CUDA_ERROR_{name}")))

    @export("cudaGetLastError")
    def _last_error(self) -> None:
        pass

    @export("cudaDriverGetVersion", "cudaRuntimeGetVersion", "cuDriverGetVersion", types=(c_void_p,))
    def _version(self, to: int) -> None:
        store(c_int, to, VERSION)

    @export("cudaGetDeviceCount", types=(c_void_p,))
    def _count(self, to: int) -> None:
        store(c_int, to, len(self.gpus))

    @export("cudaGetDevice", "cuCtxGetDevice", types=(c_void_p,))
    def _device(self, to: int) -> None:
        store(c_int, to, self.gpu.index)

    @export("cudaSetDevice", types=(c_int,))
    def _set_device(self, index: int) -> None:
        if not 0 <= index < len(self.gpus):
            raise Failure(Code.INVALID_DEVICE)
        self._thread.device = index

    @export("cudaDeviceGetAttribute", types=(c_void_p, c_int, c_int))
    def _attribute(self, to: int, attribute: int, _device: int) -> None:
        store(c_int, to, _ATTRIBUTES.get(attribute, 0))

    @export("fake_properties", types=(c_int, c_void_p))
    def _properties(self, index: int, memory: int) -> None:
        if "cudaGetDeviceProperties" in self.failures:
            raise Failure(self.failures["cudaGetDeviceProperties"])
        store(c_size_t, memory, self.gpus[index].memory)

    @export("cudaDeviceSynchronize")
    def _synchronize(self) -> None:
        self.gpu.finish()

    @export("cuCtxGetCurrent", types=(c_void_p,))
    def _context(self, to: int) -> None:
        store(c_void_p, to, 16 * (1 + self.gpu.index))

    # --- memory -----------------------------------------------------------------------------------------

    @export("cudaMalloc", types=(c_void_p, c_size_t))
    def _malloc(self, to: int, size: int) -> None:
        store(c_void_p, to, self.gpu.allocate(size))

    @export("cudaFree", types=(c_void_p,))
    def _free(self, address: int | None) -> None:
        if address:
            owner = self._owner(address)
            (owner or self.gpu).free(address)

    @export("cudaHostAlloc", types=(c_void_p, c_size_t, c_uint))
    def _host_alloc(self, to: int, size: int, _flags: int) -> None:
        memory = ctypes.create_string_buffer(size)
        ctypes.memset(memory, 0xA5, size)
        self.pinned[ctypes.addressof(memory)] = memory
        store(c_void_p, to, ctypes.addressof(memory))

    @export("cudaFreeHost", types=(c_void_p,))
    def _free_host(self, address: int) -> None:
        if address not in self.pinned:
            raise Failure(Code.INVALID_VALUE)
        for gpu in self.gpus:
            gpu.finish()
        del self.pinned[address]

    @export("cudaMemGetInfo", types=(c_void_p, c_void_p))
    def _memory_info(self, free: int, total: int) -> None:
        store(c_size_t, free, self.gpu.memory - self.gpu.used)
        store(c_size_t, total, self.gpu.memory)

    @export("cudaPointerGetAttributes", types=(c_void_p, c_void_p))
    def _pointer(self, to: int, address: int) -> None:
        """Fill the first members of cudaPointerAttributes: type, device, device pointer, host pointer."""
        owner = self._owner(address)
        pinned = self._is_pinned(address, 1)
        ctypes.memset(to, 0, 24)
        store(c_int, to, 2 if owner else 1 if pinned else 0)
        store(c_int, to + 4, owner.index if owner else 0 if pinned else -2)
        store(c_void_p, to + 8, address if owner or pinned else None)
        store(c_void_p, to + 16, address if pinned else None)

    def _owner(self, address: int) -> Gpu | None:
        return next((gpu for gpu in self.gpus if gpu.base_of(address) is not None), None)

    def _is_pinned(self, address: int, size: int) -> bool:
        return any(
            base <= address and address + size <= base + len(memory) for base, memory in self.pinned.items()
        )

    @export("cudaMemcpy", types=(c_void_p, c_void_p, c_size_t, c_int))
    def _copy_and_wait(self, to: int, source: int, size: int, kind: int) -> None:
        self._copy(to, source, size, kind, 0)
        self.gpu.streams[0].finish()

    @export("cudaMemcpyAsync", types=(c_void_p, c_void_p, c_size_t, c_int, c_void_p))
    def _copy(self, to: int, source: int, size: int, kind: int, handle: int | None) -> None:
        if size == 0:
            return
        stream = self._stream(handle)
        gpu = stream.gpu
        from_device, to_device = gpu.holds(source, size), gpu.holds(to, size)
        wanted = {
            HOST_TO_DEVICE: (False, True),
            DEVICE_TO_HOST: (True, False),
            DEVICE_TO_DEVICE: (True, True),
        }
        if kind != BY_ADDRESS and (from_device, to_device) != wanted.get(kind, (False, False)):
            gpu.problems.append(f"a copy of {size} bytes, kind {kind}, between other memory than that")
            raise Failure(Code.INVALID_VALUE)
        if from_device and to_device:
            stream.put(lambda: gpu.write(to, gpu.read(source, size)))
        elif to_device:
            self._upload(stream, to, source, size)
        elif from_device:
            stream.put(self._download(gpu, to, source, size, checked=self._is_pinned(to, size)))
            if not self._is_pinned(to, size):
                self._wait_for(stream)
        else:
            stream.put(lambda: ctypes.memmove(to, source, size) and None)

    def _upload(self, stream: Stream, to: int, source: int, size: int) -> None:
        if self._is_pinned(source, size):
            stream.put(lambda: stream.gpu.write(to, ctypes.string_at(source, size)))
            return
        # The runtime copies ordinary memory before it returns.
        data = ctypes.string_at(source, size)
        stream.put(lambda: stream.gpu.write(to, data))

    def _download(self, gpu: Gpu, to: int, source: int, size: int, *, checked: bool) -> Work:
        def download() -> None:
            data = gpu.read(source, size)
            if checked and not self._is_pinned(to, size):
                gpu.problems.append(f"a copy of {size} bytes to page-locked memory that was freed before")
                return
            ctypes.memmove(to, data, size)

        return download

    @export("cudaMemset", types=(c_void_p, c_int, c_size_t))
    def _set(self, to: int, value: int, size: int) -> None:
        self._set_async(to, value, size, 0)

    @export("cudaMemsetAsync", types=(c_void_p, c_int, c_size_t, c_void_p))
    def _set_async(self, to: int, value: int, size: int, handle: int | None) -> None:
        stream = self._stream(handle)
        stream.put(lambda: stream.gpu.write(to, bytes([value & 0xFF]) * size))

    # --- modules and launches ---------------------------------------------------------------------------

    @export("cuModuleLoadData", types=(c_void_p, c_void_p))
    def _load(self, to: int, image: int) -> None:
        sizes = cubin.parameters_of(lambda at, size: ctypes.string_at(image + at, size))
        module = {name: Function(name, each) for name, each in sizes.items()}
        handle = Graph().handle
        self._modules[handle] = module
        store(c_void_p, to, handle)

    @export("cuModuleUnload", types=(c_void_p,))
    def _unload(self, handle: int) -> None:
        del self._modules[handle]

    @export("cuModuleGetFunction", types=(c_void_p, c_void_p, c_char_p))
    def _function(self, to: int, module: int, name: bytes) -> None:
        function = self._modules[module].get(name.decode())
        if function is None:
            raise Failure(Code.NOT_FOUND)
        self._functions[id(function)] = function
        store(c_void_p, to, id(function))

    @export("cuFuncGetAttribute", types=(c_void_p, c_int, c_void_p))
    def _function_attribute(self, to: int, _attribute: int, _function: int) -> None:
        store(c_int, to, 0)

    @export("cuOccupancyMaxActiveBlocksPerMultiprocessor", types=(c_void_p, c_void_p, c_int, c_size_t))
    def _occupancy(self, to: int, _function: int, _block: int, _shared: int) -> None:
        store(c_int, to, 1)

    @export("cuLaunchKernel", types=(c_void_p, *[c_uint] * 7, c_void_p, c_void_p, c_void_p))
    def _launch(self, function: int, *rest: Any) -> None:
        *sizes, shared, stream, params, _extra = rest
        self._start(function, sizes, shared, stream, params, cooperative=False)

    @export("cuLaunchCooperativeKernel", types=(c_void_p, *[c_uint] * 7, c_void_p, c_void_p))
    def _launch_cooperative(self, function: int, *rest: Any) -> None:
        *sizes, shared, stream, params = rest
        self._start(function, sizes, shared, stream, params, cooperative=True)

    def _start(
        self,
        function: int,
        sizes: list[int],
        shared: int,
        handle: int | None,
        params: int,
        *,
        cooperative: bool,
    ) -> None:
        stream = self._stream(handle)
        stream.gpu.launch(stream, self._functions[function], sizes, shared, params, cooperative=cooperative)
