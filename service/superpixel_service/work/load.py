"""A piece of work as the queue sees it, and the state of a lane."""

from dataclasses import dataclass
from typing import Protocol

from superpixel_service.model import Lane
from superpixel_service.work.caller import Caller
from superpixel_service.work.kind import Kind


class Load(Protocol):
    """The size of a piece of work, and how to pause it."""

    @property
    def pixels(self) -> int:
        """Pixels to work on."""

    @property
    def kind(self) -> Kind:
        """The kind of work that it is."""

    @property
    def caller(self) -> Caller:
        """Who asked for it."""

    @property
    def byte_count(self) -> int:
        """Bytes in memory while it waits."""

    @property
    def memory_to_begin(self) -> int:
        """Bytes in memory once it is in work, as far as that is known before."""

    @property
    def memory_at_most(self) -> int:
        """Bytes in memory that it can take in the worst case."""

    @property
    def lane(self) -> Lane:
        """The lane that it waits in."""

    @property
    def seconds_left(self) -> float | None:
        """Seconds until its deadline; None: no deadline."""

    def hold(self, patience: float) -> None:
        """Pause before the next step; advance by one step per `patience` seconds."""

    def release(self) -> None:
        """End the pause."""


@dataclass(slots=True)
class LaneState:
    """The state of a lane at one moment.

    Attributes:
        depth: number of pieces of work that wait.
        queue_pixels: pixels of the waiting work.
        inflight_bytes: bytes of waiting and running work.
        running: number of pieces of work that run, paused ones included.
    """

    depth: int = 0
    queue_pixels: int = 0
    inflight_bytes: int = 0
    running: int = 0
