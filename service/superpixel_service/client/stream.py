"""The state of a stream of images: which images are unanswered, what to send when, which results are final.

It has no threads, tasks or clocks, so both clients can use it.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import grpc

from superpixel_service.client import errors, wire
from superpixel_service.client.errors import DeadlineExceeded, InvalidRequest, SegmentError, Unavailable
from superpixel_service.client.provenance import check_answer
from superpixel_service.client.retry import RetryPolicy, is_transient
from superpixel_service.client.segmentation import Segmentation
from superpixel_service.client.wanted import Wanted
from superpixel_service.client.wire import ImageSource
from superpixel_service.contract import Reason
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb

Key = TypeVar("Key")


@dataclass(slots=True)
class _Image(Generic[Key]):
    """An unanswered image.

    Attributes:
        sent: how often it was sent.
        send_at: earliest time of the next sending.
        in_flight: it was sent in the current call.
        suspect: a call ended while it was in flight, so it may have crashed the server.
    """

    key: Key
    message: pb.SegmentStreamRequest
    sent: int = 0
    send_at: float = -math.inf
    in_flight: bool = False
    suspect: bool = False


class StreamBook(Generic[Key]):
    """The state of one `segment_many`, over as many calls as necessary. Times are in seconds of one clock.

    Each image has one result: the first answer. If a call ends early, its unanswered images are sent again in
    the next call.

    An image can crash the server. So that it interrupts the other images only once, each call has three
    phases. It begins with a single image, one of those sent least often. After an answer, the suspects (the
    images that were in flight when a call ended) follow one at a time. Then all others are sent together. An
    image that was sent `max_attempts` times and is in flight when a call ends is given up.

    When `max_attempts` calls in a row end without an answer, the whole stream fails. But if an image is given
    up at that moment, the image may be the cause. Then the client must probe the server, and the stream
    continues if the server answers.

    Attributes:
        request_id: the id of the calls; the ids of images begin with it.
        patience_seconds: longest wait for an answer.
        max_image_bytes: largest image that the server accepts; set it before the first `take`.
        needs_probe: whether to check that a server answers, and then call `probe_succeeded`.

    Raises:
        ValueError: `max_inflight` is below 1.
    """

    def __init__(self, policy: RetryPolicy, max_inflight: int, patience_seconds: float) -> None:
        if max_inflight < 1:
            raise ValueError(f"max_inflight must be at least 1, got {max_inflight}")
        self.request_id = wire.new_request_id()
        self.patience_seconds = patience_seconds
        self.max_image_bytes = 0
        self.needs_probe = False
        self._policy = policy
        self._max_inflight = max_inflight
        self._numbers = itertools.count()
        self._unanswered: dict[str, _Image[Key]] = {}
        self._next_call_at = -math.inf  # earliest time of the next call
        self._ended_calls = 0  # since the last answer
        self._call_has_answer = False

    @property
    def has_room(self) -> bool:
        """Whether `take` may be called."""
        return len(self._unanswered) < self._max_inflight

    @property
    def is_empty(self) -> bool:
        """Whether no image is unanswered."""
        return not self._unanswered

    def take(self, key: Key, source: ImageSource, wanted: Wanted) -> SegmentError | None:
        """Add an image, due at once. Returns an error if the image is rejected before it is sent."""
        try:
            request = wire.build_request(source, **_for_image(wanted, key))
        except InvalidRequest as error:
            return error
        size = wire.image_bytes(request)
        guided, masked = request.HasField("guidance"), request.HasField("mask")
        if size > self.max_image_bytes:
            # It could exceed gRPC's limit on messages, which would end the call for all images.
            field, reason = "image", Reason.IMAGE_TOO_MANY_BYTES
            if guided:
                field, reason = "guidance", Reason.GUIDANCE_TOO_MANY_BYTES
            elif masked:
                field, reason = "mask", Reason.MASK_TOO_MANY_BYTES
            return InvalidRequest(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"the image{' with its maps' if guided or masked else ''} has {size} bytes, but the server "
                f"accepts at most {self.max_image_bytes}",
                reason=reason.value,
                field=field,
                metadata={"limit_bytes": str(self.max_image_bytes)},
            )
        request_id = f"{self.request_id}/{next(self._numbers)}"
        message = pb.SegmentStreamRequest(request_id=request_id, request=request)
        self._unanswered[request_id] = _Image(key, message)
        return None

    def next_at(self) -> float:
        """When the next message becomes due; infinity if there is nothing to send before the next answer."""
        image = self._next_image()
        return math.inf if image is None else max(self._next_call_at, image.send_at)

    def due(self, now: float) -> Iterator[pb.SegmentStreamRequest]:
        """The messages that are due. Each counts as sent."""
        while (image := self._next_image()) and max(self._next_call_at, image.send_at) <= now:
            image.sent += 1
            image.in_flight = True
            yield image.message

    def _next_image(self) -> _Image[Key] | None:
        """The image to send next; None: there is none, or another image must be answered first."""
        waiting = [image for image in self._unanswered.values() if not image.in_flight]
        if not waiting:
            return None
        if self._call_has_answer:
            image = min(waiting, key=lambda image: (image.send_at, not image.suspect, image.sent))
        else:
            image = min(waiting, key=lambda image: (image.send_at, image.sent))
        in_flight = [image for image in self._unanswered.values() if image.in_flight]
        alone = not self._call_has_answer or image.suspect or any(other.suspect for other in in_flight)
        return None if alone and in_flight else image

    def answered(
        self, response: pb.SegmentStreamResponse, now: float
    ) -> tuple[Key, Segmentation | SegmentError] | None:
        """Process an answer. Returns the caller's result; None: the image is retried, or has its result."""
        self._ended_calls = 0
        self._call_has_answer = True
        request_id = response.request_id
        image = self._unanswered.get(request_id)
        if image is None:
            return None
        if response.WhichOneof("result") == "response":
            del self._unanswered[request_id]
            try:
                check_answer(image.message.request, response.response, request_id)
            except SegmentError as unserved:
                return image.key, unserved
            return image.key, wire.read_response(response.response, request_id)
        error = errors.from_status(response.error, request_id)
        wait = self._policy.wait_seconds(error, image.sent, self.patience_seconds)
        if wait is None:
            del self._unanswered[request_id]
            return image.key, error
        image.in_flight = image.suspect = False
        image.send_at = now + wait
        return None

    def ended(self, error: SegmentError | None, now: float) -> list[tuple[Key, SegmentError]]:
        """Process the end of a call, although images are unanswered. Returns the images that are given up.

        Args:
            error: the call's error; None: the server ended it with OK.
            now: the time.

        Raises:
            SegmentError: the whole stream fails.
        """
        if error is None:
            error = Unavailable(
                grpc.StatusCode.UNAVAILABLE,
                "the server ended the stream before all images were answered",
                request_id=self.request_id,
            )
        self._ended_calls += 1
        self._call_has_answer = False
        in_flight = {name: image for name, image in self._unanswered.items() if image.in_flight}
        exhausted = [name for name, image in in_flight.items() if image.sent >= self._policy.max_attempts]
        wait = self._policy.wait_seconds(error, self._ended_calls, self.patience_seconds)
        if wait is None:
            self.needs_probe = (
                is_transient(error) and self._ended_calls >= self._policy.max_attempts and bool(exhausted)
            )
            if not self.needs_probe:
                raise error
            wait = 0.0
        self._next_call_at = now + wait
        given_up = []
        for request_id, image in in_flight.items():
            if request_id in exhausted:
                del self._unanswered[request_id]
                given_up.append((image.key, _given_up(error, image.sent, request_id)))
            else:
                image.in_flight = False
                image.suspect = True
                image.send_at = -math.inf
        return given_up

    def probe_succeeded(self) -> None:
        """A server answers, so the images that were given up were the cause; continue with the others."""
        self.needs_probe = False
        self._ended_calls = 0

    def stalled(self) -> DeadlineExceeded:
        """The error if the server has sent nothing for `patience_seconds`."""
        return DeadlineExceeded(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            f"no answer for {self.patience_seconds:g} s, with {len(self._unanswered)} images unanswered",
            request_id=self.request_id,
        )


def _for_image(wanted: Wanted, key: object) -> Wanted:
    """The parameters of one image: the caller may have functions for its guidance and its mask."""
    guidance, mask = wanted.get("guidance"), wanted.get("mask")
    if callable(guidance):
        wanted = {**wanted, "guidance": guidance(key)}
    return {**wanted, "mask": mask(key)} if callable(mask) else wanted


def _given_up(error: SegmentError, sent: int, request_id: str) -> SegmentError:
    """The error of an image that is given up, if the last call ended with `error`."""
    if not isinstance(error, Unavailable):
        return error
    return Unavailable(
        error.code,
        f"sent {sent} times; the connection to the server was lost each time",
        reason=error.reason,
        metadata=error.metadata,
        request_id=request_id,
    )
