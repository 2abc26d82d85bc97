"""Cached answers, and simultaneous calls for the same answer."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from superpixel_kernels.codec import Tree
from superpixel_service.config import Settings
from superpixel_service.contract import StageSeconds
from superpixel_service.model import Answer, LabelEncoding, WrittenMap
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.work.answer_cache import AnswerCache
from tests.service import held
from tests.service.harness import RunningServer, refused, request, running_server
from tests.service.images import encoded, raw, scene

PNG = encoded(scene())
CACHED = ("--workers=1", "--cache-bytes=50000000")


@pytest.fixture(scope="module")
def caching() -> Iterator[RunningServer]:
    with running_server("--cache-bytes=5000000") as server:
        yield server


def call(server: RunningServer, message: pb.SegmentRequest) -> tuple[pb.SegmentResponse, str]:
    """The answer, and where it came from."""
    response, done = server.stub.Segment.with_call(message)
    return response, dict(done.trailing_metadata())["x-superpixel-cache"]


def begun(server: RunningServer) -> float:
    return server.stages_begun("decode")


def counted(server: RunningServer, result: str) -> float:
    return server.metric("superpixel_cache_requests_total", result=result)


def without_timings(response: pb.SegmentResponse) -> pb.SegmentResponse:
    response.ClearField("timings")
    return response


def test_the_cache_is_on_by_default_and_small() -> None:
    assert 10_000_000 <= Settings().cache_bytes <= 100_000_000


@pytest.mark.parametrize("encoding", [pb.LABEL_ENCODING_SPX, pb.LABEL_ENCODING_PNG])
def test_a_repeated_call_runs_no_stage(caching: RunningServer, encoding: Any) -> None:
    message = request(
        encoded(scene(seed=41)), 30, 7, label_encoding=encoding, include_hierarchy=True, include_regions=True
    )
    hits = counted(caching, "hit")
    first, origin = call(caching, message)
    assert origin == "miss"
    before = begun(caching)
    again, origin = call(caching, message)
    assert origin == "hit"
    assert begun(caching) == before
    assert again.timings == pb.StageTimings()
    assert first.timings.segment_microseconds > 0
    assert without_timings(again) == without_timings(first)
    assert counted(caching, "hit") == hits + 1
    assert caching.metric("superpixel_cache_bytes") > len(first.label_map.data)


def test_different_requests_are_computed(caching: RunningServer) -> None:
    pixels = scene(40, 30, seed=42)
    gray = pixels[:, :, 0].copy()
    messages = [
        request(raw(pixels), 30),
        request(raw(pixels), 31),
        request(raw(pixels), 30, 31),
        request(raw(pixels), 30, compactness=9.0),
        request(raw(pixels), 30, include_hierarchy=True),
        request(raw(pixels), 30, include_regions=True),
        request(raw(pixels), 30, label_encoding=pb.LABEL_ENCODING_RAW_GZIP),
        request(raw(pixels), 30, region_of_interest=pb.Rectangle(x=0, y=0, width=40, height=29)),
        request(pb.RawImage(width=30, height=40, channels=3, data=pixels.tobytes()), 30),
        request(pb.RawImage(width=90, height=40, channels=1, data=pixels.tobytes()), 30),
        request(raw(gray), 30),
        request(encoded(pixels), 30),
        request(encoded(pixels, exif=_exif(6), file_format="JPEG"), 30),
        request(encoded(pixels, exif=_exif(6), file_format="JPEG"), 30, apply_exif_orientation=False),
    ]
    assert [call(caching, message)[1] for message in messages] == ["miss"] * len(messages)
    assert [call(caching, message)[1] for message in messages] == ["hit"] * len(messages)
    # Said in other words.
    assert call(caching, request(raw(pixels), 30, compactness=10.0))[1] == "hit"

    assert call(caching, request(raw(pixels), 31, 30, 30))[1] == "hit"
    assert call(caching, request(raw(pixels), target_areas=[40.0]))[1] == "hit"


def test_the_range_of_samples_belongs_to_the_question(caching: RunningServer) -> None:
    deep = encoded(np.random.default_rng(7).integers(0, 9000, (40, 50)).astype(np.uint16))
    first, origin = call(caching, request(deep, 30))
    assert origin == "miss"
    narrow = request(deep, 30, sample_range=pb.SampleRange(low=10, high=100))
    other, origin = call(caching, narrow)
    assert origin == "miss"
    assert other.sample_range != first.sample_range
    assert call(caching, narrow)[1] == "hit"


def _exif(orientation: int) -> bytes:
    return b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)


def test_errors_are_not_cached(caching: RunningServer) -> None:
    damaged = encoded(scene(300, 200, seed=43))[:-3000]
    before = begun(caching)
    for _ in range(2):
        assert refused(lambda: caching.stub.Segment(request(damaged, 5))).reason == "IMAGE_UNDECODABLE"
    assert begun(caching) == before + 2


def test_bulk_work_uses_cached_answers_and_stores_none(caching: RunningServer) -> None:
    known, new = request(raw(scene(seed=44)), 5), request(raw(scene(seed=45)), 5)
    call(caching, known)
    before = begun(caching)
    messages = [pb.SegmentStreamRequest(request=message) for message in (known, new, new)]
    answers = [answer.response for answer in caching.stub.SegmentStream(iter(messages))]
    assert [answer.label_map.count for answer in answers] == [5, 5, 5]
    assert begun(caching) == before + 2
    assert call(caching, new)[1] == "miss"


def test_a_cache_that_is_off_stores_and_reports_nothing() -> None:
    with running_server() as server:
        assert [call(server, request(PNG, 5))[1] for _ in range(2)] == ["off", "off"]
        assert begun(server) == 2
        assert "superpixel_cache_requests_total{" not in server.metrics_text()


def answer(size: int) -> Answer:
    nothing = np.zeros(0, np.int32)
    return Answer(
        width=1,
        height=1,
        base_count=1,
        label_map=WrittenMap(
            LabelEncoding.PNG,
            bytes(size),
            tree=Tree(nothing, nothing),
            heights=np.zeros(250, np.float32),
        ),
        counts=(1,),
        whole_base=False,
        notices=(),
        stages=StageSeconds(0, 0, 0, 0),
        engine_seconds={},
        backend="cpu",
        algorithm_version=1,
    )


def test_the_least_recently_used_answers_are_evicted_first_and_bytes_are_bounded() -> None:
    one = answer(7_000)
    assert one.byte_count == 10_000  # with a kilobyte of heights, and what objects take
    cache = AnswerCache(35_000)
    for name in "abc":
        cache.put("", (name,), one)
    assert cache.byte_count == 30_000
    assert cache.get("", ("a",)) is one
    cache.put("", ("d",), one)
    assert [cache.get("", (name,)) is one for name in "abcd"] == [True, False, True, True]
    cache.put("", ("d",), replace(one, width=2))  # in its own place
    assert cache.byte_count == 30_000
    cache.put("", ("e",), answer(40_000))  # larger than all of it: not at the others' cost
    assert cache.get("", ("e",)) is None
    assert cache.byte_count == 30_000
    cache.put("", ("f",), answer(30_000))
    assert [cache.get("", (name,)) is None for name in "acdf"] == [True, True, True, False]
    assert cache.byte_count == 33_000


# The same, at the same time


def test_simultaneous_calls_for_the_same_answer_share_the_work() -> None:
    with running_server(*CACHED, program=held.PROGRAM) as server:
        blocking = server.stub.Segment.future(request(held.image(), 5))
        server.wait_until_working()
        same = [server.stub.Segment.future(request(PNG, 5)) for _ in range(10)]
        server.wait_until_working(waiting=1)
        server.wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Segment") == 11)
        blocking.cancel()
        responses = [without_timings(call.result()) for call in same]
        assert all(response == responses[0] for response in responses)
        origins = sorted(dict(call.trailing_metadata())["x-superpixel-cache"] for call in same)
        assert origins == ["miss"] + ["shared"] * 9
        assert begun(server) == 2
        assert (counted(server, "miss"), counted(server, "shared")) == (1, 9)
        assert server.metric("superpixel_inflight_bytes") == 0


@pytest.mark.parametrize("leaver", ["cancels", "runs out of time"])
@pytest.mark.parametrize("first_leaves", [True, False])
def test_a_caller_that_leaves_does_not_end_the_work_of_the_others(leaver: str, first_leaves: bool) -> None:
    with running_server(*CACHED, program=held.PROGRAM) as server:
        blocking = server.stub.Segment.future(request(held.image(), 5))
        server.wait_until_working()
        timeout = 1.0 if leaver == "runs out of time" else None
        timeouts = [timeout, None] if first_leaves else [None, timeout]
        calls = []
        for seconds in timeouts:
            calls.append(server.stub.Segment.future(request(PNG, 5), timeout=seconds))
            server.wait_until(
                lambda: server.metric("grpc_server_started_total", grpc_method="Segment") == 1 + len(calls)
            )
        gone, stays = calls if first_leaves else calls[::-1]
        if leaver == "cancels":
            gone.cancel()
        ends = (grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert gone.code() in ends
        # The server may see the end of the call before its own clock says that the deadline passed.
        server.wait_until(
            lambda: sum(server.metric("grpc_server_handled_total", grpc_code=code.name) for code in ends) == 1
        )
        assert server.metric("superpixel_queue_depth") == 1
        blocking.cancel()
        assert stays.result().label_map.count == 5


def test_work_is_dropped_when_all_its_callers_have_left() -> None:
    with running_server(*CACHED, program=held.PROGRAM) as server:
        blocking = server.stub.Segment.future(request(held.image(), 5))
        server.wait_until_working()
        calls = [server.stub.Segment.future(request(PNG, 5)) for _ in range(2)]
        server.wait_until_working(waiting=1)
        server.wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Segment") == 3)
        for each in calls:
            each.cancel()
        server.wait_until_working(waiting=0)
        blocking.cancel()
        assert call(server, request(PNG, 5))[1] == "miss"
        assert begun(server) == 2


def test_a_bad_image_is_rejected_for_all_callers_that_share_it() -> None:
    with running_server(*CACHED, program=held.PROGRAM) as server:
        blocking = server.stub.Segment.future(request(held.image(), 5))
        server.wait_until_working()
        damaged = encoded(scene(300, 200, seed=43))[:-3000]
        calls = [server.stub.Segment.future(request(damaged, 5)) for _ in range(3)]
        server.wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Segment") == 4)
        server.wait_until_working(waiting=1)
        blocking.cancel()
        assert [refused(each.result).reason for each in calls] == ["IMAGE_UNDECODABLE"] * 3
        assert begun(server) == 2
