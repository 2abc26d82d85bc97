"""How fast this server is, by what it did last."""

import random
import threading
import time
from collections import deque

_PIXELS_AN_IMAGE = 30_000
"""What an image costs beside its pixels, in pixels: messages, hand-over, the stages' fixed parts."""

_IMAGES = 64
"""So many images back..."""
_SECONDS = 60.0
"""...and so many seconds: what was slow for a while is forgotten, also where all is refused meanwhile."""
_FEWEST = 8
"""Below so many images nothing is known."""

UNKNOWN_RETRY_SECONDS = 0.2
_SHORTEST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 30.0


class Speed:
    """Seconds that the whole server works for a pixel. All methods may be called from any thread.

    An estimate is the lower quartile of the latest images: it is to be too short rather than too long, as a
    call that could have been served is lost where it is refused.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: deque[tuple[float, float]] = deque(maxlen=_IMAGES)  # when, seconds a pixel
        self._estimate = 0.0
        self._learned = 0.0  # when

    def learn(self, pixels: int, seconds: float, side_by_side: int) -> None:
        """An image of `pixels` took `seconds`, `side_by_side` (itself included) being worked on meanwhile."""
        a_pixel = seconds / max(1, side_by_side) / (pixels + _PIXELS_AN_IMAGE)
        now = time.monotonic()
        with self._lock:
            self._latest.append((now, a_pixel))
            latest = sorted(each for when, each in self._latest if when >= now - _SECONDS)
            self._estimate = latest[len(latest) // 4] if len(latest) >= _FEWEST else 0.0
            self._learned = now

    def seconds(self, images: int, pixels: int) -> float:
        """How long the whole server takes for so many images with so many pixels together; 0: not known."""
        if time.monotonic() - self._learned > _SECONDS:
            return 0.0
        return self._estimate * (pixels + images * _PIXELS_AN_IMAGE)


def retry_seconds(until_done: float) -> float:
    """When to try again where the work in flight needs `until_done` seconds (0: not known).

    In the second half of that, at random: callers refused together must not come back together.
    """
    if until_done <= 0:
        return UNKNOWN_RETRY_SECONDS
    spread = until_done * random.uniform(0.5, 1.0)  # noqa: S311
    return min(max(spread, _SHORTEST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
