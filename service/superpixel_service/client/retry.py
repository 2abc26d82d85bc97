"""When a call is tried again, and after how long."""

import random
from dataclasses import dataclass

from superpixel_service.client.errors import Overloaded, SegmentError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and how patiently, a call that was refused is tried again.

    Tried again is what a server refuses for lack of room and says when to come back (`RESOURCE_EXHAUSTED`
    with `RetryInfo` or `grpc-retry-pushback-ms`), and what no server could be reached for, or a stopping one
    refused or left behind (`UNAVAILABLE`). Nothing else is: the same request would meet the same end.

    Attributes:
        max_attempts: tries of one call or image, the first included; 1: never again.
        first_backoff_seconds: wait before the second try; doubles with every further one.
        max_backoff_seconds: largest such wait. What the server asks for comes on top of it.
    """

    max_attempts: int = 6
    first_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, got {self.max_attempts}")

    def wait_seconds(self, error: SegmentError, attempts: int, remaining_seconds: float) -> float | None:
        """How long to wait before the next try; None: the error is final.

        At least what the server asks for, and on top of it a backoff between half and all of its full
        length, drawn anew each time, so that callers refused together do not come back together.

        Args:
            error: what the last try ended with.
            attempts: tries made so far, at least 1.
            remaining_seconds: until the call's deadline; a wait that would pass it is not begun.
        """
        if attempts >= self.max_attempts or not is_transient(error):
            return None
        # Not 2.0 ** attempts alone, which overflows.
        longest = min(self.max_backoff_seconds, self.first_backoff_seconds * 2.0 ** min(attempts - 1, 60))
        wait = (error.retry_seconds or 0.0) + longest * random.uniform(0.5, 1.0)  # noqa: S311
        return wait if wait < remaining_seconds else None


def is_transient(error: SegmentError) -> bool:
    """Whether the contract says that the same request may be served a little later, or elsewhere."""
    if isinstance(error, Overloaded):
        return error.retry_seconds is not None
    return isinstance(error, Unavailable)
