"""One worker of the interactive lane stays free of fine work while usual work comes.

Fine work takes up to a second per image and cannot be interrupted. If it occupied all workers, every usual
call would wait for one of them to finish.
"""

import time
from collections.abc import Collection

from superpixel_service.work.fair_queue import ALL_KINDS
from superpixel_service.work.kind import Kind

FREE_SECONDS = 10.0
"""A worker stays free for this long after usual work."""


class FreeWorker:
    """Knows which kinds of work may begin. With a single worker there is none to keep free. Not locked."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._last_usual = float("-inf")  # when usual work last began

    def begun(self, kind: Kind) -> None:
        """A piece of work has begun."""
        if kind is Kind.USUAL:
            self._last_usual = time.monotonic()

    def kinds(self, running_fine: int) -> Collection[Kind]:
        """The kinds of work that may begin while `running_fine` pieces of fine work run."""
        last = self._workers > 1 and running_fine >= self._workers - 1
        return {Kind.USUAL} if last and time.monotonic() - self._last_usual < FREE_SECONDS else ALL_KINDS
