"""A server whose threads fail continues to serve, or exits with status 70."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.transport import call_threads
from superpixel_service.transport.call_threads import CallThreads
from superpixel_service.transport.open_calls import OpenCalls
from tests.service.harness import PATIENCE_SECONDS, RunningServer, program_with, request, running_server
from tests.service.images import encoded, scene

EXIT_ENGINE_DEAD = 70
PNG = encoded(scene())


@contextmanager
def faulty_server(folder: Path) -> Iterator[tuple[RunningServer, Path]]:
    file = folder / "fault"
    constants = {"transport.call_threads._LONGEST_WAIT_SECONDS": 1.0}
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
        assert server.stub.Segment(request(PNG, 5), timeout=30).label_map.count == 5
        cause(server, file, "kill")
        with pytest.raises(grpc.RpcError):  # wakes gRPC's thread, which then dies
            server.stub.Segment(request(PNG, 5), timeout=3)
        assert server.process.wait(PATIENCE_SECONDS) == EXIT_ENGINE_DEAD
        assert server.wait_for_line("engine_dead")["check"] == "serving"


def test_a_server_that_can_start_no_thread_serves_with_those_that_it_has(tmp_path: Path) -> None:
    with faulty_server(tmp_path) as (server, file):
        cause(server, file, "starve")
        for _ in range(5):
            assert server.stub.Segment(request(PNG, 5), timeout=30).label_map.count == 5
        assert server.health_status() == "SERVING"


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
    pool, busy = CallThreads(1, OpenCalls()), threading.Event()
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
