"""Reading a request's body: with a bound on bytes and time, and on disk rather than in memory."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import IO

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from .problems import Problem, retry_later, too_large
from .settings import Settings

_IN_MEMORY_BYTES = 1 << 20


class Uploads:
    """Receives uploads: a limited number at a time, each within limits of bytes and seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running = 0

    @asynccontextmanager
    async def receive(self, request: Request, limit: str, max_bytes: int) -> AsyncIterator[IO[bytes]]:
        """Receive the body into a temporary file, and yield it, rewound. It counts until it is used up.

        Args:
            request: its body must not have been read.
            limit: name of the limit, for the error.
            max_bytes: largest body.

        Raises:
            Problem: the body is too large or too slow, or too many others are being received.
        """
        if self._running >= self._settings.max_uploads:
            raise retry_later("too many uploads at present; try again later")
        self._running += 1
        try:
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file:
                await self._fill(file, request, limit, max_bytes)
                file.seek(0)
                yield file
        finally:
            self._running -= 1

    async def _fill(self, file: IO[bytes], request: Request, limit: str, max_bytes: int) -> None:
        try:
            async with asyncio.timeout(self._settings.upload_seconds):
                await self._copy(request, file, limit, max_bytes)
        except TimeoutError:
            raise Problem(HTTPStatus.REQUEST_TIMEOUT, "the body did not arrive in time") from None
        except ClientDisconnect:
            raise Problem(HTTPStatus.BAD_REQUEST, "the client left") from None

    async def _copy(self, request: Request, file: IO[bytes], limit: str, max_bytes: int) -> None:
        problem = too_large(f"the body may have at most {max_bytes} bytes", limit, max_bytes)
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > max_bytes:
            raise problem
        size = 0
        chunks = request.stream()
        while True:
            async with asyncio.timeout(self._settings.upload_idle_seconds):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            size += len(chunk)
            if size > max_bytes:
                raise problem  # uvicorn reads the rest and discards it, so that the caller gets to the answer
            await run_in_threadpool(file.write, chunk)
