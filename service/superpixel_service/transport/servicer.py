"""The methods of `superpixel.v1.SuperpixelService`: convert messages and call the code for the work."""

import functools
import time
from collections.abc import Callable, Iterator

import grpc

from superpixel_service.config import Settings
from superpixel_service.contract import CACHE_KEY, REQUEST_ID_KEY, TIMINGS_KEY
from superpixel_service.images.opening import open_task
from superpixel_service.model import Lane, Task
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.transport import convert
from superpixel_service.transport.call import CURRENT, Call, ImageEvent, permit_of_call
from superpixel_service.transport.streams import Image, Streams
from superpixel_service.work.answers import Answers


class SuperpixelServicer(pb_grpc.SuperpixelServiceServicer):
    """Serves images. It raises errors; the interceptors send them."""

    def __init__(
        self,
        settings: Settings,
        answers: Answers,
        streams: Streams,
        backends: Callable[[], dict[str, str]],
        on_image: Callable[[Call, ImageEvent], None],
    ) -> None:
        """Serve images.

        Args:
            settings: limits, and what `GetServerInfo` reports.
            answers: finds or computes the answer to an image.
            streams: the open streams.
            backends: returns the device of each backend, by name; the one in use first.
            on_image: called with every image of a stream when it is answered.
        """
        self._settings = settings
        self._answers = answers
        self._streams = streams
        self._backends = backends
        self._on_image = on_image

    def Segment(self, request: pb.SegmentRequest, context: grpc.ServicerContext) -> bytes:  # type: ignore[override]  # noqa: N802
        """Segment one image. A worker or the cache has serialised the answer."""
        call = CURRENT.get()
        call.task = self._accept(request, Lane.INTERACTIVE)
        del request  # the task has its own copy of the image
        call.answer = self._answers.get(call.task, call.deadline, context.add_callback, call.tenant)
        call.answered = time.monotonic()
        timings = convert.write_timings_trailer(call.answer.stages)
        context.set_trailing_metadata(
            ((REQUEST_ID_KEY, call.request_id), (TIMINGS_KEY, timings), (CACHE_KEY, call.answer.cache.value))
        )
        permit_of_call().keep_answer(len(call.answer.message))
        return convert.serialize_answer(call.answer)

    def SegmentStream(  # type: ignore[override]  # noqa: N802
        self, request_iterator: Iterator[pb.SegmentStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Segment many images; answer each as soon as it is done."""
        call = CURRENT.get()
        call.images = 0
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id),))
        with self._streams.open(call, context.cancel) as stream:
            if not context.add_callback(stream.abandon):
                stream.abandon()
            stream.start(map(self._read_image, request_iterator))
            # `map`, because a loop variable would keep an answer in memory while the next one is awaited.
            yield from map(functools.partial(self._answer_image, call), stream.answers())

    def _accept(self, request: pb.SegmentRequest, default_lane: Lane) -> Task:
        return open_task(convert.read_segment_request(request, default_lane), self._settings)

    def _read_image(self, message: pb.SegmentStreamRequest) -> Image:
        return message.request_id, functools.partial(self._accept_image, message)

    def _accept_image(self, message: pb.SegmentStreamRequest) -> Task:
        convert.check_image_id(message.request_id)
        return self._accept(message.request, Lane.BULK)

    def _answer_image(self, call: Call, event: ImageEvent) -> bytes:
        call.images = (call.images or 0) + 1
        call.refused += event.error is not None
        self._on_image(call, event)
        return convert.serialize_stream_response(event)

    def GetServerInfo(  # noqa: N802
        self,
        request: pb.GetServerInfoRequest,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> pb.GetServerInfoResponse:
        """Report limits, defaults and engines."""
        context.set_trailing_metadata(((REQUEST_ID_KEY, CURRENT.get().request_id),))
        return convert.write_server_info(self._settings, self._backends())
