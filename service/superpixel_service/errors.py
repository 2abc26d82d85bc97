"""What a call can be refused with, and how that reaches the caller.

```
ServiceError           code, stable reason, text
├── InvalidRequest     INVALID_ARGUMENT     a field, and what would be right
├── Overloaded         RESOURCE_EXHAUSTED   the queue is full: try again after `retry_seconds`
├── OutOfMemory        RESOURCE_EXHAUSTED   likewise
├── TooManyWatch       UNIMPLEMENTED        health's `Watch`: the caller goes on unwatched
├── DeadlinePassed     DEADLINE_EXCEEDED
├── DeadlineUnreachable DEADLINE_EXCEEDED   refused before work is spent
├── CallCancelled      CANCELLED
├── Draining           UNAVAILABLE          try again, elsewhere
├── TokenInvalid       UNAUTHENTICATED
├── ScopeMissing       PERMISSION_DENIED
├── DeviceLost         UNAVAILABLE          likewise; this server ends
└── InternalError      INTERNAL             a bug: the request id finds the log line
```

Texts are written here or where the error is raised, never taken from a library.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

import grpc
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from superpixel_service.speed import UNKNOWN_RETRY_SECONDS

ERROR_DOMAIN = "superpixel.v1"
REQUEST_ID_KEY = "x-request-id"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

log = structlog.get_logger()


class Reason(StrEnum):
    """The stable reasons of `ErrorInfo`; the contract's comments say what each means."""

    MALFORMED_MESSAGE = "MALFORMED_MESSAGE"
    IMAGE_MISSING = "IMAGE_MISSING"
    IMAGE_TOO_MANY_BYTES = "IMAGE_TOO_MANY_BYTES"
    IMAGE_TOO_MANY_PIXELS = "IMAGE_TOO_MANY_PIXELS"
    IMAGE_FORMAT_NOT_ALLOWED = "IMAGE_FORMAT_NOT_ALLOWED"
    IMAGE_UNDECODABLE = "IMAGE_UNDECODABLE"
    IMAGE_MULTIPLE_FRAMES = "IMAGE_MULTIPLE_FRAMES"
    RAW_IMAGE_INVALID = "RAW_IMAGE_INVALID"
    TARGETS_MISSING = "TARGETS_MISSING"
    TARGETS_TOO_MANY = "TARGETS_TOO_MANY"
    COUNT_OUT_OF_RANGE = "COUNT_OUT_OF_RANGE"
    AREA_OUT_OF_RANGE = "AREA_OUT_OF_RANGE"
    COUNT_ABOVE_BASE = "COUNT_ABOVE_BASE"
    COUNT_ABOVE_ENCODING = "COUNT_ABOVE_ENCODING"
    COMPACTNESS_OUT_OF_RANGE = "COMPACTNESS_OUT_OF_RANGE"
    REGION_OUTSIDE_IMAGE = "REGION_OUTSIDE_IMAGE"
    ENUM_VALUE_UNKNOWN = "ENUM_VALUE_UNKNOWN"
    REQUEST_ID_TOO_LONG = "REQUEST_ID_TOO_LONG"
    QUEUE_FULL = "QUEUE_FULL"
    BYTES_IN_FLIGHT = "BYTES_IN_FLIGHT"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    DEADLINE_PASSED = "DEADLINE_PASSED"
    DEADLINE_UNREACHABLE = "DEADLINE_UNREACHABLE"
    CALL_CANCELLED = "CALL_CANCELLED"
    DRAINING = "DRAINING"
    TOKEN_INVALID = "TOKEN_INVALID"  # noqa: S105 (the reason's name)
    SCOPE_MISSING = "SCOPE_MISSING"
    DEVICE_LOST = "DEVICE_LOST"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class ServiceError(Exception):
    """Base of everything a call is refused with on purpose.

    Attributes:
        code: the canonical gRPC code.
        reason: the stable reason.
        text: for people, in English; names what would be right.
        field: path of the request's field that is to blame; empty where none is.
        metadata: for programs; keys are listed with the reason in the contract.
        retry_seconds: how long to wait before another try; None where a retry does not help.
        push_back: whether to tell gRPC's own retry mechanism the same. Not where the next try is to go
            elsewhere.
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
    """The request can never be served as it is."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Overloaded(ServiceError):
    """No room in the queue just now."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    push_back = True

    def __init__(self, reason: Reason, text: str, retry_seconds: float = UNKNOWN_RETRY_SECONDS) -> None:
        super().__init__(reason, text, retry_seconds=retry_seconds)


class OutOfMemory(Overloaded):
    """No memory for this image just now."""

    def __init__(self) -> None:
        super().__init__(
            Reason.OUT_OF_MEMORY, "there is no memory for this image just now; try again a little later"
        )


class TooManyWatch(ServiceError):
    """As many watch this server's health as may.

    By the protocol a client takes a server that does not serve `Watch` for healthy.
    """

    code = grpc.StatusCode.UNIMPLEMENTED

    def __init__(self) -> None:
        super().__init__(Reason.QUEUE_FULL, "as many watch this server's health as may")


class DeadlinePassed(ServiceError):
    """The call's deadline passed before the answer was ready."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__(Reason.DEADLINE_PASSED, "the deadline passed before the answer was ready")


