"""The memory of answers that their callers have not read yet.

Callers decide when they read. So the sum of all unread answers has a bound, beyond which further large
answers are rejected. If callers have not read for a while and others need the room, their calls are
cancelled.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from superpixel_service.budgets import ANSWER_COPIES, SMALL_ANSWER_BYTES
from superpixel_service.contract import Reason
from superpixel_service.errors import Overloaded

LATE_SECONDS = 10.0
"""A caller that has not read for this long loses its answer if others need the room."""


@dataclass(eq=False, slots=True)
class UnsentAnswer:
    """One answer that waits to be read.

    Attributes:
        memory: bytes that it takes.
        cancel: ends its call.
        last_read: returns when the caller last read, on the monotonic clock; None: `since` counts.
        since: when it began to wait, on the monotonic clock.
    """

    memory: int
    cancel: Callable[[], object]
    last_read: Callable[[], float] | None = None
    since: float = field(default_factory=time.monotonic)

    def is_late(self) -> bool:
        """Whether the caller has not read for `LATE_SECONDS`."""
        since = self.since if self.last_read is None else max(self.since, self.last_read())
        return time.monotonic() - since >= LATE_SECONDS


class UnsentAnswers:
    """All answers that wait to be read. All methods may be called from any thread.

    Args:
        max_bytes: most memory of answers above `SMALL_ANSWER_BYTES`; a single one may always wait.
        on_room: called after an answer was sent.
    """

    def __init__(self, max_bytes: int, on_room: Callable[[], None] = lambda: None) -> None:
        self._max_bytes = max_bytes
        self._on_room = on_room
        self._lock = threading.Lock()
        self._answers: set[UnsentAnswer] = set()
        self._bytes = 0

    @property
    def byte_count(self) -> int:
        """Memory of the waiting answers, in bytes; small ones are not counted."""
        return self._bytes

    @property
    def half_full(self) -> bool:
        """Whether more than half of the memory is in use."""
        return self._bytes > self._max_bytes // 2

    def enter(
        self, size: int, cancel: Callable[[], object], last_read: Callable[[], float] | None = None
    ) -> UnsentAnswer | None:
        """An answer of `size` bytes waits from now on; call `leave` when it is sent.

        Returns:
            The answer; None: it is small and not counted.

        Raises:
            Overloaded: there is no room for it.
        """
        if size <= SMALL_ANSWER_BYTES:
            return None
        answer = UnsentAnswer(ANSWER_COPIES * size, cancel, last_read)
        while not self._add(answer):
            if not self._cancel_late():
                raise Overloaded(
                    Reason.BYTES_IN_FLIGHT,
                    "too many bytes of answers wait to be read; try again a little later",
                )
        return answer

    def leave(self, answer: UnsentAnswer | None) -> None:
        """The answer is sent, or its call is over. Only the first call counts."""
        if self._remove(answer):
            self._on_room()

    def relieve(self) -> None:
        """Cancel late callers while more than half of the memory is in use."""
        while self.half_full and self._cancel_late():
            pass

    def _add(self, answer: UnsentAnswer) -> bool:
        with self._lock:
            if self._answers and self._bytes + answer.memory > self._max_bytes:
                return False
            self._answers.add(answer)
            self._bytes += answer.memory
            return True

    def _remove(self, answer: UnsentAnswer | None) -> bool:
        with self._lock:
            if answer is None or answer not in self._answers:
                return False
            self._answers.remove(answer)
            self._bytes -= answer.memory
            return True

    def _cancel_late(self) -> bool:
        """Cancel the late caller with the largest answer; returns whether there was one."""
        with self._lock:
            late = [answer for answer in self._answers if answer.is_late()]
        if not late:
            return False
        largest = max(late, key=lambda answer: answer.memory)
        largest.cancel()
        self.leave(largest)
        return True
