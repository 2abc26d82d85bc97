"""One fake GPU: memory, streams that work as late as they may, events, graphs, launches."""

import ctypes
import itertools
import random
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kernels.cuda_sim import SimDevice
from tests.kernels.cuda_sim.errors import BadLaunch, SimError
from tests.kernels.cupy_sim import elementwise
from tests.kernels.cupy_sim.errors import Code, Failure

Work = Callable[[], None]

MEMORY = 1 << 30
PROCESSORS = 3
"""Multiprocessors, each with one resident block."""

_handles = itertools.count(0x1000, 16)


@dataclass(eq=False)
class Ticket:
    """One piece of a stream's work."""

    stream: "Stream"
    done: bool = False
    time: float = 0.0


@dataclass(eq=False)
class Graph:
    """Captured work."""

    works: list[Work] = field(default_factory=list)
    handle: int = field(default_factory=lambda: next(_handles))


@dataclass(eq=False)
class Stream:
    """A queue of work; `blocking`: ordered with the null stream."""

    gpu: "Gpu"
    blocking: bool
    handle: int
    queue: deque[tuple[Work, Ticket]] = field(default_factory=deque)
    captured: Graph | None = None
    invalid: bool = False

    def put(self, work: Work) -> Ticket:
        """Add work. While the stream captures, it becomes a part of the graph instead."""
        ticket = Ticket(self)
        if self.captured is not None:
            self.captured.works.append(work)
            return ticket
        before = self.gpu.null_order(self)
        self.queue.append((lambda: (before(), work())[0], ticket))
        if self.gpu.random is not None:
            self.gpu.work_somewhere()
        return ticket

    def step(self) -> None:
        """Do the first piece of work, if there is one."""
        if self.queue:
            work, ticket = self.queue.popleft()
            if self.gpu.lost is None:
                work()
            ticket.done, ticket.time = True, time.perf_counter()

    def finish(self, until: Ticket | None = None) -> None:
        """Do all work; or the work up to a ticket."""
        while self.queue and not (until is not None and until.done):
            self.step()


@dataclass(eq=False)
class Event:
    """A CUDA event; `ticket` is of its last record."""

    timed: bool
    handle: int = field(default_factory=lambda: next(_handles))
    ticket: Ticket | None = None
    captured_in: Graph | None = None


@dataclass(frozen=True)
class Function:
    """A kernel of a loaded module, and the sizes of its parameters in bytes."""

    name: str
    sizes: tuple[int, ...]


