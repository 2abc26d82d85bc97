"""The memory of the images in work, charged by what they can take, so that their sum has a bound.

An image is charged what it takes before its regions are known. Then the charge rises to what it takes with
its regions; if there is no room for that, the image waits until another one has ended. Images begin only
while there is room for one more image at its largest, so an image that waits can always go on at last.
"""

import threading
from collections import deque
from collections.abc import Callable

_LOOK_SECONDS = 0.1  # how often a waiting image looks whether it should stop


class MemoryBudget:
    """Charges of the images in work. All methods may be called from any thread.

    Work that did not begin here is never charged; the server's own small sample is such work.

    Args:
        total: bytes for all images.
        largest: bytes for one image.
    """

    def __init__(self, total: int, largest: int) -> None:
        self._total = total
        self._to_begin = total - largest
        self._changed = threading.Condition()
        self._charges: dict[object, int] = {}
        self._waiting: deque[object] = deque()

    @property
    def charged(self) -> int:
        """Bytes charged at present."""
        with self._changed:
            return sum(self._charges.values())

    def may_begin(self, first_charge: int) -> bool:
        """Whether an image with this charge may begin; always if none is in work."""
        with self._changed:
            return not self._charges or sum(self._charges.values()) + first_charge <= self._to_begin

    def begin(self, work: object, charge: int) -> None:
        """An image begins."""
        with self._changed:
            self._charges[work] = charge

    def raise_at_once(self, work: object, charge: int) -> bool:
        """Raise the charge of an image in work if there is room; returns whether there was."""
        with self._changed:
            if charge > self._charges.get(work, charge):
                if self._waiting or not self._fits(work, charge):
                    return False
                self._charges[work] = charge
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
                self._charges[work] = charge
            finally:
                self._waiting.remove(work)
                self._changed.notify_all()

    def end(self, work: object) -> None:
        """An image is over."""
        with self._changed:
            self._charges.pop(work, None)
            self._changed.notify_all()

    def _fits(self, work: object, charge: int) -> bool:
        return sum(self._charges.values()) - self._charges[work] + charge <= self._total
