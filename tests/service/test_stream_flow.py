"""Flow control of SegmentStream, room in the queue, and ends of every kind."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest

from superpixel_service.contract import SERVICE
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service import held
from tests.service.harness import RunningServer, refusal_of, request, running_server
from tests.service.http2 import UnreadingCaller
from tests.service.images import raw, scene
from tests.service.mortal import mortal_server
from tests.service.streams import SMALL, Sender, code_of_rest, handled, held_request, named, open_stream

STREAM = f"/{SERVICE}/SegmentStream"

# Flow control and room


def large_request() -> pb.SegmentRequest:
    """160 kB, and an answer of 800 kB."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 400), dtype=np.uint8)
    return request(
        raw(noise), include_hierarchy=True, include_regions=True, label_encoding=pb.LABEL_ENCODING_RAW_GZIP
    )


def test_a_stream_whose_answers_are_not_read_accepts_no_more_images() -> None:
    """The windows of HTTP/2 take some messages; beyond these the sender has to wait."""
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

        def stands_still() -> bool:
            """All images in the stream are answered, and none has come since the last look."""
            nonlocal before
            last, before = before, (sent, done())
            time.sleep(0.1)
            return last == before and is_full(server)

        before = (-1, -1.0)
        server.wait_until(stands_still)
        read_ahead, answered = sent, done()
        assert server.metric("superpixel_streams") == 1
        assert answered < 40
        # The server's window takes a megabyte; gRPC has some more on the sender's side.
        assert read_ahead < 60
        for _ in range(int(answered) + 5):
            assert next(stream).response.label_map.count
        server.wait_until(lambda: done() >= answered + 5)
        stream.cancel()
        line = server.wait_for_line("image", image_id="7", code="OK")
        assert (line["level"], line["format"], line["width"]) == ("debug", "raw", 400)
        assert line["milliseconds"] >= line["segment_ms"] > 0


def is_full(server: RunningServer) -> bool:
    """All three images of the stream are answered and not read."""
    return server.metric("superpixel_stream_images") == 3 and server.metric("superpixel_inflight_bytes") == 0


@pytest.mark.parametrize("count", [2_500, pytest.param(25_000, marks=pytest.mark.slow)])
def test_thousands_of_images_through_one_stream_leave_memory_flat(count: int) -> None:
    pictures = [request(raw(scene(64, 64, seed)), 9, 4) for seed in range(20)]
    with running_server() as server:
        early = 0
        names = set()
        for answer in server.stub.SegmentStream(named(str(n), pictures[n % 20]) for n in range(count)):
            assert answer.response.label_map.count == 9
            names.add(answer.request_id)
            if len(names) == 500:
                early = server.resident_bytes()
        assert len(names) == count
        # An image has 12 kB: if the server kept 2,000 of them, that would be 24 MB.
        assert server.resident_bytes() - early < 10_000_000
        assert server.metric("superpixel_stage_duration_seconds_count", stage="decode") == count
        assert server.metric("grpc_server_started_total", grpc_method="SegmentStream") == 1


def test_a_stream_waits_for_room_in_the_queue_and_leaves_room_for_callers() -> None:
    held_one = held_request()
    with running_server("--workers=1", "--max-inflight-calls=4", program=held.PROGRAM) as server:
        with open_stream(server, *(named("held", held_one) for _ in range(6))) as stream:
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
    with running_server("--workers=1", "--max-inflight-calls=1", program=held.PROGRAM) as server:
        blocking = server.stub.Segment.future(held_request())
        server.wait_until_working()
        stream = server.stub.SegmentStream(named(str(number)) for number in range(20))
        server.wait_until(lambda: server.metric("superpixel_stream_images") == 1)
        blocking.cancel()
        assert {answer.response.label_map.count for answer in stream} == {5}
        assert server.metric("superpixel_requests_rejected_total", reason="QUEUE_FULL") == 0


def test_images_of_a_stream_are_bulk_work_by_default() -> None:
    held_one = held_request()
    interactive = pb.SegmentRequest()
    interactive.CopyFrom(held_one)
    interactive.priority = pb.PRIORITY_INTERACTIVE
    messages = [named(name, held_one) for name in ("bulk", "bulk")] + [named("urgent", interactive)] * 2
    with running_server("--workers=1", program=held.PROGRAM) as server, open_stream(server, *messages):
        server.wait_until_working(waiting=2)
        assert server.metric("superpixel_queue_depth", lane="bulk") == 1
        assert server.metric("superpixel_queue_depth", lane="interactive") == 1
        size = len(held_one.encoded_image)
        assert server.metric("superpixel_inflight_bytes", lane="bulk") == 2 * size