class Gpu:
    """A GPU.

    A stream works only when something waits for it, so a missing wait shows as missing data. With `random`
    the streams also work at random moments before.

    Attributes:
        memory: bytes that it has.
        used: bytes that are allocated.
        lost: the error that every call gets after a fault.
        random: chooses the moments at which streams work; None: only when something waits.
        problems: what the program did wrong, for the report of the test.
        launches: names of the kernels that ran.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self._sim: SimDevice | None = None
        self.streams: dict[int, Stream] = {}
        self.sizes: dict[int, int] = {}
        self._lose_everything()
        self.reset()

    def reset(self) -> None:
        """Forget errors and the test's settings. Memory and streams stay; after a fault nothing does."""
        self.memory = MEMORY
        self.problems: list[str] = []
        self.launches: list[str] = []
        self.random: random.Random | None = None
        if self.lost is not None:
            self._lose_everything()

    def _lose_everything(self) -> None:
        self.close()
        self._gone = set(self.sizes)
        self.sizes.clear()
        self._addresses: list[int] = []
        self.used = 0
        self.lost: Code | None = None
        for stream in self.streams.values():
            stream.queue.clear()
            stream.captured = None

    def close(self) -> None:
        """End the simulator's process."""
        if self._sim is not None:
            self._sim.close()
            self._sim = None

    @property
    def sim(self) -> SimDevice:
        """The simulated device that runs the kernels."""
        if self._sim is None:
            self._sim = SimDevice(resident=PROCESSORS)
        return self._sim

    def fail(self, code: Code, why: str) -> None:
        """A fault: the GPU is lost."""
        self.problems.append(why)
        self.lost = code

    # --- streams ----------------------------------------------------------------------------------------

    def new_stream(self, handle: int | None = None, *, blocking: bool) -> Stream:
        stream = Stream(self, blocking, next(_handles) if handle is None else handle)
        self.streams[stream.handle] = stream
        return stream

    def null_order(self, stream: Stream) -> Work:
        """What the null stream and the blocking streams must wait for before new work."""
        if stream.handle == 0:
            others = [other for other in self.streams.values() if other.blocking and other is not stream]
        elif stream.blocking:
            others = [self.streams[0]]
        else:
            others = []
        last = [(other, other.queue[-1][1]) for other in others if other.queue]

        def wait() -> None:
            for other, ticket in last:
                other.finish(ticket)

        return wait

    def work_somewhere(self) -> None:
        """Do a random number of pieces of work of random streams."""
        assert self.random is not None
        busy = [stream for stream in self.streams.values() if stream.queue]
        for _ in range(self.random.randrange(3)):
            if busy:
                self.random.choice(busy).step()

    def finish(self) -> None:
        """Do all work."""
        for stream in list(self.streams.values()):
            stream.finish()

    # --- memory -----------------------------------------------------------------------------------------

    def allocate(self, size: int) -> int:
        if self.used + size > self.memory:
            raise Failure(Code.MEMORY_ALLOCATION)
        address = self.sim.worker.allocate(size, 1)
        self._addresses.insert(bisect_right(self._addresses, address), address)
        self._gone.discard(address)
        self.sizes[address] = size
        self.used += size
        return address

    def free(self, address: int) -> None:
        if address in self._gone:
            return  # of a GPU that was lost
        if address not in self.sizes:
            raise Failure(Code.INVALID_VALUE, "cudaFree of something that is not allocated")
        self.finish()
        self.used -= self.sizes.pop(address)
        self._addresses.remove(address)
        self.sim.worker.free(address)

    def base_of(self, address: int) -> int | None:
        """The start of the allocation that holds an address."""
        at = bisect_right(self._addresses, address) - 1
        if at < 0:
            return None
        base = self._addresses[at]
        return base if address < base + self.sizes[base] else None

    def holds(self, address: int, size: int) -> bool:
        base = self.base_of(address)
        return base is not None and address + size <= base + self.sizes[base]

    def read(self, address: int, size: int) -> bytes:
        return self.sim.worker.read(address, size) if self._may_copy(address, size) else bytes(size)

    def write(self, address: int, data: bytes) -> None:
        if self._may_copy(address, len(data)):
            self.sim.worker.write(address, data)

    def _may_copy(self, address: int, size: int) -> bool:
        if self.lost is None and not self.holds(address, size):
            self.fail(Code.ILLEGAL_ADDRESS, f"a copy of {size} bytes at {address:#x}, which is not allocated")
        return self.lost is None

    # --- kernels ----------------------------------------------------------------------------------------

    def launch(
        self,
        stream: Stream,
        function: Function,
        sizes: list[int],
        shared: int,
        params: int,
        *,
        cooperative: bool,
    ) -> None:
        """Check a launch and queue it; `params` is the address of the arguments' addresses."""
        grid, block = sizes[:3], sizes[3:]
        if cooperative and grid[0] * grid[1] * grid[2] > PROCESSORS:
            raise Failure(Code.COOPERATIVE_LAUNCH_TOO_LARGE)
        # Arguments are copied when the launch is queued.
        addresses = (ctypes.c_void_p * len(function.sizes)).from_address(params) if function.sizes else ()
        arguments = [ctypes.string_at(at, size) for at, size in zip(addresses, function.sizes, strict=True)]
        stream.put(lambda: self._run(function.name, grid, block, shared, arguments, cooperative=cooperative))

    def _run(
        self,
        name: str,
        grid: list[int],
        block: list[int],
        shared: int,
        arguments: list[bytes],
        *,
        cooperative: bool,
    ) -> None:
        self.launches.append(name)
        if name.startswith("cupy_"):
            elementwise.run(self, name, arguments)
            return
        try:
            kernel = self.sim.kernel(name)
            sizes = [8 if p.code[0] == "*" else int(p.code[2:]) for p in kernel.parameters]
            if sizes != [len(argument) for argument in arguments]:
                raise BadLaunch(f"{name}: the cubin's parameters have other sizes than {sizes}")
            for parameter, argument in zip(kernel.parameters, arguments, strict=True):
                address = int.from_bytes(argument, "little")
                if parameter.code[0] == "*" and self.base_of(address) is None:
                    raise BadLaunch(f"{name}: `{parameter.name}` is {address:#x}, which is not allocated")
            slots = [argument.ljust(8, b"\0") for argument in arguments]
            flat = [grid[0], grid[1], block[0], block[1]]
            self.sim.run(kernel, flat, slots, shared_bytes=shared, cooperative=cooperative)
        except SimError as error:
            self.fail(Code.LAUNCH_FAILURE, str(error))
