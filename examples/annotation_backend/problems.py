"""Errors as problem details (RFC 9457), and which HTTP status each error of the service's client becomes."""

import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from superpixel_service import client as service

from .store import Conflict, NotFound, OtherMap

log = logging.getLogger(__name__)

_UNKNOWN_RETRY_SECONDS = 1.0
"""When to try again if the service does not say."""

_LIMITS = {
    "IMAGE_TOO_MANY_BYTES": ("max_image_bytes", "limit_bytes"),
    "IMAGE_TOO_MANY_PIXELS": ("max_image_pixels", "limit_pixels"),
}
"""By the contract's reason: the setting's name, and the key of its value in the error's metadata."""


class Problem(Exception):
    """An answer that is an error.

    Attributes:
        status: HTTP status.
        detail: what is wrong, for people.
        members: further members of the body, for programs; None and "" are left out.
        headers: of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        members: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = {name: value for name, value in (members or {}).items() if value not in (None, "")}

    def response(self) -> Response:
        """Make the answer."""
        body = {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            **self.members,
        }
        headers = {"cache-control": "no-store", **self.headers}
        # ASCII: texts that a caller sent may contain half a surrogate pair, which UTF-8 cannot hold.
        return Response(json.dumps(body), self.status, headers, "application/problem+json")


def retry_later(
    detail: str, seconds: float | None = None, members: Mapping[str, object] | None = None
) -> Problem:
    """A 503 that says when to try again."""
    wait = _UNKNOWN_RETRY_SECONDS if seconds is None else seconds
    headers = {"retry-after": str(max(1, math.ceil(wait)))}
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, members, headers=headers)


def too_large(
    detail: str, limit: str, value: int | None, members: Mapping[str, object] | None = None
) -> Problem:
    """A 413 that names the limit and its value."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, {"limit": limit, "limitValue": value, **(members or {})}
    )


def of_service(error: service.SegmentError) -> Problem:
    """The answer for an error of the service's client."""
    known = {"reason": error.reason, "field": error.field, "requestId": error.request_id}
    match error:
        case service.MessageTooLarge():
            detail = "the image or its label map is larger than the service's messages may be"
            return too_large(detail, "message size", None, known)
        case service.InvalidRequest() if error.reason in _LIMITS:
            limit, key = _LIMITS[error.reason]
            value = error.metadata.get(key, "")
            return too_large(error.message, limit, int(value) if value.isdecimal() else None, known)
        case service.InvalidRequest():
            return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.message, known)
        case service.Overloaded():
            detail = "the segmentation service is busy; try again later"
            return retry_later(detail, error.retry_seconds, known)
        case service.Unavailable() | service.Cancelled():
            detail = "the segmentation service cannot be reached; try again later"
            return retry_later(detail, error.retry_seconds, known)
        case service.DeadlineExceeded():
            detail = "the segmentation service did not answer in time"
            return Problem(HTTPStatus.GATEWAY_TIMEOUT, detail, known)
        case _:  # wrong token, another contract, a bug: nothing that the caller can change
            log.error("the service answered %s, request id %s", error, error.request_id)
            return Problem(HTTPStatus.BAD_GATEWAY, "the segmentation service failed", known)


def install(app: FastAPI) -> None:
    """Answer every error of `app` with problem details."""

    @app.exception_handler(Problem)
    async def _problem(_request: Request, error: Problem) -> Response:
        return error.response()

    @app.exception_handler(service.SegmentError)
    async def _service(_request: Request, error: service.SegmentError) -> Response:
        return of_service(error).response()

    @app.exception_handler(NotFound)
    async def _not_found(_request: Request, error: NotFound) -> Response:
        return Problem(HTTPStatus.NOT_FOUND, str(error)).response()

    @app.exception_handler(Conflict)
    async def _conflict(_request: Request, error: Conflict) -> Response:
        detail = f"another save came first: {error}; read it, merge, and save again"
        headers = {"etag": f'"{error.current}"'} if error.current else {}
        return Problem(
            HTTPStatus.PRECONDITION_FAILED, detail, {"currentVersion": error.current}, headers=headers
        ).response()

    @app.exception_handler(OtherMap)
    async def _other_map(_request: Request, _error: OtherMap) -> Response:
        detail = "the selection was made on another label map than the image's current one"
        return Problem(HTTPStatus.CONFLICT, detail).response()

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        return Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY, f"{field}: {first['msg']}", {"field": field}
        ).response()

    @app.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> Response:
        return Problem(HTTPStatus(error.status_code), str(error.detail), headers=error.headers).response()

    @app.exception_handler(SQLAlchemyError)
    async def _database(_request: Request, error: SQLAlchemyError) -> Response:
        log.error("the database failed", exc_info=error)
        if isinstance(error, OperationalError | PoolTimeout):
            return retry_later("the database cannot be used now; try again later").response()
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug; the log has it").response()

    @app.exception_handler(Exception)
    async def _bug(_request: Request, _error: Exception) -> Response:
        return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug; the log has it").response()
