"""What a call can end with, on the caller's side.

```
SegmentError           code, stable reason, field, message, metadata, request id
├── InvalidRequest     never right as it is: mend the request
│   └── InvalidImage   nothing was sent: the file cannot be read, or the object is not an image
├── MessageTooLarge    larger than the server, or this client, takes at all
├── NotServed          the contract has it, this server does not
├── NotAllowed         no or wrong token, or one without this right
├── Overloaded         no room just now                            (tried again already)
├── Unavailable        draining, stopped, restarting, out of reach (tried again already)
├── DeadlineExceeded   the time given was not enough
├── Cancelled          the call was given up
└── ServerError        a bug; `request_id` finds the server's log line
```
"""

from collections.abc import Iterable, Mapping

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from superpixel_service.contract import ERROR_DOMAIN, PUSHBACK_KEY, REQUEST_ID_KEY

_STATUS_KEY = "grpc-status-details-bin"
_CODES: Mapping[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

Trailers = Iterable[tuple[str, str | bytes]]


class SegmentError(Exception):
    """Base of everything a call can end with.

    Attributes:
        code: the canonical gRPC code.
        reason: the contract's stable reason, such as "IMAGE_UNDECODABLE"; empty where the server gave none.
        field: path of the request's field that is to blame, such as "target_counts[0]"; empty where none is.
        message: for people, in English.
        metadata: for programs; its keys are listed with the reason in the contract.
        request_id: the call's id, which the server's log carries; empty where nothing was sent.
        retry_seconds: how long the server asks to wait before another try, in seconds; None where it says
            nothing of that.
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
        named = f" ({self.reason})" if self.reason else ""
        return f"{self.code.name}{named}: {self.message}"

    def __reduce__(self) -> tuple[object, ...]:
        # An exception is pickled by its one positional argument unless told otherwise; pools of processes do.
        return (_restored, (type(self), self.__dict__))


def _restored(kind: type[SegmentError], state: dict[str, object]) -> SegmentError:
    error = kind.__new__(kind, state["message"])
    error.__dict__.update(state)
    return error


class InvalidRequest(SegmentError):
    """The request can never be served as it is; `field` names the part to mend."""


class InvalidImage(InvalidRequest):
    """The image cannot be sent: its file cannot be read, or the object is not an image of a known kind."""

    def __init__(self, message: str) -> None:
        super().__init__(grpc.StatusCode.INVALID_ARGUMENT, message, field="image")


class MessageTooLarge(SegmentError):
    """A message is above the limit of gRPC itself, the server's or this client's."""


class NotServed(SegmentError):
    """The contract has it, this server does not."""


class NotAllowed(SegmentError):
    """No or a wrong token, or one without the right to this method."""


class Overloaded(SegmentError):
    """The server had no room, and still none when the attempts or the time ran out."""


class Unavailable(SegmentError):
    """No server could be reached, or the one that was is about to stop, and trying again did not help."""


class DeadlineExceeded(SegmentError):
    """The time given was not enough."""


class Cancelled(SegmentError):
    """The call was given up."""


class ServerError(SegmentError):
    """A bug; `request_id` finds the server's log line."""


_KINDS: Mapping[grpc.StatusCode, type[SegmentError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.UNIMPLEMENTED: NotServed,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowed,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.CANCELLED: Cancelled,
}


def from_call(code: grpc.StatusCode, text: str, trailers: Trailers, request_id: str) -> SegmentError:
    """The error that a call ended with.

    Args:
        code: the call's code.
        text: its text.
        trailers: its trailing metadata.
        request_id: the id the call was made with; the server's own word for it goes first.
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
    """The error that one image of a stream was answered with."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _error(code, status.message, status, request_id, None)


def _parsed(data: bytes) -> Status:
    try:
        return Status.FromString(data)
    except DecodeError:  # not ours: the code and the text still stand
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
        # As gRPC has it (proposal A6): milliseconds to wait; anything else means not to try again.
        retry_seconds = max(retry_seconds or 0.0, float(pushback) / 1000) if pushback.isdecimal() else None
    kind = _KINDS.get(code, ServerError)
    if kind is Overloaded and retry_seconds is None and not info.reason:
        kind = MessageTooLarge  # by gRPC itself, which gives no details
    return kind(
        code,
        message,
        reason=info.reason if info.domain == ERROR_DOMAIN else "",
        field=bad_request.field_violations[0].field if bad_request.field_violations else "",
        metadata=info.metadata,
        request_id=request_id,
        retry_seconds=retry_seconds,
    )
