"""Waiting work of one lane. Callers take fair turns, measured by the workers' time.

The next piece comes from the caller that has used the least time so far: start-time fair queueing (Goyal, Vin
and Cheng, 1996). A piece counts with its estimated time when it begins, and with its real time when it ends,
so that a caller whose images take longer than estimated soon has fewer turns. The kinds of work of one caller
take turns in the same way, so that many expensive images do not keep a usual one waiting.

A caller that was away begins at the time of the piece that began last. So no caller saves up time,
and a caller with a single piece waits for at most one piece of each other caller.
"""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from superpixel_service.work.caller import Caller
from superpixel_service.work.kind import Kind
from superpixel_service.work.throughput import Throughput

_UNKNOWN_SECONDS_PER_PIXEL = 1e-7
"""Used for turns while the speed is not known; only the proportions matter."""

ALL_KINDS = frozenset(Kind)


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
class _Line(Generic[Work]):
    """The work of one kind of one caller.

    Attributes:
        used: seconds of the workers' time, on the caller's clock.
        running: number of pieces that have begun and not ended.
        pixels: of the waiting pieces.
    """

    used: float = 0.0
    running: int = 0
    pixels: int = 0
    waiting: deque[Work] = field(default_factory=deque)


@dataclass(slots=True)
class _Turn(Generic[Work]):
    """One caller's place.

    Attributes:
        used: seconds of the workers' time, on the queue's clock.
        clock: `used` of the line whose piece began last.
    """

    used: float
    clock: float = 0.0
    lines: dict[Kind, _Line[Work]] = field(default_factory=lambda: {kind: _Line() for kind in Kind})

    @property
    def is_empty(self) -> bool:
        return not any(line.waiting or line.running for line in self.lines.values())

    def has(self, kinds: Collection[Kind]) -> bool:
        return any(self.lines[kind].waiting for kind in kinds)


class FairQueue(Generic[Work]):
    """First in, first out for each caller and kind. Not locked: the admission queue's lock guards it."""

    def __init__(self, throughput: Throughput) -> None:
        self._throughput = throughput
        self._turns: dict[str, _Turn[Work]] = {}
        self._begun: dict[Work, float] = {}  # the seconds that each running piece was counted with
        self._clock = 0.0  # `used` of the caller whose piece began last

    def __bool__(self) -> bool:
        return self.has(ALL_KINDS)

    def __iter__(self) -> Iterator[Work]:
        return (
            work for turn in self._turns.values() for line in turn.lines.values() for work in line.waiting
        )

    def has(self, kinds: Collection[Kind]) -> bool:
        """Whether a piece of one of the kinds waits."""
        return any(turn.has(kinds) for turn in self._turns.values())

    def running(self, kind: Kind) -> int:
        """Number of pieces of a kind that have begun and not ended."""
        return sum(turn.lines[kind].running for turn in self._turns.values())

    def add(self, work: Work) -> None:
        """Add a piece."""
        turn = self._turns.setdefault(work.caller.name, _Turn(self._clock))
        if turn.is_empty:
            turn.used = max(turn.used, self._clock)
        line = turn.lines[work.kind]
        if not line.waiting and not line.running:
            line.used = max(line.used, turn.clock)
        line.waiting.append(work)
        line.pixels += work.pixels

    def next(self, kinds: Collection[Kind] = ALL_KINDS) -> Work:
        """The piece that is to begin next, of those kinds. One must wait."""
        return self._next(kinds)[1].waiting[0]

    def _next(self, kinds: Collection[Kind]) -> tuple[_Turn[Work], _Line[Work]]:
        turn = min((turn for turn in self._turns.values() if turn.has(kinds)), key=lambda turn: turn.used)
        lines = (line for kind, line in turn.lines.items() if kind in kinds and line.waiting)
        return turn, min(lines, key=lambda line: line.used)

    def take(self, kinds: Collection[Kind] = ALL_KINDS) -> Work:
        """Remove the piece that `next` names; it has begun."""
        turn, line = self._next(kinds)
        work = line.waiting.popleft()
        seconds = self._throughput.seconds(1, work.pixels, work.kind)
        self._begun[work] = seconds or work.pixels * _UNKNOWN_SECONDS_PER_PIXEL
        self._clock, turn.clock = turn.used, line.used
        turn.used += self._begun[work]
        line.used += self._begun[work]
        line.running += 1
        line.pixels -= work.pixels
        return work

    def remove(self, work: Work) -> bool:
        """Remove a piece that waits; returns whether it did."""
        turn = self._turns.get(work.caller.name)
        if turn is None or work not in turn.lines[work.kind].waiting:
            return False
        turn.lines[work.kind].waiting.remove(work)
        turn.lines[work.kind].pixels -= work.pixels
        self._forget()
        return True

    def ended(self, work: Work, seconds: float) -> None:
        """A piece that has begun is over; a worker spent `seconds` on it."""
        turn = self._turns[work.caller.name]
        line = turn.lines[work.kind]
        correction = seconds - self._begun.pop(work)
        turn.used += correction
        line.used += correction
        line.running -= 1
        self._forget()

    def _forget(self) -> None:
        """Forget callers that have nothing here, once the others have used as much time as they."""
        idle = not self._begun and not self
        self._turns = {
            name: turn
            for name, turn in self._turns.items()
            if not turn.is_empty or (turn.used > self._clock and not idle)
        }

    def seconds(self) -> float:
        """Estimated time of all that waits, in seconds."""
        return sum(self._backlog(turn, kind) for turn in self._turns.values() for kind in Kind)

    def seconds_before(self, caller: Caller | None, kind: Kind, cost: float) -> float:
        """Estimated time until a new piece begins, if the workers are free now, in seconds.

        Before it come the waiting pieces of its caller and kind, and as much of each other kind and caller.

        Args:
            caller: who asks for it; None: unknown, so it waits for the pieces of its kind of all callers.
            kind: its kind.
            cost: its own estimated time, in seconds.
        """
        if caller is None:
            return sum(self._own(turn, kind, cost) for turn in self._turns.values())
        turn = self._turns.get(caller.name)
        own = 0.0 if turn is None else self._own(turn, kind, cost)
        return own + sum(
            min(sum(self._backlog(other, each) for each in Kind), own + cost)
            for other in self._turns.values()
            if other is not turn
        )

    def _own(self, turn: _Turn[Work], kind: Kind, cost: float) -> float:
        """Time of the caller's pieces that go before a new one of its own."""
        same = self._backlog(turn, kind)
        return same + sum(min(self._backlog(turn, each), same + cost) for each in Kind if each is not kind)

    def _backlog(self, turn: _Turn[Work], kind: Kind) -> float:
        line = turn.lines[kind]
        return self._throughput.seconds(len(line.waiting), line.pixels, kind) if line.waiting else 0.0
