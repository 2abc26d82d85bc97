"""How a server starts, drains and ends."""

import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from tests.service.command import called
from tests.service.harness import INTERPRETER, PATIENCE_SECONDS, refused, request, running_server, wait_until
from tests.service.images import encoded, scene
from tests.service.mortal import PROGRAM, mortal_server

PNG = encoded(scene())


def run_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "superpixel_service", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)]
)
def test_an_idle_server_ends_at_once(number: signal.Signals) -> None:
    with running_server(program=INTERPRETER) as server:
        assert server.stub.Segment(request(PNG, 5)).label_map.count == 5
        server.signal(number)
        assert server.exit_code() == 0
        assert server.wait_for_line("stopped")["all_work_finished"] is True
        server.join_reader()
        assert all(line.startswith("{") for line in server.raw_lines), server.raw_lines


def test_a_server_is_not_healthy_before_its_warm_up(tmp_path: Path) -> None:
    """Its warm-up stalls, and probes begin before it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    orders = tmp_path / "orders"
    orders.write_text("stall")
    go_on = orders.with_suffix(".go")
    starting = running_server(
        f"--health-listen={address}",
        program=("-m", PROGRAM),
        environment={"MORTAL_ORDERS": str(orders)},
    )
    asked = health_pb2.HealthCheckRequest()
    options = [("grpc.max_reconnect_backoff_ms", 50)]
    with ExitStack() as stack, grpc.insecure_channel(address, options) as channel:
        pool = stack.enter_context(ThreadPoolExecutor(1))
        server = pool.submit(stack.enter_context, starting)
        stack.callback(go_on.touch)
        stub = health_pb2_grpc.HealthStub(channel)
        answers = {stub.Check(asked, timeout=PATIENCE_SECONDS, wait_for_ready=True).status}
        wait_until(orders.with_suffix(".stalled").exists)
        for _ in range(20):
            answers.add(stub.Check(asked, timeout=PATIENCE_SECONDS).status)
        assert answers == {health_pb2.HealthCheckResponse.NOT_SERVING}
        go_on.touch()
        server.result(PATIENCE_SECONDS)
        assert stub.Check(asked, timeout=PATIENCE_SECONDS).status == health_pb2.HealthCheckResponse.SERVING


def test_a_stopping_server_finishes_its_work_and_rejects_more(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1", order="stall") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        waiting = server.stub.Segment.future(request(PNG, 7))
        server.wait_until_working(waiting=1)
        server.signal(signal.SIGTERM)
        server.wait_until(lambda: server.metric("superpixel_ready") == 0)
        refusal = refused(lambda: server.stub.Segment(request(PNG, 5)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert refusal.retry_seconds == 0
        assert "grpc-retry-pushback-ms" not in refusal.trailers  # the next try is to go elsewhere
        assert server.health_status() == "NOT_SERVING"
        assert server.health_status(address=server.listen) == "NOT_SERVING"
        assert not running.done()
        mortal.release()
        assert running.result().label_map.count == 5
        assert waiting.result().label_map.count == 7
        assert server.exit_code() == 0


def test_open_watches_of_health_do_not_delay_the_end() -> None:
    with (
        running_server("--grace-seconds=3600", program=INTERPRETER) as server,
        grpc.insecure_channel(server.listen) as channel,
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.exit_code() == 0


def test_a_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    """Although its engine never returns."""
    with mortal_server(tmp_path, "--workers=1", "--grace-seconds=3600", order="hang") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        server.signal(signal.SIGTERM)
        server.wait_for_line("draining")
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 128 + signal.SIGTERM
        assert running.exception().code() is grpc.StatusCode.UNAVAILABLE


def test_a_closed_terminal_drains_the_server(tmp_path: Path) -> None:
    """The kernel and the shell may both send SIGHUP: it ends no work, however often it comes."""
    with mortal_server(tmp_path, "--workers=1", "--grace-seconds=3600", order="hang") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        server.signal(signal.SIGHUP)
        server.wait_for_line("draining")
        server.signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            server.process.wait(1)
        assert not running.done()
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 128 + signal.SIGTERM


def test_work_beyond_the_grace_time_is_given_up(tmp_path: Path) -> None:
    """Of an engine that never returns."""
    with mortal_server(tmp_path, "--workers=1", "--grace-seconds=0.2", order="hang") as mortal:
        server = mortal.server
        running = server.stub.Segment.future(request(PNG, 5))
        server.wait_until_working()
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 1
        stopped = server.wait_for_line("stopped")
        assert stopped["all_work_finished"] is False
        begun, ended = (
            datetime.fromisoformat(line["time"]) for line in (server.wait_for_line("draining"), stopped)
        )
        assert (ended - begun).total_seconds() >= 0.19
        assert running.exception() is not None


def test_a_taken_port_ends_the_start_with_one_line() -> None:
    names = ("listen", "health-listen", "metrics-listen")
    with socket.socket() as taken, ThreadPoolExecutor(len(names)) as pool:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ports = [f"--{name}=127.0.0.1:0" for name in names]

        def start(name: str) -> subprocess.CompletedProcess[str]:
            return run_command("serve", *ports, f"--{name}={address}", "--log-format=json")

        for name, done in zip(names, pool.map(start, names), strict=True):
            assert done.returncode == 1
            assert done.stderr.splitlines()[-1] == (
                f"superpixel: --{name}: cannot listen on {address}: it is in use, "
                "or this process may not use it"
            )


def test_an_engine_that_cannot_run_ends_the_start() -> None:
    ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "health-listen", "metrics-listen")]
    done = run_command("serve", *ports, "--backend=cuda", "--log-format=json")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("superpixel: backend 'cuda': ")


def test_wrong_settings_get_one_line_each() -> None:
    done = run_command("serve", "--workers=many", "--listen=nowhere", SUPERPIXEL_MAX_IMAGE_PIXELS="0")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert any(line.startswith("superpixel: --workers (SUPERPIXEL_WORKERS): should be") for line in lines)
    assert any("--listen (SUPERPIXEL_LISTEN): must be HOST:PORT" in line for line in lines)
    assert any("--max-image-pixels (SUPERPIXEL_MAX_IMAGE_PIXELS)" in line and "'0'" in line for line in lines)


def test_help_names_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    done = called(capsys, "serve", "--help")
    assert done.returncode == 0
    assert "--max-image-bytes" in done.stdout


def test_watchers_that_leave_at_once_do_not_block_the_server() -> None:
    """gRPC's own health service deadlocks after a few hundred of them."""
    with running_server(program=INTERPRETER) as server:
        process = psutil.Process(server.process.pid)
        threads = process.num_threads()

        def come_and_go() -> None:
            for number in range(150):
                with server.open_channel(("grpc.use_local_subchannel_pool", 1)) as channel:
                    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
                    if number % 2:
                        next(watch)

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(come_and_go) for _ in range(4)]:
                done.result(PATIENCE_SECONDS)
        server.stub.GetServerInfo(pb.GetServerInfoRequest(), timeout=PATIENCE_SECONDS)
        server.wait_until(lambda: process.num_threads() <= threads + 32)
