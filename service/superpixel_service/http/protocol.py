"""HTTP as uvicorn speaks it; and a connection is closed if its request does not arrive or is malformed."""

import asyncio
import contextlib
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_HEAD_SECONDS = 10.0
"""Longest time for the head of a request. uvicorn itself waits for ever."""


class ImpatientProtocol(H11Protocol):
    """One connection."""

    _closing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """As in the base class."""
        super().connection_made(transport)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """As in the base class."""
        super().connection_lost(exc)
        self._stop_timer()

    def data_received(self, data: bytes) -> None:
        """As in the base class."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """As in the base class."""
        super().on_response_complete()
        self._look()

    def send_400_response(self, msg: str) -> None:
        """Answer a malformed request and close the connection. If its response has begun, only close."""
        begun = self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE)
        if self.cycle is not None and not self.cycle.response_complete:
            # From now on uvicorn drops what the application sends.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun:
            # The response to HEAD has no body, but uvicorn sends one after the head.
            with contextlib.suppress(h11.LocalProtocolError):
                super().send_400_response(msg)
        self.transport.close()

    def _look(self) -> None:
        # After a response the rest of a body may still arrive; it is not waited for either.
        waiting = self.cycle is None or self.cycle.response_complete
        if not waiting or self.transport.is_closing():
            self._stop_timer()
        elif self._closing is None:
            self._closing = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def _stop_timer(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
