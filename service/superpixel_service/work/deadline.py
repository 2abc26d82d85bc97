"""A call's deadline."""

import time
from dataclasses import dataclass
from typing import Self

from superpixel_service.errors import CallCancelled, DeadlinePassed

# So close to its deadline, nothing can be done in time. gRPC's clock may also be slightly ahead of ours.
_SLACK_SECONDS = 0.01

# A caller's client may give up this much before our deadline: the message took time to arrive, and gRPC's
# clients round up the time that they send, by at most 1 %.
_TRAVEL_SECONDS = 0.1
_ROUNDING = 0.01

# Without a deadline gRPC reports one that is centuries away. Locks cannot wait that long.
_NEVER_SECONDS = 1e7


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock.

    Attributes:
        at: in seconds; infinity if the caller set none.
        early_seconds: a call that ends at most this long before it counts as ended by its deadline.
    """

    at: float
    early_seconds: float = _SLACK_SECONDS

    @classmethod
    def after(cls, seconds: float | None) -> Self:
        """The point `seconds` from now; None: never."""
        if seconds is None or seconds > _NEVER_SECONDS:
            return cls.never()
        return cls(time.monotonic() + seconds, _TRAVEL_SECONDS + _ROUNDING * seconds)

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

    def why_ended(self) -> DeadlinePassed | CallCancelled:
        """Why the caller ended the call just now; gRPC does not say it."""
        return DeadlinePassed() if time.monotonic() >= self.at - self.early_seconds else CallCancelled()
