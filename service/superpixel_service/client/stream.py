"""The book that is kept of a stream of images: what is unanswered, what to send when, what is final.

Neither threads nor tasks nor clocks: both clients run their streams by it.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from superpixel_service.client import errors, wire
from superpixel_service.client.errors import DeadlineExceeded, InvalidRequest, SegmentError, Unavailable
from superpixel_service.client.retry import RetryPolicy, is_transient
from superpixel_service.client.segmentation import Segmentation
from superpixel_service.client.wire import ImageSource, Wanted
from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

Key = TypeVar("Key")


@dataclass(slots=True)
class _Image(Generic[Key]):
    """An image that is not answered yet.

    Attributes:
        sent: how often it was sent.
        send_at: not to be sent before this.
        suspect: a call ended while it was on the way.
    """

    key: Key
    message: pb.SegmentStreamRequest
    sent: int = 0
    send_at: float = -math.inf
    on_the_way: bool = False
    suspect: bool = False


class StreamBook(Generic[Key]):
    """The unanswered images of one `segment_many`, over as many calls as it takes.

    An image has one answer: the first that comes. When a call ends early, its unanswered images are sent
    again in the next one. Every call begins with a single image, one of those that were sent least often;
    once that is answered the images of the last call follow one by one, and then the others, together. So an
    image that brings servers down takes the others with it once only, and after `max_attempts` such ends it
    is given up. When as many calls in a row end without a single answer, everything is; but where they were
    one image's alone, it may be to blame, and whether there is a server is in doubt until that is asked.

    Attributes:
        request_id: the id of the calls; those of the images begin with it.
        patience_seconds: longest wait for an answer.
        max_image_bytes: largest image that the server takes, as it says; set it before any is taken in.
        in_doubt: whether to ask if there still is a server, and to say so by `server_answered`.

    Raises:
        ValueError: `max_inflight` is below 1.
    """

    def __init__(self, policy: RetryPolicy, max_inflight: int, patience_seconds: float) -> None:
        if max_inflight < 1:
            raise ValueError(f"max_inflight must be at least 1, got {max_inflight}")
        self.request_id = wire.new_request_id()
        self.patience_seconds = patience_seconds
        self.max_image_bytes = 0
        self.in_doubt = False
        self._policy = policy
        self._max_inflight = max_inflight
        self._numbers = itertools.count()
        self._unanswered: dict[str, _Image[Key]] = {}
        self._open_at = -math.inf  # no call is begun before this
        self._ended_calls = 0  # since the last answer
        self._proven = False  # whether there was an answer in this call

    @property
    def has_room(self) -> bool:
        """Whether another image may be taken in."""
        return len(self._unanswered) < self._max_inflight

    @property
    def is_empty(self) -> bool:
        """Whether all images taken in are answered."""
        return not self._unanswered

    def take(self, key: Key, source: ImageSource, wanted: Wanted) -> SegmentError | None:
        """Take an image in, to be sent at once; the error it is refused with before that, if any."""
        try:
            request = wire.build_request(source, **wanted)
        except InvalidRequest as error:
            return error
        size = wire.image_bytes(request)
        if size > self.max_image_bytes:
            # Sent anyway, it could break gRPC's limit on messages, which ends the call for all images.
            return InvalidRequest(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the image has {size} bytes, the server takes {self.max_image_bytes}",
                reason=Reason.IMAGE_TOO_MANY_BYTES.value,
                field="image",
                metadata={"limit_bytes": str(self.max_image_bytes)},
            )
        request_id = f"{self.request_id}/{next(self._numbers)}"
        message = pb.SegmentStreamRequest(request_id=request_id, request=request)
        self._unanswered[request_id] = _Image(key, message)
        return None

    def next_at(self) -> float:
        """When there is something to send, on the clock of the other methods; infinity: nothing."""
        image = self._next()
        return math.inf if image is None else max(self._open_at, image.send_at)

    def due(self, now: float) -> Iterator[pb.SegmentStreamRequest]:
        """The messages to send now."""
        while (image := self._next()) and max(self._open_at, image.send_at) <= now:
            image.sent += 1
            image.on_the_way = True
            yield image.message

    def _next(self) -> _Image[Key] | None:
        """The image whose turn it is; None: none before another is answered."""
        waiting = [image for image in self._unanswered.values() if not image.on_the_way]
        if not waiting:
            return None
        if self._proven:
            image = min(waiting, key=lambda image: (image.send_at, not image.suspect, image.sent))
        else:
            image = min(waiting, key=lambda image: (image.send_at, image.sent))
        on_the_way = [image for image in self._unanswered.values() if image.on_the_way]
        alone = not self._proven or image.suspect or any(other.suspect for other in on_the_way)
        return None if alone and on_the_way else image

    def answered(
        self, response: pb.SegmentStreamResponse, now: float
    ) -> tuple[Key, Segmentation | SegmentError] | None:
        """What the caller gets for an answer; None: nothing yet, or nothing more."""
        self._ended_calls = 0
        self._proven = True
        request_id = response.request_id
        image = self._unanswered.get(request_id)
        if image is None:
            return None
        if response.WhichOneof("result") == "response":
            del self._unanswered[request_id]
            return image.key, wire.read_response(response.response, request_id)
        error = errors.from_status(response.error, request_id)
        wait = self._policy.wait_seconds(error, image.sent, self.patience_seconds)
        if wait is None:
            del self._unanswered[request_id]
            return image.key, error
        image.on_the_way = image.suspect = False
        image.send_at = now + wait
        return None

    def ended(self, error: SegmentError | None, now: float) -> list[tuple[Key, SegmentError]]:
        """A call has ended, with `error` or (None) as if all were answered; the images given up with it.

        Raises:
            SegmentError: all is given up.
        """
        if error is None:
            error = Unavailable(
                grpc.StatusCode.UNAVAILABLE,
                "the server ended the stream before all images were answered",
                request_id=self.request_id,
            )
        self._ended_calls += 1
        self._proven = False
        on_the_way = {name: image for name, image in self._unanswered.items() if image.on_the_way}
        often = [name for name, image in on_the_way.items() if image.sent >= self._policy.max_attempts]
        wait = self._policy.wait_seconds(error, self._ended_calls, self.patience_seconds)
        if wait is None:
            self.in_doubt = (
                is_transient(error) and self._ended_calls >= self._policy.max_attempts and bool(often)
            )
            if not self.in_doubt:
                raise error
            wait = 0.0
        self._open_at = now + wait
        given_up = []
        for request_id, image in on_the_way.items():
            if request_id in often:
                del self._unanswered[request_id]
                given_up.append((image.key, _given_up(error, image.sent, request_id)))
            else:
                image.on_the_way = False
                image.suspect = True
                image.send_at = -math.inf
        return given_up

    def server_answered(self) -> None:
        """There is a server: the images that were given up were to blame, and others have their chance."""
        self.in_doubt = False
        self._ended_calls = 0

    def stalled(self) -> DeadlineExceeded:
        """The error for a server that has said nothing for as long as the caller is ready to wait."""
        return DeadlineExceeded(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"no answer for {self.patience_seconds:g} s, with {len(self._unanswered)} images unanswered",
            request_id=self.request_id,
        )


def _given_up(error: SegmentError, sent: int, request_id: str) -> SegmentError:
    """The error of an image that calls ended over, `error` being what the last one ended with."""
    if not isinstance(error, Unavailable):
        return error
    return Unavailable(
        error.code,
        f"each of the {sent} times it was sent, the server went away",
        reason=error.reason,
        metadata=error.metadata,
        request_id=request_id,
    )
