"""Calls that were let in and whose messages are still arriving.

A full server rejects calls before it reads their messages. When there is room again, many calls would be let
in until the first of them is in the queue; all others would be rejected after their messages were read, which
costs more than twice as much.

An overloaded server rejects several hundred calls per second, so a decision stands for a moment.
"""

import time
from collections import deque

from superpixel_service.contract import Reason

_SECONDS = 0.05
"""After this time the message is here, or it comes over a slow line and must not make others wait."""

_STANDS_SECONDS = 0.003
"""How long a rejection stands for other calls of the same caller, unless work ends meanwhile."""


class ExpectedCalls:
    """Calls that will enter the queue soon. Not locked."""

    def __init__(self) -> None:
        self._calls: deque[tuple[float, str]] = deque()  # when it was let in, and its caller's name
        self._rejected: tuple[str, Reason] | None = None  # the caller's name, and what was lacking
        self._rejected_at = 0.0

    def decided(self, caller: str, lacking: Reason | None) -> None:
        """A call of the caller was rejected; `lacking` None: it was let in."""
        if lacking is None:
            self._calls.append((time.monotonic(), caller))
        else:
            self._rejected, self._rejected_at = (caller, lacking), time.monotonic()

    def lacking(self, caller: str) -> Reason | None:
        """Why another call of the caller would be rejected too; None: not known."""
        rejected = self._rejected
        if rejected is None or rejected[0] != caller:
            return None
        return rejected[1] if time.monotonic() - self._rejected_at < _STANDS_SECONDS else None

    def work_ended(self) -> None:
        """There may be room now."""
        self._rejected = None

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
