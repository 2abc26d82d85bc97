"""Bounds the memory of arriving messages that should be small.

gRPC has one receive limit per port, so it permits an image to every method, also to health, which needs no
token. And gRPC hands over a message only when all of it has arrived. So only a few of these messages may
arrive at the same time. An honest message arrives together with its call; a slower one gives way to others.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

ARRIVING = 8
"""Messages that may arrive at the same time. Each takes up to gRPC's receive limit."""

_UNDISTURBED_SECONDS = 1.0
"""A message that has been arriving for this long gives way if others wait."""


class Arriving(Protocol):
    """A call whose message arrives."""

    def cancel(self) -> bool:
        """End the call; False: it has ended."""


class SmallMessages:
    """The messages without an image that are arriving. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._begun: dict[Arriving, float] = {}  # in the order of their beginning

    @contextmanager
    def arriving(self, call: Arriving) -> Iterator[None]:
        """Surrounds the wait for the message of `call`. Waits until there is room for it."""
        self._begin(call)
        try:
            yield
        finally:
            self._end(call)

    def _begin(self, call: Arriving) -> None:
        while True:
            with self._changed:
                if len(self._begun) < ARRIVING:
                    self._begun[call] = time.monotonic()
                    return
                oldest, begun = next(iter(self._begun.items()))
                wait = begun + _UNDISTURBED_SECONDS - time.monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                del self._begun[oldest]
            oldest.cancel()

    def _end(self, call: Arriving) -> None:
        with self._changed:
            if self._begun.pop(call, None) is not None:
                self._changed.notify()
