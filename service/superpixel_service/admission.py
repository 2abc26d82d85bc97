"""The bounded queue between the door and the workers.

What is bounded is the work in flight (waiting and being worked on): its pixels, its bytes, and the number of
calls, each of which holds a thread. Beyond a bound a call is refused at once, so a caller learns in a
millisecond to go elsewhere, and memory never grows with the number of callers. An image of a stream waits
instead, which holds its sender back; streams fill each bound to half at most, so that however many there are,
whoever waits for a single image finds room.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from superpixel_service.config import Settings
from superpixel_service.errors import Draining, Overloaded, Reason
from superpixel_service.orders import Lane


class Load(Protocol):
    """What a piece of work weighs."""

    @property
    def pixels(self) -> int:
        """Pixels to work on."""

    @property
    def byte_count(self) -> int:
        """Bytes held while it waits."""

    @property
    def lane(self) -> Lane:
        """Whose turn it is."""


Work = TypeVar("Work", bound=Load)


@dataclass(slots=True)
class LaneState:
    """One lane at one moment.

    Attributes:
        depth: pieces of work that wait.
        queue_pixels: their pixels.
        inflight_bytes: bytes of what waits and of what is being worked on.
    """

    depth: int = 0
    queue_pixels: int = 0
    inflight_bytes: int = 0


class AdmissionQueue(Generic[Work]):
    """First in, first out, bounded; all methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)  # something waits, or never will
        self._emptied = threading.Condition(self._lock)  # nothing is in flight
        self._roomier = threading.Condition(self._lock)  # more fits, or never will, or less is wanted
        self._at_the_door: deque[Work] = deque()  # waits for room, first come, first in
        self._waiting: deque[Work] = deque()
        self._calls = 0
        self._pixels = 0
        self._lanes = {lane: LaneState() for lane in Lane}
        self._closed = False

    def put(self, work: Work) -> None:
        """Take on `work`.

        Raises:
            Draining: the queue is closed.
            Overloaded: a bound would be passed.
        """
        with self._lock:
            if self._closed:
                raise Draining
            lacking = self._lacking(work, share=1)
            if lacking is not None:
                raise lacking
            self._add(work)

    def put_when_room(self, work: Work, wanted: Callable[[], bool]) -> bool:
        """Take on `work` as soon as there is room in half of each bound, or nothing else is in flight.

        Args:
            work: what to take on.
            wanted: whether to wait on. After a change of that, `withdraw` the work: it ends the wait.

        Returns:
            Whether it was taken on; if not, it was no longer wanted.

        Raises:
            Draining: the queue is closed.
        """
        with self._lock:
            self._at_the_door.append(work)
            try:
                self._roomier.wait_for(lambda: self._closed or not wanted() or self._may_enter(work))
                if self._closed:
                    raise Draining
                if not wanted():
                    return False
                self._add(work)
                return True
            finally:
                self._at_the_door.remove(work)
                self._roomier.notify_all()  # the next one's turn

    def _may_enter(self, work: Work) -> bool:
        first = self._at_the_door[0] is work
        return first and (self._calls == 0 or self._lacking(work, share=2) is None)

    def _lacking(self, work: Work, share: int) -> Overloaded | None:
        """What there is no room for in the bounds divided by `share`; None: there is room for `work`."""
        limits = self._settings
        if (
            self._calls + 1 > limits.max_inflight_calls / share
            or self._pixels + work.pixels > limits.max_inflight_pixels / share
        ):
            return Overloaded(Reason.QUEUE_FULL, "the queue is full; try again a little later")
        inflight = sum(lane.inflight_bytes for lane in self._lanes.values())
        if inflight + work.byte_count > limits.max_inflight_bytes / share:
            return Overloaded(
                Reason.BYTES_IN_FLIGHT, "too many bytes of images are in flight; try again a little later"
            )
        return None

    def _add(self, work: Work) -> None:
        self._calls += 1
        self._pixels += work.pixels
        lane = self._lanes[work.lane]
        lane.depth += 1
        lane.queue_pixels += work.pixels
        lane.inflight_bytes += work.byte_count
        self._waiting.append(work)
        self._filled.notify()

    def take(self) -> Work | None:
        """Wait for the next piece of work; it is then being worked on until `finish`.

        Returns:
            The work; None: the queue is closed and nothing waits in it.
        """
        with self._lock:
            self._filled.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            work = self._waiting.popleft()
            self._leave_queue(work)
            return work

    def withdraw(self, work: Work) -> bool:
        """Take back `work` if it still waits for a worker; whether it did."""
        with self._lock:
            self._roomier.notify_all()
            if work not in self._waiting:
                return False
            self._waiting.remove(work)
            self._leave_queue(work)
            self._release(work)
            return True

    def finish(self, work: Work) -> None:
        """Say that `work`, taken before, is done with."""
        with self._lock:
            self._release(work)

    def _leave_queue(self, work: Work) -> None:
        lane = self._lanes[work.lane]
        lane.depth -= 1
        lane.queue_pixels -= work.pixels

    def _release(self, work: Work) -> None:
        self._calls -= 1
        self._pixels -= work.pixels
        self._lanes[work.lane].inflight_bytes -= work.byte_count
        self._roomier.notify_all()
        if self._calls == 0:
            self._emptied.notify_all()

    def close(self) -> None:
        """Refuse all further work; what was taken on is still handed out."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._roomier.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until nothing is in flight, at most so long; whether it came to that."""
        with self._lock:
            return self._emptied.wait_for(lambda: self._calls == 0, timeout=seconds)

    def lanes(self) -> dict[Lane, LaneState]:
        """How the lanes stand."""
        with self._lock:
            return {
                lane: LaneState(state.depth, state.queue_pixels, state.inflight_bytes)
                for lane, state in self._lanes.items()
            }
