"""The bounded queue in front of the workers, with two lanes.

The queue bounds the work in flight (waiting and running): its pixels, its bytes, and the number of images.
Beyond a bound a single call is rejected at once, so that it can go to another server within a millisecond and
memory does not grow with the number of callers. An image of a stream waits instead, and flow control stops
its sender. Streams may use at most half of each bound, so that single calls always find room.

The memory of the work that runs is bounded by what the images can take; see `memory_budget`.

Waiting times are bounded too: calls are rejected while the interactive work ahead would take longer than
`max_wait_seconds` at the server's measured speed. A longer queue would only answer every call later. Callers
take fair turns (`fair_queue`), so the work ahead of a call is not the work of all others. One token may use
only a part of the room (`token_shares`).

Interactive work goes first. While any is in flight, no bulk work begins, and running bulk work pauses before
its next step; it delays an interactive image by one step at most. After each `bulk_patience_seconds` of pause
bulk work advances by one step, so that it never starves. Large bulk images run alone.
"""

import dataclasses
import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from superpixel_service.config import Settings
from superpixel_service.contract import Reason
from superpixel_service.errors import (
    DeadlineUnreachable,
    Draining,
    OutOfMemory,
    Overloaded,
    ServiceError,
    TokenLimitReached,
)
from superpixel_service.model import Lane
from superpixel_service.work.expected import ExpectedCalls
from superpixel_service.work.fair_queue import ALL_KINDS, FairQueue
from superpixel_service.work.free_worker import FREE_SECONDS, FreeWorker
from superpixel_service.work.kind import Kind
from superpixel_service.work.load import LaneState, Load
from superpixel_service.work.memory_budget import MemoryBudget
from superpixel_service.work.room import TEXTS, Room
from superpixel_service.work.throughput import Throughput
from superpixel_service.work.token_shares import TokenShares
from superpixel_service.work.waits import Waits

Work = TypeVar("Work", bound=Load)


