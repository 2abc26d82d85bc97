"""A caller who leaves before the response: the work for it ends too."""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

from superpixel_service.client import SegmentError
from superpixel_service.http.uploads import caller_left

_Result = TypeVar("_Result")


async def while_connected(request: Request, work: Awaitable[_Result]) -> _Result:
    """Wait for the result of `work`. If the caller disconnects, cancel it.

    Args:
        request: its body has been read.
        work: for example a call, which is then cancelled on the server too.

    Raises:
        Problem: the caller has left.
    """
    working = asyncio.ensure_future(work)
    # The body has been read, so the next event is the disconnect.
    disconnected = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({working, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise caller_left()
        return await working
    finally:
        for task in (working, disconnected):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, SegmentError):
                await task
