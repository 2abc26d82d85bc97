"""The bounded queue between the door and the workers: two lanes, and whose turn it is.

What is bounded is the work in flight (waiting and being worked on): its pixels, its bytes, and the number of
calls, each of which holds a thread. Beyond a bound a call is refused at once, so a caller learns in a
millisecond to go elsewhere, and memory never grows with the number of callers. An image of a stream waits
instead, which holds its sender back; streams fill each bound to half at most, so that however many there are,
whoever waits for a single image finds room.

Nor does anybody wait long: beyond `max_wait_seconds` of interactive work ahead, by the server's measured
speed, calls are refused too. A full queue answers no more calls than a short one, and all of them later.

Interactive work goes before bulk work: while any is in flight, no bulk work begins, and what runs of it is
held at its next step, so it is in the way for that one step at most. So that bulk work is not held up for
ever by people who never pause, it goes on by one step after each `bulk_patience_seconds` that it stood still.
Of bulk work, large images run alone.
"""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from superpixel_service.config import Settings
from superpixel_service.errors import DeadlineUnreachable, Draining, Overloaded, Reason, ServiceError
from superpixel_service.orders import Lane
from superpixel_service.speed import Speed, retry_seconds

_TEXTS = {
    Reason.QUEUE_FULL: "the queue is full; try again a little later",
    Reason.BYTES_IN_FLIGHT: "too many bytes of images are in flight; try again a little later",
}


class Load(Protocol):
    """What a piece of work weighs, and what can be done to it while it is worked on."""

    @property
    def pixels(self) -> int:
        """Pixels to work on."""

    @property
    def byte_count(self) -> int:
        """Bytes held while it waits."""

    @property
    def lane(self) -> Lane:
        """Whose turn it is."""

    @property
    def seconds_left(self) -> float | None:
        """Until its deadline; None: it has none."""

    def hold(self, patience: float) -> None:
        """Let no further step of it begin, but one every `patience` seconds."""

    def release(self) -> None:
        """Let it go on."""


Work = TypeVar("Work", bound=Load)


@dataclass(slots=True)
class LaneState:
    """One lane at one moment.

    Attributes:
        depth: pieces of work that wait.
        queue_pixels: their pixels.
        inflight_bytes: bytes of what waits and of what is being worked on.
        running: pieces of work that are being worked on, held ones too.
    """

    depth: int = 0
    queue_pixels: int = 0
    inflight_bytes: int = 0
    running: int = 0


