"""The server's speed, measured from its latest images."""

import random
import threading
import time
from collections import deque

from superpixel_service.errors import UNKNOWN_RETRY_SECONDS
from superpixel_service.work.kind import Kind

_IMAGE_OVERHEAD_PIXELS = 30_000
"""The fixed cost of an image, in pixels: messages, hand-over, the constant part of each stage."""

_IMAGES = 64
"""The estimate uses at most this many images..."""
_SECONDS = 60.0
"""...and none older than this, so that the estimate forgets a slow phase even if all calls are rejected
meanwhile."""
_FEWEST = 8
"""With fewer images there is no estimate."""
_SPREAD = 2.0
"""The estimate is at most this many times the fastest of the latest `_FEWEST` images. So after files that
take very long to decode, one ordinary image corrects the estimate."""

_FINE_FACTOR = 10.0
"""A fine image takes about this many times as long as a usual one; used until fine images were measured."""

_SHORTEST_RETRY_SECONDS = 0.05
_LONGEST_RETRY_SECONDS = 30.0


class _Speed:
    """Seconds per pixel of one kind of work; not locked.

    The estimate is the lower quartile of the latest images. An estimate that is too low only delays a
    rejection. One that is too high rejects a call that the server could have served.
    """

    def __init__(self) -> None:
        self._latest: deque[tuple[float, float]] = deque(maxlen=_IMAGES)  # time, seconds per pixel
        self._estimate = 0.0
        self._learned = 0.0  # time

    def learn(self, per_pixel: float, now: float) -> None:
        """Add an image."""
        self._latest.append((now, per_pixel))
        latest = [each for when, each in self._latest if when >= now - _SECONDS]
        self._estimate = 0.0
        if len(latest) >= _FEWEST:
            self._estimate = min(sorted(latest)[len(latest) // 4], _SPREAD * min(latest[-_FEWEST:]))
        self._learned = now

    def per_pixel(self, now: float) -> float:
        """Seconds per pixel; 0: unknown."""
        return 0.0 if now - self._learned > _SECONDS else self._estimate


class Throughput:
    """Seconds per pixel of the whole server, per kind of work. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speeds = {kind: _Speed() for kind in Kind}
        self._mean_pixels = 0.0  # of the latest usual images

    def learn(self, pixels: int, seconds: float, side_by_side: int, kind: Kind = Kind.USUAL) -> None:
        """Record an image: `pixels` took `seconds` while `side_by_side` images, itself included, ran."""
        per_pixel = seconds / max(1, side_by_side) / (pixels + _IMAGE_OVERHEAD_PIXELS)
        with self._lock:
            self._speeds[kind].learn(per_pixel, time.monotonic())
            if kind is Kind.USUAL:
                self._mean_pixels += (pixels - self._mean_pixels) / _FEWEST

    def seconds(self, images: int, pixels: int, kind: Kind = Kind.USUAL) -> float:
        """Time that the whole server needs for `images` with `pixels` in total, in seconds; 0: unknown."""
        now = time.monotonic()
        per_pixel = self._speeds[kind].per_pixel(now)
        if per_pixel == 0 and kind is Kind.FINE:
            per_pixel = _FINE_FACTOR * self._speeds[Kind.USUAL].per_pixel(now)
        return per_pixel * (pixels + images * _IMAGE_OVERHEAD_PIXELS)

    def mean_seconds(self) -> float:
        """Time that the whole server needs for a usual image of the latest sizes, in seconds; 0: unknown."""
        return self.seconds(1, round(self._mean_pixels))


def retry_seconds(until_done: float) -> float:
    """When to retry if the work in flight needs `until_done` seconds (0: unknown), in seconds.

    A random time between half and all of that, so that callers rejected together do not return together.
    """
    if until_done <= 0:
        return UNKNOWN_RETRY_SECONDS
    spread = until_done * random.uniform(0.5, 1.0)  # noqa: S311
    return min(max(spread, _SHORTEST_RETRY_SECONDS), _LONGEST_RETRY_SECONDS)
