"""Device memory that the calls of this process share: a call that finds too little waits for the others."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from superpixel_kernels.cpu._engine import CancelToken
from superpixel_kernels.errors import Cancelled, OutOfMemory

_LOOK_SECONDS = 0.05
"""Interval at which a call that waits checks whether it was cancelled, and whether others are paused."""


class Call:
    """One call that uses the device; see `Room.call`.

    Attributes:
        cancel: stops or pauses the call.
        on_waited: called with the seconds of each wait for memory.
        waits: whether it waits for memory.
        is_outside: whether it is in a function that its caller passed, such as `on_regions`.
        holds_outside: whether its caller may hold a resource that other calls wait for in such a function.
    """

    def __init__(
        self, room: "Room", cancel: CancelToken | None, on_waited: Callable[[float], None] | None
    ) -> None:
        self._room = room
        self.cancel = cancel
        self.on_waited = on_waited
        self.waits = False
        self.is_outside = False
        self.holds_outside = False

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Put this around a caller's function: it may wait for other calls, and take what they wait for."""
        self._room.mark(self, is_outside=True)
        try:
            yield
        finally:
            self.holds_outside = True
            self._room.mark(self, is_outside=False)

    def allocate(self, attempt: Callable[[], None], give_back: Callable[[], None]) -> None:
        """See `Room.allocate`."""
        self._room.allocate(self, attempt, give_back)


class Room:
    """The calls on one device, and those of them that wait for memory.

    A call that waits has given all of its memory back, so calls never wait for each other in a circle.

    Args:
        reclaim: frees the memory that idle users of the device keep; returns whether there was any.
    """

    def __init__(self, reclaim: Callable[[], bool] = lambda: False) -> None:
        self._reclaim = reclaim
        self._changed = threading.Condition()
        self._calls: list[Call] = []
        self._waiting: list[Call] = []  # first come, first served
        self._freed = 0  # how often a call has freed memory

    @contextmanager
    def call(
        self, cancel: CancelToken | None = None, on_waited: Callable[[float], None] | None = None
    ) -> Iterator[Call]:
        """Put this around a call. When the call ends, calls that wait try again.

        Args:
            cancel: stops or pauses the call.
            on_waited: called with the seconds of each wait for memory.
        """
        call = Call(self, cancel, on_waited)
        with self._changed:
            self._calls.append(call)
        try:
            yield call
        finally:
            with self._changed:
                self._calls.remove(call)
                self._freed += 1
                self._changed.notify_all()

    def mark(self, call: Call, *, is_outside: bool) -> None:
        """Note whether a call is in a function that its caller passed."""
        with self._changed:
            call.is_outside = is_outside
            self._changed.notify_all()

    def allocate(self, call: Call, attempt: Callable[[], None], give_back: Callable[[], None]) -> None:
        """Allocate memory; if there is too little, free what idle users keep, then wait for other calls.

        Args:
            call: the call that needs the memory.
            attempt: allocates it; if that fails, it leaves nothing allocated.
            give_back: frees what the call has allocated before.

        Raises:
            OutOfMemory: there is too little memory, and no other call that could free some.
            Cancelled: the call was cancelled while it waited.
        """
        with self._changed:
            if not self._waiting:
                try:
                    attempt()
                except OutOfMemory:
                    pass
                else:
                    return
            begun = time.monotonic()
            self._waiting.append(call)
            call.waits = True
            try:
                give_back()
                self._freed += len(self._waiting) > 1  # for those that came before
                self._changed.notify_all()
                self._attempt_in_turn(call, attempt)
            finally:
                call.waits = False
                if call.on_waited is not None:
                    call.on_waited(time.monotonic() - begun)
                self._waiting.remove(call)
                self._changed.notify_all()

    def _attempt_in_turn(self, call: Call, attempt: Callable[[], None]) -> None:
        attempted = -1 if len(self._waiting) > 1 else self._freed
        while True:
            if self._waiting[0] is call:
                if self._reclaim() or self._freed != attempted:
                    attempted = self._freed
                    try:
                        attempt()
                    except OutOfMemory:
                        pass
                    else:
                        return
                if not self._others_go_on(call):
                    raise OutOfMemory("the GPU has too little free memory for this image")
            if call.cancel is not None and call.cancel.cancelled:
                raise Cancelled
            self._end_pauses()
            self._changed.wait(_LOOK_SECONDS)

    def _others_go_on(self, call: Call) -> bool:
        """Whether a call runs that does not wait for this one."""
        running = [other for other in self._calls if not other.waits]
        return any(not (other.is_outside and call.holds_outside) for other in running)

    def _end_pauses(self) -> None:
        """Calls that are paused must go on, to free their memory."""
        for other in self._calls:
            if other.cancel is not None and other.cancel.waiting:
                other.cancel.release()
