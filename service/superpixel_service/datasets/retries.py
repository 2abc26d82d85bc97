"""Repeats what failed because a server did not answer."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0


def retried(function: Callable[[], _T], is_permanent: Callable[[Exception], bool], seconds: float) -> _T:
    """Call `function` until it succeeds. Pauses between the calls grow.

    Args:
        function: what to call.
        is_permanent: whether another call would fail with this error again.
        seconds: how long to try.

    Raises:
        Exception: the last error of `function`.
    """
    give_up_at = time.monotonic() + seconds
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return function()
        except Exception as error:
            if is_permanent(error) or time.monotonic() + pause > give_up_at:
                raise
        # Many workers wait for the same server: they must not come back at the same moment.
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
