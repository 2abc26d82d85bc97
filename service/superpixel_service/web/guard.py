"""Gives every request an id and a log line, and every response security headers; reports bugs as problems."""

import asyncio
import re
import time
import uuid
from collections.abc import Collection
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from superpixel_service.web.files import POLICY
from superpixel_service.web.origin import find_problem
from superpixel_service.web.problems import Problem

_REQUEST_ID = re.compile(r"[!-~]{1,128}")

_CONTENT_SECURITY_POLICY = "; ".join(
    f"{name} {value}" for name, value in {**POLICY, "frame-ancestors": "'none'"}.items()
)
_POLICIES = {
    path: _CONTENT_SECURITY_POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
    for path in ("/page/engine-worker.js", "/src/engine/worker.js")
}
"""Only these workers run WebAssembly. A worker has the policy of its own file."""

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


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = names

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
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), request_id, scope["path"])
            await send(message)

        try:
            rejection = find_problem(scope["method"], headers, self._names)
            if rejection is not None:
                response = rejection.response(request_id)
                response.headers["connection"] = "close"  # the body is not read
                await response(scope, receive, send_with_headers)
            else:
                await self._app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the gateway stops, and this request took too long
            if not status:
                problem = Problem(HTTPStatus.SERVICE_UNAVAILABLE, "the gateway is stopping")
                await problem.response(request_id)(scope, receive, send_with_headers)
        except Exception:
            log.exception("page_request_failed", path=scope["path"], request_id=request_id)
            if status:  # the response has begun: no other one can be sent
                raise
            problem = Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal error; the gateway's log has it under this request id",
            )
            await problem.response(request_id)(scope, receive, send_with_headers)
        finally:
            if scope["path"].startswith("/api/"):
                log.info(
                    "page_request",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    seconds=round(time.monotonic() - start, 4),
                    request_id=request_id,
                )


def _add_headers(headers: MutableHeaders, request_id: str, path: str) -> None:
    headers["x-request-id"] = request_id
    headers.setdefault("content-security-policy", _POLICIES.get(path, _CONTENT_SECURITY_POLICY))
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("cache-control", _CACHE_CONTROL)
