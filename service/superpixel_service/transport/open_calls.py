"""Counts open calls: a server that stops must answer those that began before."""

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import grpc


class OpenCalls:
    """Counts open calls.

    A call is open from when gRPC hands it over, even if its message has not arrived and no thread is free,
    until gRPC has sent its answer.

    Attributes:
        draining: the server stops; no further call is admitted.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._due = 0  # those that began before the drain, so they may have been admitted
        self._latest = 0.0  # when the latest call began
        self.draining = False

    def begin(self, handled: "Future[Any]") -> None:
        """Count a call until `handled` is done."""
        with self._changed:
            self._latest = time.monotonic()
            self._count += 1
        handled.add_done_callback(lambda _: self._end(0))

    def open(self) -> Callable[[], None]:
        """Count a call until the function that this returns is called."""
        with self._changed:
            self._latest = time.monotonic()
            due = 0 if self.draining else 1
            self._count += 1
            self._due += due
        return functools.partial(self._end, due)

    def add(self, context: grpc.ServicerContext) -> None:
        """Count the call of `context` until its answer is sent."""
        end = self.open()
        if not context.add_callback(end):
            end()

    def _end(self, due: int) -> None:
        with self._changed:
            self._count -= 1
            self._due -= due
            self._changed.notify_all()

    def drain(self) -> None:
        """Admit no further call."""
        with self._changed:
            self.draining = True

    @property
    def due(self) -> int:
        """Number of open calls that began before the drain."""
        return self._due

    def wait_until_answered(self, seconds: float) -> bool:
        """Wait until all calls that began before the drain are over; False after `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._due == 0, timeout=seconds)

    def wait_until_quiet(self, quiet_seconds: float, seconds: float) -> None:
        """Wait until no call is open and none has begun for `quiet_seconds`; at most `seconds`."""
        end = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < end:
                left = self._latest + quiet_seconds - now
                if self._count == 0 and left <= 0:
                    return
                self._changed.wait(min(end - now, left if left > 0 else quiet_seconds))
