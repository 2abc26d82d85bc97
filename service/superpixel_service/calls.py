"""One call, from its first byte to its last: identity, deadline, and what is told about it when it ends."""

import functools
import re
import threading
import time
import uuid
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Self

import grpc

from superpixel_service.errors import REQUEST_ID_KEY, ServiceError
from superpixel_service.orders import Answer, TaskSummary
from superpixel_service.traces import Trace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

# A cancelled call and one whose deadline passed look alike to a callback, and gRPC's clock may be a little
# ahead of ours. Within this many seconds of the deadline it was the deadline.
_DEADLINE_SLACK_SECONDS = 0.01


# Where the caller set no deadline gRPC gives one in some centuries, which no lock can wait for.
_NEVER_SECONDS = 1e7


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds; infinity where the caller set none."""

    at: float

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """The point `seconds` from now; None: never."""
        if seconds is None or seconds > _NEVER_SECONDS:
            return cls(float("inf"))
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float | None:
        """Seconds left, at least 0; None: no end."""
        return None if self.at == float("inf") else max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Whether it is over, or so nearly that nothing can be done in what is left."""
        return time.monotonic() >= self.at - _DEADLINE_SLACK_SECONDS


@dataclass(slots=True)
class Call:
    """A call being served; filled in along its way.

    Attributes:
        images, refused: answers sent in a stream, and how many of them were errors; None and 0 for a call
            that is not a stream.
        caller: the name of the caller's token; empty where there is none.
        answered: when `answer` was there, on the monotonic clock.
        trace: where the call belongs.
    """

    service: str
    method: str
    request_id: str
    deadline: Deadline
    started: float = field(default_factory=time.monotonic)
    task: TaskSummary | None = None
    answer: Answer | None = None
    error: ServiceError | None = None
    images: int | None = None
    refused: int = 0
    caller: str = ""
    answered: float = 0.0
    trace: Trace = field(default_factory=Trace)


@dataclass(frozen=True, slots=True)
class CallEvent:
    """A call that has ended: what metrics and the log are made of."""

    service: str
    method: str
    request_id: str
    code: grpc.StatusCode
    seconds: float
    task: TaskSummary | None = None
    answer: Answer | None = None
    error: ServiceError | None = None
    images: int | None = None
    refused: int = 0
    caller: str = ""
    answered: float = 0.0
    trace: Trace = field(default_factory=Trace)
    ended: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, call: Call) -> Self:
        """The end of `call`, which is now."""
        return cls(
            service=call.service,
            method=call.method,
            request_id=call.request_id,
            code=call.error.code if call.error else grpc.StatusCode.OK,
            seconds=time.monotonic() - call.started,
            task=call.task,
            answer=call.answer,
            error=call.error,
            images=call.images,
            refused=call.refused,
            caller=call.caller,
            answered=call.answered,
            trace=call.trace,
        )


@dataclass(frozen=True, slots=True)
class ImageEvent:
    """An image of a stream that has come to an answer or an error.

    Attributes:
        call_id: the request id of the call that the stream is.
        image_id: the caller's name for the image, of any length and content.
        seconds: from its message being there to its answer being ready.
    """

    call_id: str
    image_id: str
    seconds: float
    task: TaskSummary | None = None
    answer: Answer | None = None
    error: ServiceError | None = None
    ended: float = field(default_factory=time.monotonic)


class OpenCalls:
    """Counts the calls that have come and are not over, and which of them a stopping server must answer.

    A call has come when gRPC hands it over: its message may not be there yet, and no thread be free for it.
    It is over when gRPC has sent its answer.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._due = 0  # of these, what began before the drain: it may have been admitted
        self._last_came = 0.0
        self.draining = False

    def came(self, handled: "Future[Any]") -> None:
        """Count a call until it is `handled`."""
        with self._changed:
            self._last_came = time.monotonic()
            self._count += 1
        handled.add_done_callback(lambda _: self._over(0))

    def add(self, context: grpc.ServicerContext) -> None:
        """Count the call of `context`, which is handled from now on, until its answer is sent."""
        with self._changed:
            due = 0 if self.draining else 1
            self._count += 1
            self._due += due
        over = functools.partial(self._over, due)
        if not context.add_callback(over):
            over()

    def _over(self, due: int) -> None:
        with self._changed:
            self._count -= 1
            self._due -= due
            self._changed.notify_all()

    def drain(self) -> None:
        """From now on no call is admitted."""
        with self._changed:
            self.draining = True

    def wait_until_answered(self, seconds: float) -> bool:
        """Wait until all calls that began before the drain are over, at most so long; whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: self._due == 0, timeout=seconds)

    def wait_until_quiet(self, quiet_seconds: float, seconds: float) -> None:
        """Wait until no call is open and none has come for so long; at most `seconds`."""
        end = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < end:
                left = self._last_came + quiet_seconds - now
                if self._count == 0 and left <= 0:
                    return
                self._changed.wait(min(end - now, left if left > 0 else quiet_seconds))


CALLER: ContextVar[str] = ContextVar("superpixel_caller", default="")
"""The name of the call's token; set at the door, in the context that gRPC gives each call."""

REFUSAL: ContextVar[ServiceError] = ContextVar("superpixel_refusal")
"""Why the call is refused at the door."""

CURRENT: ContextVar[Call] = ContextVar("superpixel_call")
"""The call that this thread is serving."""


def request_id(context: grpc.ServicerContext) -> str:
    """The caller's own id for the call, where it sent one that is short and plain; else a new one."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return uuid.uuid4().hex
