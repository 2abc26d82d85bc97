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
        self._leaving: set[Arriving] = set()  # they gave way, but gRPC may still have their bytes in memory
        self._waiting = 0

    @contextmanager
    def arriving(self, call: Arriving) -> Iterator[None]:
        """Surrounds the wait for the message of `call`. Waits until there is room for it."""
        self._begin(call)
        try:
            yield
        finally:
            self._end(call)

    def _begin(self, call: Arriving) -> None:
        with self._changed:
            self._waiting += 1
        while (oldest := self._enter(call)) is not None:
            if not oldest.cancel():
                self._end(oldest)

    def _enter(self, call: Arriving) -> Arriving | None:
        """Wait for room; returns a call to cancel first, or None: `call` has entered."""
        with self._changed:
            while len(self._begun) + len(self._leaving) >= ARRIVING:
                wait = _UNDISTURBED_SECONDS
                if self._begun and len(self._leaving) < self._waiting:
                    oldest, begun = next(iter(self._begun.items()))
                    wait = begun + _UNDISTURBED_SECONDS - time.monotonic()
                    if wait <= 0:
                        del self._begun[oldest]
                        self._leaving.add(oldest)
                        return oldest
                self._changed.wait(wait)
            self._waiting -= 1
            self._begun[call] = time.monotonic()
            return None

    def _end(self, call: Arriving) -> None:
        with self._changed:
            if self._begun.pop(call, None) is not None or call in self._leaving:
                self._leaving.discard(call)
                self._changed.notify()
