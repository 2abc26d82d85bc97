"""Waiting work of one lane. Callers take fair turns, measured by the workers' time.

The next piece comes from the caller that has used the least time so far: start-time fair queueing (Goyal, Vin
and Cheng, 1996). A piece counts with its estimated time when it begins, and with its real time when it ends,
so that a caller whose images take longer than estimated soon has fewer turns.

A caller that was away begins at the time of the piece that began last. So nobody saves up time, and a caller
with a single piece waits for at most one piece of each other caller.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from superpixel_service.work.caller import Caller
from superpixel_service.work.kind import Kind
from superpixel_service.work.throughput import Throughput

_UNKNOWN_SECONDS_PER_PIXEL = 1e-7
"""Used for turns while the speed is not known; only the proportions matter."""


class Turned(Protocol):
    """A piece of work that has a caller and a cost."""

    @property
    def caller(self) -> Caller:
        """Who asked for it."""

    @property
    def kind(self) -> Kind:
        """The kind of work that it is."""

    @property
    def pixels(self) -> int:
        """Pixels to work on."""


Work = TypeVar("Work", bound=Turned)


@dataclass(slots=True)
class _Turn(Generic[Work]):
    """One caller's place.

    Attributes:
        used: seconds of the workers' time, on the queue's own clock.
        running: number of its pieces that have begun and not ended.
        backlog: number and pixels of its waiting pieces, by kind.
    """

    used: float
    running: int = 0
    waiting: deque[Work] = field(default_factory=deque)
    backlog: dict[Kind, tuple[int, int]] = field(default_factory=dict)

    def count(self, work: Work, sign: int) -> None:
        images, pixels = self.backlog.get(work.kind, (0, 0))
        self.backlog[work.kind] = images + sign, pixels + sign * work.pixels


class FairQueue(Generic[Work]):
    """First in, first out for each caller. Not locked: the admission queue's lock guards it."""

    def __init__(self, throughput: Throughput) -> None:
        self._throughput = throughput
        self._turns: dict[str, _Turn[Work]] = {}
        self._begun: dict[Work, float] = {}  # the seconds that each running piece was counted with
        self._clock = 0.0  # `used` of the caller whose piece began last

    def __bool__(self) -> bool:
        return any(turn.waiting for turn in self._turns.values())

    def __iter__(self) -> Iterator[Work]:
        return (work for turn in self._turns.values() for work in turn.waiting)

    def add(self, work: Work) -> None:
        """Add a piece."""
        turn = self._turns.setdefault(work.caller.name, _Turn(self._clock))
        if not turn.waiting and not turn.running:
            turn.used = max(turn.used, self._clock)
        turn.waiting.append(work)
        turn.count(work, 1)

    def next(self) -> Work:
        """The piece that is to begin next. Some piece must wait."""
        return self._next_turn().waiting[0]

    def _next_turn(self) -> _Turn[Work]:
        return min((turn for turn in self._turns.values() if turn.waiting), key=lambda turn: turn.used)

    def take(self) -> Work:
        """Remove the piece that `next` names; it has begun."""
        turn = self._next_turn()
        work = turn.waiting.popleft()
        turn.count(work, -1)
        seconds = self._throughput.seconds(1, work.pixels, work.kind)
        self._begun[work] = seconds or work.pixels * _UNKNOWN_SECONDS_PER_PIXEL
        self._clock = turn.used
        turn.used += self._begun[work]
        turn.running += 1
        return work

    def remove(self, work: Work) -> bool:
        """Remove a piece that waits; returns whether it did."""
        turn = self._turns.get(work.caller.name)
        if turn is None or work not in turn.waiting:
            return False
        turn.waiting.remove(work)
        turn.count(work, -1)
        self._forget()
        return True

    def ended(self, work: Work, seconds: float) -> None:
        """A piece that has begun is over; a worker spent `seconds` on it."""
        turn = self._turns[work.caller.name]
        turn.used += seconds - self._begun.pop(work)
        turn.running -= 1
        self._forget()

    def _forget(self) -> None:
        """Forget callers that have nothing here, once the others have used as much time as they."""
        idle = not self._begun and not self
        for name in [
            name
            for name, turn in self._turns.items()
            if not turn.waiting and not turn.running and (idle or turn.used <= self._clock)
        ]:
            del self._turns[name]

    def seconds(self) -> float:
        """Estimated time of all that waits, in seconds."""
        return sum(self._backlog(turn) for turn in self._turns.values())

    def seconds_before(self, caller: Caller, cost: float) -> float:
        """Estimated time until a new piece of `caller` begins, if the workers are free now, in seconds.

        Before it come the caller's own pieces, and as much of each other caller's.

        Args:
            caller: who asks for it.
            cost: its own estimated time, in seconds.
        """
        own = 0.0 if (turn := self._turns.get(caller.name)) is None else self._backlog(turn)
        return own + sum(
            min(self._backlog(turn), own + cost) for name, turn in self._turns.items() if name != caller.name
        )

    def _backlog(self, turn: _Turn[Work]) -> float:
        return sum(
            self._throughput.seconds(images, pixels, kind)
            for kind, (images, pixels) in turn.backlog.items()
            if images
        )
