"""Calls that were let in and whose messages are still arriving.

A full server rejects calls before it reads their messages. When there is room again, many calls would be let
in until the first of them is in the queue; all others would be rejected after their messages were read, which
costs more than twice as much.
"""

import time
from collections import deque

_SECONDS = 0.05
"""After this time the message is here, or it comes over a slow line and must not make others wait."""


class ExpectedCalls:
    """Calls that will enter the queue soon. Not locked."""

    def __init__(self) -> None:
        self._calls: deque[tuple[float, str]] = deque()  # when it was let in, and its caller's name

    def add(self, caller: str) -> None:
        """A call was let in."""
        self._calls.append((time.monotonic(), caller))

    def arrived(self, caller: str) -> None:
        """A call of the caller has entered the queue, or was rejected."""
        for call in self._calls:
            if call[1] == caller:
                self._calls.remove(call)
                return

    def count(self, caller: str) -> int:
        """Number of calls of the caller that are still to come."""
        oldest = time.monotonic() - _SECONDS
        while self._calls and self._calls[0][0] < oldest:
            self._calls.popleft()
        return sum(name == caller for _, name in self._calls)
