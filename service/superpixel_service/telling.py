"""Small things that can wait for a moment, done many in a row: log, metrics, refusals.

To count a call and to write its line takes longer than everything else that the service adds to a small
image: long enough to be seen by the caller if it came before the answer. So what has ended is put into a
list, and a thread of its own tells of it a moment later.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

Event = TypeVar("Event")

# The thread that tells wants the interpreter for itself, just when the answer is to be sent. It waits until
# that is done; under load it then finds many events at once, and is not woken for each.
_MOMENT_SECONDS = 0.02


class Teller(Generic[Event]):
    """Tells of events in their order, on a thread of its own.

    Args:
        tell: told of each event. What it raises is logged.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._events: queue.SimpleQueue[Event | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="teller", daemon=True).start()

    def put(self, event: Event) -> None:
        """Tell of `event`, soon."""
        self._events.put(event)

    def waiting(self) -> int:
        """How many events are still to be told, about."""
        return self._events.qsize()

    def flush(self, seconds: float | None = None) -> None:
        """Wait until everything put before is told, at most so long."""
        told = threading.Event()
        self._events.put(told)
        told.wait(seconds)

    def _run(self) -> None:
        while True:
            event = self._events.get()
            if not isinstance(event, threading.Event):
                time.sleep(_MOMENT_SECONDS)
            self._say(event)
            del event  # while it waits for the next one, it holds no answer
            while not self._events.empty():
                self._say(self._events.get())

    def _say(self, event: Event | threading.Event) -> None:
        if isinstance(event, threading.Event):
            event.set()
            return
        try:
            self._tell(event)
        except Exception:
            log.exception("not_told")  # and the next event is
