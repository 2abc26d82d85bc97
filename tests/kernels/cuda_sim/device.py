"""A CUDA device in a process of its own on the CPU: `SimDevice`."""

import ctypes
import re
import select
import struct
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tests.kernels.cuda_sim import build

MODES = ("plain", "race", "asan")
SECONDS = 120.0

_SCALARS = {
    "=i4": np.int32, "=u4": np.uint32, "=i8": np.int64, "=u8": np.uint64,
    "=f4": np.float32, "=f8": np.float64,
}  # fmt: skip


class SimError(Exception):
    """The simulated device refused or stopped something."""


class BadLaunch(SimError):
    """A launch whose kernel, sizes or arguments are wrong; nothing has run."""


class KernelFault(SimError):
    """A kernel did what it must not. The device is lost, as after a sticky error of a GPU."""


class SimArray:
    """A device array: what it holds is reached through the device alone."""

    def __init__(
        self, device: "SimDevice", address: int, count: int, dtype: np.dtype, base: "SimArray | None"
    ):
        self.device = device
        self.address = address
        self.size = count
        self.dtype = dtype
        self._base = base  # keeps the memory

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


@dataclass(frozen=True)
class Parameter:
    """A kernel's parameter: pass, kind and size as in `cuda_sim_parameter`, and its name."""

    code: str
    name: str


@dataclass(frozen=True)
class Kernel:
    name: str
    max_threads: int
    parameters: tuple[Parameter, ...]


