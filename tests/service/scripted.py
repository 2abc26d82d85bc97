"""A real gRPC server over a real socket that does what the test says, and both clients with one interface."""

import asyncio
import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
from PIL import Image

import superpixel_kernels as kernels
from superpixel_service.client import AsyncClient, Client, RetryPolicy, Segmentation, SegmentError
from superpixel_service.errors import ServiceError, to_status
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service.harness import PATIENCE_SECONDS
from tests.service.images import Pixels, scene

COUNT = 7
MAX_IMAGE_BYTES = 100_000
QUICK = RetryPolicy(first_backoff_seconds=0.02)

Outcome = Segmentation | SegmentError
UnaryScript = Callable[[grpc.ServicerContext], None]
"""One Segment call: refuses through the context, or returns for the call to be answered."""
Answers = Iterator[pb.SegmentStreamResponse]
StreamScript = Callable[["ScriptedStream"], Answers]
"""One SegmentStream call."""


def image(number: int) -> Pixels:
    """An image that differs by its width from those of other numbers."""
    return scene(20 + number, 15)


def answer(request: pb.SegmentRequest) -> pb.SegmentResponse:
    """What the engine makes of the image, at COUNT."""
    raw = request.raw_image
    if request.encoded_image:
        pixels = np.asarray(Image.open(io.BytesIO(request.encoded_image)))
    else:
        pixels = np.frombuffer(raw.data, np.uint8).reshape(raw.height, raw.width, raw.channels)
    data = kernels.segment(pixels).encode(COUNT, include_hierarchy=True)
    return pb.SegmentResponse(
        width=pixels.shape[1],
        height=pixels.shape[0],
        label_map=pb.LabelMap(encoding=pb.LABEL_ENCODING_SPX, data=data, count=COUNT),
        levels=[pb.Level(count=COUNT, requested=COUNT)],
    )


def refuse(context: grpc.ServicerContext, error: ServiceError) -> Any:
    """End the call as the service does."""
    context.abort_with_status(to_status(error, "an-id-of-the-server"))


class ScriptedStream:
    """One SegmentStream call, as its script sees it."""

    def __init__(
        self, messages: Iterator[pb.SegmentStreamRequest], context: grpc.ServicerContext, server: "Scripted"
    ) -> None:
        self.messages = messages
        self.context = context
        self.server = server

    def read(self) -> pb.SegmentStreamRequest | None:
        """The next image; None: there are no more."""
        message = next(self.messages, None)
        if message is not None:
            self.server.received.append(number_of(message))
        return message

    def refuse(self, error: ServiceError) -> None:
        refuse(self.context, error)


def number_of(message: pb.SegmentStreamRequest) -> int:
    """The number of the image, as `image` made it."""
    return message.request.raw_image.width - 20


def answered(message: pb.SegmentStreamRequest) -> pb.SegmentStreamResponse:
    return pb.SegmentStreamResponse(request_id=message.request_id, response=answer(message.request))


def with_error(message: pb.SegmentStreamRequest, error: ServiceError) -> pb.SegmentStreamResponse:
    status = pb.SegmentStreamResponse(request_id=message.request_id)
    trailers = dict(to_status(error, "").trailing_metadata)
    status.error.MergeFromString(trailers["grpc-status-details-bin"])
    return status


def answers_all(stream: ScriptedStream) -> Iterator[pb.SegmentStreamResponse]:
    """The script of a server that behaves."""
    while message := stream.read():
        yield answered(message)


class Scripted(pb_grpc.SuperpixelServiceServicer):
    """Does each call's script; when they run out, it behaves.

    Attributes:
        calls: when each Segment or SegmentStream came, by the monotonic clock.
        metadata: with what.
        received: numbers of the images that SegmentStream was sent, in order.
    """

    def __init__(self, unary: Iterable[UnaryScript] = (), streams: Iterable[StreamScript] = ()) -> None:
        self._unary = iter(unary)
        self._streams = iter(streams)
        self.calls: list[float] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.requests: list[pb.SegmentRequest] = []
        self.received: list[int] = []
        self.cancelled = threading.Event()
        self.address = "127.0.0.1:0"

    def _came(self, context: grpc.ServicerContext) -> None:
        self.calls.append(time.monotonic())
        self.metadata.append(dict(context.invocation_metadata()))

    def Segment(self, request: pb.SegmentRequest, context: grpc.ServicerContext) -> pb.SegmentResponse:  # noqa: N802
        self._came(context)
        self.requests.append(request)
        next(self._unary, lambda _context: None)(context)
        return answer(request)

    def SegmentStream(  # noqa: N802
        self, messages: Iterator[pb.SegmentStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.SegmentStreamResponse]:
        self._came(context)
        context.add_callback(self.cancelled.set)
        yield from next(self._streams, answers_all)(ScriptedStream(messages, context, self))

    def GetServerInfo(  # noqa: N802
        self,
        request: pb.GetServerInfoRequest,  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> pb.GetServerInfoResponse:
        return pb.GetServerInfoResponse(limits=pb.ServerLimits(max_image_bytes=MAX_IMAGE_BYTES))

    def start(self) -> None:
        """Serve, at the same address again once it was served at."""
        self._server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        pb_grpc.add_SuperpixelServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port(self.address)}"
        self._server.start()

    def stop(self) -> None:
        """Drop every connection."""
        self._server.stop(None).wait(PATIENCE_SECONDS)


@contextmanager
def serving(server: Scripted) -> Iterator[Scripted]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Caller:
    """Either client, called from ordinary code."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def segment(
        self, address: str, source: Any, *, retry: RetryPolicy = QUICK, **wanted: Any
    ) -> Segmentation:
        def blocking() -> Segmentation:
            with Client(address, retry=retry) as client:
                return client.segment(source, **wanted)

        async def asynchronous() -> Segmentation:
            async with AsyncClient(address, retry=retry) as client:
                return await client.segment(source, **wanted)

        return blocking() if self.kind == "sync" else asyncio.run(asynchronous())

    def segment_many(
        self,
        address: str,
        pairs: Iterable[tuple[Any, Any]],
        *,
        retry: RetryPolicy = QUICK,
        most: int = 1 << 30,
        **wanted: Any,
    ) -> list[tuple[Any, Outcome]]:
        """All answers, or the first `most`, after which the stream is closed."""
        got: list[tuple[Any, Outcome]] = []

        def blocking() -> None:
            with Client(address, retry=retry) as client:
                answers = client.segment_many(pairs, **wanted)
                for pair in answers:
                    got.append(pair)
                    if len(got) == most:
                        answers.close()

        async def asynchronous() -> None:
            async with AsyncClient(address, retry=retry) as client:
                answers = client.segment_many(pairs, **wanted)
                async for pair in answers:
                    got.append(pair)
                    if len(got) == most:
                        await answers.aclose()

        if self.kind == "sync":
            blocking()
        else:
            asyncio.run(asynchronous())
        return got


def images(count: int) -> list[tuple[int, Pixels]]:
    return [(number, image(number)) for number in range(count)]


def assert_answered(outcomes: Iterable[tuple[int, Outcome]], numbers: Iterable[int]) -> None:
    """Each of those images has its own answer, once; nothing else has any."""
    by_number = sorted(outcomes, key=lambda pair: pair[0])
    assert [number for number, _ in by_number] == sorted(numbers)
    for number, outcome in by_number:
        assert isinstance(outcome, Segmentation), outcome
        assert outcome.labels.shape == (15, 20 + number)
        assert outcome.count == COUNT
