"""The loop of `segment_many`, as a generator of steps that both clients execute.

The generator decides what happens next; a client only sends, waits and reads. So blocking code and asyncio
share the logic.
"""

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias

from superpixel_service.client.errors import SegmentError
from superpixel_service.client.segmentation import Segmentation
from superpixel_service.client.stream import Key, StreamBook
from superpixel_service.client.wire import ImageSource
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb


@dataclass(frozen=True, slots=True)
class AskServer:
    """Call `server_info`, and reply with the result."""


@dataclass(frozen=True, slots=True)
class NextImage:
    """Reply with the caller's next pair of key and image, or None if there is none."""


@dataclass(frozen=True, slots=True)
class Take(Generic[Key]):
    """Call `StreamBook.take` with the image, and reply with what it returns."""

    key: Key
    image: ImageSource


@dataclass(frozen=True, slots=True)
class Send:
    """Send the message; open a call first if none is open."""

    message: pb.SegmentStreamRequest


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for `seconds`. No call is open."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Receive:
    """Reply with the call's next event, or with `NOTHING` if none comes within `seconds`; 0: do not wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class CloseCall:
    """Close the call. The server has already ended it."""


@dataclass(frozen=True, slots=True)
class Deliver(Generic[Key]):
    """Yield the result of one image to the caller."""

    key: Key
    result: Segmentation | SegmentError


Step: TypeAlias = AskServer | NextImage | Take[Key] | Send | Wait | Receive | CloseCall | Deliver[Key]

NOTHING: Any = object()
"""The reply to `Receive` if there is no event."""


def stream_steps(book: StreamBook[Key]) -> Generator[Step[Key], Any, None]:
    """The steps that segment all images of the caller, over as many calls as necessary.

    Raises:
        SegmentError: no further image can be segmented.
    """
    book.max_image_bytes = (yield AskServer()).max_image_bytes
    is_open, more = False, True
    while True:
        for message in book.due(time.monotonic()):
            yield Send(message)
            is_open = True
        event = (yield Receive(0)) if is_open else NOTHING
        if event is NOTHING and more and book.has_room:
            pair = yield NextImage()
            if pair is None:
                more = False
            else:
                rejected = yield Take(*pair)
                if rejected is not None:
                    yield Deliver(pair[0], rejected)
            continue
        if event is NOTHING and book.is_empty:
            return
        if event is NOTHING and not is_open:
            yield Wait(max(0.0, book.next_at() - time.monotonic()))
            continue
        if event is NOTHING:
            event = yield from _next_event(book)
        if isinstance(event, pb.SegmentStreamResponse):
            result = book.answered(event, time.monotonic())
            if result is not None:
                yield Deliver(*result)
            continue
        yield CloseCall()
        is_open = False
        given_up = book.ended(event, time.monotonic())
        if book.needs_probe:
            yield AskServer()
            book.probe_succeeded()
        for key, error in given_up:
            yield Deliver(key, error)


def next_step(steps: Generator[Step[Key], Any, None], reply: object) -> Step[Key] | None:
    """Reply to the last step, and return the next one; None: all images are done."""
    try:
        return steps.send(reply)
    except StopIteration:
        return None


def _next_event(book: StreamBook[Key]) -> Generator[Step[Key], Any, Any]:
    """Wait for the call's next event. Meanwhile send the messages that become due."""
    give_up_at = time.monotonic() + book.patience_seconds
    while True:
        for message in book.due(time.monotonic()):
            yield Send(message)
        now = time.monotonic()
        if now >= give_up_at:
            raise book.stalled()
        event = yield Receive(max(0.0, min(book.next_at(), give_up_at) - now))
        if event is not NOTHING:
            return event
