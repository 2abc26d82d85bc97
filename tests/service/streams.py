"""Helpers for tests of SegmentStream: messages, and streams whose sender stays open."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service import held
from tests.service.harness import RunningServer, request
from tests.service.images import raw, scene

SMALL = request(raw(scene()), 5)
METHOD = "/superpixel.v1.SuperpixelService/SegmentStream"


def named(image_id: str, message: pb.SegmentRequest = SMALL) -> pb.SegmentStreamRequest:
    return pb.SegmentStreamRequest(request_id=image_id, request=message)


def held_request() -> pb.SegmentRequest:
    """An image that the engine holds: see `tests.service.held`."""
    return request(held.image(), 5)


def reason_of(status: Status) -> str:
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "superpixel.v1"
    return info.reason


class Sender:
    """Requests that are sent one by one, until `close`; what a stream waits for."""

    def __init__(self, *messages: pb.SegmentStreamRequest) -> None:
        self._messages: queue.SimpleQueue[pb.SegmentStreamRequest | None] = queue.SimpleQueue()
        for message in messages:
            self.send(message)

    def send(self, message: pb.SegmentStreamRequest) -> None:
        self._messages.put(message)

    def close(self) -> None:
        self._messages.put(None)

    def __iter__(self) -> Iterator[pb.SegmentStreamRequest]:
        while (message := self._messages.get()) is not None:
            yield message


@contextmanager
def open_stream(server: RunningServer, *messages: pb.SegmentStreamRequest, **call: Any) -> Iterator[Any]:
    """A stream that is not half-closed: the call, and its sender as an attribute."""
    sender = Sender(*messages)
    stream = server.stub.SegmentStream(iter(sender), **call)
    stream.sender = sender
    try:
        yield stream
    finally:
        sender.close()
        stream.cancel()


def code_of_rest(stream: Any) -> grpc.StatusCode:
    """The code that a stream ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    return caught.value.code()


def handled(server: RunningServer, code: str) -> float:
    return server.metric("grpc_server_handled_total", grpc_method="SegmentStream", grpc_code=code)
