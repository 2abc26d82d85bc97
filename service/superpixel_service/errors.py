"""Errors that end a call on purpose, and how they reach the caller.

```
ServiceError           code, stable reason, text
├── InvalidRequest     INVALID_ARGUMENT     a field, and what would be right
├── VersionUnavailable FAILED_PRECONDITION  this server has another version than the request requires
├── StoreNotFound      NOT_FOUND            there is no store of this name
├── StoreUnusable      FAILED_PRECONDITION  half written, of another version, damaged or too large
├── StoreUnreadable    UNAVAILABLE          its file system does not answer: retry after `retry_seconds`
├── Overloaded         RESOURCE_EXHAUSTED   the queue is full: retry after `retry_seconds`
├── TokenLimitReached  RESOURCE_EXHAUSTED   this token uses its share: retry after `retry_seconds`
├── OutOfMemory        RESOURCE_EXHAUSTED   retry after `retry_seconds`
├── TooManyWatches     UNIMPLEMENTED        for `Watch` of the health service
├── DeadlinePassed     DEADLINE_EXCEEDED
├── DeadlineUnreachable DEADLINE_EXCEEDED   rejected before any work
├── CallCancelled      CANCELLED
├── Draining           UNAVAILABLE          retry at once on another server
├── StreamIdle         UNAVAILABLE          open another stream for the next image
├── TokenInvalid       UNAUTHENTICATED
├── ScopeMissing       PERMISSION_DENIED
├── DeviceLost         UNAVAILABLE          retry at once on another server; this one ends
├── NoThread           UNAVAILABLE          retry at once on another server
└── InternalError      INTERNAL             a bug: the request id finds the log line
```

Texts are written here or where the error is raised. They never come from a library.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from superpixel_service.contract import ERROR_DOMAIN, PUSHBACK_KEY, REQUEST_ID_KEY, Reason

UNKNOWN_RETRY_SECONDS = 0.2
"""When to try again if the server's speed is not known yet."""

STORE_RETRY_SECONDS = 1.0
"""When to try again if the file system of the stores fails."""

log = structlog.get_logger()


class ServiceError(Exception):
    """Base of the errors that end a call on purpose.

    Attributes:
        code: the canonical gRPC code.
        reason: the stable reason.
        text: for people, in English; says what would be right.
        field: path of the request's wrong field; empty if no single field is wrong.
        metadata: for programs; the contract lists the keys per reason.
        retry_seconds: how long to wait before a retry; None if a retry does not help.
        push_back: whether to send `retry_seconds` to gRPC's own retry mechanism too; False if another server
            should get the retry.
    """

    code: ClassVar[grpc.StatusCode]
    push_back: ClassVar[bool] = False

    def __init__(
        self,
        reason: Reason,
        text: str,
        *,
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.field = field
        self.metadata = dict(metadata or {})
        self.retry_seconds = retry_seconds


class InvalidRequest(ServiceError):
    """The request is wrong; a retry cannot succeed."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class VersionUnavailable(ServiceError):
    """The request requires another version than this server has."""

    code = grpc.StatusCode.FAILED_PRECONDITION

    def __init__(self, text: str, metadata: Mapping[str, str]) -> None:
        super().__init__(Reason.VERSION_UNAVAILABLE, text, metadata=metadata)


class StoreNotFound(ServiceError):
    """There is no store of this name."""

    code = grpc.StatusCode.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(Reason.STORE_NOT_FOUND, "this server has no store of this name", field="store")


class StoreUnusable(ServiceError):
    """There is a store of this name, but this server cannot serve it."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class StoreUnreadable(ServiceError):
    """The file system or bucket of the stores does not answer, or refuses."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            Reason.STORE_UNREADABLE, "the store cannot be read at present", retry_seconds=STORE_RETRY_SECONDS
        )


class Overloaded(ServiceError):
    """No room in the queue at present."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    push_back = True

    def __init__(self, reason: Reason, text: str, retry_seconds: float = UNKNOWN_RETRY_SECONDS) -> None:
        super().__init__(reason, text, retry_seconds=retry_seconds)


class TokenLimitReached(Overloaded):
    """The caller's token has used its share of a limit; other callers may still find room."""

    def __init__(self, limit: str, retry_seconds: float = UNKNOWN_RETRY_SECONDS) -> None:
        """`limit` is the setting that names the limit."""
        super().__init__(
            Reason.TOKEN_LIMIT,
            f"the calls of this token have reached its limit ({limit}); try again when some of them are done",
            retry_seconds,
        )
        self.metadata["limit"] = limit


class OutOfMemory(Overloaded):
    """No memory for this image at present."""

    def __init__(self) -> None:
        super().__init__(
            Reason.OUT_OF_MEMORY, "there is no memory for this image just now; try again a little later"
        )


class TooManyWatches(ServiceError):
    """The limit of concurrent `Watch` calls is reached.

    UNIMPLEMENTED because the health protocol then has clients assume a healthy server.
    """

    code = grpc.StatusCode.UNIMPLEMENTED

    def __init__(self) -> None:
        super().__init__(Reason.QUEUE_FULL, "too many Watch calls are open on this server")


class DeadlinePassed(ServiceError):
    """The call's deadline passed before the answer was ready."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__(Reason.DEADLINE_PASSED, "the deadline passed before the answer was ready")


class DeadlineUnreachable(ServiceError):
    """At this server's measured speed the deadline would pass before the answer is ready."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__(
            Reason.DEADLINE_UNREACHABLE,
            "the deadline would pass before the answer is ready, so the work was not begun",
        )


