"""The decode processes, as the workers use them: each worker has one of its own.

A file reaches its process in shared memory, and the pixels come back in it. A decode ends with its call: the
process is ended within 20 ms after the call was cancelled or its deadline passed. It is also ended if the
decode takes more processor time than any normal file needs. It refuses to take far more memory than the
pixels need. A new process is there a few milliseconds later. If a process ends for another reason (the
kernel's OOM killer, a fault in a library), a second one decodes the file again.
"""

import contextlib
import math
import mmap
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import structlog

from superpixel_service.contract import Reason
from superpixel_service.errors import InvalidRequest, ServiceError
from superpixel_service.images.decode import box_of, decode, notices_of, undecodable
from superpixel_service.images.decode_process import ANSWER_BYTES, KEPT_BYTES, Answer, Order, Outcome
from superpixel_service.images.pixels import Pixels
from superpixel_service.model import EncodedImage, Notice, OpenedImage, Rectangle
from superpixel_service.work.decode_processes import (
    DecodeProcess,
    DecodeProcessLost,
    ForkServer,
    SharedMemory,
)

# A photograph takes 15 to 26 ns of a core per pixel here, and the worst file that `open_image` accepts 670.
# Slow and busy cores take several times as long, and a normal file must never be rejected.
_SECONDS, _SECONDS_PER_PIXEL = 0.5, 0.3e-6
_SHARE_OF_STEP_LIMIT = 0.35
_LONGEST_WAIT_SHARE = 0.4
"""Of the step limit: then both tries end before the watchdog takes the worker for dead."""

# The library's copies of the picture, beside the shared memory: measured 4 to 24 bytes per pixel. The sum is
# for files whose decoders take much per file (WebP's code tables), and for fragments of earlier decodes.
_BYTES, _BYTES_PER_PIXEL, _BYTES_PER_FILE_BYTE = 64 << 20, 32, 3

_LOOK_MILLISECONDS = 20
_LONGEST_LOOK_SECONDS = 1.0
"""A longer time between two looks means that the server did not run."""

_CHANNELS = 4

log = structlog.get_logger()


class _Lost(Exception):
    """The process ended, or did not answer."""


