"""The bounded queue in front of the workers, with two lanes.

The queue bounds the work in flight (waiting and running): its pixels, its bytes, and the number of images.
Beyond a bound a single call is rejected at once, so that it can go to another server within a millisecond and
memory does not grow with the number of callers. An image of a stream waits instead, and flow control stops
its sender. Streams may use at most half of each bound, so that single calls always find room.

The memory of the work that runs is bounded by what the images can take; see `memory_budget`.

Waiting times are bounded too: calls are rejected while the interactive work ahead would take longer than
`max_wait_seconds` at the server's measured speed. A longer queue would only answer every call later.

Interactive work goes first. While any is in flight, no bulk work begins, and running bulk work pauses before
its next step; it delays an interactive image by one step at most. After each `bulk_patience_seconds` of pause
bulk work advances by one step, so that it never starves. Large bulk images run alone.
"""

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import DeadlineUnreachable, Draining, Overloaded, ServiceError
from superpixel_service.model import Lane
from superpixel_service.work.memory_budget import MemoryBudget
from superpixel_service.work.throughput import Throughput, retry_seconds

_TEXTS = {
    Reason.QUEUE_FULL: "the queue is full; try again a little later",
    Reason.BYTES_IN_FLIGHT: "too many bytes of images are in flight; try again a little later",
}


