"""The server's speed, measured from its latest images."""

import random
import threading
import time
from collections import deque

from superpixel_service.errors import UNKNOWN_RETRY_SECONDS

_IMAGE_OVERHEAD_PIXELS = 30_000
"""The fixed cost of an image, in pixels: messages, hand-over, the constant part of each stage."""

_IMAGES = 64
"""The estimate uses at most this many images..."""
_SECONDS = 60.0
"""...and none older than this, so that the estimate forgets a slow phase even if all calls are rejected
meanwhile."""
_FEWEST = 8
"""With fewer images there is no estimate."""

_SHORTEST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 30.0


class Throughput:
    """Seconds per pixel of the whole server. All methods may be called from any thread.

    The estimate is the lower quartile of the latest images. An estimate that is too low only delays a
    rejection. One that is too high rejects a call that the server could have served.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: deque[tuple[float, float]] = deque(maxlen=_IMAGES)  # time, seconds per pixel
        self._estimate = 0.0
        self._learned = 0.0  # time

    def learn(self, pixels: int, seconds: float, side_by_side: int) -> None:
        """Record an image: `pixels` took `seconds` while `side_by_side` images, itself included, ran."""
        per_pixel = seconds / max(1, side_by_side) / (pixels + _IMAGE_OVERHEAD_PIXELS)
        now = time.monotonic()
        with self._lock:
            self._latest.append((now, per_pixel))
            latest = sorted(each for when, each in self._latest if when >= now - _SECONDS)
            self._estimate = latest[len(latest) // 4] if len(latest) >= _FEWEST else 0.0
            self._learned = now

    def seconds(self, images: int, pixels: int) -> float:
        """Time that the whole server needs for `images` with `pixels` in total, in seconds; 0: unknown."""
        if time.monotonic() - self._learned > _SECONDS:
            return 0.0
        return self._estimate * (pixels + images * _IMAGE_OVERHEAD_PIXELS)


def retry_seconds(until_done: float) -> float:
    """When to retry if the work in flight needs `until_done` seconds (0: unknown), in seconds.

    A random time between half and all of that, so that callers rejected together do not return together.
    """
    if until_done <= 0:
        return UNKNOWN_RETRY_SECONDS
    spread = until_done * random.uniform(0.5, 1.0)  # noqa: S311
    return min(max(spread, _SHORTEST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