class SimDevice:
    """Runs .cu files with CUDA's semantics, behind `superpixel_kernels.cuda.device.Device`.

    Args:
        seed: of the order of threads, and of the garbage in new arrays and in shared memory.
        mode: "plain"; "race", which also finds data races, uninitialised reads and accesses out of bounds;
            "asan", under AddressSanitizer and UBSan.
        resident: how many blocks are on the device at the same time.
        folder: where the .cu files are.
        memory: bytes of all arrays together, or None: no bound.
        seconds: after which a launch counts as endless.
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
        self._seconds = seconds
        self._kernels: dict[str, Kernel] = {}
        self._loaded: set[Path] = set()
        self._lost: str | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [build.worker(self._variant), str(seed), str(int(mode == "race")), str(resident), str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0,
            env={
                "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            },
        )  # fmt: skip
        self._close = weakref.finalize(self, _stop, self._process, self._stderr)

    @property
    def name(self) -> str:
        return f"CUDA simulated on the CPU ({self.mode}, seed {self.seed})"

    def close(self) -> None:
        """Ends the process; everything after is an error."""
        self._close()

    def active(self) -> AbstractContextManager[None]:
        """Nothing: any thread may use the device, one at a time."""
        return nullcontext()

    def mark(self) -> float:
        """Now: every launch has ended when `launch` returns."""
        return time.perf_counter()

    def seconds_between(self, start: float, end: float) -> float:
        return end - start

    def give_back(self) -> None:
        """Nothing is kept."""

    def used_bytes(self) -> int:
        return self._used

    def host_array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        return np.empty(shape, dtype)

    def adopt(self, image: Any) -> SimArray:
        """A copy, with the same strides, of all memory that an array touches: in truth it is the host's."""

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
        """Of an array that was adopted."""
        return array.host

    def empty(self, count: int, dtype: DTypeLike) -> SimArray:
        """An array of seeded garbage.

        Raises:
            OutOfMemory: beyond `memory`.
        """
        kind = np.dtype(dtype)
        size = int(count) * kind.itemsize
        if count < 0:
            raise ValueError(f"count is negative: {count}")
        if self._memory is not None and self._used + size > self._memory:
            raise _out_of_memory(
                f"{size} bytes asked for, {self._memory - self._used} of {self._memory} left"
            )
        (address,) = struct.unpack("<Q", self._order(b"a" + struct.pack("<QQ", size, kind.itemsize)))
        self._used += size
        array = SimArray(self, address, int(count), kind, None)
        weakref.finalize(array, self._free, address, size).atexit = False
        return array

    def _free(self, address: int, size: int) -> None:
        self._used -= size
        if self._lost is None and self._close.alive:
            self._write(b"f" + struct.pack("<Q", address))

    def upload(self, host: NDArray[np.generic], to: SimArray) -> None:
        self._check_copy(host, to)
        self._order(b"w" + struct.pack("<QQ", to.address, to.nbytes) + host.tobytes())

    def download(self, source: SimArray, to: NDArray[np.generic]) -> None:
        self._check_copy(to, source)
        data = self._order(b"r" + struct.pack("<QQ", source.address, source.nbytes))
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
        """Run a kernel to its end.

        Raises:
            BadLaunch: no such kernel; sizes or arguments that do not fit it.
            KernelFault: what the kernel did, where, and which thread.
        """
        found = self._kernel(kernel)
        sizes = [*_pair("grid", grid), *_pair("block", block)]
        threads = sizes[2] * sizes[3]
        most = found.max_threads or 1024
        if threads > min(most, 1024):
            raise BadLaunch(f"{kernel}: blocks of {threads} threads, but its __launch_bounds__ allow {most}")
        blocks = sizes[0] * sizes[1]
        if sizes[0] > 2**31 - 1 or sizes[1] > 65535:
            raise BadLaunch(f"{kernel}: a grid of {sizes[0]} x {sizes[1]} blocks")
        if not 0 <= shared_bytes <= 48 << 10:
            raise BadLaunch(f"{kernel}: shared_bytes is {shared_bytes}, not between 0 and 49152")
        if cooperative and blocks > self.resident_blocks(kernel, threads, shared_bytes=shared_bytes):
            raise BadLaunch(
                f"{kernel}: a cooperative launch of {blocks} blocks, but {self._resident} can be resident"
            )
        slots = self._slots(found, args)
        name = kernel.encode()
        numbers = [*sizes, shared_bytes, int(cooperative), len(slots)]
        self._order(
            b"k" + struct.pack("<Q", len(name)) + name + struct.pack("<7Q", *numbers) + b"".join(slots),
            kernel,
        )

    def resident_blocks(self, kernel: str, block: int, *, shared_bytes: int = 0) -> int:  # noqa: ARG002
        return self._resident

    def _slots(self, kernel: Kernel, args: Sequence[object]) -> list[bytes]:
        if len(args) != len(kernel.parameters):
            names = ", ".join(parameter.name for parameter in kernel.parameters)
            raise BadLaunch(
                f"{kernel.name} takes {len(kernel.parameters)} arguments ({names}), not {len(args)}"
            )
        return [
            self._slot(f"{kernel.name}: argument {number}, `{parameter.name}`,", parameter.code, value)
            for number, (parameter, value) in enumerate(zip(kernel.parameters, args, strict=True), 1)
        ]

    def _slot(self, what: str, code: str, value: object) -> bytes:
        if code[0] == "=":
            expected = _SCALARS.get(code)
            if expected is None:
                raise BadLaunch(f"{what} has a type that no launcher passes ({code[1:]})")
            if type(value) is not expected:
                raise BadLaunch(f"{what} is a numpy.{expected.__name__}, not {type(value).__name__}")
            return np.asarray(value).tobytes().ljust(8, b"\0")
        if not isinstance(value, SimArray) or value.device is not self:
            raise BadLaunch(
                f"{what} is a pointer: it takes an array of this device, not {type(value).__name__}"
            )
        kind, size = code[1], int(code[2:])
        if kind in "sv":
            fits = value.nbytes % size == 0
        else:
            # Signed and unsigned integers of a size may alias each other.
            class_of = {"i": "iu", "u": "iu", "b": "biu", "f": "f"}[kind]
            fits = value.dtype.itemsize == size and value.dtype.kind in class_of
        if not fits:
            raise BadLaunch(f"{what} points to {_target(kind, size)}, not to {value.dtype}")
        if kind == "s" and value.address % min(size & -size, 16):
            raise BadLaunch(
                f"{what} points to {_target(kind, size)}: the slice begins at a place not aligned for it"
            )
        return struct.pack("<Q", value.address)

    def _kernel(self, name: str) -> Kernel:
        if name not in self._kernels:
            parts = name.split("_")
            files = [self._folder / ("_".join(parts[:n]) + ".cu") for n in range(len(parts), 0, -1)]
            file = next((f for f in files if f.exists()), None)
            if file is None:
                raise BadLaunch(f"kernel {name} should be in {files[-1].name}, which does not exist")
            if file not in self._loaded:
                path = str(build.library(file, self._variant)).encode()
                text = self._order(b"l" + struct.pack("<Q", len(path)) + path).decode()
                for kernel in map(_parse_kernel, text.splitlines()):
                    self._kernels[kernel.name] = kernel
                self._loaded.add(file)
            if name not in self._kernels:
                raise BadLaunch(f"{file.name} has no kernel {name}")
        return self._kernels[name]

    # --- the process ---------------------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self._process.stdin.write(view) :]

    def _read(self, count: int) -> bytes:
        assert self._process.stdout is not None
        parts = []
        while count:
            ready, _, _ = select.select([self._process.stdout], [], [], self._seconds + 30)
            if not ready:
                self._process.kill()
                raise EOFError(f"no answer for {self._seconds + 30} s: a loop that never ends?")
            part = self._process.stdout.read(min(count, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def _order(self, data: bytes, kernel: str | None = None) -> bytes:
        if self._lost is not None:
            raise KernelFault(f"the device is lost since: {self._lost}")
        if not self._close.alive:
            raise SimError("the device is closed")
        try:
            self._write(data)
            status, length = struct.unpack("<cQ", self._read(9))
            answer = self._read(length)
        except (EOFError, BrokenPipeError) as error:
            self._lost = self._last_words(kernel, str(error))
        else:
            if status == b"+":
                return answer
            self._lost = _with_lines(answer.decode())
        raise KernelFault(self._lost)

    def _last_words(self, kernel: str | None, reason: str) -> str:
        self._process.wait()
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace")
        prefix = f"kernel `{kernel}`: " if kernel else ""
        return f"{prefix}{reason or f'the process ended with status {self._process.returncode}'}\n{said}"


def _stop(process: "subprocess.Popen[bytes]", stderr) -> None:
    for pipe in (process.stdin, process.stdout):
        pipe.close()
    process.kill()
    process.wait()
    stderr.close()


def _pair(what: str, size: int | tuple[int, int]) -> tuple[int, int]:
    x, y = size if isinstance(size, tuple) else (size, 1)
    if x < 1 or y < 1:
        raise BadLaunch(f"{what} is {x} x {y}: at least one of each")
    return int(x), int(y)


def _target(kind: str, size: int) -> str:
    names = {"i": "int", "u": "uint", "f": "float", "b": "bool"}
    return f"{names[kind]}{8 * size}" if kind in names else f"structs of {size} bytes"


def _parse_kernel(line: str) -> Kernel:
    name, bound, *parameters = line.split(" ")
    parsed = tuple(Parameter(*parameter.split(":")) for parameter in parameters)
    return Kernel(name, int(bound), parsed)


def _out_of_memory(message: str) -> Exception:
    from superpixel_kernels import errors

    return getattr(errors, "OutOfMemory", MemoryError)(message)


def _with_lines(text: str) -> str:
    """Each `<pc OFFSET LIBRARY>` as the source line it came from, with those it was inlined into."""

    def line(match: "re.Match[str]") -> str:
        done = subprocess.run(
            ["addr2line", "-e", match[2], "-i", match[1]], capture_output=True, text=True, check=False
        )
        places = [Path(place.split(" ")[0]).name for place in done.stdout.split("\n") if place]
        own = [place for place in places if not place.startswith("cuda.h:")] or places
        return " (called from ".join(own) + ")" * (len(own) - 1)

    return re.sub(r"<pc ([0-9a-f]+) ([^>]+)>", line, text)
