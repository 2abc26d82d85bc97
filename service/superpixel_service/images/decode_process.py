"""The program of a server's decode processes.

A decode cannot be interrupted, but a process can be ended. So each worker of a server has a process that
decodes its files. `work.decoders` uses and ends these processes.

`python -m superpixel_service.images.decode_process FD` runs a fork server. It loads the image libraries
once, and forks a decode process in a few milliseconds whenever it is asked to. The forked processes share
its memory, so each takes only a few megabytes of its own. The fork server has only one thread, and neither
gRPC nor CUDA.

The fork server and idle decode processes end when the server ends, because their sockets close. A process in
the middle of a decode ends because the kernel kills it when the fork server ends.
"""

import contextlib
import ctypes
import enum
import errno
import gc
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from typing import NamedTuple, NoReturn

import numpy as np

from superpixel_service.contract import ImageFormat
from superpixel_service.images.pixels import Box, decode_file, ignore_library_warnings
from superpixel_service.images.samples16 import SampleRange, Scaling

KEPT_BYTES = 32 << 20
"""Larger shared memory is used for one image only."""

# Of the fork server: a request, and its answer.
FORK, END = 0, 1
REQUEST = struct.Struct("<Bq")
"""FORK, with a socket for the new process; or END and the number of a process."""
REPLY = struct.Struct("<q")
"""The number of the new process, or the wait status of the ended one. -1: the system allows no further
process, or there is no process of that number."""

_ORDER = struct.Struct("<BBBIIIIIIiiQQdQ")
_ANSWER = struct.Struct("<Bii?BII")
_NO_RANGE = -1
ANSWER_BYTES = _ANSWER.size

_FORMATS = tuple(ImageFormat)

_KEPT_FREE_BYTES = 64 << 20
"""Freed memory that a process keeps while it works, as the server does (`work.memory`)."""

_IDLE_SECONDS = 10
"""A process that has had no order for this long returns its freed memory to the system."""

_PR_SET_PDEATHSIG = 1
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NOTHING_BEYOND = 1 << 62


class Order(NamedTuple):
    """A file to decode. It lies in the shared memory, after room for the pixels.

    Attributes:
        format, width, height, orientation, bit_depth, sample_range: as in `images.pixels.Accepted`.
        region: the part to return; None: the whole image.
        file_start, file_bytes: where the file is in the shared memory.
        processor_seconds: the kernel ends the process (SIGPROF) if it takes more processor time.
        memory_bytes: the most memory that decoding may take.
    """

    format: ImageFormat
    width: int
    height: int
    orientation: int
    bit_depth: int
    sample_range: SampleRange | None
    region: Box | None
    file_start: int
    file_bytes: int
    processor_seconds: float
    memory_bytes: int

    def pack(self) -> bytes:
        """The order as a message."""
        return _ORDER.pack(
            _FORMATS.index(self.format),
            self.orientation,
            self.bit_depth,
            self.width,
            self.height,
            *(self.region or (0, 0, 0, 0)),
            *(self.sample_range or (_NO_RANGE, _NO_RANGE)),
            self.file_start,
            self.file_bytes,
            self.processor_seconds,
            self.memory_bytes,
        )

    @classmethod
    def unpack(cls, message: bytes) -> "Order":
        """The order in a message."""
        number, orientation, bit_depth, width, height, *rest = _ORDER.unpack(message)
        x, y, columns, rows, low, high, *numbers = rest
        region = (x, y, columns, rows) if columns else None
        sample_range = None if low == _NO_RANGE else (low, high)
        return cls(_FORMATS[number], width, height, orientation, bit_depth, sample_range, region, *numbers)


class Outcome(enum.IntEnum):
    """How a decode ended."""

    DECODED = 0
    UNDECODABLE = 1
    """The library rejected the file."""
    TOO_MUCH_MEMORY = 2
    """It needs more than `Order.memory_bytes`."""
    NO_MEMORY = 3
    """It needs more than the system allows this process."""


class Answer(NamedTuple):
    """The end of a decode. The pixels are at the beginning of the shared memory.

    Attributes:
        scaling: how samples of 16 bits were scaled; None: there were none.
        shape: of the pixels, (height, width) or (height, width, channels).
    """

    outcome: Outcome
    scaling: Scaling | None = None
    shape: tuple[int, ...] = (0, 0)

    def pack(self) -> bytes:
        """The answer as a message."""
        height, width, *channels = self.shape
        scaling = self.scaling or (_NO_RANGE, _NO_RANGE, False)
        return _ANSWER.pack(self.outcome, *scaling, *(channels or [0]), height, width)

    @classmethod
    def unpack(cls, message: bytes) -> "Answer":
        """The answer in a message."""
        outcome, low, high, is_gray, channels, height, width = _ANSWER.unpack(message)
        scaling = None if low == _NO_RANGE else Scaling(low, high, is_gray)
        return cls(Outcome(outcome), scaling, (height, width, *([channels] if channels else [])))


