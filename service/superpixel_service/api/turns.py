"""Limits how much work runs at the same time, and how much waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from superpixel_service.contract import Reason
from superpixel_service.http.problems import Problem

_WAITING_PER_TURN = 8
_RETRY_SECONDS = 1.0


class Turns:
    """Work that runs at the same time.

    Args:
        most: number of works.
        waiting: how many may wait; None: eight times `most`.
    """

    def __init__(self, most: int, waiting: int | None = None) -> None:
        self._turns = asyncio.Semaphore(most)
        self._most_open = most + (_WAITING_PER_TURN * most if waiting is None else waiting)
        self.open = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, which lasts until the end of the block.

        Raises:
            Problem: too much work waits already.
        """
        if self.open >= self._most_open:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "too many requests are waiting; try again a little later",
                reason=Reason.QUEUE_FULL.value,
                retryAfterSeconds=_RETRY_SECONDS,
            )
        self.open += 1
        try:
            async with self._turns:
                yield
        finally:
            self.open -= 1
