"""The methods of `superpixel.v1.SuperpixelService`: message in, domain call, message out."""

import functools
import time
from collections.abc import Callable, Iterator

import grpc

from superpixel_service import calls, convert
from superpixel_service.calls import ImageEvent
from superpixel_service.config import Settings
from superpixel_service.decode import open_image
from superpixel_service.engine import Engine
from superpixel_service.errors import REQUEST_ID_KEY
from superpixel_service.orders import Lane, Task, accept
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.streams import Image, Streams

TIMINGS_KEY = "x-superpixel-timings"
CACHE_KEY = "x-superpixel-cache"


class SuperpixelServicer(pb_grpc.SuperpixelServiceServicer):
    """Serves images. Refusals are raised; the interceptors put them on the wire."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        streams: Streams,
        on_image: Callable[[calls.Call, ImageEvent], None],
    ) -> None:
        """`on_image` is told of every image of a stream, and of its call, when it is answered."""
        self._settings = settings
        self._engine = engine
        self._streams = streams
        self._on_image = on_image

    def Segment(self, request: pb.SegmentRequest, context: grpc.ServicerContext) -> pb.SegmentResponse:  # noqa: N802
        """Segment one image."""
        call = calls.CURRENT.get()
        task = self._accept(request, Lane.INTERACTIVE)
        del request  # while the task waits, its image is in memory once
        call.task = task.summary()
        call.answer = self._engine.run(task, call.deadline, context.add_callback)
        call.answered = time.monotonic()
        timings = convert.write_timings_trailer(call.answer.stages)
        context.set_trailing_metadata(
            ((REQUEST_ID_KEY, call.request_id), (TIMINGS_KEY, timings), (CACHE_KEY, call.answer.cache.value))
        )
        return convert.write_segment_response(call.answer)

    def SegmentStream(  # noqa: N802
        self, request_iterator: Iterator[pb.SegmentStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.SegmentStreamResponse]:
        """Segment many images; answer them as they are done."""
        call = calls.CURRENT.get()
        call.images = 0
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        with self._streams.open(call) as stream:
            if not context.add_callback(stream.abandon):
                stream.abandon()
            stream.start(map(self._read_image, request_iterator))
            # Not in a loop of our own, whose variable would hold on to an answer while the next is awaited.
            yield from map(functools.partial(self._answer_image, call), stream.answers())

    def _accept(self, request: pb.SegmentRequest, default_lane: Lane) -> Task:
        order = convert.read_segment_request(request, default_lane)
        return accept(order, open_image(order, self._settings))

    def _read_image(self, message: pb.SegmentStreamRequest) -> Image:
        return message.request_id, functools.partial(self._accept_image, message)

    def _accept_image(self, message: pb.SegmentStreamRequest) -> Task:
        convert.check_image_id(message.request_id)
        return self._accept(message.request, Lane.BULK)

    def _answer_image(self, call: calls.Call, event: ImageEvent) -> pb.SegmentStreamResponse:
        call.images = (call.images or 0) + 1
        call.refused += event.error is not None
        self._on_image(call, event)
        return convert.write_stream_response(event)

    def GetServerInfo(  # noqa: N802
        self,
        request: pb.GetServerInfoRequest,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> pb.GetServerInfoResponse:
        """Tell what a client needs to configure itself."""
        context.set_trailing_metadata(((REQUEST_ID_KEY, calls.CURRENT.get().request_id),))
        return convert.write_server_info(self._settings, self._engine.backends())