# ---- the fork server


def main(control: socket.socket) -> NoReturn:
    """Run the fork server until the other end of `control` is closed."""
    ignore_library_warnings()
    # A service manager may send these to all processes of a server; the server decides when to end.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold a caller's image
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
    gc.collect()
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, REQUEST.size, 1)
        if not message:
            os._exit(0)
        kind, number = REQUEST.unpack(message)
        control.send(REPLY.pack(_fork(descriptors[0], control) if kind == FORK else _end(number)))


def _fork(descriptor: int, control: socket.socket) -> int:
    server = os.getpid()
    try:
        child = os.fork()
    except OSError:
        os.close(descriptor)
        return -1
    if child == 0:
        status = 1
        try:
            control.close()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == server:
                _serve(socket.socket(fileno=descriptor))
            status = 0
        except ConnectionError:
            status = 0
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    os.close(descriptor)
    return child


def _end(number: int) -> int:
    try:
        os.kill(number, signal.SIGKILL)  # no other process has this number until it is waited for
        return os.waitpid(number, 0)[1]
    except (ProcessLookupError, PermissionError, ChildProcessError):
        return -1


# ---- a decode process


def _serve(orders: socket.socket) -> None:
    """Decode files until the other end of `orders` is closed."""
    memory: mmap.mmap | None = None
    limits = _Limits()
    _wait_at_most(orders, _IDLE_SECONDS)
    while True:
        message, descriptors = _next(orders)
        if not message:
            return
        if descriptors:
            memory = mmap.mmap(descriptors[0], 0)
            os.close(descriptors[0])
            if len(memory) > KEPT_BYTES:
                with contextlib.suppress(OSError):  # not every kernel has huge pages
                    memory.madvise(mmap.MADV_HUGEPAGE)
        assert memory is not None  # noqa: S101 (the first order has a descriptor)
        answer = _decode(Order.unpack(message), memory, limits)
        if len(memory) > KEPT_BYTES:
            memory = None
        orders.send(answer.pack())


def _next(orders: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, descriptors, _, _ = socket.recv_fds(orders, _ORDER.size, 1)
    except BlockingIOError:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        _wait_at_most(orders, 0)
        message, descriptors, _, _ = socket.recv_fds(orders, _ORDER.size, 1)
        _wait_at_most(orders, _IDLE_SECONDS)
    return message, descriptors


def _wait_at_most(orders: socket.socket, seconds: int) -> None:
    """Let a receive raise `BlockingIOError` after this time; 0: never.

    Python's own timeout takes three more system calls per order.
    """
    orders.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", seconds, 0))


def _decode(order: Order, memory: mmap.mmap, limits: "_Limits") -> Answer:
    view = memoryview(memory)
    file = view[order.file_start : order.file_start + order.file_bytes]
    try:
        limits.set(order)
        pixels, scaling = decode_file(file, order, order.region, view[: order.file_start])
        room = np.frombuffer(view, np.uint8, order.file_start)
        if not np.may_share_memory(pixels, room):
            np.copyto(room[: pixels.size].reshape(pixels.shape), pixels)
    except Exception as error:  # noqa: BLE001 (libraries raise errors of any kind)
        return Answer(limits.outcome(error))
    finally:
        limits.lift()
    return Answer(Outcome.DECODED, scaling, pixels.shape)


class _Limits:
    """The bounds of one decode: processor time, and address space beyond what the process has."""

    def __init__(self) -> None:
        location = getattr(ctypes.CDLL(None), "__errno_location")
        location.restype = ctypes.POINTER(ctypes.c_int)
        self._errno = location()
        self._hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        self._is_ours = True
        try:
            self._size = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._size = -1

    def set(self, order: Order) -> None:
        """Begin to limit."""
        self._errno[0] = 0
        hard = _NOTHING_BEYOND if self._hard == resource.RLIM_INFINITY else self._hard
        if self._size >= 0:
            pages = int(os.pread(self._size, 64, 0).split(maxsplit=1)[0])
            soft = pages * mmap.PAGESIZE + order.memory_bytes
            self._is_ours = soft <= hard
            resource.setrlimit(resource.RLIMIT_AS, (min(soft, hard), self._hard))
        signal.setitimer(signal.ITIMER_PROF, order.processor_seconds)

    def outcome(self, error: Exception) -> Outcome:
        """What the error of a decode means.

        Libraries that run out of memory raise errors of any kind, but the C library leaves its number.
        """
        if not isinstance(error, MemoryError) and self._errno[0] != errno.ENOMEM:
            return Outcome.UNDECODABLE
        return Outcome.TOO_MUCH_MEMORY if self._is_ours else Outcome.NO_MEMORY

    def lift(self) -> None:
        """The decode is over."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (self._hard, self._hard))


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