class CallCancelled(ServiceError):
    """The caller cancelled the call."""

    code = grpc.StatusCode.CANCELLED

    def __init__(self) -> None:
        super().__init__(Reason.CALL_CANCELLED, "the caller cancelled the call")


class Draining(ServiceError):
    """This server is stopping; another one can answer at once."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, text: str = "this server is about to stop; try another one") -> None:
        super().__init__(Reason.DRAINING, text, retry_seconds=0.0)


class StreamIdle(ServiceError):
    """The stream was idle for too long; the caller may open another one for its next image."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, seconds: float) -> None:
        super().__init__(
            Reason.STREAM_IDLE,
            f"this stream was idle for {seconds:g} s (stream_idle_seconds); open another one for more images",
            metadata={"limit": "stream_idle_seconds"},
            retry_seconds=0.0,
        )


class DeviceLost(ServiceError):
    """The engine failed for good; this server ends, another one can answer."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            Reason.DEVICE_LOST, "this server's engine failed; try another one", retry_seconds=0.0
        )


class NoThread(ServiceError):
    """The system starts no thread for this call."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            Reason.NO_THREAD,
            "this server can start no thread for the call; try another one",
            retry_seconds=0.0,
        )


class TokenInvalid(ServiceError):
    """The call has no token, or one that this server does not know."""

    code = grpc.StatusCode.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__(
            Reason.TOKEN_INVALID,
            "this server wants a token it knows: send it once, as metadata authorization: Bearer TOKEN",
        )


class ScopeMissing(ServiceError):
    """The token is known, but it lacks the scope of this method."""

    code = grpc.StatusCode.PERMISSION_DENIED

    def __init__(self, scope: str) -> None:
        super().__init__(
            Reason.SCOPE_MISSING,
            f"this token does not have the scope {scope}, which the method wants",
            metadata={"scope": scope},
        )


class InternalError(ServiceError):
    """A bug. The caller gets only the request id, which finds the log line."""

    code = grpc.StatusCode.INTERNAL

    def __init__(self, request_id: str) -> None:
        super().__init__(
            Reason.INTERNAL_ERROR,
            f"internal error; the server's log has it under request id {request_id}",
            metadata={"request_id": request_id},
        )


@dataclass(frozen=True, slots=True)
class FinalStatus(grpc.Status):
    """The argument of `ServicerContext.abort_with_status`, with our trailers."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_status(error: ServiceError, request_id: str) -> FinalStatus:
    """The status that ends a call with `error`: code, text, details and trailers."""
    message, trailers = _status_of(error.code, error.push_back, *_fields_of(error))
    return FinalStatus(error.code, message, ((REQUEST_ID_KEY, request_id), *trailers))


# An overloaded server sends the same few statuses hundreds of times per second.
@functools.lru_cache(maxsize=64)
def _status_of(
    code: grpc.StatusCode, push_back: bool, *fields: Any
) -> tuple[str, tuple[tuple[str, str | bytes], ...]]:
    """The text and the trailers that do not depend on the call. `fields` are those of `_fields_of`."""
    status = _message_of(code, *fields)
    details = tuple(rpc_status.to_status(status).trailing_metadata)
    milliseconds = fields[-1]
    if not push_back or milliseconds is None:
        return status.message, details
    return status.message, (*details, (PUSHBACK_KEY, str(milliseconds)))


def to_message(error: ServiceError) -> Status:
    """`error` as a status message: code, text and details."""
    return _message_of(error.code, *_fields_of(error))


def _fields_of(error: ServiceError) -> tuple[Reason, str, str, tuple[tuple[str, str], ...], int | None]:
    """The fields of `error` that its message has besides the code. They are hashable."""
    retry = None if error.retry_seconds is None else _milliseconds(error.retry_seconds)
    return error.reason, error.text, error.field, tuple(error.metadata.items()), retry


def _message_of(
    code: grpc.StatusCode,
    reason: Reason,
    text: str,
    field: str,
    metadata: tuple[tuple[str, str], ...],
    retry_milliseconds: int | None,
) -> Status:
    status = Status(code=code.value[0], message=f"{field}: {text}" if field else text)
    details: list[Message] = [
        ErrorInfo(reason=reason.value, domain=ERROR_DOMAIN, metadata=dict(metadata)),
    ]
    if field:
        violation = BadRequest.FieldViolation(field=field, description=text)
        details.append(BadRequest(field_violations=[violation]))
    if retry_milliseconds is not None:
        delay = Duration()
        delay.FromMilliseconds(retry_milliseconds)
        details.append(RetryInfo(retry_delay=delay))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def as_service_error(error: Exception, request_id: str) -> ServiceError:
    """The error to send for `error`; a bug is logged under `request_id`."""
    sent: ServiceError
    if isinstance(error, ServiceError):
        sent = error
    elif isinstance(error, MemoryError):
        sent = OutOfMemory()
    else:
        log.error("internal_error", request_id=request_id, exc_info=error)
        sent = InternalError(request_id)
    _drop_frames(sent)
    return sent


def _drop_frames(error: BaseException) -> None:
    """Drop the traceback: its frames would keep images in memory."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
