"""The record of one call about a store."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from superpixel_service.model import CacheUse

STAGES = ("open", "window", "image", "measure")
"""What the time of a call goes to."""


@dataclass(slots=True)
class StoreCall:
    """The record of one call about a store, for log and metrics.

    Attributes:
        store: its name.
        seconds: by stage, as far as the call came.
        pixels: of the window; 0: no window.
        cache: where a window came from; None: no window.
        check: called between stages; raises the error of a call that is over.
    """

    store: str
    check: Callable[[], None] = lambda: None
    seconds: dict[str, float] = field(default_factory=dict)
    pixels: int = 0
    cache: CacheUse | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Surrounds a stage."""
        self.check()
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
