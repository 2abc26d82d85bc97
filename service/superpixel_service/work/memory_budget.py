"""The memory of the images in work, charged by what they can take, so that their sum has a bound.

An image is charged what it takes before its regions are known. Then the charge rises once, to what it takes
with its regions; if there is no room for that, the image waits until another one has ended. Images begin only
while any single one in work could still rise to its most. So among images that wait, the first can always go
on at last.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_LOOK_SECONDS = 0.1  # how often a waiting image looks whether it should stop


@dataclass(slots=True)
class _Charge:
    """The memory of one image, in bytes.

    Attributes:
        now: what it is charged.
        rise: by how much the charge may still rise.
    """

    now: int
    rise: int


class MemoryBudget:
    """Charges of the images in work. All methods may be called from any thread.

    Work that did not begin here is never charged; the server's own small sample is such work.

    Args:
        total: bytes for all images.
        largest: bytes for one image.
    """

    def __init__(self, total: int, largest: int) -> None:
        self._total = total
        self._largest = largest
        self._changed = threading.Condition()
        self._charges: dict[object, _Charge] = {}
        self._waiting: deque[object] = deque()

    @property
    def charged(self) -> int:
        """Bytes charged at present."""
        with self._changed:
            return self._sum()

    def may_begin(self, charge: int, most: int) -> bool:
        """Whether an image may begin; always if none is in work.

        Args:
            charge: what it takes at first.
            most: what it can take.
        """
        with self._changed:
            rise = max(
                [self._rise(charge, most), *(each.rise for each in self._charges.values())],
            )
            return not self._charges or self._sum() + charge + rise <= self._total

    def begin(self, work: object, charge: int, most: int) -> None:
        """An image begins; arguments as for `may_begin`."""
        with self._changed:
            self._charges[work] = _Charge(charge, self._rise(charge, most))

    def _rise(self, charge: int, most: int) -> int:
        return max(0, min(most, self._largest) - charge)

    def _sum(self) -> int:
        return sum(charge.now for charge in self._charges.values())

    def raise_at_once(self, work: object, charge: int) -> bool:
        """Raise the charge of an image in work if there is room; returns whether there was."""
        with self._changed:
            mine = self._charges.get(work)
            if mine is None:
                return True
            if charge > mine.now and (self._waiting or not self._fits(work, charge)):
                return False
            self._raise(work, charge)
            return True

    def raise_when_room(self, work: object, charge: int, check: Callable[[], None]) -> None:
        """Raise the charge of an image in work; wait for room, first in, first out.

        Args:
            work: the image.
            charge: its new charge, at most `largest`.
            check: called again and again while it waits; raises to end the wait.
        """
        with self._changed:
            self._waiting.append(work)
            try:
                while not (self._waiting[0] is work and self._fits(work, charge)):
                    check()
                    self._changed.wait(_LOOK_SECONDS)
                self._raise(work, charge)
            finally:
                self._waiting.remove(work)
                self._changed.notify_all()

    def end(self, work: object) -> None:
        """An image is over."""
        with self._changed:
            self._charges.pop(work, None)
            self._changed.notify_all()

    def _fits(self, work: object, charge: int) -> bool:
        return self._sum() - self._charges[work].now + charge <= self._total

    def _raise(self, work: object, charge: int) -> None:
        self._charges[work] = _Charge(max(charge, self._charges[work].now), 0)
