"""Starts and ends the decode processes, and has memory in common with them."""

import fcntl
import mmap
import os
import select
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from superpixel_service.images.decode_process import END, FORK, REPLY, REQUEST

REPLACED = ("too_slow", "stopped", "lost")
"""Why a process was replaced: its decode took too long, its call ended, or it ended by itself."""

_REPLY_SECONDS = 60.0


class DecodeProcessLost(Exception):
    """Two processes ended while they decoded the same file, or no process can be started."""


@dataclass(eq=False, slots=True)
class DecodeProcess:
    """A decode process.

    Attributes:
        home: the connection to the fork server that it is a child of.
        knows: the shared memory that it has.
    """

    number: int
    home: socket.socket
    orders: socket.socket
    poll: select.poll = field(init=False)
    knows: "SharedMemory | None" = None

    def __post_init__(self) -> None:
        self.poll = select.poll()
        self.poll.register(self.orders, select.POLLIN)


class SharedMemory:
    """Memory that this process and a decode process have: first the pixels, then the file.

    Its size is sealed: otherwise a process that another program took over could crash the server by making it
    smaller.
    """

    def __init__(self, size: int) -> None:
        self.descriptor = os.memfd_create("decode", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self.descriptor, size)
            fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
            self.map = mmap.mmap(self.descriptor, size)
        except BaseException:
            os.close(self.descriptor)
            raise

    def write(self, data: bytes, start: int) -> None:
        """Copy `data` to `start`."""
        if os.pwrite(self.descriptor, data, start) != len(data):
            raise MemoryError

    def free(self) -> None:
        """Return the pages to the system. The memory can be used again."""
        self.map.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """Close the descriptor. The mapping ends with the last array in it."""
        os.close(self.descriptor)


def _environment() -> dict[str, str]:
    """The environment of the fork server."""
    # Huge pages, which the server's own heap gets from NumPy: 1920x1080 decodes up to 17 % faster.
    tunables = [os.environ.get("GLIBC_TUNABLES", ""), "glibc.malloc.hugetlb=1"]
    return {
        **os.environ,
        "GLIBC_TUNABLES": ":".join(filter(None, tunables)),
        "OPENBLAS_NUM_THREADS": "1",  # a fork copies one thread only
    }


class ForkServer:
    """Starts and ends decode processes. All methods may be called from any thread.

    Attributes:
        replaced: number of replaced processes, by the names in `REPLACED`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._replaced = Counter(dict.fromkeys(REPLACED, 0))

    @property
    def replaced(self) -> Mapping[str, int]:
        """Number of replaced processes, by cause."""
        return dict(self._replaced)

    def count(self, cause: str) -> None:
        """A process was replaced."""
        with self._lock:
            self._replaced[cause] += 1

    def fork(self) -> DecodeProcess:
        """Start a decode process. Starts the fork server first if it does not run.

        Raises:
            DecodeProcessLost: it cannot be started.
        """
        with self._lock:
            for is_last in (False, True):
                orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                try:
                    control = self._running()
                    number = self._ask(control, FORK, 0, theirs)
                except OSError as error:
                    orders.close()
                    self._stop()
                    if is_last:
                        raise DecodeProcessLost("the fork server cannot be started") from error
                else:
                    break
                finally:
                    theirs.close()
        if number < 0:
            orders.close()
            raise DecodeProcessLost("the system allows no further process")
        return DecodeProcess(number, control, orders)

    def end(self, process: DecodeProcess) -> int | None:
        """End a process; returns the signal that ended it, 0 if it exited, None if that is not known."""
        with self._lock, process.orders:
            if process.home is not self._control:
                return None  # its fork server has ended, and the kernel ended it then
            try:
                status = self._ask(process.home, END, process.number)
            except OSError:
                self._stop()
                return None
        return None if status < 0 else status & 0x7F

    def close(self) -> None:
        """End the fork server and all its processes."""
        with self._lock:
            self._stop()

    def _running(self) -> socket.socket:
        if self._control is not None:
            return self._control
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control.settimeout(_REPLY_SECONDS)
        with theirs:
            self._program = subprocess.Popen(  # noqa: S603 (no text of a caller is in it)
                # -P: a folder named "numpy" in the working directory must not be loaded.
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "superpixel_service.images.decode_process",
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env=_environment(),
            )
        self._control = control
        return control

    @staticmethod
    def _ask(control: socket.socket, kind: int, number: int, sent: socket.socket | None = None) -> int:
        socket.send_fds(control, [REQUEST.pack(kind, number)], [] if sent is None else [sent.fileno()])
        reply = control.recv(REPLY.size)
        if len(reply) != REPLY.size:
            raise ConnectionResetError("the fork server ended")
        result: int = REPLY.unpack(reply)[0]
        return result

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._program is not None:
            self._program.kill()
            self._program.wait()
            self._program = None
