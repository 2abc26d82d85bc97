"""What holds for every answer: request ids, security headers, caching, one log line, errors as problems."""

import re
import time
import uuid
from http import HTTPStatus

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from superpixel_service.web.problems import Problem

_REQUEST_ID = re.compile(r"[!-~]{1,128}")

_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",  # images that are opened never leave the page but by /api
        "connect-src 'self'",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)

_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

log = structlog.get_logger()


class Guard:
    """Wraps the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        # Files are small: they come whole (RFC 9110, 14.2), and no error about a range is anybody else's.
        scope["headers"] = [(name, value) for name, value in scope["headers"] if name != b"range"]
        start = time.monotonic()
        status = 0

        async def guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _complete(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            if _is_foreign(headers):
                # Other sites' pages can make a browser send requests here.
                problem = Problem(HTTPStatus.FORBIDDEN, "only this page itself may call its gateway")
                await problem.response(request_id)(scope, receive, guarded)
            else:
                await self._app(scope, receive, guarded)
        except Exception:
            log.exception("page_request_failed", path=scope["path"], request_id=request_id)
            if status:
                raise
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "a bug; the request id finds the log line")
            await problem.response(request_id)(scope, receive, guarded)
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


def _is_foreign(headers: Headers) -> bool:
    return headers.get("sec-fetch-site", "none") in {"cross-site", "same-site"} and (
        headers.get("sec-fetch-mode") != "navigate"  # links to the page are welcome
    )


def _complete(headers: MutableHeaders, request_id: str) -> None:
    headers["x-request-id"] = request_id
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    # Files have an ETag: asked for again, they cost a few bytes, and a new version is seen at once.
    headers.setdefault("cache-control", "no-cache")
