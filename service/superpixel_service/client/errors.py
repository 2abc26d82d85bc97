"""The errors that a client raises.

```
SegmentError           code, stable reason, field, message, metadata, request id
├── InvalidRequest     the request is wrong: correct it
│   └── InvalidImage   nothing was sent: the file cannot be read, or the object is not an image
├── MessageTooLarge    larger than the server, or this client, accepts
├── NotServed          this server does not offer the method, or guidance
├── VersionUnavailable this server has another version than the request requires
├── StoreUnusable      no store of this name, or one that the server cannot serve
├── NotAllowed         no token, an unknown token, or one without the scope of the method
├── Overloaded         the queue is full                             (retried already)
├── Unavailable        draining, stopped, restarting or unreachable  (retried already)
├── DeadlineExceeded   the deadline passed
├── Cancelled          the call was cancelled
└── ServerError        a bug; `request_id` finds the server's log line
```
"""

from collections.abc import Iterable, Mapping

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from superpixel_service.contract import ERROR_DOMAIN, PUSHBACK_KEY, REQUEST_ID_KEY

_OF_STORES = "STORE_"
"""How the reasons of errors of stores begin."""

_STATUS_KEY = "grpc-status-details-bin"
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Trailers = Iterable[tuple[str, str | bytes]]


class SegmentError(Exception):
    """Base of the errors that a client raises.

    Attributes:
        code: the canonical gRPC code.
        reason: the contract's stable reason, such as "IMAGE_UNDECODABLE"; empty if the server gave none.
        field: path of the request's wrong field, such as "target_counts[0]"; empty if no one field is wrong.
        message: for people, in English.
        metadata: for programs; the contract lists the keys per reason.
        request_id: the call's id in the server's log; empty if nothing was sent.
        retry_seconds: how long the server asks to wait before a retry, in seconds; None if it does not ask.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        field: str = "",
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.field = field
        self.metadata = dict(metadata or {})
        self.request_id = request_id
        self.retry_seconds = retry_seconds

    def __str__(self) -> str:
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.code.name}{reason}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # By default pickle restores only an exception's positional arguments. Process pools use pickle.
        return (_restored, (type(self), self.__dict__))


def _restored(kind: type[SegmentError], state: dict[str, object]) -> SegmentError:
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class InvalidRequest(SegmentError):
    """The request is wrong, and a retry cannot succeed; `field` names the wrong part."""


class InvalidImage(InvalidRequest):
    """The image cannot be sent: its file cannot be read, or the object is not an image."""

    def __init__(self, message: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, message, field="image")


class MessageTooLarge(SegmentError):
    """A message exceeds a size limit of gRPC, on the server or in this client."""


class NotServed(SegmentError):
    """This server does not offer the method, or it does not know guidance or masks."""


class VersionUnavailable(SegmentError):
    """The server has another algorithm or guidance version than the request requires."""


class StoreUnusable(SegmentError):
    """There is no store of this name; or it is half written, damaged, of another version, or too large."""


class NotAllowed(SegmentError):
    """The call has no token, an unknown one, or one without the scope of this method."""


class Overloaded(SegmentError):
    """The server was overloaded, also at the last attempt."""


class Unavailable(SegmentError):
    """No server could be reached, or the server was stopping; retries did not help."""


class DeadlineExceeded(SegmentError):
    """The deadline passed."""


class Cancelled(SegmentError):
    """The call was cancelled."""


class ServerError(SegmentError):
    """A bug; `request_id` finds the server's log line."""


_KINDS: Mapping[grpc.StatusCode, type[SegmentError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNIMPLEMENTED: NotServed,
    grpc.StatusCode.FAILED_PRECONDITION: VersionUnavailable,
    grpc.StatusCode.NOT_FOUND: StoreUnusable,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def from_call(code: grpc.StatusCode, text: str, trailers: Trailers, request_id: str) -> SegmentError:
    """Convert the status of a failed call.

    Args:
        code: the status code.
        text: the status text.
        trailers: the trailing metadata.
        request_id: the id that the client sent; an id in the trailers overrides it.
    """
    status, pushback = Status(), None
    for key, value in trailers:
        if key == _STATUS_KEY and isinstance(value, bytes):
            status = _parsed(value)
        elif key == PUSHBACK_KEY:
            pushback = str(value)
        elif key == REQUEST_ID_KEY:
            request_id = str(value)
    return _error(code, status.message or text, status, request_id, pushback)


def from_status(status: Status, request_id: str) -> SegmentError:
    """Convert the error that a stream returned for one image."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message, status, request_id, None)


def _parsed(data: bytes) -> Status:
    try:
        return Status.FromString(data)
    except DecodeError:  # from another server or proxy; code and text remain
        return Status()


def _error(
    code: grpc.StatusCode, message: str, status: Status, request_id: str, pushback: str | None
) -> SegmentError:
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_seconds = None
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(BadRequest.DESCRIPTOR):
            detail.Unpack(bad_request)
        elif detail.Is(RetryInfo.DESCRIPTOR) and detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
    if pushback is not None:
        # gRPC proposal A6: the milliseconds to wait; any other value means "do not retry".
        retry_seconds = max(retry_seconds or 0.0, float(pushback) / 1000) if pushback.isdecimal() else None
    kind = _KINDS.get(code, ServerError)
    if kind is VersionUnavailable and info.reason.startswith(_OF_STORES):
        kind = StoreUnusable
    if kind is Overloaded and retry_seconds is None and not info.reason:
        kind = MessageTooLarge  # raised by gRPC itself, which sends no details
    return kind(
        code,
        message,
        reason=info.reason if info.domain == ERROR_DOMAIN else "",
        field=bad_request.field_violations[0].field if bad_request.field_violations else "",
        metadata=info.metadata,
        request_id=request_id,
        retry_seconds=retry_seconds,
    )
