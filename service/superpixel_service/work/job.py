"""A task on its way through queue and workers."""

import contextlib
import time
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from superpixel_kernels import CancelToken
from superpixel_service.errors import CallCancelled, DeadlinePassed, ServiceError
from superpixel_service.model import Answer, Lane, Task
from superpixel_service.work.deadline import Deadline


@dataclass(eq=False, slots=True)
class Job:
    """A task in flight.

    Attributes:
        deadline: the latest deadline of its callers.
        key: identifies equal tasks, so that callers can share the job; None: not shared.
        callers: number of callers that wait for it.
        counted: whether metrics count its stages; False for the server's own sample.
    """

    task: Task
    deadline: Deadline
    token: CancelToken = field(default_factory=CancelToken)
    future: Future[Answer] = field(default_factory=Future)
    admitted: float = field(default_factory=time.monotonic)
    callers: int = 1
    key: tuple[object, ...] | None = None
    counted: bool = True

    @property
    def pixels(self) -> int:
        """Pixels to decode and segment."""
        return self.task.pixels

    @property
    def byte_count(self) -> int:
        """Bytes of image and maps as sent."""
        return self.task.byte_count

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
        return CallCancelled() if self.token.cancelled else None

    def working_time(self) -> float:
        """The monotonic clock, in seconds, minus the time that the job was paused."""
        return time.monotonic() - self.token.held_seconds

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