class Decoder:
    """Decodes one image at a time in a process of its own.

    Args:
        fork_server: starts the process.
        step_limit_seconds: longest time that the server may take for a step; bounds a decode.
    """

    def __init__(self, fork_server: ForkServer, step_limit_seconds: float) -> None:
        self._fork_server = fork_server
        self._longest_decode = _SHARE_OF_STEP_LIMIT * step_limit_seconds
        self._longest_wait = _LONGEST_WAIT_SHARE * step_limit_seconds
        self._used = threading.Lock()
        self._process: DecodeProcess | None = None
        self._memory: SharedMemory | None = None

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While this is open, `decode` may be called, and the pixels that it returned stay."""
        with self._used:
            try:
                yield
            finally:
                if self._memory is not None and len(self._memory.map) > KEPT_BYTES:
                    self._forget_memory()

    def free_memory(self) -> None:
        """Return the shared memory to the system, unless it is in use."""
        if self._used.acquire(blocking=False):
            try:
                if self._memory is not None:
                    self._memory.free()
            finally:
                self._used.release()

    def close(self) -> None:
        """End the process."""
        with self._used:
            if self._process is not None:
                self._fork_server.end(self._process)
                self._process = None
            self._forget_memory()

    def decode(
        self, image: OpenedImage, region: Rectangle | None, stop_reason: Callable[[], ServiceError | None]
    ) -> tuple[Pixels, tuple[Notice, ...]]:
        """Decode an accepted image; as `images.decode.decode`, but only within `in_use`.

        Args:
            image: the accepted image. The bytes of its file are freed.
            region: the part to return; None: the whole image.
            stop_reason: returns why the decode should end now; None: it should go on.

        Raises:
            InvalidRequest: the file is damaged, or takes too much time or memory.
            ServiceError: the reason that `stop_reason` returned.
            MemoryError: there is no memory for the image.
            DecodeProcessLost: the process ended, and so did a second one.
        """
        if not isinstance(image.source, EncodedImage):
            return decode(image, region)
        order = self._write(image.source, image, region)
        for is_last in (False, True):
            try:
                answer = self._answer(order, stop_reason)
                break
            except _Lost as lost:
                log.warning("decode_process_lost", why=str(lost), format=image.format.value)
                if is_last:
                    raise DecodeProcessLost(f"two decode processes ended: {lost}") from None
        return self._pixels(answer, image, region), notices_of(image, answer.scaling)

    def _write(self, source: EncodedImage, image: OpenedImage, region: Rectangle | None) -> Order:
        """Write the file into shared memory, and free its bytes."""
        columns, rows = (image.width, image.height) if region is None else (region.width, region.height)
        room = -(-_CHANNELS * columns * rows // mmap.PAGESIZE) * mmap.PAGESIZE
        data, pixels = source.data, image.width * image.height
        order = Order(
            image.format,
            image.width,
            image.height,
            image.orientation,
            image.bit_depth,
            image.sample_range,
            box_of(region),
            file_start=room,
            file_bytes=len(data),
            processor_seconds=min(_SECONDS + _SECONDS_PER_PIXEL * pixels, self._longest_decode),
            memory_bytes=_BYTES + _BYTES_PER_PIXEL * pixels + _BYTES_PER_FILE_BYTE * len(data),
        )
        try:
            self._have_memory(room + len(data)).write(data, room)
        except OSError:  # no memory, no descriptor
            raise MemoryError from None
        source.release()
        return order

    def _have_memory(self, size: int) -> SharedMemory:
        if self._memory is None or len(self._memory.map) < size:
            self._forget_memory()
            self._memory = SharedMemory(max(size, KEPT_BYTES))
        return self._memory

    def _forget_memory(self) -> None:
        if self._process is not None:
            self._process.knows = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def _answer(self, order: Order, stop_reason: Callable[[], ServiceError | None]) -> Answer:
        memory = self._memory
        assert memory is not None  # noqa: S101 (`_write` has made it)
        process = self._ready_process()
        try:
            if process.knows is memory:
                process.orders.send(order.pack())
            else:
                socket.send_fds(process.orders, [order.pack()], [memory.descriptor])
                process.knows = memory
            self._wait(process, stop_reason)
            message = process.orders.recv(ANSWER_BYTES)
        except OSError:
            message = b""
        if len(message) != ANSWER_BYTES:
            self._lose(process, order)
        return Answer.unpack(message)

    def _ready_process(self) -> DecodeProcess:
        """The process; a new one if there is none, or if it ended while it was idle."""
        if self._process is not None and self._process.poll.poll(0):
            self._replace(self._process, "lost")
        if self._process is None:
            self._process = self._fork_server.fork()
        return self._process

    def _wait(self, process: DecodeProcess, stop_reason: Callable[[], ServiceError | None]) -> None:
        """Wait until the process has answered or ended."""
        seen, waited = time.monotonic(), 0.0
        while not process.poll.poll(_LOOK_MILLISECONDS):
            reason = stop_reason()
            if reason is not None:
                self._replace(process, "stopped")
                raise reason
            before, seen = seen, time.monotonic()
            waited += min(seen - before, _LONGEST_LOOK_SECONDS)
            if waited > self._longest_wait:
                self._replace(process, "lost")
                raise _Lost("it did not answer")

    def _lose(self, process: DecodeProcess, order: Order) -> None:
        """The process has ended: find out why."""
        ended_by = self._fork_server.end(process)
        self._process = None
        if ended_by == signal.SIGPROF:
            self._replace(None, "too_slow")
            raise InvalidRequest(
                Reason.IMAGE_UNDECODABLE,
                f"must be decodable in a normal time; this {order.format.upper()} file takes more than "
                f"{order.processor_seconds:.1f} s of processor time",
                field="encoded_image",
            )
        self._replace(None, "lost")
        raise _Lost("its end is unknown" if ended_by is None else f"it ended by signal {ended_by}")

    def _replace(self, process: DecodeProcess | None, cause: str) -> None:
        """End the process, if it has not ended, and start another one."""
        if process is not None:
            self._fork_server.end(process)
        self._process = None
        self._fork_server.count(cause)
        with contextlib.suppress(DecodeProcessLost):  # the next decode tries again, and reports it
            self._process = self._fork_server.fork()

    def _pixels(self, answer: Answer, image: OpenedImage, region: Rectangle | None) -> Pixels:
        if answer.outcome is Outcome.UNDECODABLE:
            raise undecodable(image.format)
        if answer.outcome is Outcome.TOO_MUCH_MEMORY:
            raise InvalidRequest(
                Reason.IMAGE_UNDECODABLE,
                f"must be decodable in a normal amount of memory; this {image.format.upper()} file takes far "
                "more than its size in pixels needs",
                field="encoded_image",
            )
        if answer.outcome is Outcome.NO_MEMORY:
            raise MemoryError
        size = (image.height, image.width) if region is None else (region.height, region.width)
        if answer.shape[:2] != size or answer.shape[2:] not in {(), (1,), (3,), (_CHANNELS,)}:
            raise undecodable(image.format)
        assert self._memory is not None  # noqa: S101 (`_write` has made it)
        return np.frombuffer(self._memory.map, np.uint8, math.prod(answer.shape)).reshape(answer.shape)
