"""Many images over one call: answers, errors, flow control, ends of every kind."""

import queue
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import numpy as np
import psutil
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from structlog.testing import capture_logs

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.config import Settings
from superpixel_service.model import Task
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.transport.call import Call, ImageEvent
from superpixel_service.transport.streams import Streams
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.warmup import sample_task
from tests.service.harness import RunningServer, refusal_of, request, running_server
from tests.service.images import encoded, raw, scene, slow_image
from tests.service.test_refusals import INVALID

SLOW = ("--workers=1", "--refinement-max-pixels=2000000")
SMALL = request(raw(scene()), 5)
METHOD = "/superpixel.v1.SuperpixelService/SegmentStream"


def named(image_id: str, message: pb.SegmentRequest = SMALL) -> pb.SegmentStreamRequest:
    return pb.SegmentStreamRequest(request_id=image_id, request=message)


def slow_request() -> pb.SegmentRequest:
    """An image that takes the engine about two seconds."""
    file, count = slow_image()
    return request(file, count)


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


# Answers


def test_each_image_gets_its_own_answer(server: RunningServer) -> None:
    pictures = {f"{seed}": scene(60 + 3 * seed, 50, seed) for seed in range(20)}
    messages = [
        named(name, request(raw(pixels) if int(name) % 2 else encoded(pixels), 40 + int(name), 6))
        for name, pixels in pictures.items()
    ]
    answers = list(server.stub.SegmentStream(iter(messages)))
    assert sorted(answer.request_id for answer in answers) == sorted(pictures)
    for answer in answers:
        hierarchy, count = kernels.segment(pictures[answer.request_id]), 40 + int(answer.request_id)
        label_map = codec.decode(answer.response.label_map.data)
        assert np.array_equal(label_map.labels, hierarchy.cut(count))
        assert np.array_equal(label_map.labels_at(6), hierarchy.cut(6))
        assert answer.response.timings.segment_microseconds > 0


def test_every_option_of_segment_is_served_in_a_stream(server: RunningServer) -> None:
    message = request(
        encoded(scene()),
        50,
        8,
        label_encoding=pb.LABEL_ENCODING_PNG,
        include_regions=True,
        include_hierarchy=True,
        compactness=3.5,
        priority=pb.PRIORITY_INTERACTIVE,
        region_of_interest=pb.Rectangle(x=5, y=6, width=80, height=70),
    )
    (answer,) = server.stub.SegmentStream(iter([named("all", message)]))
    alone = server.stub.Segment(message)
    for response in (answer.response, alone):
        response.ClearField("timings")
    assert answer.response == alone


def test_names_are_the_callers_own_business(server: RunningServer) -> None:
    names = ["", "twice", "twice", "", "Zürich/文 7\n", "x" * 256]
    answers = server.stub.SegmentStream(named(name) for name in names)
    assert Counter(answer.request_id for answer in answers) == Counter(names)


def test_a_name_that_is_too_long_is_an_error_in_its_answer(server: RunningServer) -> None:
    stream = server.stub.SegmentStream(iter([named("x" * 257), named("good")]))
    answers = {answer.request_id: answer for answer in stream}
    assert answers["good"].response.label_map.count == 5
    assert reason_of(answers["x" * 257].error) == "REQUEST_ID_TOO_LONG"


def test_an_answer_comes_while_the_stream_is_open(server: RunningServer) -> None:
    with open_stream(server) as stream:
        for number in range(5):
            stream.sender.send(named(str(number)))
            assert next(stream).request_id == str(number)
        stream.sender.close()
        assert list(stream) == []
        assert stream.code() is grpc.StatusCode.OK


def test_answers_come_as_they_finish() -> None:
    with running_server("--workers=2", "--refinement-max-pixels=2000000") as server:
        messages = [named("slow", slow_request()), named("fast"), named("fast")]
        answers = [answer.request_id for answer in server.stub.SegmentStream(iter(messages))]
    assert answers == ["fast", "fast", "slow"]


