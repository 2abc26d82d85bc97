"""The bounds on the work in flight: the number of images, their pixels and their bytes."""

from superpixel_service.config import Settings
from superpixel_service.contract import Reason

TEXTS = {
    Reason.QUEUE_FULL: "the queue is full; try again a little later",
    Reason.BYTES_IN_FLIGHT: "too many bytes of images are in flight; try again a little later",
}
"""What a caller reads, by the bound that was reached."""


class Room:
    """Counts the work in flight against the bounds. The queue's lock guards it.

    Attributes:
        calls: number of images in flight.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.calls = 0
        self._pixels = 0
        self._bytes = 0

    def lacking(self, pixels: int, byte_count: int, share: int = 1) -> Reason | None:
        """The bound, divided by `share`, that an image of this size would exceed; None: it fits."""
        bounds = self._settings
        if (
            self.calls + 1 > bounds.max_inflight_calls / share
            or self._pixels + pixels > bounds.max_inflight_pixels / share
        ):
            return Reason.QUEUE_FULL
        return (
            Reason.BYTES_IN_FLIGHT if self._bytes + byte_count > bounds.max_inflight_bytes / share else None
        )

    def enter(self, pixels: int, byte_count: int) -> None:
        """Count an image."""
        self.calls += 1
        self._pixels += pixels
        self._bytes += byte_count

    def leave(self, pixels: int, byte_count: int) -> None:
        """An image counted before is over."""
        self.calls -= 1
        self._pixels -= pixels
        self._bytes -= byte_count
