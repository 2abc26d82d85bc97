"""The asyncio client."""

import asyncio
import copy
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from superpixel_service.client import stores, wire
from superpixel_service.client import stream_steps as steps
from superpixel_service.client.base import BaseClient
from superpixel_service.client.errors import SegmentError
from superpixel_service.client.provenance import check_answer
from superpixel_service.client.security import call_metadata
from superpixel_service.client.segmentation import Segmentation, ServerInfo
from superpixel_service.client.stores import StoreDescription, StoreMeasures, StoreWindow
from superpixel_service.client.stream import Key, StreamBook
from superpixel_service.client.streamcall import Event, StreamCall, closed_error, error_of
from superpixel_service.client.wanted import Wanted
from superpixel_service.client.wire import ImageSource
from superpixel_service.contract import AUTHORIZATION_KEY
from superpixel_service.pb.superpixel.v1 import stores_pb2, stores_pb2_grpc
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

_Answer = TypeVar("_Answer")


class _Stream(StreamCall):
    """A streaming call that puts its events into a queue of the running event loop."""

    def __init__(
        self, stub: pb_grpc.SuperpixelServiceStub, request_id: str, metadata: Sequence[tuple[str, str]]
    ) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        super().__init__(
            stub,
            request_id,
            metadata,
            lambda event: loop.call_soon_threadsafe(self.events.put_nowait, event),
        )


