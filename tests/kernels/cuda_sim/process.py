"""The worker: the process that simulates the device."""

import re
import select
import struct
import subprocess
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

from tests.kernels.cuda_sim import build
from tests.kernels.cuda_sim.errors import KernelFault, SimError


class Worker:
    """A running worker, and the protocol of orders and answers (runtime/worker.cpp).

    Args:
        variant: "hooks" or "asan", as in `build`.
        seed: of the order of threads, and of garbage.
        races: whether to run in race mode.
        resident: number of resident blocks.
        seconds: time limit for a launch.

    Attributes:
        lost: the first fault, after which the device cannot be used; or None.
    """

    def __init__(self, variant: str, *, seed: int, races: bool, resident: int, seconds: float) -> None:
        self.lost: str | None = None
        self._seconds = seconds
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [build.worker(variant), str(seed), str(int(races)), str(resident), str(seconds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0,
            env={
                "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            },
        )  # fmt: skip
        self._close = weakref.finalize(self, _stop, self._process, self._stderr)

    @property
    def alive(self) -> bool:
        """Whether `close` has not been called."""
        return self._close.alive

    def close(self) -> None:
        """End the process."""
        self._close()

    def send(self, data: bytes) -> None:
        """Send an order without an answer."""
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

    def order(self, data: bytes, kernel: str | None = None) -> bytes:
        """Send an order and wait for its answer; `kernel` is named in errors.

        Raises:
            KernelFault: the order failed, or an earlier one did.
            SimError: the worker was closed.
        """
        if self.lost is not None:
            raise KernelFault(f"the device is lost since: {self.lost}")
        if not self.alive:
            raise SimError("the device is closed")
        try:
            self.send(data)
            status, length = struct.unpack("<cQ", self._read(9))
            answer = self._read(length)
        except (EOFError, BrokenPipeError) as error:
            self.lost = self._exit_report(kernel, str(error))
        else:
            if status == b"+":
                return answer
            self.lost = _with_lines(answer.decode())
        raise KernelFault(self.lost)

    def allocate(self, size: int, unit: int) -> int:
        """Allocate device memory for elements of `unit` bytes, filled with garbage; returns its address."""
        (address,) = struct.unpack("<Q", self.order(b"a" + struct.pack("<QQ", size, unit)))
        return int(address)

    def free(self, address: int) -> None:
        """Free memory from `allocate`."""
        if self.lost is None and self.alive:
            self.send(b"f" + struct.pack("<Q", address))

    def write(self, address: int, data: bytes) -> None:
        """Copy bytes to device memory."""
        self.order(b"w" + struct.pack("<QQ", address, len(data)) + data)

    def read(self, address: int, size: int) -> bytes:
        """Copy bytes from device memory."""
        return self.order(b"r" + struct.pack("<QQ", address, size))

    def load(self, library: Path) -> str:
        """Load a compiled .cu file; returns a line per kernel."""
        path = str(library).encode()
        return self.order(b"l" + struct.pack("<Q", len(path)) + path).decode()

    def launch(self, kernel: str, numbers: Sequence[int], arguments: Sequence[bytes]) -> None:
        """Run a kernel to its end.

        Args:
            kernel: its name.
            numbers: grid (x, y), block (x, y), bytes of dynamic shared memory, whether it is cooperative.
            arguments: eight bytes each.
        """
        name = kernel.encode()
        sizes = struct.pack("<7Q", *numbers, len(arguments))
        self.order(b"k" + struct.pack("<Q", len(name)) + name + sizes + b"".join(arguments), kernel)

    def _exit_report(self, kernel: str | None, reason: str) -> str:
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


def _with_lines(text: str) -> str:
    """Replace each `<pc OFFSET LIBRARY>` by its source line, and the lines that it was inlined into."""

    def line(match: "re.Match[str]") -> str:
        done = subprocess.run(
            ["addr2line", "-e", match[2], "-i", match[1]], capture_output=True, text=True, check=False
        )
        places = [Path(place.split(" ")[0]).name for place in done.stdout.split("\n") if place]
        own = [place for place in places if not place.startswith("cuda.h:")] or places
        return " (called from ".join(own) + ")" * (len(own) - 1)

    return re.sub(r"<pc ([0-9a-f]+) ([^>]+)>", line, text)
