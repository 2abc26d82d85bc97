"""Internal faults: a servicer with bugs on a real port, behind our interceptors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from superpixel_service.config import Settings
from superpixel_service.contract import SEGMENT
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.transport import interceptors
from superpixel_service.transport.call import Call
from superpixel_service.transport.call_threads import CallThreads
from superpixel_service.transport.gate import Gate, Limit
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.rejections import RejectionQueue
from superpixel_service.transport.servicer import SuperpixelServicer
from tests.service.harness import refused, request
from tests.service.images import raw, scene


class Faulty(pb_grpc.SuperpixelServiceServicer):
    def __init__(self, fault: BaseException) -> None:
        self.fault = fault

    def Segment(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        raise self.fault


@contextmanager
def faulty_server(
    fault: BaseException, servicer: pb_grpc.SuperpixelServiceServicer | None = None
) -> Iterator[tuple[pb_grpc.SuperpixelServiceStub, list[Call]]]:
    events: list[Call] = []
    open_calls = OpenCalls()
    rejections = RejectionQueue(open_calls)
    server = grpc.server(
        CallThreads(2, open_calls, rejections),
        interceptors=interceptors.build(
            Gate({SEGMENT: Limit("segment", 2)}, open_calls),
            rejections,
            open_calls,
            on_start=lambda _service, _method: None,
            on_end=events.append,
        ),
    )
    pb_grpc.add_SuperpixelServiceServicer_to_server(servicer or Faulty(fault), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield pb_grpc.SuperpixelServiceStub(channel), events
    finally:
        server.stop(None).wait()


def test_a_bug_is_reported_to_the_caller_by_request_id_and_to_the_log_in_full() -> None:
    secret = "the secret is in /home/someone/file.py"
    with capture_logs() as lines, faulty_server(RuntimeError(secret)) as (stub, events):
        call = stub.Segment.with_call
        refusal = refused(lambda: call(pb.SegmentRequest(), metadata=[("x-request-id", "find-me-7")]))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert refusal.metadata == {"request_id": "find-me-7"}
    assert "find-me-7" in refusal.text
    assert "secret" not in refusal.text
    assert refusal.retry_seconds is None
    assert [event.code for event in events] == [grpc.StatusCode.INTERNAL]
    line = next(line for line in lines if line["event"] == "internal_error")
    assert line["request_id"] == "find-me-7"
    assert line["exc_info"]


class Onlooker:
    """Replaces the answers: checks which objects its callers keep while they wait."""

    def __init__(self) -> None:
        self.held: list[tuple[str, str]] = []

    def get(self, task: Any, deadline: Any, when_over: Any, tenant: Any) -> Any:  # noqa: ARG002
        assert len(task.image.source.data) == len(RAW.data)
        frame = sys._getframe(1)
        while frame is not None:
            for name, value in frame.f_locals.items():
                bytes_there = getattr(value, "_data", value)
                if isinstance(value, pb.SegmentRequest) or (
                    isinstance(bytes_there, bytes) and len(bytes_there) >= len(RAW.data)
                ):
                    self.held.append((frame.f_code.co_name, name))
            frame = frame.f_back
        raise MemoryError


RAW = raw(scene(60, 50))


def test_a_waiting_call_has_its_image_in_memory_once() -> None:
    """Not also in the message's bytes or in the parsed message: queued images would take three times their
    bytes."""
    onlooker = Onlooker()
    servicer = SuperpixelServicer(Settings(), onlooker, None, dict, None)  # type: ignore[arg-type]
    with faulty_server(MemoryError(), servicer) as (stub, _):
        assert refused(lambda: stub.Segment(request(RAW, 5))).reason == "OUT_OF_MEMORY"
    assert onlooker.held == []


def test_out_of_memory_is_retryable() -> None:
    with faulty_server(MemoryError()) as (stub, _):
        refusal = refused(lambda: stub.Segment(pb.SegmentRequest()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OUT_OF_MEMORY")
    assert refusal.retry_seconds is not None
    assert "grpc-retry-pushback-ms" in refusal.trailers


def test_no_method_is_served_without_a_limit() -> None:
    """The gate has a limit for `Segment` only, so no other call could get a permit."""
    with faulty_server(RuntimeError()) as (stub, events):
        with pytest.raises(grpc.RpcError) as caught:
            stub.GetServerInfo(pb.GetServerInfoRequest())
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        assert caught.value.details() == "Error in service handler!"  # gRPC's: no handler was called
        assert events == []