class AdmissionQueue(Generic[Work]):
    """In each lane first in, first out; bounded; all methods may be called from any thread."""

    def __init__(self, settings: Settings, speed: Speed | None = None) -> None:
        self._settings = settings
        self._speed = speed or Speed()
        self._lock = threading.Lock()
        # Of each lane, the workers that wait, each to be told that something may be taken, or never will be.
        # The last to come is the first to go: its scratch memory is still in the processor's caches.
        self._idle: dict[Lane, list[threading.Condition]] = {lane: [] for lane in Lane}
        self._emptied = threading.Condition(self._lock)  # nothing is in flight
        self._roomier = threading.Condition(self._lock)  # more fits, or never will, or less is wanted
        self._at_the_door: deque[Work] = deque()  # waits for room, first come, first in
        self._waiting: dict[Lane, deque[Work]] = {lane: deque() for lane in Lane}
        self._running: dict[Work, float] = {}  # since when
        self._calls = 0
        self._pixels = 0
        self._lanes = {lane: LaneState() for lane in Lane}
        self._held_since = 0.0  # when interactive work came in last, or a piece of bulk work began beside it
        self._closed: Callable[[], ServiceError] | None = None  # what to refuse with

    def put(self, work: Work) -> None:
        """Take on `work`.

        Raises:
            Draining, DeviceLost: the queue is closed.
            Overloaded: a bound would be passed.
            DeadlineUnreachable: at this server's speed its deadline would pass before it is done.
        """
        with self._lock:
            self._check_open()
            overloaded = self._overloaded(work.pixels, work.byte_count)
            if overloaded is not None:
                raise overloaded
            left = work.seconds_left
            if left is not None and left < self._seconds_before(work.lane) + self._speed.seconds(
                1, work.pixels
            ):
                raise DeadlineUnreachable
            self._add(work)

    def put_when_room(self, work: Work, wanted: Callable[[], bool]) -> bool:
        """Take on `work` as soon as there is room in half of each bound, or nothing else is in flight.

        Args:
            work: what to take on.
            wanted: whether to wait on. After a change of that, `withdraw` the work: it ends the wait.

        Returns:
            Whether it was taken on; if not, it was no longer wanted.

        Raises:
            Draining, DeviceLost: the queue is closed.
        """
        with self._lock:
            self._at_the_door.append(work)
            try:
                self._roomier.wait_for(lambda: self._closed or not wanted() or self._may_enter(work))
                self._check_open()
                if not wanted():
                    return False
                self._add(work)
                return True
            finally:
                self._at_the_door.remove(work)
                self._roomier.notify_all()  # the next one's turn

    def overloaded(self) -> Overloaded | None:
        """What every single call is refused with just now, however small its image; None: not every one."""
        with self._lock:
            return None if self._closed else self._overloaded(pixels=1, byte_count=1)

    def check_open(self) -> None:
        """Raise what further work is refused with, if it is."""
        with self._lock:
            self._check_open()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed()

    def _may_enter(self, work: Work) -> bool:
        first = self._at_the_door[0] is work
        return first and (self._calls == 0 or self._lacking(work.pixels, work.byte_count, share=2) is None)

    def _overloaded(self, pixels: int, byte_count: int) -> Overloaded | None:
        lacking = self._lacking(pixels, byte_count, share=1)
        if lacking is None and self._waits_are_long():
            lacking = Reason.QUEUE_FULL
        if lacking is None:
            return None
        return Overloaded(lacking, _TEXTS[lacking], retry_seconds(self._seconds_before(Lane.BULK)))

    def _lacking(self, pixels: int, byte_count: int, share: int) -> Reason | None:
        """What an image would find no room in, of the bounds divided by `share`; None: it finds room."""
        limits = self._settings
        if (
            self._calls + 1 > limits.max_inflight_calls / share
            or self._pixels + pixels > limits.max_inflight_pixels / share
        ):
            return Reason.QUEUE_FULL
        inflight = sum(lane.inflight_bytes for lane in self._lanes.values())
        return Reason.BYTES_IN_FLIGHT if inflight + byte_count > limits.max_inflight_bytes / share else None

    def _waits_are_long(self) -> bool:
        # One may wait however long it takes: a worker that is done must find something to do.
        if self._interactive() <= self._settings.lane_workers:
            return False
        return self._seconds_before(Lane.INTERACTIVE) > self._settings.max_wait_seconds

    def _seconds_before(self, lane: Lane) -> float:
        """How long what goes before new work of `lane` will take."""
        if self._calls == 0:
            return 0.0
        now = time.monotonic()
        before = {lane, Lane.INTERACTIVE}
        running = {work: since for work, since in self._running.items() if work.lane in before}
        states = [self._lanes[each] for each in before]
        seconds = self._speed.seconds(
            sum(state.depth for state in states), sum(state.queue_pixels for state in states)
        )
        for work, since in running.items():
            done = (now - since) / len(running)
            seconds += max(0.0, self._speed.seconds(1, work.pixels) - done)
        return seconds

    def _add(self, work: Work) -> None:
        self._calls += 1
        self._pixels += work.pixels
        lane = self._lanes[work.lane]
        lane.depth += 1
        lane.queue_pixels += work.pixels
        lane.inflight_bytes += work.byte_count
        self._waiting[work.lane].append(work)
        if work.lane is Lane.INTERACTIVE and self._interactive() == 1:
            self._held_since = time.monotonic()
            for running in self._running:
                if running.lane is Lane.BULK:
                    running.hold(self._settings.bulk_patience_seconds)
        self._wake(work.lane)

    def _wake(self, lane: Lane) -> None:
        """Have a worker that waits look whether there is something for it."""
        if self._idle[lane]:
            self._idle[lane].pop().notify()

    def _interactive(self) -> int:
        """Pieces of interactive work in flight."""
        lane = self._lanes[Lane.INTERACTIVE]
        return lane.depth + lane.running

    def take(self, lane: Lane) -> Work | None:
        """Wait for the next piece of work of `lane`; it is then being worked on until `finish`.

        Returns:
            The work; None: the queue is closed and nothing waits in it.
        """
        waiting, idle = self._waiting[lane], self._idle[lane]
        takeable = threading.Condition(self._lock)
        with self._lock:
            while not (waiting and self._has_turn(waiting[0])):
                if self._closed is not None and not waiting:
                    return None
                idle.append(takeable)
                takeable.wait(
                    self._settings.bulk_patience_seconds if waiting and self._interactive() else None
                )
                if takeable in idle:
                    idle.remove(takeable)
            work = waiting.popleft()
            self._leave_queue(work)
            self._lanes[lane].running += 1
            self._running[work] = time.monotonic()
            if lane is Lane.BULK and self._interactive():
                self._held_since = time.monotonic()
                work.hold(self._settings.bulk_patience_seconds)
            if waiting:
                self._wake(lane)  # the next one may have its turn, too
            return work

    def _has_turn(self, work: Work) -> bool:
        if work.lane is Lane.INTERACTIVE:
            return True
        running = [other for other in self._running if other.lane is Lane.BULK]
        if running and (self._is_large(work) or self._is_large(running[0])):
            return False
        if not self._interactive():
            return True
        stood_still = time.monotonic() - self._held_since
        return not running and stood_still >= self._settings.bulk_patience_seconds

    def _is_large(self, work: Work) -> bool:
        return work.pixels > self._settings.bulk_alone_pixels

    def side_by_side(self) -> int:
        """Pieces of work that are being worked on and not held, and those that could be in a moment."""
        with self._lock:
            if self._interactive():
                return self._interactive()
            bulk = self._lanes[Lane.BULK]
            if any(self._is_large(work) for work in self._running):
                return bulk.running
            return bulk.running + bulk.depth

    def withdraw(self, work: Work) -> bool:
        """Take back `work` if it still waits for a worker; whether it did."""
        with self._lock:
            self._roomier.notify_all()
            waiting = self._waiting[work.lane]
            if work not in waiting:
                return False
            waiting.remove(work)
            self._leave_queue(work)
            self._release(work)
            return True

    def withdraw_all(self) -> list[Work]:
        """Take back everything that waits for a worker."""
        with self._lock:
            everything = [work for waiting in self._waiting.values() for work in waiting]
        return [work for work in everything if self.withdraw(work)]

    def finish(self, work: Work) -> int:
        """Say that `work`, taken before, is done with.

        Returns:
            How many pieces of work, with this one, were being worked on and not held.
        """
        with self._lock:
            at_work = self._lanes[Lane.INTERACTIVE].running or self._lanes[Lane.BULK].running
            del self._running[work]
            self._lanes[work.lane].running -= 1
            self._release(work)
            return at_work

    def _leave_queue(self, work: Work) -> None:
        lane = self._lanes[work.lane]
        lane.depth -= 1
        lane.queue_pixels -= work.pixels

    def _release(self, work: Work) -> None:
        self._calls -= 1
        self._pixels -= work.pixels
        self._lanes[work.lane].inflight_bytes -= work.byte_count
        if not self._interactive():
            for running in self._running:
                running.release()
        if self._waiting[Lane.BULK]:
            self._wake(Lane.BULK)
        self._roomier.notify_all()
        if self._calls == 0:
            self._emptied.notify_all()

    def close(self, refusal: Callable[[], ServiceError] = Draining) -> None:
        """Refuse all further work with `refusal`; what was taken on is still handed out."""
        with self._lock:
            self._closed = refusal
            for idle in self._idle.values():
                for takeable in idle:
                    takeable.notify()
            self._roomier.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until nothing is in flight, at most so long; whether it came to that."""
        with self._lock:
            return self._emptied.wait_for(lambda: self._calls == 0, timeout=seconds)

    def lanes(self) -> dict[Lane, LaneState]:
        """How the lanes stand."""
        with self._lock:
            return {lane: dataclasses.replace(state) for lane, state in self._lanes.items()}
