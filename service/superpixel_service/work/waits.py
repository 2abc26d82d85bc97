"""How long new work would wait, at the server's measured speed."""

import time
from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from superpixel_service.model import Lane
from superpixel_service.work.caller import Caller
from superpixel_service.work.fair_queue import FairQueue
from superpixel_service.work.kind import Kind
from superpixel_service.work.load import Load
from superpixel_service.work.throughput import Throughput, retry_seconds

_ESTIMATE_SECONDS = 0.005
"""An overloaded server rejects many calls within this time; all may return after the same estimate."""

Work = TypeVar("Work", bound=Load)


class Waits(Generic[Work]):
    """Estimates of waiting times; all are 0 while the speed is unknown. Not locked.

    Args:
        throughput: the server's speed.
        waiting: the work of each lane that waits.
        running: when each piece of work that runs began, on the monotonic clock.
    """

    def __init__(
        self,
        throughput: Throughput,
        waiting: Mapping[Lane, FairQueue[Work]],
        running: Mapping[Work, float],
    ) -> None:
        self._throughput = throughput
        self._waiting = waiting
        self._running = running
        self._estimated = float("-inf")  # when `_all_done` was
        self._all_done = 0.0

    def seconds_until_done(self, work: Work) -> float:
        """Time until new work would be done, in seconds."""
        cost = self._cost(work)
        return self.seconds_before(work.lane, work.caller, work.kind, cost) + cost

    def seconds_before_call(self, work: Work) -> float:
        """Time of the interactive work before new work, and of what it costs more than usual, in seconds.

        So an expensive image leaves room for as many usual ones as it delays.
        """
        cost = self._cost(work)
        extra = max(0.0, cost - self._throughput.seconds(1, work.pixels))
        return self.seconds_before(Lane.INTERACTIVE, work.caller, work.kind, cost) + extra

    def seconds_before(
        self, lane: Lane, caller: Caller | None, kind: Kind = Kind.USUAL, cost: float = 0.0
    ) -> float:
        """Time until new work would begin, in seconds.

        Args:
            lane: its lane.
            caller: who asks for it; None: unknown.
            kind: its kind.
            cost: its own time, in seconds.
        """
        seconds = self._waiting[lane].seconds_before(caller, kind, cost)
        if lane is Lane.BULK:
            seconds += self._waiting[Lane.INTERACTIVE].seconds()
        return seconds + self._still_running({lane, Lane.INTERACTIVE})

    def seconds_before_expected(self, token: str, coming: int) -> float:
        """Time until a usual interactive call would begin that comes after `coming` others, in seconds.

        Args:
            token: the caller's; empty: unknown.
            coming: number of calls.
        """
        caller = Caller(token) if token else None
        return self.seconds_before(Lane.INTERACTIVE, caller) + coming * self._throughput.mean_seconds()

    def retry_seconds(self) -> float:
        """When a rejected call may return, in seconds: about when all work in flight is done."""
        now = time.monotonic()
        if now - self._estimated > _ESTIMATE_SECONDS:
            self._estimated, self._all_done = now, self._seconds_in_all()
        return retry_seconds(self._all_done)

    def _seconds_in_all(self) -> float:
        return sum(waiting.seconds() for waiting in self._waiting.values()) + self._still_running(set(Lane))

    def _still_running(self, lanes: Collection[Lane]) -> float:
        now = time.monotonic()
        running = [(work, since) for work, since in self._running.items() if work.lane in lanes]
        return sum(max(0.0, self._cost(work) - (now - since) / len(running)) for work, since in running)

    def _cost(self, work: Work) -> float:
        return self._throughput.seconds(1, work.pixels, work.kind)
