"""Errors of the gateway as problem details (RFC 9457)."""

import math
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import grpc
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from superpixel_service.client import MessageTooLarge, SegmentError

MEDIA_TYPE = "application/problem+json"

_STATUS: Mapping[grpc.StatusCode, HTTPStatus] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
}
"""HTTP status by gRPC code. Any other code is a fault between gateway and server: 502."""

_TEXTS: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAVAILABLE: "the segmentation server does not answer; it may be starting or stopping",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the segmentation server did not answer in time",
    grpc.StatusCode.UNAUTHENTICATED: "the segmentation server does not accept this gateway's token",
    grpc.StatusCode.PERMISSION_DENIED: "the segmentation server does not accept this gateway's token",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the segmentation server is overloaded",
}
"""Texts for errors without a reason: these come from gRPC itself, whose own texts are for programmers."""


class Problem(Exception):
    """An error response.

    Attributes:
        status: the HTTP status.
        detail: what went wrong, for people.
        headers: of the response, besides those that follow from the status.
        members: further members of the JSON object, for programs; empty ones are left out.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = {name: value for name, value in members.items() if value not in ("", None, {})}

    def response(self, request_id: str) -> JSONResponse:
        """The response. Its type is always "about:blank": `status` and `reason` name the kind of error."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.members,
            "requestId": request_id,
        }
        headers = {"cache-control": "no-store", **self.headers}
        wait = self.members.get("retryAfterSeconds")
        if isinstance(wait, float):
            # The header takes whole seconds; the member has the exact value.
            headers["retry-after"] = str(max(1, math.ceil(wait)))
        return JSONResponse(body, self.status, headers, MEDIA_TYPE)


def from_segment_error(error: SegmentError, *, field: str | None = None, text: str | None = None) -> Problem:
    """The problem for an error of a call, with the server's text, reason and field.

    Args:
        error: of the call.
        field: another name of the field; None: the server's.
        text: another text, if the server gave a reason; None: the server's.
    """
    if isinstance(error, MessageTooLarge):
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the message is larger than the segmentation server accepts"
        )
    status = _STATUS.get(error.code, HTTPStatus.BAD_GATEWAY)
    known = error.reason or (text is not None and error.code is grpc.StatusCode.INVALID_ARGUMENT)
    detail = (
        (error.message if text is None else text)
        if known
        else _TEXTS.get(error.code, "the segmentation server failed")
    )
    return Problem(
        status,
        detail,
        code=error.code.name,
        reason=error.reason,
        field=error.field if field is None else field,
        metadata=error.metadata,
        retryAfterSeconds=error.retry_seconds,
    )


def from_http_exception(error: HTTPException) -> Problem:
    """The problem for an error that Starlette raises: an unknown path or a wrong method."""
    status = HTTPStatus(error.status_code)
    # Static files raise 405 without the header.
    headers = {"allow": (error.headers or {}).get("Allow", "GET, HEAD")} if status == 405 else None
    return Problem(status, status.description or status.phrase, headers=headers)


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 (registered for this type)
    return error.response(request.state.request_id)


async def _answer_segment_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SegmentError)  # noqa: S101
    return from_segment_error(error).response(request.state.request_id)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    return from_http_exception(error).response(request.state.request_id)


HANDLERS: Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
    Problem: _answer_problem,
    SegmentError: _answer_segment_error,
    HTTPException: _answer_http_exception,
}
"""The exception handlers of an application."""
