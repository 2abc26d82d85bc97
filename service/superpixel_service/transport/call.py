"""The record of one call, from its first byte to its end."""

import os
import re
import time
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Self, cast

import grpc

from superpixel_service.contract import REQUEST_ID_KEY
from superpixel_service.errors import ServiceError
from superpixel_service.model import Answer, Task
from superpixel_service.stores.call import StoreCall
from superpixel_service.transport.gate import Permit
from superpixel_service.transport.trace_context import Trace, read_trace
from superpixel_service.work.caller import Caller
from superpixel_service.work.deadline import Deadline

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")

Metadata = Iterable[tuple[str, str | bytes]]


@dataclass(slots=True)
class Call:
    """A call that is being served; its fields are set as they become known.

    Attributes:
        caller: the name of the caller's token; empty without tokens.
        address: the caller's network address; empty if it has a token.
        permit: the right to a thread; None if the call is rejected.
        rejection: why the call is rejected before its message is read.
        deadline: when the caller stops waiting.
        started: when the message had arrived, or the stream began, on the monotonic clock.
        answered: when `answer` was ready, on the monotonic clock.
        ended: when the call ended, on the monotonic clock.
        images, refused: number of answers sent in a stream, and of errors among them; None and 0 for a call
            that is not a stream.
    """

    service: str
    method: str
    request_id: str = ""
    trace: Trace = field(default_factory=Trace)
    caller: str = ""
    address: str = ""
    permit: Permit | None = None
    rejection: ServiceError | None = None
    deadline: Deadline = field(default_factory=Deadline.never)
    started: float = field(default_factory=time.monotonic)
    task: Task | None = None
    answer: Answer | None = None
    store: StoreCall | None = None
    answered: float = 0.0
    error: ServiceError | None = None
    images: int | None = None
    refused: int = 0
    ended: float = 0.0
    code: grpc.StatusCode = grpc.StatusCode.OK

    @classmethod
    def of(cls, details: grpc.HandlerCallDetails) -> Self:
        """Create the record of a call that gRPC announces."""
        service, _, method = str(details.method).lstrip("/").partition("/")
        metadata = metadata_of(details)
        return cls(service, method, _request_id(metadata), read_trace(metadata))

    @property
    def tenant(self) -> Caller:
        """Who calls, for turns, limits and the cache."""
        return Caller(self.caller, self.address)

    @property
    def seconds(self) -> float:
        """From `started` to the end of the call, in seconds."""
        return self.ended - self.started

    def start(self, deadline: Deadline) -> None:
        """The message has arrived, or the stream begins."""
        self.deadline = deadline
        self.started = time.monotonic()

    def fail(self, error: ServiceError) -> None:
        """The call ends with `error`."""
        self.error = error
        self.code = error.code

    def end(self) -> Self:
        """The call ends now."""
        self.ended = time.monotonic()
        return self


@dataclass(frozen=True, slots=True)
class ImageEvent:
    """The end of one image of a stream: its answer or its error.

    Attributes:
        call_id: the request id of the stream's call.
        image_id: the caller's name for the image, of any length and content.
        seconds: from the arrival of its message until its answer was ready.
    """

    call_id: str
    image_id: str
    seconds: float
    task: Task | None = None
    answer: Answer | None = None
    error: ServiceError | None = None
    ended: float = field(default_factory=time.monotonic)


CURRENT: ContextVar[Call] = ContextVar("superpixel_call")
"""The call that this thread serves. gRPC gives each call a context of its own."""


def permit_of_call() -> Permit:
    """The permit of the call that this thread serves."""
    permit = CURRENT.get().permit
    assert permit is not None  # noqa: S101 (rejected calls do not reach a method's handler)
    return permit


def metadata_of(details: grpc.HandlerCallDetails) -> Metadata:
    """The metadata that the caller sent."""
    return cast(Metadata, details.invocation_metadata or ())


def _request_id(metadata: Metadata) -> str:
    """The caller's own id for the call if it is short and plain, else a new one."""
    for key, value in metadata:
        if key == REQUEST_ID_KEY and isinstance(value, str) and _REQUEST_ID.fullmatch(value):
            return value
    return os.urandom(16).hex()
