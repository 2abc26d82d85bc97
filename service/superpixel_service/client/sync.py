"""The client for ordinary, blocking code."""

import contextlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from superpixel_service.client import wire
from superpixel_service.client.errors import SegmentError
from superpixel_service.client.retry import RetryPolicy
from superpixel_service.client.security import call_metadata
from superpixel_service.client.segmentation import Segmentation, ServerInfo
from superpixel_service.client.stream import Key, StreamBook
from superpixel_service.client.stream_steps import (
    NOTHING,
    AskServer,
    CloseCall,
    Deliver,
    NextImage,
    Receive,
    Send,
    Take,
    Wait,
    next_step,
    stream_steps,
)
from superpixel_service.client.streamcall import Event, StreamCall, closed_error, error_of
from superpixel_service.client.wire import ImageSource, Wanted
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

_Answer = TypeVar("_Answer")


class _Stream(StreamCall):
    """A call whose events wait in a queue."""

    def __init__(
        self, stub: pb_grpc.SuperpixelServiceStub, request_id: str, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        super().__init__(stub, request_id, metadata, self.events.put)


class Client:
    """Calls one server, or all behind one name. May be shared by threads.

    Connects with the first call, and again by itself; `close`, or leaving the `with` block, ends it.

    Args:
        address: HOST:PORT, or any gRPC name, as "dns:///superpixel:50051": where a name stands for several
            servers, calls take turns among those that are healthy.
        timeout: deadline of a call, in seconds, all of its retries included.
        retry: how often and how patiently calls are tried again.
        credentials: TLS, as from `tls_credentials("ca.pem")`; None: plaintext.
        token: for servers that want one; sent with every call.
        metadata: also sent with every call.

    Raises:
        ValueError: `timeout` is not above 0 or above a million seconds, or a token would be sent to another
            machine in plaintext.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout: float = 30.0,
        retry: RetryPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._address = address
        self._timeout = wire.checked_timeout(timeout, timeout)
        self._closed = False  # by us: what ends then is not tried again
        self._retry = retry or RetryPolicy()
        self._credentials = credentials
        self._metadata = call_metadata(address, credentials, token, metadata)
        self._channel = wire.open_channel(address, credentials, wire.channel_options())
        self._stub = pb_grpc.SuperpixelServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection; calls under way, and those that come later, end as `Cancelled`."""
        self._closed = True
        self._channel.close()

    def segment(
        self,
        image: ImageSource,
        *,
        timeout: float | None = None,
        request_id: str | None = None,
        **wanted: Unpack[Wanted],
    ) -> Segmentation:
        """Segment one image.

        Args:
            image: a path or the bytes of a JPEG, PNG or WebP file, sent as they are; or a Pillow image, or an
                array (height, width) or (height, width, 1, 3 or 4) of uint8 or (height, width) of uint16,
                whose pixels are sent as they are, large ones and 16-bit gray packed as PNG.
            timeout: deadline, in seconds; None: the client's.
            request_id: an id to find the call by in the server's log; None: a new one.
            wanted: as described in `Wanted`: counts, areas, compactness, include_hierarchy (default True),
                include_regions, region_of_interest, apply_exif_orientation (default True),
                first_frame_only, priority.

        Raises:
            SegmentError: what came instead; `InvalidRequest`, `Overloaded`, `Unavailable`,
                `DeadlineExceeded` and the others say what.
        """
        request = wire.build_request(image, **wanted)
        request_id = request_id or wire.new_request_id()
        return wire.read_response(self._call(self._stub.Segment, request, timeout, request_id), request_id)

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """What the server says about itself: version, engines, limits, defaults.

        Raises:
            SegmentError: what came instead.
        """
        request, request_id = pb.GetServerInfoRequest(), wire.new_request_id()
        return wire.read_server_info(self._call(self._stub.GetServerInfo, request, timeout, request_id))

    def health(self, *, timeout: float | None = None) -> bool:
        """Whether the server takes on work just now. Asked once, over a connection of its own.

        Raises:
            SegmentError: it did not answer.
        """
        with wire.open_channel(self._address, self._credentials, ()) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest()
            answer = self._try(check, request, wire.checked_timeout(timeout, self._timeout), "")
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def segment_many(
        self,
        images: Iterable[tuple[Key, ImageSource]],
        *,
        max_inflight: int = 8,
        timeout: float | None = None,
        **wanted: Unpack[Wanted],
    ) -> Iterator[tuple[Key, Segmentation | SegmentError]]:
        """Segment many images over one call; answers come as they finish.

        An image that is refused, or whose file cannot be read, has its error in place of its answer, and the
        others go on. When the server drains or dies, the unanswered images are sent again to the next one;
        each image is answered once.

        Args:
            images: pairs of a key, to know the answer by, and an image: `enumerate(photos)`,
                `zip(names, photos)`, `photos.items()`. Taken up to `max_inflight` ahead of the answers, in
                the caller's thread.
            max_inflight: images sent and not answered, at most; they and their answers are in memory.
            timeout: longest wait for the next answer, in seconds, before all is given up; None: four times
                the client's.
            wanted: as for `segment`, for every image.

        Yields:
            Key and superpixels, or key and error, of each image.

        Raises:
            SegmentError: no server answers any more, or none serves streams. What was yielded stands.
        """
        book: StreamBook[Key] = StreamBook(
            self._retry,
            max_inflight,
            wire.checked_timeout(timeout, min(4 * self._timeout, wire.LONGEST_SECONDS)),
        )
        return self._segment_many(iter(images), book, wire.for_many(wanted))

    def _segment_many(
        self, images: Iterator[tuple[Key, ImageSource]], book: StreamBook[Key], wanted: Wanted
    ) -> Iterator[tuple[Key, Segmentation | SegmentError]]:
        steps, call = stream_steps(book), None
        reply: Any = None
        try:
            while (step := next_step(steps, reply)) is not None:
                reply = None
                match step:
                    case Deliver(key, result):
                        yield key, result
                    case Receive(seconds):
                        assert call is not None  # noqa: S101 (the steps send before they receive)
                        reply = self._receive(call, seconds)
                    case Send(message):
                        call = call or self._open_call(book.request_id)
                        call.send(message)
                    case NextImage():
                        reply = next(images, None)
                    case Take(key, image):
                        reply = book.take(key, image, wanted)
                    case Wait(seconds):
                        time.sleep(seconds)
                    case AskServer():
                        reply = self.server_info()
                    case CloseCall() if call is not None:
                        call.close()
                        call = None
            if call is not None:
                call.finish()
        finally:
            if call is not None:
                call.close()

    def _open_call(self, request_id: str) -> _Stream:
        with self._while_open(request_id):
            return _Stream(self._stub, request_id, self._metadata)

    def _receive(self, call: _Stream, seconds: float) -> Event | Any:
        """The next event; `NOTHING` after `seconds`."""
        try:
            event = call.events.get(timeout=seconds) if seconds > 0 else call.events.get_nowait()
        except queue.Empty:
            return NOTHING
        if self._closed and isinstance(event, SegmentError):
            raise event
        return event

    def _call(
        self, method: Callable[..., _Answer], request: object, timeout: float | None, request_id: str
    ) -> _Answer:
        """Make a call, again where that helps."""
        deadline = time.monotonic() + wire.checked_timeout(timeout, self._timeout)
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._try(method, request, deadline - time.monotonic(), request_id)
            except SegmentError as error:
                wait = self._retry.wait_seconds(error, attempts, deadline - time.monotonic())
                if wait is None or self._closed:
                    raise
            time.sleep(wait)

    def _try(
        self, method: Callable[..., _Answer], request: object, timeout: float, request_id: str
    ) -> _Answer:
        try:
            with self._while_open(request_id):
                return method(request, timeout=timeout, metadata=wire.with_id(self._metadata, request_id))
        except grpc.RpcError as error:
            raise error_of(error, request_id) from error

    @contextlib.contextmanager
    def _while_open(self, request_id: str) -> Iterator[None]:
        """Have a call that a closed channel does not take end as `Cancelled`."""
        try:
            yield
        except ValueError:  # gRPC, of a closed channel
            if not self._closed:
                raise
            raise closed_error(request_id) from None
