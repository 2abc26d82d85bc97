"""A background thread for small tasks that may run a moment later: log lines and metrics.

Counting a call and writing its log line takes longer than everything else the service adds to a small image.
Done before the answer is sent, it would be seen as latency.
"""

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()

Item = TypeVar("Item")

# By then the answer of the first item's call has been sent, and under load many items have gathered.
_BATCH_SECONDS = 0.02


class BackgroundQueue(Generic[Item]):
    """Handles items in their order, on a thread of its own.

    Args:
        handle: called with each item. Exceptions from it are logged.
        batch_seconds: how long the thread lets items gather after the first one.
        finish: called when no further item waits; then all earlier items count as handled.
    """

    def __init__(
        self,
        handle: Callable[[Item], None],
        batch_seconds: float = _BATCH_SECONDS,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self._handle = handle
        self._batch_seconds = batch_seconds
        self._finish = finish
        self._hurry = threading.Event()
        self._items: queue.SimpleQueue[Item | threading.Event] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="background", daemon=True).start()

    def put(self, item: Item) -> None:
        """Handle `item` soon."""
        self._items.put(item)

    def size(self) -> int:
        """Approximate number of items not handled yet."""
        return self._items.qsize()

    def flush(self, seconds: float | None = None) -> None:
        """Wait until all earlier items are handled; at most `seconds`."""
        reached = threading.Event()
        self._items.put(reached)
        self._hurry.set()
        reached.wait(seconds)

    def _run(self) -> None:
        while True:
            item = self._items.get()
            if not isinstance(item, threading.Event):
                self._hurry.wait(self._batch_seconds)
            self._hurry.clear()
            self._handle_one(item)
            del item  # an idle thread must not keep an answer in memory
            while not self._items.empty():
                self._handle_one(self._items.get())
            self._finish()

    def _handle_one(self, item: Item | threading.Event) -> None:
        if isinstance(item, threading.Event):
            self._finish()
            item.set()
            return
        try:
            self._handle(item)
        except Exception:
            log.exception("not_told")