class Load(Protocol):
    """The size of a piece of work, and how to pause it."""

    @property
    def pixels(self) -> int:
        """Pixels to work on."""

    @property
    def byte_count(self) -> int:
        """Bytes in memory while it waits."""

    @property
    def memory_to_begin(self) -> int:
        """Bytes in memory once it is in work, as far as that is known before."""

    @property
    def memory_at_most(self) -> int:
        """Bytes in memory that it can take in the worst case."""

    @property
    def lane(self) -> Lane:
        """The lane that it waits in."""

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its deadline; None: no deadline."""

    def hold(self, patience: float) -> None:
        """Pause before the next step; advance by one step per `patience` seconds."""

    def release(self) -> None:
        """End the pause."""


Work = TypeVar("Work", bound=Load)


@dataclass(slots=True)
class LaneState:
    """The state of a lane at one moment.

    Attributes:
        depth: number of pieces of work that wait.
        queue_pixels: pixels of the waiting work.
        inflight_bytes: bytes of waiting and running work.
        running: number of pieces of work that run, paused ones included.
    """

    depth: int = 0
    queue_pixels: int = 0
    inflight_bytes: int = 0
    running: int = 0


class AdmissionQueue(Generic[Work]):
    """Bounded; first in, first out in each lane. All methods may be called from any thread."""

    def __init__(self, settings: Settings, throughput: Throughput | None = None) -> None:
        self._settings = settings
        self._throughput = throughput or Throughput()
        self._memory = MemoryBudget(settings.max_inflight_memory_bytes, settings.max_image_memory_bytes)
        self._bulk_answers_fit: Callable[[], bool] = lambda: True
        self._lock = threading.Lock()
        # Idle workers per lane. The last to wait is woken first: its scratch memory is still in the caches.
        self._idle: dict[Lane, list[threading.Condition]] = {lane: [] for lane in Lane}
        self._emptied = threading.Condition(self._lock)  # notified when nothing is in flight
        self._room_changed = threading.Condition(self._lock)
        self._entering: deque[Work] = deque()  # waits for room, first in, first out
        self._waiting: dict[Lane, deque[Work]] = {lane: deque() for lane in Lane}
        self._running: dict[Work, float] = {}  # the time when each began
        self._calls = 0
        self._pixels = 0
        self._lanes = {lane: LaneState() for lane in Lane}
        self._held_since = 0.0  # when bulk work was paused, or last began beside interactive work
        self._closed: Callable[[], ServiceError] | None = None  # makes the error to reject with

    def put(self, work: Work) -> None:
        """Add `work`.

        Raises:
            Draining, DeviceLost: the queue is closed.
            Overloaded: a bound would be exceeded.
            DeadlineUnreachable: at this server's speed the work cannot finish before its deadline.
        """
        with self._lock:
            self._check_open()
            overloaded = self._overloaded(work.pixels, work.byte_count)
            if overloaded is not None:
                raise overloaded
            left = work.seconds_left
            if left is not None and left < self._seconds_before(work.lane) + self._throughput.seconds(
                1, work.pixels
            ):
                raise DeadlineUnreachable
            self._add(work)

    def put_when_room(self, work: Work, wanted: Callable[[], bool]) -> bool:
        """Add `work` once there is room in half of each bound, or nothing else is in flight.

        Args:
            work: what to add.
            wanted: returns whether to keep waiting. Call `withdraw` after its result changes, to end the
                wait.

        Returns:
            True if the work was added; False if it is no longer wanted.

        Raises:
            Draining, DeviceLost: the queue is closed.
        """
        with self._lock:
            self._entering.append(work)
            try:
                self._room_changed.wait_for(lambda: self._closed or not wanted() or self._may_enter(work))
                self._check_open()
                if not wanted():
                    return False
                self._add(work)
                return True
            finally:
                self._entering.remove(work)
                self._room_changed.notify_all()

    def overloaded(self) -> Overloaded | None:
        """The rejection that even the smallest image would get at present; None: there is room."""
        with self._lock:
            return None if self._closed else self._overloaded(pixels=1, byte_count=1)

    def check_open(self) -> None:
        """Raise the rejection of further work, if the queue is closed."""
        with self._lock:
            self._check_open()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed()

    def _may_enter(self, work: Work) -> bool:
        first = self._entering[0] is work
        return first and (self._calls == 0 or self._lacking(work.pixels, work.byte_count, share=2) is None)

    def _overloaded(self, pixels: int, byte_count: int) -> Overloaded | None:
        lacking = self._lacking(pixels, byte_count, share=1)
        if lacking is None and self._waits_are_long():
            lacking = Reason.QUEUE_FULL
        if lacking is None:
            return None
        return Overloaded(lacking, _TEXTS[lacking], retry_seconds(self._seconds_before(Lane.BULK)))

    def _lacking(self, pixels: int, byte_count: int, share: int) -> Reason | None:
        """The bound, divided by `share`, that an image would exceed; None: it fits."""
        limits = self._settings
        if (
            self._calls + 1 > limits.max_inflight_calls / share
            or self._pixels + pixels > limits.max_inflight_pixels / share
        ):
            return Reason.QUEUE_FULL
        inflight = sum(lane.inflight_bytes for lane in self._lanes.values())
        return Reason.BYTES_IN_FLIGHT if inflight + byte_count > limits.max_inflight_bytes / share else None

    def _waits_are_long(self) -> bool:
        # Always let one image wait, so that a worker that finishes finds work.
        if self._interactive() <= self._settings.lane_workers:
            return False
        return self._seconds_before(Lane.INTERACTIVE) > self._settings.max_wait_seconds

    def _seconds_before(self, lane: Lane) -> float:
        """Time until new work of `lane` would begin, in seconds."""
        if self._calls == 0:
            return 0.0
        now = time.monotonic()
        before = {lane, Lane.INTERACTIVE}
        running = {work: since for work, since in self._running.items() if work.lane in before}
        states = [self._lanes[each] for each in before]
        seconds = self._throughput.seconds(
            sum(state.depth for state in states), sum(state.queue_pixels for state in states)
        )
        for work, since in running.items():
            done = (now - since) / len(running)
            seconds += max(0.0, self._throughput.seconds(1, work.pixels) - done)
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
        """Wake an idle worker, which then looks for work."""
        if self._idle[lane]:
            self._idle[lane].pop().notify()

    def _interactive(self) -> int:
        """Number of pieces of interactive work in flight."""
        lane = self._lanes[Lane.INTERACTIVE]
        return lane.depth + lane.running

    def take(self, lane: Lane) -> Work | None:
        """Wait for the next piece of work of `lane`. It counts as running until `finish`.

        Returns:
            The work; None: the queue is closed and empty.
        """
        waiting, idle = self._waiting[lane], self._idle[lane]
        takeable = threading.Condition(self._lock)
        with self._lock:
            while not (waiting and self._may_begin(waiting[0])):
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
            self._memory.begin(work, work.memory_to_begin, work.memory_at_most)
            self._lanes[lane].running += 1
            self._running[work] = time.monotonic()
            if lane is Lane.BULK and self._interactive():
                self._held_since = time.monotonic()
                work.hold(self._settings.bulk_patience_seconds)
            if waiting:
                self._wake(lane)  # the next one may be able to begin too
            return work

    def _may_begin(self, work: Work) -> bool:
        if not self._memory.may_begin(work.memory_to_begin, work.memory_at_most):
            if work.lane is Lane.INTERACTIVE:
                self._let_bulk_finish()
            return False
        if work.lane is Lane.INTERACTIVE:
            return True
        if not self._bulk_answers_fit():
            return False
        running = [other for other in self._running if other.lane is Lane.BULK]
        if running and (self._is_large(work) or self._is_large(running[0])):
            return False
        if not self._interactive():
            return True
        stood_still = time.monotonic() - self._held_since
        return not running and stood_still >= self._settings.bulk_patience_seconds

    def charge_memory(self, work: Work, byte_count: int, check: Callable[[], None]) -> None:
        """Charge `byte_count` bytes of memory to running work; wait until there is room.

        Args:
            work: taken before.
            byte_count: at most `max_image_memory_bytes`.
            check: called again and again while it waits; raises to end the wait.
        """
        if self._memory.raise_at_once(work, byte_count):
            return
        if work.lane is Lane.INTERACTIVE:
            with self._lock:
                self._let_bulk_finish()
        self._memory.raise_when_room(work, byte_count, check)

    @property
    def memory_bytes(self) -> int:
        """Bytes of memory charged to the work that runs."""
        return self._memory.charged

    def hold_back_bulk(self, answers_fit: Callable[[], bool]) -> None:
        """Begin bulk work only while `answers_fit` returns True; call `look_again` when that may change."""
        self._bulk_answers_fit = answers_fit

    def look_again(self) -> None:
        """Let idle workers check whether they can begin."""
        with self._lock:
            self._wake_all()

    def _wake_all(self) -> None:
        for lane in Lane:
            if self._waiting[lane]:
                self._wake(lane)

    def _let_bulk_finish(self) -> None:
        """Interactive work waits for memory: paused bulk work must go on, to free its own."""
        for running in self._running:
            if running.lane is Lane.BULK:
                running.release()

    def _is_large(self, work: Work) -> bool:
        return work.pixels > self._settings.bulk_alone_pixels

    def side_by_side(self) -> int:
        """Number of pieces of work that run unpaused or can begin at once."""
        with self._lock:
            if self._interactive():
                return self._interactive()
            bulk = self._lanes[Lane.BULK]
            if any(self._is_large(work) for work in self._running):
                return bulk.running
            return bulk.running + bulk.depth

    def withdraw(self, work: Work) -> bool:
        """Remove `work` if it still waits for a worker; returns whether it did."""
        with self._lock:
            self._room_changed.notify_all()
            waiting = self._waiting[work.lane]
            if work not in waiting:
                return False
            waiting.remove(work)
            self._leave_queue(work)
            self._release(work)
            return True

    def withdraw_all(self) -> list[Work]:
        """Remove everything that waits for a worker."""
        with self._lock:
            everything = [work for waiting in self._waiting.values() for work in waiting]
        return [work for work in everything if self.withdraw(work)]

    def finish(self, work: Work) -> int:
        """Record that `work`, taken before, is over.

        Returns:
            Number of pieces of work that ran unpaused, this one included.
        """
        with self._lock:
            at_work = self._lanes[Lane.INTERACTIVE].running or self._lanes[Lane.BULK].running
            del self._running[work]
            self._memory.end(work)
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
        self._wake_all()
        self._room_changed.notify_all()
        if self._calls == 0:
            self._emptied.notify_all()

    def close(self, refusal: Callable[[], ServiceError] = Draining) -> None:
        """Reject all further work with `refusal`; workers still take the work that waits."""
        with self._lock:
            self._closed = refusal
            for idle in self._idle.values():
                for takeable in idle:
                    takeable.notify()
            self._room_changed.notify_all()

    def wait_until_idle(self, seconds: float) -> bool:
        """Wait until nothing is in flight, at most `seconds`; returns whether the queue became idle."""
        with self._lock:
            return self._emptied.wait_for(lambda: self._calls == 0, timeout=seconds)

    def lanes(self) -> dict[Lane, LaneState]:
        """The state of the lanes."""
        with self._lock:
            return {lane: dataclasses.replace(state) for lane, state in self._lanes.items()}
