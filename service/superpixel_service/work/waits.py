"""How long new work would wait, at the server's measured speed."""

import time
from collections.abc import Mapping
from typing import Generic, TypeVar

from superpixel_service.model import Lane
from superpixel_service.work.caller import Caller
from superpixel_service.work.fair_queue import FairQueue
from superpixel_service.work.load import Load
from superpixel_service.work.throughput import Throughput

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

    def seconds_until_done(self, work: Work) -> float:
        """Time until new work would be done, in seconds."""
        cost = self._cost(work)
        return self.seconds_before(work.lane, work.caller, cost) + cost

    def extra_seconds(self, work: Work) -> float:
        """How much longer `work` takes than usual work of its size, in seconds."""
        return max(0.0, self._cost(work) - self._throughput.seconds(1, work.pixels))

    def seconds_before(self, lane: Lane, caller: Caller | None = None, cost: float = 0.0) -> float:
        """Time until new work would begin, in seconds.

        Args:
            lane: its lane.
            caller: who asks for it; None: all waiting work goes before it.
            cost: its own time, in seconds.
        """
        now = time.monotonic()
        before = {lane, Lane.INTERACTIVE}
        seconds = 0.0
        for each in before:
            waiting = self._waiting[each]
            if caller is None or each is not lane:
                seconds += waiting.seconds()
            else:
                seconds += waiting.seconds_before(caller, cost)
        running = {work: since for work, since in self._running.items() if work.lane in before}
        for work, since in running.items():
            seconds += max(0.0, self._cost(work) - (now - since) / len(running))
        return seconds

    def _cost(self, work: Work) -> float:
        return self._throughput.seconds(1, work.pixels, work.kind)