class AsyncClient(BaseClient):
    """`Client` for asyncio, with the same arguments, results and errors. Create it in a running event loop.

    Images are read and encoded in threads, so that they do not block the event loop.
    """

    def _open_channel(self) -> None:
        self._channel = self._connect(wire.channel_options())
        self._stub: Any = pb_grpc.SuperpixelServiceStub(self._channel)
        self._stores: Any = stores_pb2_grpc.StoreServiceStub(self._channel)
        self._streams: grpc.Channel | None = None  # opened by the first `segment_many`

    def _connect(self, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._address, wire.plaintext_options(self._address, options))
        return grpc.aio.secure_channel(self._address, self._credentials, options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Open calls and later calls raise `Cancelled`."""
        self._closed = True
        await self._channel.close()
        if self._streams is not None:
            self._streams.close()

    def with_token(self, token: str) -> Self:
        """A client that shares this one's connection, and sends this token.

        For backends that call on behalf of others, with `segment` and `server_info`. It works until this
        client is closed; do not close it itself.

        Args:
            token: replaces the token of this client.

        Raises:
            ValueError: the token is malformed, or would be sent to another machine in plaintext.
        """
        client = copy.copy(self)
        others = [pair for pair in self._metadata if pair[0].lower() != AUTHORIZATION_KEY]
        client._metadata = call_metadata(self._address, self._credentials, token, others)  # noqa: SLF001
        return client

    async def segment(
        self,
        image: ImageSource,
        *,
        timeout: float | None = None,
        request_id: str | None = None,
        **wanted: Unpack[Wanted],
    ) -> Segmentation:
        """Segment one image. Arguments and errors as for `Client.segment`."""
        request = await asyncio.to_thread(wire.build_request, image, **wanted)
        request_id = request_id or wire.new_request_id()
        response = await self._call(self._stub.Segment, request, timeout, request_id)
        check_answer(request, response, request_id)
        return wire.read_response(response, request_id)

    async def server_info(self, *, timeout: float | None = None) -> ServerInfo:
        """Get the server's version, engines, limits and defaults. Errors as for `Client.server_info`."""
        request, request_id = pb.GetServerInfoRequest(), wire.new_request_id()
        response = await self._call(self._stub.GetServerInfo, request, timeout, request_id)
        return wire.read_server_info(response)

    async def store(self, name: str, *, timeout: float | None = None) -> StoreDescription:
        """Get what a store of the server says about itself. Arguments and errors as for `Client.store`."""
        request, request_id = stores_pb2.GetStoreRequest(store=name), wire.new_request_id()
        return stores.read_store(await self._call(self._stores.GetStore, request, timeout, request_id))

    async def store_window(
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
        """Get the superpixels of a window of a store. Arguments and errors as for `Client.store_window`."""
        request = stores.window_request(
            name, window, scale, count, include_hierarchy, include_regions, include_image
        )
        request_id = wire.new_request_id()
        return stores.read_window(await self._call(self._stores.GetWindow, request, timeout, request_id))

    async def store_regions(
        self, name: str, ids: Iterable[int], *, timeout: float | None = None
    ) -> StoreMeasures:
        """Measure regions of a store. Arguments and errors as for `Client.store_regions`."""
        request, request_id = stores.measure_request(name, ids), wire.new_request_id()
        response = await self._call(self._stores.MeasureRegions, request, timeout, request_id)
        return stores.read_measures(request, response)

    async def health(self, *, timeout: float | None = None) -> bool:
        """Ask whether the server accepts work at present. Errors as for `Client.health`."""
        async with self._connect(()) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            request = health_pb2.HealthCheckRequest()
            answer = await self._attempt(check, request, wire.checked_timeout(timeout, self._timeout), "")
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def segment_many(
        self,
        images: Iterable[tuple[Key, ImageSource]] | AsyncIterable[tuple[Key, ImageSource]],
        *,
        max_inflight: int = 8,
        timeout: float | None = None,
        **wanted: Unpack[Wanted],
    ) -> AsyncIterator[tuple[Key, Segmentation | SegmentError]]:
        """Segment many images over one streaming call. Results come as they finish, in any order.

        Arguments, results and errors as for `Client.segment_many`; `images` may also be an asynchronous
        iterable. To stop early, close the iterator:
        `async with contextlib.aclosing(client.segment_many(...)) as results`.
        """
        book = self._new_book(max_inflight, timeout)
        return self._segment_many(_as_async_iterator(images), book, wire.reusable(wanted))

    async def _segment_many(
        self, images: AsyncIterator[tuple[Key, ImageSource]], book: StreamBook[Key], wanted: Wanted
    ) -> AsyncIterator[tuple[Key, Segmentation | SegmentError]]:
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
                        reply = await self._receive(call, seconds)
                    case steps.Send(message):
                        call = call or self._open_call(book.request_id)
                        call.send(message)
                    case steps.NextImage():
                        reply = await anext(images, None)
                    case steps.Take(key, image):
                        reply = await asyncio.to_thread(book.take, key, image, wanted)
                    case steps.Wait(seconds):
                        await asyncio.sleep(seconds)
                    case steps.AskServer():
                        reply = await self.server_info()
                    case steps.CloseCall() if call is not None:
                        call.close()
                        call = None
            if call is not None:
                await asyncio.to_thread(call.finish)
        finally:
            if call is not None:
                call.close()

    def _open_call(self, request_id: str) -> _Stream:
        if self._closed:
            raise closed_error(request_id)
        if self._streams is None:
            self._streams = wire.open_channel(self._address, self._credentials, wire.channel_options())
        return _Stream(pb_grpc.SuperpixelServiceStub(self._streams), request_id, self._metadata)

    async def _receive(self, call: _Stream, seconds: float) -> Event | Any:
        """The next event, or `NOTHING` if none comes within `seconds`."""
        try:
            if seconds > 0:
                async with asyncio.timeout(seconds):
                    event = await call.events.get()
            else:
                event = call.events.get_nowait()
        except (TimeoutError, asyncio.QueueEmpty):
            return steps.NOTHING
        if self._closed and isinstance(event, SegmentError):
            raise event
        return event

    async def _call(
        self,
        method: Callable[..., Awaitable[_Answer]],
        request: object,
        timeout: float | None,
        request_id: str,
    ) -> _Answer:
        """Call `method`, with retries as `RetryPolicy` permits."""
        deadline = time.monotonic() + wire.checked_timeout(timeout, self._timeout)
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._attempt(method, request, deadline - time.monotonic(), request_id)
            except SegmentError as error:
                wait = self._retry.wait_seconds(error, attempts, deadline - time.monotonic())
                if wait is None or self._closed:
                    raise
            await asyncio.sleep(wait)

    async def _attempt(
        self,
        method: Callable[..., Awaitable[_Answer]],
        request: object,
        timeout: float,
        request_id: str,
    ) -> _Answer:
        """Make one attempt."""
        if self._closed:
            raise closed_error(request_id)
        try:
            return await method(request, timeout=timeout, metadata=wire.with_id(self._metadata, request_id))
        except grpc.aio.AioRpcError as error:
            raise error_of(error, request_id) from error


async def _as_async_iterator(
    images: Iterable[tuple[Key, ImageSource]] | AsyncIterable[tuple[Key, ImageSource]],
) -> AsyncIterator[tuple[Key, ImageSource]]:
    if isinstance(images, AsyncIterable):
        async for pair in images:
            yield pair
    else:
        for pair in images:
            yield pair