def test_an_empty_stream_ends_well(server: RunningServer) -> None:
    stream = server.stub.SegmentStream(iter([]), metadata=[("x-request-id", "empty-1")])
    assert list(stream) == []
    assert stream.code() is grpc.StatusCode.OK
    assert dict(stream.trailing_metadata())["x-request-id"] == "empty-1"
    line = server.wait_for_line("call", request_id="empty-1")
    assert (line["images"], line["refused"], line["code"]) == (0, 0, "OK")


# Errors


def test_bad_images_among_good_ones_are_errors_as_of_segment(server: RunningServer) -> None:
    """Every row of the table for invalid requests: the same status as alone, and the stream goes on."""
    messages = []
    for name, (message, _, _) in INVALID.items():
        messages += [named(name, message), named("good")]
    messages.append(pb.SegmentStreamRequest(request_id="nothing"))
    answers = list(server.stub.SegmentStream(iter(messages)))
    good = [answer for answer in answers if answer.request_id == "good"]
    assert len(good) == len(INVALID)
    assert all(answer.response.label_map.count == 5 for answer in good)
    bad = {answer.request_id: answer.error for answer in answers if answer.request_id != "good"}
    assert reason_of(bad.pop("nothing")) == "IMAGE_MISSING"
    assert set(bad) == set(INVALID)
    for name, (message, reason, field) in INVALID.items():
        with pytest.raises(grpc.RpcError) as alone:
            server.stub.Segment(message)
        assert bad[name] == rpc_status.from_call(alone.value), name
        violations = BadRequest()
        assert bad[name].details[1].Unpack(violations)
        assert (reason_of(bad[name]), violations.field_violations[0].field) == (reason, field)


def test_bytes_that_are_no_message_end_the_stream_after_what_came_before(server: RunningServer) -> None:
    messages = [named("1").SerializeToString(), named("2").SerializeToString(), b"\xff\xff no message"]
    stream = server.channel.stream_stream(METHOD)(iter(messages))
    answers = [pb.SegmentStreamResponse.FromString(next(stream)) for _ in range(2)]
    assert {answer.request_id for answer in answers} == {"1", "2"}
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    refusal = refusal_of(caught.value)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


def answers_in_process(accept: Callable[[], Task], engine: Any = None) -> list[ImageEvent]:
    call = Call("service", "method", "find-me-8", Deadline.after(None))
    with Streams(engine, Settings()).open(call) as stream:
        stream.start(iter([("bad", accept), ("bad", accept)]))
        return list(stream.answers())


@pytest.mark.parametrize(
    ("fault", "reason"), [(RuntimeError("the secret"), "INTERNAL_ERROR"), (MemoryError(), "OUT_OF_MEMORY")]
)
@pytest.mark.parametrize("place", ["door", "worker"])
def test_a_bug_costs_one_image(fault: Exception, reason: str, place: str) -> None:
    class FaultyEngine:
        def admit(self, job: Any) -> None:
            job.future.set_exception(fault)

    def accept() -> Task:
        if place == "door":
            raise fault
        return sample_task(Settings())

    with capture_logs() as lines:
        events = answers_in_process(accept, FaultyEngine())
    assert [event.error.reason for event in events if event.error] == [reason] * 2
    if reason == "INTERNAL_ERROR":
        assert all(event.error.metadata == {"request_id": "find-me-8"} for event in events if event.error)
        assert not any("secret" in event.error.text for event in events if event.error)
        assert [line["request_id"] for line in lines if line["event"] == "internal_error"] == [
            "find-me-8"
        ] * 2


# Flow control and room


