"""Decides whether and when a call is retried."""

import random
from dataclasses import dataclass

from superpixel_service.client.errors import Overloaded, SegmentError, Unavailable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed call is retried, and after which waits.

    Two kinds of failure are retried: the server is overloaded and says when to try again
    (`RESOURCE_EXHAUSTED` with `RetryInfo` or `grpc-retry-pushback-ms`); and no server can be reached, or the
    server is stopping (`UNAVAILABLE`). After any other failure the same request would fail again.

    Attributes:
        max_attempts: attempts per call or image, including the first; 1: no retries.
        first_backoff_seconds: backoff before the second attempt; it doubles with each further attempt.
        max_backoff_seconds: largest backoff. The wait that the server asks for is added to the backoff.
    """

    max_attempts: int = 6
    first_backoff_seconds: float = 0.1
    max_backoff_seconds: float = 5.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts must be at least 1, got {self.max_attempts}")

    def wait_seconds(self, error: SegmentError, attempts: int, remaining_seconds: float) -> float | None:
        """How long to wait before the next attempt, in seconds; None: do not retry.

        The wait is what the server asks for, plus a random part of the backoff, between half and all of it.
        Randomness keeps callers that failed at the same time from retrying at the same time.

        Args:
            error: the error of the last attempt.
            attempts: attempts made so far, at least 1.
            remaining_seconds: time until the call's deadline; a longer wait is not begun.
        """
        if attempts >= self.max_attempts or not is_transient(error):
            return None
        # The limit of 60 avoids an overflow of 2.0 ** attempts.
        backoff = min(self.max_backoff_seconds, self.first_backoff_seconds * 2.0 ** min(attempts - 1, 60))
        wait = (error.retry_seconds or 0.0) + backoff * random.uniform(0.5, 1.0)  # noqa: S311
        return wait if wait < remaining_seconds else None


def is_transient(error: SegmentError) -> bool:
    """Whether the contract says that a retry of the same request, later or on another server, can succeed."""
    if isinstance(error, Overloaded):
        return error.retry_seconds is not None
    return isinstance(error, Unavailable)
