"""Reads uploaded images. Slow uploads end, and the memory of all is bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request

from superpixel_service.contract import Reason
from superpixel_service.http.problems import Problem

_SLACK_BYTES = 1 << 20
"""An image that exceeds the limit by this much is still passed on, because the server's error says more."""

_IMAGES = 8
"""The uploads in memory may take as many bytes as this many images of the largest size."""

_SECONDS = 60.0
"""Longest time that an upload may take."""

_SILENT_SECONDS = 10.0
"""Longest time in which nothing of an upload arrives."""

_RETRY_SECONDS = 1.0


class Uploads:
    """The uploads in memory. An upload holds only the bytes that have arrived.

    Attributes:
        byte_count: bytes of all of them.
    """

    def __init__(self) -> None:
        self.byte_count = 0

    @asynccontextmanager
    async def receive(self, request: Request, max_bytes: int, what: str = "image") -> AsyncIterator[bytes]:
        """The image, or another body, of the request. Its bytes count until the end of the block.

        Args:
            request: its body is the file, perhaps with maps of guidance.
            max_bytes: largest image that the server accepts.
            what: the body, for error texts.

        Raises:
            Problem: it is too large or too slow, or too many bytes are in memory.
        """
        body = bytearray()
        try:
            await self._read(request, max_bytes, body, what)
            yield bytes(body)
        finally:
            self.byte_count -= len(body)

    async def _read(self, request: Request, max_bytes: int, body: bytearray, what: str) -> None:
        limit = max_bytes + _SLACK_BYTES
        too_large = Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"the {what} is too large: it must have at most {max_bytes} bytes",
            reason=Reason.IMAGE_TOO_MANY_BYTES.value if what == "image" else "",
        )
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            raise too_large
        clock = asyncio.get_running_loop()
        end = clock.time() + _SECONDS
        try:
            async with asyncio.timeout(_SILENT_SECONDS) as silence:
                async for chunk in request.stream():
                    silence.reschedule(min(end, clock.time() + _SILENT_SECONDS))
                    body += chunk
                    self.byte_count += len(chunk)
                    if len(body) > limit:
                        raise too_large
                    if self.byte_count > _IMAGES * limit:
                        raise Problem(
                            HTTPStatus.SERVICE_UNAVAILABLE,
                            "too many images are being uploaded; try again a little later",
                            retryAfterSeconds=_RETRY_SECONDS,
                        )
        except TimeoutError:
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, f"the {what} did not arrive in time") from None
        except ClientDisconnect:
            raise caller_left() from None


def caller_left() -> Problem:
    """The caller is gone; this response reaches only the log."""
    return Problem(HTTPStatus.BAD_REQUEST, "the caller disconnected")
