"""The blocking client."""

import contextlib
import queue
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from superpixel_service.client import stores, wire
from superpixel_service.client import stream_steps as steps
from superpixel_service.client.base import BaseClient
from superpixel_service.client.errors import SegmentError
from superpixel_service.client.provenance import check_answer
from superpixel_service.client.segmentation import Segmentation, ServerInfo
from superpixel_service.client.stores import StoreDescription, StoreMeasures, StoreWindow
from superpixel_service.client.stream import Key, StreamBook
from superpixel_service.client.streamcall import Event, StreamCall, closed_error, error_of
from superpixel_service.client.wanted import Wanted
from superpixel_service.client.wire import ImageSource
from superpixel_service.pb.superpixel.v1 import stores_pb2, stores_pb2_grpc
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

_Answer = TypeVar("_Answer")


class _Stream(StreamCall):
    """A streaming call that puts its events into a queue."""

    def __init__(
        self, stub: pb_grpc.SuperpixelServiceStub, request_id: str, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        super().__init__(stub, request_id, metadata, self.events.put)


class Client(BaseClient):
    """Calls one server, or all servers behind one name. Threads may share a client.

    It connects at the first call, and reconnects by itself. `close`, or the end of a `with` block, ends the
    connection.

    Args:
        address: HOST:PORT, or any gRPC name such as "dns:///superpixel:50051". If the name stands for several
            servers, the client distributes its calls over the healthy ones.
        timeout: deadline of a call, in seconds, including all retries.
        retry: how often a call is retried, and after which waits; None: the defaults of `RetryPolicy`.
        credentials: TLS, for example `tls_credentials("ca.pem")`; None: plaintext.
        token: sent with every call, for servers that require one; None: no token.
        metadata: sent with every call, in addition.

    Raises:
        ValueError: `timeout` is not above 0, or above a million seconds; or the token is malformed, or would
            be sent to another machine in plaintext.
    """

    def _open_channel(self) -> None:
        self._channel = wire.open_channel(self._address, self._credentials, wire.channel_options())
        self._stub = pb_grpc.SuperpixelServiceStub(self._channel)
        self._stores = stores_pb2_grpc.StoreServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Open calls and later calls raise `Cancelled`."""
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
            image: a JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF file, as a path, as bytes, or open for binary
                reading; a Pillow image; or an array, (height, width) or (height, width, 1, 3 or 4) of uint8
                or bool, or (height, width) or (height, width, 1) of uint16. Files are sent unchanged. Pixels
                are sent uncompressed; above 32 MiB, and for 16-bit gray, as PNG.
            timeout: deadline, in seconds; None: the client's.
            request_id: the call's id in the server's log; None: a new one.
            wanted: the keywords of `Wanted`: counts, areas, compactness, include_hierarchy (default True),
                include_regions, region_of_interest, apply_exif_orientation (default True),
                first_frame_only, priority, guidance, mask, required_algorithm_version, sample_range.

        Raises:
            SegmentError: the call failed. The subclass says how: `InvalidRequest`, `Overloaded`,
                `Unavailable`, `DeadlineExceeded` and others.
        """
        request = wire.build_request(image, **wanted)
        request_id = request_id or wire.new_request_id()
        response = self._call(self._stub.Segment, request, timeout, request_id)
        check_answer(request, response, request_id)
        return wire.read_response(response, request_id)

    def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Get the server's version, engines, limits and defaults.

        Raises:
            SegmentError: the call failed.
        """
        request, request_id = pb.GetServerInfoRequest(), wire.new_request_id()
        return wire.read_server_info(self._call(self._stub.GetServerInfo, request, timeout, request_id))

    def store(self, name: str, *, timeout: float | None = None) -> StoreDescription:
        """Get what a store of the server says about itself.

        Args:
            name: the store's name, such as "scene.zarr".
            timeout: deadline, in seconds; None: the client's.

        Raises:
            SegmentError: the call failed; `StoreUnusable`: there is no such store, or it cannot be served;
                `NotServed`: the server has no stores.
        """
        request, request_id = stores_pb2.GetStoreRequest(store=name), wire.new_request_id()
        return stores.read_store(self._call(self._stores.GetStore, request, timeout, request_id))

    def store_window(
        self,
        name: str,
        window: Sequence[int],
        *,
        scale: int = 1,
        count: int | None = None,
        include_hierarchy: bool = True,
        include_regions: bool = False,
        include_image: bool = False,
        timeout: float | None = None,
    ) -> StoreWindow:
        """Get the superpixels of a window of a store.

        Args:
            name: the store's name.
            window: x, y, width, height, in pixels of the level.
            scale: the level, one of `StoreDescription.scales`.
            count: number of superpixels of the whole image; None: about one per 64 pixels of the level.
            include_hierarchy: also get the merges between the superpixels of the window.
            include_regions: also get measurements of the superpixels' parts in the window.
            include_image: also get the pixels.
            timeout: deadline, in seconds; None: the client's.

        Raises:
            SegmentError: as for `store`; `InvalidRequest`: the window, scale or count is not there.
        """
        request = stores.window_request(
            name, window, scale, count, include_hierarchy, include_regions, include_image
        )
        request_id = wire.new_request_id()
        return stores.read_window(self._call(self._stores.GetWindow, request, timeout, request_id))

    def store_regions(self, name: str, ids: Iterable[int], *, timeout: float | None = None) -> StoreMeasures:
        """Measure regions of a store by their global ids, over the whole image.

        Args:
            name: the store's name.
            ids: global ids, as in `StoreWindow.ids`; the regions may not overlap.
            timeout: deadline, in seconds; None: the client's.

        Raises:
            SegmentError: as for `store`; `InvalidRequest`: there is no such region, or there are too many.
        """
        request, request_id = stores.measure_request(name, ids), wire.new_request_id()
        return stores.read_measures(
            request, self._call(self._stores.MeasureRegions, request, timeout, request_id)
        )

    def health(self, *, timeout: float | None = None) -> bool:
        """Ask whether the server accepts work at present: once, without retries, over a separate connection.

        Raises:
            SegmentError: the server did not answer.
        """
        with wire.open_channel(self._address, self._credentials, ()) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest()
            answer = self._attempt(check, request, wire.checked_timeout(timeout, self._timeout), "")
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def segment_many(
        self,
        images: Iterable[tuple[Key, ImageSource]],
        *,
        max_inflight: int = 8,
        timeout: float | None = None,
        **wanted: Unpack[Wanted],
    ) -> Iterator[tuple[Key, Segmentation | SegmentError]]:
        """Segment many images over one streaming call. Results come as they finish, in any order.

        An image that the server rejects, or whose file cannot be read, yields its error; the others continue.
        If the server drains or crashes, the unanswered images are sent again, to another server if there is
        one. Each image has exactly one result.

        Args:
            images: pairs of a key, which identifies the result, and an image: `enumerate(photos)`,
                `zip(names, photos)`, `photos.items()`. The client reads them in the caller's thread, up to
                `max_inflight` ahead of the results.
            max_inflight: most images that are sent and not answered; they and their answers are in memory.
            timeout: longest wait for the next answer, in seconds; after it the whole stream fails. None: four
                times the client's timeout.
            wanted: as for `segment`, for every image.

        Yields:
            The key of each image, with its superpixels or its error.

        Raises:
            SegmentError: no server answers any more, or none serves streams. Results yielded before remain
                valid.
        """
        book = self._new_book(max_inflight, timeout)
        return self._segment_many(iter(images), book, wire.reusable(wanted))

    def _segment_many(
        self, images: Iterator[tuple[Key, ImageSource]], book: StreamBook[Key], wanted: Wanted
    ) -> Iterator[tuple[Key, Segmentation | SegmentError]]:
        generator, call = steps.stream_steps(book), None
        reply: Any = None
        try:
            while (step := steps.next_step(generator, reply)) is not None:
                reply = None
                match step:
                    case steps.Deliver(key, result):
                        yield key, result
                    case steps.Receive(seconds):
                        assert call is not None  # noqa: S101 (steps send before they receive)
                        reply = self._receive(call, seconds)
                    case steps.Send(message):
                        call = call or self._open_call(book.request_id)
                        call.send(message)
                    case steps.NextImage():
                        reply = next(images, None)
                    case steps.Take(key, image):
                        reply = book.take(key, image, wanted)
                    case steps.Wait(seconds):
                        time.sleep(seconds)
                    case steps.AskServer():
                        reply = self.server_info()
                    case steps.CloseCall() if call is not None:
                        call.close()
                        call = None
            if call is not None:
                call.finish()
        finally:
            if call is not None:
                call.close()

    def _open_call(self, request_id: str) -> _Stream:
        with self._cancelled_if_closed(request_id):
            return _Stream(self._stub, request_id, self._metadata)

    def _receive(self, call: _Stream, seconds: float) -> Event | Any:
        """The next event, or `NOTHING` if none comes within `seconds`."""
        try:
            event = call.events.get(timeout=seconds) if seconds > 0 else call.events.get_nowait()
        except queue.Empty:
            return steps.NOTHING
        if self._closed and isinstance(event, SegmentError):
            raise event
        return event

    def _call(
        self, method: Callable[..., _Answer], request: object, timeout: float | None, request_id: str
    ) -> _Answer:
        """Call `method`, with retries as `RetryPolicy` permits."""
        deadline = time.monotonic() + wire.checked_timeout(timeout, self._timeout)
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._attempt(method, request, deadline - time.monotonic(), request_id)
            except SegmentError as error:
                wait = self._retry.wait_seconds(error, attempts, deadline - time.monotonic())
                if wait is None or self._closed:
                    raise
            time.sleep(wait)

    def _attempt(
        self, method: Callable[..., _Answer], request: object, timeout: float, request_id: str
    ) -> _Answer:
        """Make one attempt."""
        try:
            with self._cancelled_if_closed(request_id):
                return method(request, timeout=timeout, metadata=wire.with_id(self._metadata, request_id))
        except grpc.RpcError as error:
            raise error_of(error, request_id) from error

    @contextlib.contextmanager
    def _cancelled_if_closed(self, request_id: str) -> Iterator[None]:
        """Raise `Cancelled` in place of the ValueError that gRPC raises for a closed channel."""
        try:
            yield
        except ValueError:
            if not self._closed:
                raise
            raise closed_error(request_id) from None
