"""A task on its way through queue and workers."""

import contextlib
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from superpixel_kernels import CancelToken
from superpixel_service.errors import DeadlinePassed, ServiceError
from superpixel_service.model import Answer, Lane, Task
from superpixel_service.work.caller import NOBODY, Caller
from superpixel_service.work.cost import bytes_at_most, bytes_to_begin
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.kind import Kind, kind_of


@dataclass(eq=False, slots=True)
class Job:
    """A task in flight.

    Attributes:
        deadline: the latest deadline of its callers.
        caller: who asked for it first.
        key: identifies equal tasks, so that callers can share the job; None: not shared.
        callers: number of callers that wait for it.
        counted: whether metrics count its stages; False for the server's own sample.
        waits_for_memory: it is in work, and waits until other images have freed memory.
        memory_seconds: how long it has waited for memory.
    """

    task: Task
    deadline: Deadline
    caller: Caller = NOBODY
    token: CancelToken = field(default_factory=CancelToken)
    future: Future[Answer] = field(default_factory=Future)
    admitted: float = field(default_factory=time.monotonic)
    callers: int = 1
    key: tuple[object, ...] | None = None
    counted: bool = True
    waits_for_memory: bool = False
    memory_seconds: float = 0.0

    @property
    def pixels(self) -> int:
        """Pixels to decode and segment."""
        return self.task.pixels

    @property
    def kind(self) -> Kind:
        """The kind of work that it is."""
        return kind_of(self.task)

    @property
    def byte_count(self) -> int:
        """Bytes of image and maps as sent."""
        return self.task.byte_count

    @property
    def memory_to_begin(self) -> int:
        """Bytes in memory once it is in work, as far as that is known before its regions are."""
        return bytes_to_begin(self.task)

    @property
    def memory_at_most(self) -> int:
        """Bytes in memory that it can take in the worst case."""
        return bytes_at_most(self.task)

    @property
    def lane(self) -> Lane:
        """The lane that it waits in."""
        return self.task.lane

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its deadline; None: no deadline."""
        return self.deadline.remaining()

    def hold(self, patience: float) -> None:
        """Pause before the next step; advance by one step per `patience` seconds."""
        self.token.hold(patience)

    def release(self) -> None:
        """End the pause."""
        self.token.release()

    def stop_reason(self) -> ServiceError | None:
        """Why the job should stop: all callers are gone. None: it should go on."""
        if self.deadline.passed():
            return DeadlinePassed()
        return self.deadline.why_ended() if self.token.cancelled else None

    def working_time(self) -> float:
        """The monotonic clock, in seconds, minus the time that the job was paused or waited for memory."""
        return time.monotonic() - self.idle_seconds

    @property
    def idle_seconds(self) -> float:
        """How long the job was paused or waited for memory while a worker had it."""
        return self.token.held_seconds + self.memory_seconds

    def settle(self, answer: Answer | None, error: BaseException | None = None) -> None:
        """Set the result. Only the first call counts."""
        settle(self.future, answer, error)


def settle(future: Future[Answer], answer: Answer | None, error: BaseException | None) -> None:
    """Set the result of a future, if it has none yet."""
    with contextlib.suppress(InvalidStateError):
        if answer is None:
            future.set_exception(error)
        else:
            future.set_result(answer)