class DeadlineUnreachable(ServiceError):
    """By this server's measured speed the deadline would pass before the answer is ready."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__(
            Reason.DEADLINE_UNREACHABLE,
            "the deadline would pass before the answer is ready, so the work was not begun",
        )


class CallCancelled(ServiceError):
    """The caller gave up."""

    code = grpc.StatusCode.CANCELLED

    def __init__(self) -> None:
        super().__init__(Reason.CALL_CANCELLED, "the caller cancelled the call")


class Draining(ServiceError):
    """This server is about to stop; another one will answer at once."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self, text: str = "this server is about to stop; try another one") -> None:
        super().__init__(Reason.DRAINING, text, retry_seconds=0.0)


class DeviceLost(ServiceError):
    """The engine does not work any more; this server ends, another one will answer."""

    code = grpc.StatusCode.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            Reason.DEVICE_LOST, "this server's engine failed; try another one", retry_seconds=0.0
        )


class TokenInvalid(ServiceError):
    """The call carries no token, or none that this server knows."""

    code = grpc.StatusCode.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__(
            Reason.TOKEN_INVALID,
            "this server wants a token it knows: send it once, as metadata authorization: Bearer TOKEN",
        )


class ScopeMissing(ServiceError):
    """The token is known and has not the right to this method."""

    code = grpc.StatusCode.PERMISSION_DENIED

    def __init__(self, scope: str) -> None:
        super().__init__(
            Reason.SCOPE_MISSING,
            f"this token does not have the scope {scope}, which the method wants",
            metadata={"scope": scope},
        )


class InternalError(ServiceError):
    """A bug. The caller learns the request id, which finds the log line, and nothing else."""

    code = grpc.StatusCode.INTERNAL

    def __init__(self, request_id: str) -> None:
        super().__init__(
            Reason.INTERNAL_ERROR,
            f"internal error; the server's log has it under request id {request_id}",
            metadata={"request_id": request_id},
        )


@dataclass(frozen=True, slots=True)
class FinalStatus(grpc.Status):
    """What `ServicerContext.abort_with_status` wants, with trailers of our own."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def to_status(error: ServiceError, request_id: str) -> FinalStatus:
    """The code, text, details and trailers that end a call with `error`."""
    status = to_message(error)
    trailers: list[tuple[str, str | bytes]] = [(REQUEST_ID_KEY, request_id)]
    if error.push_back and error.retry_seconds is not None:
        trailers.append((PUSHBACK_KEY, str(_milliseconds(error.retry_seconds))))
    return FinalStatus(
        error.code, status.message, (*rpc_status.to_status(status).trailing_metadata, *trailers)
    )


def to_message(error: ServiceError) -> Status:
    """The code, text and details that tell the caller of `error`."""
    status = Status(
        code=error.code.value[0], message=f"{error.field}: {error.text}" if error.field else error.text
    )
    details: list[Message] = [
        ErrorInfo(reason=error.reason.value, domain=ERROR_DOMAIN, metadata=error.metadata),
    ]
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=error.text)
        details.append(BadRequest(field_violations=[violation]))
    if error.retry_seconds is not None:
        delay = Duration()
        delay.FromMilliseconds(_milliseconds(error.retry_seconds))
        details.append(RetryInfo(retry_delay=delay))
    for detail in details:
        status.details.add().Pack(detail)
    return status


def as_service_error(error: Exception, request_id: str) -> ServiceError:
    """What the caller is told of `error`; a bug goes to the log, under `request_id`."""
    told: ServiceError
    if isinstance(error, ServiceError):
        told = error
    elif isinstance(error, MemoryError):
        told = OutOfMemory()
    else:
        log.error("internal_error", request_id=request_id, exc_info=error)
        told = InternalError(request_id)
    _forget_origin(told)
    return told


def _forget_origin(error: BaseException) -> None:
    """Cut the error off from the frames it came through: they would hold on to images."""
    error.__traceback__ = error.__cause__ = error.__context__ = None


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
