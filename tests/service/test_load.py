"""Many callers at once, calls that are cancelled, and calls with a deadline."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np

import superpixel_kernels as kernels
from superpixel_kernels import codec
from superpixel_service.contract import SERVICE
from superpixel_service.errors import CallCancelled, DeadlinePassed
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.work.deadline import Deadline
from tests.service import held
from tests.service.harness import RunningServer, request, running_server
from tests.service.http2 import UnreadingCaller
from tests.service.images import encoded, raw, scene
from tests.service.mortal import mortal_server

PNG = encoded(scene())
SEGMENT = f"/{SERVICE}/Segment"


def decoded_images(server: RunningServer) -> float:
    return server.metric("superpixel_stage_duration_seconds_count", stage="decode")


def ended(server: RunningServer, code: str) -> float:
    return server.metric("grpc_server_handled_total", grpc_method="Segment", grpc_code=code)


def test_32_clients_at_once_all_get_their_own_answer(server: RunningServer) -> None:
    def client(seed: int) -> None:
        pixels = scene(100 + seed, 80, seed)
        expected = kernels.segment(pixels)
        source = raw(pixels) if seed % 2 else encoded(pixels)
        with server.open_channel(("grpc.use_local_subchannel_pool", 1)) as channel:
            stub = pb_grpc.SuperpixelServiceStub(channel)
            for count in (50 + seed, 7):
                response = stub.Segment(request(source, count, 3))
                label_map = codec.decode(response.label_map.data)
                assert np.array_equal(label_map.labels, expected.cut(count))
                assert np.array_equal(label_map.labels_at(3), expected.cut(3))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(client, range(32)))
    assert server.metric("superpixel_inflight_bytes") == 0
    assert server.metric("superpixel_queue_depth") == 0


def test_small_and_large_images_take_turns() -> None:
    """Callers that wait for each answer get about as many, whatever the size of their images."""
    messages = [request(raw(scene(width, width)), 5) for width in (40, 300) * 4]
    answers = [0] * len(messages)
    enough = threading.Event()

    def client(number: int) -> None:
        while not enough.is_set():
            server.stub.Segment(messages[number])
            answers[number] += 1
            if sum(answers) >= 160:
                enough.set()

    with running_server("--workers=1") as server, ThreadPoolExecutor(len(messages)) as pool:
        list(pool.map(client, range(len(messages))))
    assert min(answers) > 0.6 * max(answers), answers


def test_a_cancelled_call_frees_its_worker() -> None:
    with running_server("--workers=1", program=held.PROGRAM) as server:
        running = server.stub.Segment.future(request(held.image(), 5))
        server.wait_until(lambda: server.stages_begun("segment") == 1)
        running.cancel()
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5
        server.wait_until(lambda: ended(server, "CANCELLED") == 1)
        assert server.metric("superpixel_requests_rejected_total", reason="CALL_CANCELLED") == 1
        assert server.metric("superpixel_inflight_bytes") == 0


def test_calls_that_end_in_the_queue_are_never_begun(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1", order="stall") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        cancelled = server.stub.Segment.future(request(PNG, 5))
        # gRPC's own clients give up at their deadline, which may be before the server's.
        with UnreadingCaller(server) as hurried:
            late = hurried.call(SEGMENT, request(PNG, 5).SerializeToString(), timeout="8S")
            server.wait_until(lambda: server.metric("grpc_server_started_total", grpc_method="Segment") == 3)
            cancelled.cancel()
            hurried.wait_for_the_end_of({late})
        # Both leave the queue while the worker is still busy, and their bytes are freed.
        server.wait_until_working(waiting=0)
        assert server.metric("superpixel_inflight_bytes") == len(PNG)
        assert not running.done()
        assert (ended(server, "DEADLINE_EXCEEDED"), ended(server, "CANCELLED")) == (1, 1)
        mortal.release()
        assert running.result().label_map.count == 5
        server.stub.Segment(request(PNG, 5))
        assert decoded_images(server) == server.stages_begun("decode") == 2


def test_a_deadline_that_passes_during_a_call_stops_the_engine(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1", order="stall") as mortal:
        server = mortal.server
        with UnreadingCaller(server) as caller:
            for timeout in ("1S", "4S", "16S"):  # a busy machine may need longer to begin
                call = caller.call(SEGMENT, request(PNG, 5).SerializeToString(), timeout=timeout)
                caller.wait_for_the_end_of({call})
                if (tmp_path / "orders.stalled").exists():
                    break
        begun = server.metric("grpc_server_started_total", grpc_method="Segment")
        server.wait_until(lambda: ended(server, "DEADLINE_EXCEEDED") == begun)
        assert server.metric("superpixel_requests_rejected_total", reason="DEADLINE_PASSED") == begun >= 1
        mortal.release()
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5
        assert decoded_images(server) == 1  # no other was answered
    assert len((tmp_path / "orders.segmented").read_text().splitlines()) == 1


def test_a_call_that_its_client_gives_up_at_its_deadline_does_not_count_as_cancelled() -> None:
    # gRPC's clients send 9.99 s as 10 s and 99.1 s as 100 s, and messages take time to arrive.
    for seconds, early in [(0.5, 0.09), (10.0, 0.15), (100.0, 1.05)]:
        whole, now = Deadline.after(seconds), time.monotonic()
        nearly_over, half_over = replace(whole, at=now + early), replace(whole, at=now + seconds / 2)
        assert isinstance(nearly_over.why_ended(), DeadlinePassed)
        assert isinstance(half_over.why_ended(), CallCancelled)
        assert not nearly_over.passed()
    assert isinstance(Deadline.never().why_ended(), CallCancelled)


def test_very_late_deadlines_count_as_none(server: RunningServer) -> None:
    assert server.stub.Segment(request(PNG, 5), timeout=1e9).label_map.count == 5


def test_abandoned_connections_leave_nothing_behind() -> None:
    with running_server("--workers=1", program=held.PROGRAM) as server:
        channel = server.open_channel(("grpc.use_local_subchannel_pool", 1))
        running = pb_grpc.SuperpixelServiceStub(channel).Segment.future(request(held.image(), 5))
        server.wait_until_working()
        channel.close()
        assert running.code() is grpc.StatusCode.CANCELLED
        server.wait_until(lambda: server.metric("superpixel_inflight_bytes") == 0)
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5
