"""Calls that end before their messages are read, and how their statuses are sent."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from superpixel_service.contract import SEGMENT, Reason
from superpixel_service.errors import Overloaded, ServiceError
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.transport import interceptors, rejections
from superpixel_service.transport.call import Call
from superpixel_service.transport.call_threads import CallThreads
from superpixel_service.transport.gate import Gate, Limit
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.rejections import RejectionQueue
from tests.service.harness import PATIENCE_SECONDS, refused

ID = "the-callers-own"


def full(_token: str) -> ServiceError:
    return Overloaded(Reason.QUEUE_FULL, "the queue is full", 0.25)


class Full:
    """A server that rejects every call."""

    def __init__(self, on_end: Callable[[Call], None]) -> None:
        self.open_calls = OpenCalls()
        self.ended: list[Call] = []
        queue = RejectionQueue(self.open_calls)

        def note(call: Call) -> None:
            self.ended.append(call)
            on_end(call)

        gate = Gate({SEGMENT: Limit("segment", 2, overloaded=full)}, self.open_calls)
        self.server = grpc.server(
            CallThreads(2, self.open_calls, queue),
            interceptors=interceptors.build(
                gate, queue, self.open_calls, lambda _service, _method: None, note
            ),
        )
        pb_grpc.add_SuperpixelServiceServicer_to_server(pb_grpc.SuperpixelServiceServicer(), self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    def all_are_over(self) -> bool:
        """Whether no call is open, once the last is over."""
        self.open_calls.wait_until_quiet(0.0, PATIENCE_SECONDS)
        return self.open_calls.due == 0


@contextmanager
def full_server(
    on_end: Callable[[Call], None] = lambda _: None,
) -> Iterator[tuple[Full, pb_grpc.SuperpixelServiceStub]]:
    full = Full(on_end)
    full.server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{full.port}") as channel:
            yield full, pb_grpc.SuperpixelServiceStub(channel)
    finally:
        full.server.stop(None).wait()


def rejected(stub: pb_grpc.SuperpixelServiceStub) -> dict[str, Any]:
    refusal = refused(lambda: stub.Segment.with_call(pb.SegmentRequest(), metadata=[("x-request-id", ID)]))
    return vars(refusal)


def test_the_installed_grpc_is_known() -> None:
    """If not, calls are rejected with three times the work. Look at what changed in gRPC, and follow it."""
    assert rejections._GRPC_IS_KNOWN


def test_a_caller_gets_the_same_from_a_grpc_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    handled: list[object] = []
    with full_server() as (server, stub):
        expected = rejected(stub)
        assert server.all_are_over()
        monkeypatch.setattr(rejections, "_GRPC_IS_KNOWN", False)
        later = RejectionQueue.later

        def counted(*given: Any) -> Any:
            handled.append(given)
            return later(*given)

        monkeypatch.setattr(RejectionQueue, "later", counted)
        assert rejected(stub) == expected
        assert server.all_are_over()
        assert [(call.code, call.request_id) for call in server.ended] == 2 * [
            (grpc.StatusCode.RESOURCE_EXHAUSTED, ID)
        ]
    assert len(handled) == 1
    assert (expected["reason"], expected["retry_seconds"]) == ("QUEUE_FULL", 0.25)
    assert expected["trailers"]["x-request-id"] == ID
    assert expected["trailers"]["grpc-retry-pushback-ms"] == "250"


@pytest.mark.parametrize(
    "changed",
    [
        {"_stream_response_in_pool": lambda state, rpc_event, behavior: (state, rpc_event, behavior)},
        {"_stream_response_in_pool": None},
        {"_abort": lambda state, call: (state, call)},
        {"_RPCState": lambda: SimpleNamespace(context=None, condition=None, code=None, details=None)},
        {"_RPCState": lambda needed: needed},
    ],
)
def test_a_grpc_with_other_parts_is_not_known(changed: dict[str, Any]) -> None:
    names = ("_stream_response_in_pool", "_abort", "_RPCState")
    parts = {name: getattr(rejections.grpc_server, name) for name in names}
    assert rejections._is_known(SimpleNamespace(**parts))
    assert not rejections._is_known(SimpleNamespace(**parts | changed))
    assert not rejections._is_known(SimpleNamespace())


@pytest.mark.parametrize("known", [True, False])
def test_a_call_is_open_until_its_rejection_is_sent(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drains waits for it."""
    monkeypatch.setattr(rejections, "_GRPC_IS_KNOWN", known)
    due: list[int] = []
    with full_server(lambda _: due.append(server.open_calls.due)) as (server, stub):
        rejected(stub)
        assert server.all_are_over()
    assert due == [1]


def test_a_call_that_its_caller_gave_up_is_over_too() -> None:
    with full_server() as (server, stub):
        for _ in range(20):
            call = stub.Segment.future(pb.SegmentRequest())
            call.cancel()
        assert server.all_are_over()
        assert rejected(stub)["reason"] == "QUEUE_FULL"


def test_a_call_whose_rejection_fails_ends_and_others_are_rejected() -> None:
    def fail_first(_call: Call) -> None:
        if len(server.ended) == 1:
            raise RuntimeError("no room for the report")

    with capture_logs() as lines, full_server(fail_first) as (server, stub):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Segment(pb.SegmentRequest(), timeout=PATIENCE_SECONDS)
        assert caught.value.code() is grpc.StatusCode.CANCELLED
        assert rejected(stub)["reason"] == "QUEUE_FULL"
        assert server.all_are_over()
    assert [line["event"] for line in lines] == ["call_not_rejected"]


def test_a_later_call_sends_the_rejections_that_have_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(rejections.time, "monotonic", lambda: now)  # the queue's own thread finds none due
    queue, sent = RejectionQueue(OpenCalls()), list[tuple[int, int]]()
    here = threading.get_ident()
    for number, milliseconds, sent_by_then in (
        (0, 0, 0),
        (1, 10, 0),
        (2, 4, 0),
        (3, 2, 4),
        (4, 5, 4),
        (5, 16, 6),
    ):
        now += milliseconds / 1000
        queue.later(lambda number=number: sent.append((number, threading.get_ident())))
        assert sent == [(number, here) for number in range(sent_by_then)]


def test_many_rejections_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(rejections.time, "monotonic", lambda: now)
    queue, sent = RejectionQueue(OpenCalls()), list[int]()
    for number in range(600):
        queue.later(lambda number=number: sent.append(number))
        assert len(sent) == (number + 1) // 256 * 256


def test_rejections_are_sent_without_a_later_call() -> None:
    open_calls = OpenCalls()
    queue = RejectionQueue(open_calls)
    for _ in range(2):
        assert queue.later(threading.get_ident).result(PATIENCE_SECONDS) != threading.get_ident()
    open_calls.wait_until_quiet(0.0, PATIENCE_SECONDS)