def large_request() -> pb.SegmentRequest:
    """160 kB, and an answer of 800 kB."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    return request(
        raw(noise), include_hierarchy=True, include_regions=True, label_encoding=pb.LABEL_ENCODING_RAW_GZIP
    )


def test_what_is_not_read_is_not_taken_in() -> None:
    """Nobody reads. What the windows of HTTP/2 hold is under way; beyond that the sender is held back."""
    message, sent = large_request(), 0

    def messages() -> Iterator[pb.SegmentStreamRequest]:
        nonlocal sent
        for number in range(400):
            sent += 1
            yield named(str(number), message)

    with running_server("--stream-max-inflight=3", "--log-level=debug") as server:
        stream = server.stub.SegmentStream(messages())

        def done() -> float:
            return server.metric("superpixel_stage_duration_seconds_count", stage="encode")

        before = (-1, -1.0)
        while before != (before := (sent, done())):  # until nothing moves any more
            time.sleep(0.5)
        held, answered = sent, done()
        assert server.metric("superpixel_stream_images") == 3
        assert server.metric("superpixel_inflight_bytes") == 0
        assert server.metric("superpixel_streams") == 1
        assert answered < 40
        # Its windows hold a megabyte, and what gRPC has on the sender's side.
        assert held < 60
        for _ in range(int(answered) + 5):
            assert next(stream).response.label_map.count
        server.wait_until(lambda: done() >= answered + 5)
        stream.cancel()
        line = server.wait_for_line("image", image_id="7", code="OK")
        assert (line["level"], line["format"], line["width"]) == ("debug", "raw", 400)
        assert line["milliseconds"] >= line["segment_ms"] > 0


def test_10_000_images_through_one_stream_in_flat_memory() -> None:
    pictures = [request(raw(scene(16, 16, seed)), 9, 4) for seed in range(20)]
    count = 10_000
    with running_server() as server:
        early = 0
        names = set()
        for answer in server.stub.SegmentStream(named(str(n), pictures[n % 20]) for n in range(count)):
            assert answer.response.label_map.count == 9
            names.add(answer.request_id)
            if len(names) == 500:
                early = server.resident_bytes()
        assert len(names) == count
        # 500 of these images are 0.4 MB as sent; what is kept of each would show 20 times as much.
        assert server.resident_bytes() - early < 6_000_000
        assert server.metric("superpixel_stage_duration_seconds_count", stage="decode") == count
        assert server.metric("grpc_server_started_total", grpc_method="SegmentStream") == 1


def test_a_full_queue_holds_a_stream_back_and_leaves_room_for_callers() -> None:
    slow = slow_request()
    with running_server(*SLOW, "--max-inflight-calls=4") as server:
        with open_stream(server, *(named("slow", slow) for _ in range(6))) as stream:
            server.wait_until_working(waiting=1)  # half of four
            server.wait_until(
                lambda: server.metric("superpixel_stream_images") == 3
            )  # one more waits for room
            bulk = request(raw(scene()), 5, priority=pb.PRIORITY_BULK)
            waiting = [server.stub.Segment.future(bulk) for _ in range(2)]
            server.wait_until_working(waiting=3)
            with pytest.raises(grpc.RpcError) as caught:
                server.stub.Segment(SMALL)
            assert refusal_of(caught.value).reason == "QUEUE_FULL"
            assert server.metric("superpixel_stream_images") == 3  # none of the others came in meanwhile
            stream.cancel()
            assert [call.result().label_map.count for call in waiting] == [5, 5]
        assert server.metric("superpixel_requests_rejected_total", reason="QUEUE_FULL") == 1
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)


def test_images_that_waited_for_room_are_answered() -> None:
    with running_server(*SLOW, "--max-inflight-calls=1") as server:
        blocking = server.stub.Segment.future(slow_request())
        server.wait_until_working()
        stream = server.stub.SegmentStream(named(str(number)) for number in range(20))
        server.wait_until(lambda: server.metric("superpixel_stream_images") == 1)
        blocking.cancel()
        assert {answer.response.label_map.count for answer in stream} == {5}
        assert server.metric("superpixel_requests_rejected_total", reason="QUEUE_FULL") == 0


def test_images_of_a_stream_are_bulk_work_unless_they_say_otherwise() -> None:
    slow = slow_request()
    interactive = pb.SegmentRequest()
    interactive.CopyFrom(slow)
    interactive.priority = pb.PRIORITY_INTERACTIVE
    messages = [named(name, slow) for name in ("bulk", "bulk")] + [named("urgent", interactive)] * 2
    with running_server(*SLOW) as server, open_stream(server, *messages):
        server.wait_until_working(waiting=2)
        assert server.metric("superpixel_queue_depth", lane="bulk") == 1
        assert server.metric("superpixel_queue_depth", lane="interactive") == 1
        size = len(slow.encoded_image)
        assert server.metric("superpixel_inflight_bytes", lane="bulk") == 2 * size


def test_too_many_streams_are_refused() -> None:
    with running_server("--max-streams=2") as server:
        with open_stream(server, named("1")) as first, open_stream(server, named("2")) as second:
            assert (next(first).request_id, next(second).request_id) == ("1", "2")
            with pytest.raises(grpc.RpcError) as caught:
                list(server.stub.SegmentStream(iter([named("3")])))
            refusal = refusal_of(caught.value)
            assert (refusal.code, refusal.reason) == (
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "TOO_MANY_STREAMS",
            )
            assert refusal.retry_seconds is not None
            assert "grpc-retry-pushback-ms" in refusal.trailers
            assert server.stub.Segment(SMALL).label_map.count == 5
        server.wait_until(lambda: server.metric("superpixel_streams") == 0)
        assert len(list(server.stub.SegmentStream(iter([named("3")])))) == 1


# Ends


def test_a_cancelled_stream_stops_its_images() -> None:
    slow = slow_request()
    with running_server(*SLOW) as server:
        assert len(list(server.stub.SegmentStream(iter([named("warm")])))) == 1
        with open_stream(server, *(named("slow", slow) for _ in range(3))) as stream:
            server.wait_until_working(waiting=2)
            cancelled = time.perf_counter()
            stream.cancel()
            assert server.stub.Segment(SMALL).label_map.count == 5
            assert time.perf_counter() - cancelled < 1.0  # three slow images take six seconds
            assert stream.code() is grpc.StatusCode.CANCELLED
        server.wait_until(lambda: handled(server, "CANCELLED") == 1)
        assert server.metric("superpixel_inflight_bytes") == 0
        assert server.metric("superpixel_streams") == 0
        assert server.metric("superpixel_stage_duration_seconds_count", stage="decode") == 2


def test_a_deadline_is_that_of_the_whole_stream() -> None:
    with running_server(*SLOW) as server:
        with open_stream(server, named("fast"), named("slow", slow_request()), timeout=0.5) as stream:
            assert next(stream).request_id == "fast"
            assert code_of_rest(stream) is grpc.StatusCode.DEADLINE_EXCEEDED
        server.wait_until(lambda: handled(server, "DEADLINE_EXCEEDED") == 1)
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
        assert server.metric("superpixel_requests_rejected_total", reason="DEADLINE_PASSED") == 1


def test_streams_that_end_in_any_way_leave_no_thread_behind() -> None:
    with running_server("--stream-max-inflight=1") as server:
        ports = [server.open_channel(("grpc.use_local_subchannel_pool", 1)) for _ in range(6)]

        def stream_over(channel: grpc.Channel, how: str) -> None:
            sender = Sender(*(named(str(number)) for number in range(5)))
            stream = pb_grpc.SuperpixelServiceStub(channel).SegmentStream(iter(sender))
            next(stream)
            if how == "half-close":
                sender.close()
                assert len(list(stream)) == 4
            elif how == "cancel":
                stream.cancel()
            else:
                channel.close()
            sender.close()

        def threads() -> int:
            return psutil.Process(server.process.pid).num_threads()

        for channel in ports:
            stream_over(channel, "half-close")
        server.wait_until(lambda: server.metric("superpixel_streams") == 0)
        before = threads()
        for _ in range(3):
            for channel in ports:
                stream_over(channel, "cancel")
        for channel in ports:
            stream_over(channel, "close")
        server.wait_until(lambda: server.metric("superpixel_streams") == 0)
        # 24 streams more; gRPC's own pool may have grown by a thread or two.
        server.wait_until(lambda: threads() < before + 6)
        assert server.metric("superpixel_inflight_bytes") == 0


def test_a_stopping_server_answers_what_it_has_taken_in() -> None:
    """The images that it has not taken in get no answer; streams with nothing in flight end at once."""
    slow = slow_request()
    with running_server(*SLOW, "--stream-max-inflight=3") as server:
        messages = [named("1", slow), *(named(str(number)) for number in range(2, 7))]
        with open_stream(server, *messages) as stream, open_stream(server) as idle:
            server.wait_until_working(waiting=2)
            server.wait_until(lambda: server.metric("superpixel_streams") == 2)
            server.signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError) as caught:  # while the other one goes on
                next(idle)
            refusal = refusal_of(caught.value)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            with pytest.raises(grpc.RpcError) as late:
                list(server.stub.SegmentStream(iter([named("late")])))
            assert refusal_of(late.value).reason == "DRAINING"
            assert [next(stream).request_id for _ in range(3)] == ["1", "2", "3"]
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            refusal = refusal_of(caught.value)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert refusal.retry_seconds == 0
            assert "grpc-retry-pushback-ms" not in refusal.trailers  # the next try is to go elsewhere
            assert server.exit_code() == 0
        line = server.wait_for_line("call", method="SegmentStream", images=3)
        assert (line["code"], line["reason"]) == ("UNAVAILABLE", "DRAINING")


def test_an_image_that_waits_for_room_does_not_hold_up_the_end() -> None:
    with running_server(*SLOW, "--max-inflight-calls=1") as server:
        running = server.stub.Segment.future(slow_request())
        server.wait_until_working()
        with open_stream(server, named("waits")) as stream:
            server.wait_until(lambda: server.metric("superpixel_stream_images") == 1)
            server.signal(signal.SIGTERM)
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            assert refusal_of(caught.value).reason == "DRAINING"
            assert not running.done()
            running.cancel()
            assert server.exit_code() == 0


def test_a_stopping_server_does_not_wait_for_readers_beyond_its_grace() -> None:
    messages = [named("unread", large_request()) for _ in range(40)]
    flags = ("--stream-max-inflight=3", "--grace-seconds=0.5")
    with running_server(*flags) as server, open_stream(server, *messages) as stream:
        server.wait_until(
            lambda: (
                server.metric("superpixel_stream_images") == 3
                and server.metric("superpixel_inflight_bytes") == 0
            )
        )
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 1
        assert server.wait_for_line("stopped")["all_work_finished"] is False
        assert code_of_rest(stream) is not grpc.StatusCode.OK


# What the people who run the server see


def test_the_image_is_the_unit_of_stages_and_the_stream_that_of_calls(server: RunningServer) -> None:
    def counts() -> list[float]:
        return [
            server.metric("superpixel_stage_duration_seconds_count", stage="segment"),
            server.metric("superpixel_image_pixels_count", encoding="raw"),
            server.metric("superpixel_response_bytes_count", encoding="spx"),
            server.metric("superpixel_requests_rejected_total", reason="COUNT_OUT_OF_RANGE"),
            server.metric("grpc_server_started_total", grpc_method="SegmentStream"),
            server.metric("grpc_server_handling_seconds_count", grpc_method="SegmentStream", grpc_code="OK"),
            handled(server, "OK"),
        ]

    before = counts()
    messages = [*(named(f"{n}") for n in range(4)), named("bad", request(raw(scene()), 0))]
    stream = server.stub.SegmentStream(iter(messages), metadata=[("x-request-id", "night-17")])
    assert len(list(stream)) == 5
    server.wait_until(lambda: handled(server, "OK") == before[-1] + 1)
    assert [after - first for after, first in zip(counts(), before, strict=True)] == [4, 4, 4, 1, 1, 1, 1]
    line = server.wait_for_line("call", request_id="night-17")
    assert (line["method"], line["code"], line["images"], line["refused"]) == ("SegmentStream", "OK", 5, 1)
    line = server.wait_for_line("image", request_id="night-17")
    assert (line["image_id"], line["code"], line["reason"], line["level"]) == (
        "bad",
        "INVALID_ARGUMENT",
        "COUNT_OUT_OF_RANGE",
        "info",
    )
    assert not [line for line in server.lines if line["event"] == "image" and line["code"] == "OK"]


def test_threads_do_not_grow_with_the_images_in_flight() -> None:
    slow = slow_request()
    with running_server(*SLOW, "--stream-max-inflight=40") as server:
        process = psutil.Process(server.process.pid)
        with open_stream(server, named("warm")) as stream:
            next(stream)
            before = process.num_threads()
            stream.sender.send(named("slow", slow))
            for _ in range(39):
                stream.sender.send(named("waits"))
            server.wait_until_working(waiting=39)
            assert process.num_threads() <= before
