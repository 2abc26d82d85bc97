"""A server whose threads fail continues to serve, or exits with status 70."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.transport import call_threads
from superpixel_service.transport.call_threads import CallThreads
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.rejections import RejectionQueue
from tests.service.harness import (
    INTERPRETER,
    PATIENCE_SECONDS,
    RunningServer,
    program_with,
    refusal_of,
    request,
    running_server,
)
from tests.service.images import encoded, scene

EXIT_ENGINE_DEAD = 70
PNG = encoded(scene())


@contextmanager
def faulty_server(folder: Path, **constants: float) -> Iterator[tuple[RunningServer, Path]]:
    file = folder / "fault"
    constants = {
        "transport.call_threads._LONGEST_WAIT_SECONDS": 1.0,
        "transport.self_call._PAUSE_SECONDS": 0.2,
        **constants,
    }
    program = program_with(constants, "tests.service.faulty_threads_server")
    with running_server(program=program, environment={"FAULT_FILE": str(file)}) as server:
        yield server, file


def cause(server: RunningServer, file: Path, fault: str) -> None:
    half_written = file.with_suffix(".new")
    half_written.write_text(fault)
    half_written.rename(file)
    server.wait_until(file.with_suffix(".done").exists)


def test_a_server_whose_grpc_thread_died_ends(tmp_path: Path) -> None:
    with faulty_server(tmp_path) as (server, file):
        assert server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5
        cause(server, file, "kill")
        with pytest.raises(grpc.RpcError):  # wakes gRPC's thread, which then dies
            server.stub.Segment(request(PNG, 5), timeout=3)
        assert server.process.wait(PATIENCE_SECONDS) == EXIT_ENGINE_DEAD
        assert server.wait_for_line("engine_dead")["check"] == "serving"


def test_a_server_whose_grpc_thread_hangs_ends(tmp_path: Path) -> None:
    """The thread is alive. Only a call finds out that it handles none."""
    with faulty_server(tmp_path, **{"transport.self_call._TIMEOUT_SECONDS": 2.0}) as (server, file):
        assert server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5
        cause(server, file, "hang")
        assert server.process.wait(PATIENCE_SECONDS) == EXIT_ENGINE_DEAD
        assert server.wait_for_line("engine_dead")["check"] == "serving"


def test_a_server_calls_itself_and_leaves_no_socket_behind(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    program = program_with({"transport.self_call._PAUSE_SECONDS": 0.05})
    with running_server(program=program, environment=environment) as server:
        (folder,) = tmp_path.iterdir()
        assert folder.stat().st_mode & 0o777 == 0o700
        time.sleep(1)
        assert server.health_status() == "SERVING"
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0
    server.join_reader()
    assert [line for line in server.lines if line["event"] == "self_call_failed"] == []
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_server_is_removed_by_the_next_one(tmp_path: Path) -> None:
    environment = {"TMPDIR": str(tmp_path)}
    with running_server(program=INTERPRETER, environment=environment) as killed:
        (left_behind,) = tmp_path.iterdir()
        with running_server(program=INTERPRETER, environment=environment):
            (alive,) = set(tmp_path.iterdir()) - {left_behind}
            killed.process.kill()
            killed.process.wait(PATIENCE_SECONDS)
            with running_server(program=INTERPRETER, environment=environment):
                assert alive.exists()
                assert not left_behind.exists()
                assert len(list(tmp_path.iterdir())) == 2


def test_a_server_without_a_folder_for_its_socket_serves(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    with running_server(program=INTERPRETER, environment={"TMPDIR": str(long)}) as server:
        assert "long" in server.wait_for_line("no_self_call")["problem"]
        assert server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5


def test_a_server_that_can_start_no_thread_serves_with_those_that_it_has(tmp_path: Path) -> None:
    with faulty_server(tmp_path) as (server, file):
        cause(server, file, "starve")
        for _ in range(5):
            assert server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS).label_map.count == 5
        assert server.health_status() == "SERVING"


def test_calls_that_get_no_thread_are_rejected(tmp_path: Path) -> None:
    """Long before the server ends. A call may use the threads that exist, for as long as it likes."""
    slow = {"transport.self_call._PAUSE_SECONDS": 600, "transport.call_threads._LONGEST_WAIT_SECONDS": 600}
    with faulty_server(tmp_path, **slow) as (server, file):
        cause(server, file, "starve")
        with grpc.insecure_channel(server.listen) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
            for call in (
                lambda: server.stub.Segment(request(PNG, 5), timeout=PATIENCE_SECONDS),
                lambda: next(server.stub.SegmentStream(iter([]), timeout=PATIENCE_SECONDS)),
                lambda: server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    call()
                refusal = refusal_of(caught.value)
                assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_THREAD")
            watch.cancel()
        server.wait_until(lambda: answers(server))
        assert server.wait_for_line("no_thread")["calls"] == 1


def answers(server: RunningServer) -> bool:
    call = server.stub.Segment.future(request(PNG, 5), timeout=PATIENCE_SECONDS)
    error = call.exception()
    assert error is None or refusal_of(error).reason == "NO_THREAD"
    return error is None


def test_a_stream_that_gets_no_thread_to_read_is_rejected(tmp_path: Path) -> None:
    with faulty_server(tmp_path) as (server, file):
        cause(server, file, "starve")
        with pytest.raises(grpc.RpcError) as caught:
            next(server.stub.SegmentStream(iter([pb.SegmentStreamRequest()]), timeout=PATIENCE_SECONDS))
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_THREAD")


def test_a_server_whose_calls_get_no_thread_ends(tmp_path: Path) -> None:
    with faulty_server(tmp_path) as (server, file):
        cause(server, file, "starve")
        with grpc.insecure_channel(server.listen) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch
            # One occupies the only thread permanently; the others wait for a thread.
            watches = [watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
            assert watches
            assert server.process.wait(PATIENCE_SECONDS) == EXIT_ENGINE_DEAD
        assert server.wait_for_line("engine_dead")["check"] == "serving"


def test_a_pool_is_stuck_if_a_call_waits_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    pool, busy = CallThreads(1, OpenCalls(), RejectionQueue(OpenCalls())), threading.Event()
    running = pool.submit(busy.wait)
    while not running.running():
        time.sleep(0.001)
    monkeypatch.setattr(call_threads.time, "monotonic", lambda: now)
    assert not pool.is_stuck()
    waiting = pool.submit(lambda: None)
    for seconds, stuck in ((0, False), (9, False), (2, True)):
        now += seconds
        assert pool.is_stuck() is stuck
    busy.set()
    waiting.result(PATIENCE_SECONDS)
    assert not pool.is_stuck()


def test_a_call_that_cannot_be_submitted_is_rejected() -> None:
    """As gRPC submits it: were an exception to come through, gRPC's only thread would end."""
    open_calls = OpenCalls()
    pool = CallThreads(1, open_calls, RejectionQueue(open_calls))
    pool.shutdown()
    handlers: list[object] = []
    pool.submit(lambda *arguments: handlers.append(arguments), 0, 1, 2, "handler", 4).result(PATIENCE_SECONDS)
    ((*others, last),) = handlers
    assert (others[:3], last) == ([0, 1, 2], 4)
    assert "handler" not in others
