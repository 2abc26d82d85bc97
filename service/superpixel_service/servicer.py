"""The methods of `superpixel.v1.SuperpixelService`: message in, domain call, message out."""

from collections.abc import Iterator
from typing import NoReturn

import grpc

from superpixel_service import calls, convert
from superpixel_service.config import Settings
from superpixel_service.decode import open_image
from superpixel_service.engine import Engine
from superpixel_service.errors import REQUEST_ID_KEY, NotServed
from superpixel_service.orders import accept
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc

TIMINGS_KEY = "x-superpixel-timings"


class SuperpixelServicer(pb_grpc.SuperpixelServiceServicer):
    """Serves single images. Refusals are raised; the interceptors put them on the wire."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine

    def Segment(self, request: pb.SegmentRequest, context: grpc.ServicerContext) -> pb.SegmentResponse:  # noqa: N802
        """Segment one image."""
        call = calls.CURRENT.get()
        order = convert.read_segment_request(request)
        call.task = accept(order, open_image(order, self._settings))
        call.answer = self._engine.run(call.task, call.deadline, context.add_callback)
        timings = convert.write_timings_trailer(call.answer.stages)
        context.set_trailing_metadata(((REQUEST_ID_KEY, call.request_id), (TIMINGS_KEY, timings)))
        return convert.write_segment_response(call.answer)

    def SegmentStream(  # noqa: N802
        self,
        request_iterator: Iterator[pb.SegmentStreamRequest],  # noqa: ARG002
        context: grpc.ServicerContext,  # noqa: ARG002
    ) -> NoReturn:
        """Not served yet."""
        raise NotServed("", "this server does not serve SegmentStream; send each image with Segment")

    def GetServerInfo(  # noqa: N802
        self,
        request: pb.GetServerInfoRequest,  # noqa: ARG002
        context: grpc.ServicerContext,
    ) -> pb.GetServerInfoResponse:
        """Tell what a client needs to configure itself."""
        context.set_trailing_metadata(((REQUEST_ID_KEY, calls.CURRENT.get().request_id),))
        return convert.write_server_info(self._settings, self._engine.backends())
