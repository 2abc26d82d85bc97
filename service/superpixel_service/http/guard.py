"""Gives every request an id and a log line, and every response security headers; reports bugs as problems."""

import asyncio
import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from superpixel_service.http.origin import Site, find_problem
from superpixel_service.http.problems import Problem

_REQUEST_ID = re.compile(r"[!-~]{1,128}")

_HEADERS = {
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_CACHE_CONTROL = "no-cache"
"""Of files. They have an ETag: to ask again costs few bytes, and the browser gets a new version at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that has ended.

    Attributes:
        method, path: as sent.
        status: of the response; 0: none was sent.
        seconds: from the arrival of its head to the end of its response.
        request_id: its id.
        received_bytes: bytes of its body that were read.
        sent_bytes: bytes of the response's body.
    """

    method: str
    path: str
    status: int
    seconds: float
    request_id: str
    received_bytes: int
    sent_bytes: int


class Guard:
    """Middleware around the whole application.

    Args:
        app: the application.
        site: whose requests it answers.
        policy: returns the Content-Security-Policy of the response at a path.
        event: the log event of a request; that of a bug has "_failed" behind it.
        report: called when a request has ended.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        site: Site,
        policy: Callable[[str], str],
        event: str,
        report: Callable[[Ended], None],
    ) -> None:
        self._app = app
        self._site = site
        self._policy = policy
        self._event = event
        self._report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        # A server may ignore Range (RFC 9110, 14.2). The files are small, and this avoids range errors.
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
        start = time.monotonic()
        status = received = sent = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), request_id, self._policy(scope["path"]))
            sent += len(message.get("body", b""))
            await send(message)

        try:
            rejection = find_problem(scope["method"], headers, self._site)
            if rejection is not None:
                response = rejection.response(request_id)
                response.headers["connection"] = "close"  # the body is not read
                await response(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive_counted, send_with_headers)
        except asyncio.CancelledError:  # the gateway stops, and this request took too long
            if not status:
                problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is stopping")
                await problem.response(request_id)(scope, receive, send_with_headers)
        except Exception:
            log.exception(f"{self._event}_failed", path=scope["path"], request_id=request_id)
            if status:  # the response has begun: no other one can be sent
                raise
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal error; the gateway's log has it under this request id",
            )
            await problem.response(request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.monotonic() - start
            self._report(Ended(scope["method"], scope["path"], status, seconds, request_id, received, sent))


def log_request(event: str, ended: Ended) -> None:
    """Log a line for a request."""
    log.info(
        event,
        method=ended.method,
        path=ended.path,
        status=ended.status,
        seconds=round(ended.seconds, 4),
        request_id=ended.request_id,
    )


def _add_headers(headers: MutableHeaders, request_id: str, policy: str) -> None:
    headers["x-request-id"] = request_id
    headers["content-security-policy"] = policy
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("cache-control", _CACHE_CONTROL)
