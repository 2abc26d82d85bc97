"""Many images over one call: answers, errors, flow control, ends of every kind."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from structlog.testing import capture_logs

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.config import Settings
from superpixel_service.model import Task
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.transport.call import Call, ImageEvent
from superpixel_service.transport.streams import Streams
from superpixel_service.work.deadline import Deadline
from superpixel_service.work.warmup import sample_task
from tests.service.harness import RunningServer, refusal_of, request
from tests.service.images import encoded, raw, scene
from tests.service.mortal import mortal_server
from tests.service.streams import METHOD, handled, named, open_stream, reason_of
from tests.service.test_refusals import INVALID

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


def test_names_of_images_may_be_any_text_and_need_not_differ(server: RunningServer) -> None:
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


def test_answers_come_as_they_finish(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=2", order="stall_large") as mortal:
        messages = [named("large", request(raw(scene(300, 200)), 5)), named("fast"), named("fast")]
        stream = mortal.server.stub.SegmentStream(iter(messages))
        answers = [next(stream).request_id, next(stream).request_id]
        mortal.release()
        answers += [answer.request_id for answer in stream]
    assert answers == ["fast", "fast", "large"]


def test_an_empty_stream_ends_as_ok(server: RunningServer) -> None:
    stream = server.stub.SegmentStream(iter([]), metadata=[("x-request-id", "empty-1")])
    assert list(stream) == []
    assert stream.code() is grpc.StatusCode.OK
    assert dict(stream.trailing_metadata())["x-request-id"] == "empty-1"
    line = server.wait_for_line("call", request_id="empty-1")
    assert (line["images"], line["refused"], line["code"]) == (0, 0, "OK")


# Errors


def test_bad_images_of_a_stream_get_the_errors_of_segment(server: RunningServer) -> None:
    """Every row of the table for invalid requests: the same status as in a single call, and the stream
    continues."""
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


def test_a_malformed_message_ends_the_stream_after_the_earlier_answers(server: RunningServer) -> None:
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
@pytest.mark.parametrize("place", ["gate", "worker"])
def test_a_bug_costs_one_image(fault: Exception, reason: str, place: str) -> None:
    class FaultyEngine:
        def admit(self, job: Any) -> None:
            job.future.set_exception(fault)

    def accept() -> Task:
        if place == "gate":
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


# Metrics and log


def test_metrics_count_stages_per_image_and_calls_per_stream(server: RunningServer) -> None:
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
