"""A call's deadline."""

import time
from dataclasses import dataclass
from typing import Self

# A cancelled call and a passed deadline look alike to gRPC's callback, and gRPC's clock may be slightly ahead
# of ours. Within this many seconds of the deadline we count it as passed.
_SLACK_SECONDS = 0.01

# Without a deadline gRPC reports one that is centuries away. Locks cannot wait that long.
_NEVER_SECONDS = 1e7


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, in seconds; infinity if the caller set none."""

    at: float

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """The point `seconds` from now; None: never."""
        if seconds is None or seconds > _NEVER_SECONDS:
            return cls.never()
        return cls(time.monotonic() + seconds)

    @classmethod
    def never(cls) -> Self:
        """No deadline."""
        return cls(float("inf"))

    def remaining(self) -> float | None:
        """Seconds left, at least 0; None: no deadline."""
        return None if self.at == float("inf") else max(0.0, self.at - time.monotonic())

    def passed(self) -> bool:
        """Whether the deadline has passed, or is so close that nothing can be done in time."""
        return time.monotonic() >= self.at - _SLACK_SECONDS