class AdmissionQueue(Generic[Work]):
    """Bounded; in each lane fair turns per caller. All methods may be called from any thread."""

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
        self._entering: deque[Work] = deque()  # waits for room
        self._waiting: dict[Lane, FairQueue[Work]] = {lane: FairQueue(self._throughput) for lane in Lane}
        self._shares = TokenShares(settings)
        self._expected = ExpectedCalls()
        self._probes: set[Work] = set()
        self._running: dict[Work, float] = {}  # the time when each began
        self._waits = Waits(self._throughput, self._waiting, self._running)
        self._room = Room(settings)
        self._lanes = {lane: LaneState() for lane in Lane}
        self._free_worker = FreeWorker(settings.lane_workers)
        self._held_since = 0.0  # when bulk work was paused, or last began beside interactive work
        self._closed: Callable[[], ServiceError] | None = None  # makes the error to reject with

    def put(self, work: Work) -> None:
        """Add `work`.

        Raises:
            Draining, DeviceLost: the queue is closed.
            Overloaded: a bound would be exceeded.
            TokenLimitReached: the token's share of a bound would be exceeded.
            DeadlineUnreachable: at this server's speed the work cannot finish before its deadline.
        """
        with self._lock:
            self._expected.arrived(work.caller.token)
            self._check_open()
            limit = self._shares.exceeded(work.caller, work.pixels, work.byte_count)
            if limit is not None:
                raise TokenLimitReached(limit, self._waits.retry_seconds())
            wait = functools.partial(self._waits.seconds_before_call, work)
            overloaded = self._overloaded(work.pixels, work.byte_count, wait)
            if overloaded is not None:
                raise overloaded
            left = work.seconds_left
            if (
                left is not None
                and left < self._waits.seconds_until_done(work)
                and not self._is_idle_for(work.lane)
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

    def expect(self, token: str = "") -> Overloaded | None:
        """Expect a call whose message is still to be read.

        Args:
            token: the caller's token; empty: unknown, so usual work of all callers counts as work ahead.

        Returns:
            The rejection that even the smallest image would get at present; None: there is room.
        """
        with self._lock:
            if self._closed:
                return None
            if (lacking := self._expected.lacking(token)) is not None:
                return Overloaded(lacking, TEXTS[lacking], self._waits.retry_seconds())
            coming = self._expected.count(token)
            wait = functools.partial(self._waits.seconds_before_expected, token, coming)
            overloaded = self._overloaded(1, 1, wait, coming)
            self._expected.decided(token, None if overloaded is None else overloaded.reason)
            return overloaded

    def is_probe(self, work: Work) -> bool:
        """Whether `work` was admitted to an idle server; then it begins even with an unreachable deadline.

        Otherwise a wrong estimate could reject all calls with deadlines, and nothing would correct it.
        """
        return work in self._probes

    def _is_idle_for(self, lane: Lane) -> bool:
        """Whether no work in flight goes before new work of `lane`."""
        return self._interactive() == 0 if lane is Lane.INTERACTIVE else self._room.calls == 0

    def check_open(self) -> None:
        """Raise the rejection of further work, if the queue is closed."""
        with self._lock:
            self._check_open()

    def _check_open(self) -> None:
        if self._closed is not None:
            raise self._closed()

    def _may_enter(self, work: Work) -> bool:
        # The caller with the least in flight is first; within a caller, the piece that came first.
        allowed = [
            each
            for each in self._entering
            if not self._shares.exceeded(each.caller, each.pixels, each.byte_count)
        ]
        first = min(allowed, key=lambda each: self._shares.pixels(each.caller), default=None)
        return first is work and (
            self._room.calls == 0 or self._room.lacking(work.pixels, work.byte_count, share=2) is None
        )

    def _overloaded(
        self, pixels: int, byte_count: int, wait: Callable[[], float], coming: int = 0
    ) -> Overloaded | None:
        """The rejection of an image.

        Args:
            pixels: its size.
            byte_count: its size as sent.
            wait: returns how long it would wait, in seconds.
            coming: number of calls that were let in before and are not in the queue yet.
        """
        lacking = self._room.lacking(pixels, byte_count)
        if lacking is None and self._waits_are_long(wait, coming):
            lacking = Reason.QUEUE_FULL
        if lacking is None:
            return None
        return Overloaded(lacking, TEXTS[lacking], self._waits.retry_seconds())

    def _waits_are_long(self, wait: Callable[[], float], coming: int) -> bool:
        # Always let one image wait, so that a worker that finishes finds work.
        if self._interactive() + coming <= self._settings.lane_workers:
            return False
        return wait() > self._settings.max_wait_seconds

    def _add(self, work: Work) -> None:
        if self._is_idle_for(work.lane):
            self._probes.add(work)
        self._shares.count(work.caller, work.pixels, work.byte_count, 1)
        self._room.enter(work.pixels, work.byte_count)
        lane = self._lanes[work.lane]
        lane.depth += 1
        lane.queue_pixels += work.pixels
        lane.inflight_bytes += work.byte_count
        self._waiting[work.lane].add(work)
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
            while not (
                waiting.has(kinds := self._kinds_that_may_begin(lane))
                and self._may_begin(waiting.next(kinds))
            ):
                if self._closed is not None and not waiting:
                    return None
                idle.append(takeable)
                takeable.wait(self._longest_look_seconds(lane))
                if takeable in idle:
                    idle.remove(takeable)
            work = waiting.take(kinds)
            if lane is Lane.INTERACTIVE:
                self._free_worker.begun(work.kind)
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

    def _kinds_that_may_begin(self, lane: Lane) -> Collection[Kind]:
        if lane is Lane.BULK or self._closed is not None:
            return ALL_KINDS
        return self._free_worker.kinds(self._waiting[lane].running(Kind.FINE))

    def _longest_look_seconds(self, lane: Lane) -> float | None:
        """How long an idle worker waits at most before it looks again; None: until it is woken."""
        if not self._waiting[lane]:
            return None
        if lane is Lane.INTERACTIVE:
            return FREE_SECONDS
        return self._settings.bulk_patience_seconds if self._interactive() else None

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

    def charge_memory(self, work: Work, byte_count: int, check: Callable[[], None] | None) -> None:
        """Charge `byte_count` bytes of memory to running work; wait until there is room.

        Args:
            work: taken before.
            byte_count: at most `max_image_memory_bytes`.
            check: called again and again while it waits; raises to end the wait. None: do not wait.

        Raises:
            OutOfMemory: there is no room, and `check` is None.
        """
        if self._memory.raise_at_once(work, byte_count):
            return
        if check is None:
            raise OutOfMemory
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
            if not self._waiting[work.lane].remove(work):
                return False
            self._leave_queue(work)
            self._release(work)
            return True

    def withdraw_all(self) -> list[Work]:
        """Remove everything that waits for a worker."""
        with self._lock:
            everything = [work for waiting in self._waiting.values() for work in waiting]
        return [work for work in everything if self.withdraw(work)]

    def finish(self, work: Work, worked: float = 0.0) -> int:
        """Record that `work`, taken before, is over.

        Args:
            work: the work.
            worked: how long a worker worked on it, pauses excluded, in seconds.

        Returns:
            Number of pieces of work that ran unpaused, this one included.
        """
        with self._lock:
            at_work = self._lanes[Lane.INTERACTIVE].running or self._lanes[Lane.BULK].running
            del self._running[work]
            self._memory.end(work)
            self._waiting[work.lane].ended(work, worked)
            self._lanes[work.lane].running -= 1
            self._release(work)
            return at_work

    def _leave_queue(self, work: Work) -> None:
        lane = self._lanes[work.lane]
        lane.depth -= 1
        lane.queue_pixels -= work.pixels

    def _release(self, work: Work) -> None:
        self._expected.work_ended()
        self._probes.discard(work)
        self._shares.count(work.caller, work.pixels, work.byte_count, -1)
        self._room.leave(work.pixels, work.byte_count)
        self._lanes[work.lane].inflight_bytes -= work.byte_count
        if not self._interactive():
            for running in self._running:
                running.release()
        self._wake_all()
        self._room_changed.notify_all()
        if self._room.calls == 0:
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
            return self._emptied.wait_for(lambda: self._room.calls == 0, timeout=seconds)

    def lanes(self) -> dict[Lane, LaneState]:
        """The state of the lanes."""
        with self._lock:
            return {lane: dataclasses.replace(state) for lane, state in self._lanes.items()}