def test_too_many_streams_are_rejected() -> None:
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
    held_one = held_request()
    with running_server("--workers=1", program=held.PROGRAM) as server:
        assert len(list(server.stub.SegmentStream(iter([named("warm")])))) == 1
        with open_stream(server, *(named("held", held_one) for _ in range(3))) as stream:
            server.wait_until_working(waiting=2)
            stream.cancel()
            assert server.stub.Segment(SMALL).label_map.count == 5
            assert server.stages_begun("decode") == 3  # not of the two that waited
            assert stream.code() is grpc.StatusCode.CANCELLED
        server.wait_until(lambda: handled(server, "CANCELLED") == 1)
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
        assert server.metric("superpixel_streams") == 0
        assert server.metric("superpixel_stage_duration_seconds_count", stage="decode") == 2


def test_a_deadline_applies_to_the_whole_stream() -> None:
    held_one = held_request()
    with running_server("--workers=1", program=held.PROGRAM) as server:

        def ended() -> float:
            return handled(server, "DEADLINE_EXCEEDED") + handled(server, "CANCELLED")

        for tries, seconds in enumerate((0.5, 2.0, 8.0, 32.0), 1):  # the first answer may come too late
            with open_stream(
                server, named("fast"), *[named("held", held_one)] * 40, timeout=seconds
            ) as stream:
                answers: list[str] = []
                with pytest.raises(grpc.RpcError) as caught:
                    answers.extend(answer.request_id for answer in stream)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            # The client may give up before the server's deadline.
            server.wait_until(lambda tries=tries: ended() == tries)
            server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
            if answers:
                break
        assert answers[0] == "fast"
        assert len(answers) < 41
        before = server.metric("superpixel_requests_rejected_total", reason="DEADLINE_PASSED")
        with UnreadingCaller(server) as caller:
            message = named("held", held_one).SerializeToString()
            caller.wait_for_the_end_of({caller.call(STREAM, *[message] * 4, timeout="3S")})
        server.wait_until(
            lambda: server.metric("superpixel_requests_rejected_total", reason="DEADLINE_PASSED") > before
        )


def test_streams_leave_no_thread_behind_however_they_end() -> None:
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


def test_a_stopping_server_answers_the_images_that_it_has_accepted(tmp_path: Path) -> None:
    """Images that it has not accepted get no answer; streams with nothing in flight end at once."""
    with mortal_server(tmp_path, "--workers=1", "--stream-max-inflight=3", order="stall") as mortal:
        server = mortal.server
        messages = [named(str(number)) for number in range(1, 7)]
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
            mortal.release()
            assert [next(stream).request_id for _ in range(3)] == ["1", "2", "3"]
            with pytest.raises(grpc.RpcError) as caught:
                next(stream)
            refusal = refusal_of(caught.value)
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert refusal.retry_seconds == 0
            assert "grpc-retry-pushback-ms" not in refusal.trailers  # the next try goes elsewhere
            assert server.exit_code() == 0
        line = server.wait_for_line("call", method="SegmentStream", images=3)
        assert (line["code"], line["reason"]) == ("UNAVAILABLE", "DRAINING")


def test_an_image_that_waits_for_room_does_not_delay_the_end() -> None:
    with running_server("--workers=1", "--max-inflight-calls=1", program=held.PROGRAM) as server:
        running = server.stub.Segment.future(held_request())
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
        server.wait_until(lambda: is_full(server))
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
        assert server.wait_for_line("unread_answers")["calls"] == 1
        assert server.wait_for_line("stopped")["all_work_finished"] is True
        assert code_of_rest(stream) is not grpc.StatusCode.OK


def test_threads_do_not_grow_with_the_images_in_flight() -> None:
    held_one = held_request()
    with running_server("--workers=1", "--stream-max-inflight=40", program=held.PROGRAM) as server:
        process = psutil.Process(server.process.pid)
        with open_stream(server, named("warm")) as stream:
            next(stream)
            before = process.num_threads()
            stream.sender.send(named("held", held_one))
            server.wait_until_working()  # usual work may go before an image that is held
            for _ in range(39):
                stream.sender.send(named("waits"))
            server.wait_until_working(waiting=39)
            assert process.num_threads() < before + 10  # gRPC's own pool may add a few, 40 images add none
