"""Errors as problem details (RFC 9457)."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import grpc
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from superpixel_service.client import MessageTooLarge, SegmentError

MEDIA_TYPE = "application/problem+json"

_STATUS: Mapping[grpc.StatusCode, HTTPStatus] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    grpc.StatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
}
"""By the server's code; anything else is between gateway and server: 502."""

_WORDS: Mapping[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAVAILABLE: "the segmentation server does not answer; it may be starting or stopping",
    grpc.StatusCode.DEADLINE_EXCEEDED: "the segmentation server did not answer in time",
    grpc.StatusCode.UNAUTHENTICATED: "the segmentation server does not accept this gateway's token",
    grpc.StatusCode.PERMISSION_DENIED: "the segmentation server does not accept this gateway's token",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "the segmentation server has no room just now",
}
"""What to say where the server itself said nothing: gRPC's own texts are for programmers."""


class Problem(Exception):
    """An answer that is an error.

    Attributes:
        status: HTTP's.
        detail: what went wrong this time, for people.
        allow: the methods that the path has, where the method is the error.
        members: more about it, for programs; those without a value are left out.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, *, allow: str | None = None, **members: object
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.allow = allow
        self.members = {name: value for name, value in members.items() if value not in ("", None, {})}

    def response(self, request_id: str) -> JSONResponse:
        """The answer. Its type is "about:blank": what kind of error it is, `status` and `reason` say."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.members,
            "requestId": request_id,
        }
        headers = {"cache-control": "no-store"}
        wait = self.members.get("retryAfterSeconds")
        if isinstance(wait, float):
            headers["retry-after"] = str(max(1, math.ceil(wait)))  # whole seconds; the member has it exactly
        if self.allow is not None:
            headers["allow"] = self.allow
        return JSONResponse(body, self.status, headers, MEDIA_TYPE)


def of_server(error: SegmentError) -> Problem:
    """What the server refused, in its own words, with its reason and the field to mend."""
    if isinstance(error, MessageTooLarge):
        return Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the segmentation server takes no message of this size"
        )
    status = _STATUS.get(error.code, HTTPStatus.BAD_GATEWAY)
    detail = error.message if error.reason else _WORDS.get(error.code, "the segmentation server failed")
    return Problem(
        status,
        detail,
        code=error.code.name,
        reason=error.reason,
        field=error.field,
        metadata=error.metadata,
        retryAfterSeconds=error.retry_seconds,
    )


def of_http(error: HTTPException) -> Problem:
    """What Starlette itself refuses: unknown paths, wrong methods."""
    status = HTTPStatus(error.status_code)
    allow = (error.headers or {}).get("Allow", "GET, HEAD") if status == 405 else None  # of files: the latter
    return Problem(status, status.description or status.phrase, allow=allow)
