"""What a server does when its engine dies, and how it lets go of old connections."""

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import h2.connection
import h2.events
import pytest

from superpixel_service.config import Settings
from superpixel_service.operations import watchdog
from superpixel_service.operations.watchdog import CHECKS, Watchdog
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.server import Server
from tests.service.harness import (
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, raw, scene, slow_image

PNG = encoded(scene())
SMALL = request(PNG, 5)
EXIT_ENGINE_DEAD = 70


class Mortal:
    def __init__(self, server: RunningServer, orders: Path) -> None:
        self.server = server
        self._orders = orders

    def order(self, name: str) -> None:
        half_written = self._orders.with_suffix(".new")
        half_written.write_text(name)
        half_written.rename(self._orders)
        self.server.wait_until(self._orders.with_suffix(".done").exists)


@contextmanager
def mortal_server(folder: Path, *flags: str) -> Iterator[Mortal]:
    orders = folder / "orders"
    program = ("-m", "tests.service.mortal_server")
    with running_server(*flags, program=program, environment={"MORTAL_ORDERS": str(orders)}) as server:
        yield Mortal(server, orders)


def watched_health(server: RunningServer, watchers: int = 1) -> list[list[str]]:
    """What each who watches health is told, from now on."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    told: list[list[str]] = [[] for _ in range(watchers)]
    channel = grpc.insecure_channel(server.health)
    name_of = health_pb2.HealthCheckResponse.ServingStatus.Name

    def watch(answers: list[str]) -> None:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        with contextlib.suppress(grpc.RpcError):
            answers.extend(name_of(answer.status) for answer in watch)

    for answers in told:
        threading.Thread(target=watch, args=(answers,), daemon=True).start()
    server.wait_until(lambda: all(answers == ["SERVING"] for answers in told))
    return told


def test_a_sound_server_says_so_check_by_check() -> None:
    with running_server() as server:
        assert [server.metric("superpixel_health_check", check=check) for check in CHECKS] == [1] * len(
            CHECKS
        )
        assert server.metric("superpixel_ready") == 1


@pytest.mark.parametrize("fault", ["end_a_worker", "lose_the_device", "hang"])
def test_a_dead_engine_ends_the_server_for_a_restart(fault: str, tmp_path: Path) -> None:
    """Health says so first; who waits is sent elsewhere; the exit status asks for a restart."""
    with mortal_server(tmp_path, "--workers=1", "--step-limit-seconds=2") as mortal:
        server = mortal.server
        (told,) = watched_health(server)
        assert server.stub.Segment(SMALL).label_map.count == 5
        mortal.order(fault)
        codes = set()
        if fault == "lose_the_device":
            for _ in range(3):
                refusal = refused(lambda: server.stub.Segment(SMALL))
                codes.add((refusal.code, refusal.reason))
                assert "device" not in refusal.text
            assert codes <= {
                (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR"),
                (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST"),
            }
        else:
            calls = [server.stub.Segment.future(SMALL) for _ in range(4)]
            for call in calls:
                refusal = refusal_of(call.exception())
                assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DEVICE_LOST")
                assert refusal.retry_seconds == 0
        assert server.exit_code() == EXIT_ENGINE_DEAD
        server.join_reader()
        assert server.wait_for_line("engine_dead")["check"] == ("queue" if fault == "hang" else "engine")
        health = [line for line in server.lines if line["event"] == "health"]
        assert health[-1]["queue" if fault == "hang" else "engine"] is False
        assert told[:2] == ["SERVING", "NOT_SERVING"]


def test_a_worker_that_hangs_is_seen_while_another_works(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=2", "--step-limit-seconds=2") as mortal:
        server = mortal.server
        mortal.order("hang_on_large")
        hung = server.stub.Segment.future(SMALL)
        low, end = request(raw(scene(4000, 60)), 5), time.monotonic() + PATIENCE_SECONDS
        codes = set()

        def keep_busy() -> None:
            while server.process.poll() is None and time.monotonic() < end:
                codes.add(server.stub.Segment.future(low).code())

        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(keep_busy) for _ in range(4)]:
                done.result()
        assert server.exit_code(0) == EXIT_ENGINE_DEAD
        assert refusal_of(hung.exception()).reason == "DEVICE_LOST"
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert server.wait_for_line("engine_dead")["check"] == "queue"


def test_all_who_watch_health_are_told_before_a_dead_server_ends(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1") as mortal:
        told = watched_health(mortal.server, watchers=100)
        mortal.order("lose_the_device")
        refused(lambda: mortal.server.stub.Segment(SMALL))
        assert mortal.server.exit_code() == EXIT_ENGINE_DEAD
        mortal.server.wait_until(lambda: set(map(tuple, told)) == {("SERVING", "NOT_SERVING")})


def test_an_idle_engine_that_is_dead_is_found_out(tmp_path: Path) -> None:
    """Nobody calls; the server looks at its engine by itself."""
    with mortal_server(tmp_path, "--step-limit-seconds=1") as mortal:
        mortal.order("lose_the_device")
        assert mortal.server.exit_code() == EXIT_ENGINE_DEAD


def test_bugs_with_some_images_do_not_end_the_server(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1") as mortal:
        mortal.order("fail_now_and_then")
        for _ in range(5):
            refusal = refused(lambda: mortal.server.stub.Segment(SMALL))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
        time.sleep(2.5)  # two looks at least
        assert mortal.server.health_status() == "SERVING"
        small = request(raw(scene(60, 50)), 5)
        assert mortal.server.stub.Segment(small).label_map.count == 5


class Slow:
    """An engine that is at work on one step for as long as the test says."""

    def __init__(self) -> None:
        self.step = 0
        self.busy = True

    def dead_workers(self) -> int:
        return 0

    def suspect(self) -> bool:
        return False

    def progress(self) -> dict[str, object]:
        return {"worker 0": self.step} if self.busy else {}

    def prove(self, seconds: float) -> bool:  # noqa: ARG002
        return True


def test_long_work_that_moves_on_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_LOOK_SECONDS", 0.01)
    engine, dead = Slow(), threading.Event()
    watched = Watchdog(engine, 0.5, lambda _checks: None, lambda _check: dead.set())
    watched.start()
    for engine.step in itertools.count(1):
        time.sleep(0.02)
        if engine.step == 50:
            break
    assert not dead.is_set()
    engine.busy = False
    time.sleep(0.8)
    assert not dead.is_set()
    engine.busy = True
    assert dead.wait(PATIENCE_SECONDS)


# Old connections, and silent ones


@pytest.mark.parametrize("port", ["listen", "health"])
def test_callers_may_ask_whether_the_server_is_still_there(port: str) -> None:
    """By HTTP/2 pings, as gRPC's keepalive does, without a call or anything else on the connection.

    Those of gRPC's own bound hang up on the fourth.
    """
    with running_server() as server, ExitStack() as stack:
        host, _, number = getattr(server, port).rpartition(":")
        connection = stack.enter_context(socket.create_connection((host, int(number)), PATIENCE_SECONDS))
        caller = h2.connection.H2Connection()
        caller.initiate_connection()
        for ping in range(4):
            caller.ping(ping.to_bytes(8))
            connection.sendall(caller.data_to_send())
            answered: list[bytes] = []
            while ping.to_bytes(8) not in answered:
                events = caller.receive_data(connection.recv(1 << 16))
                assert not any(isinstance(event, h2.events.ConnectionTerminated) for event in events)
                answered += [
                    event.ping_data for event in events if isinstance(event, h2.events.PingAckReceived)
                ]
            time.sleep(5.1 if ping < 3 else 1.0)
        connection.setblocking(False)
        with pytest.raises(BlockingIOError):  # nothing was said to the last one but its answer
            connection.recv(1)


def test_a_connection_is_ended_at_its_age() -> None:
    """By GOAWAY, though nothing is said on it."""
    with running_server("--max-connection-age-seconds=1") as server, ExitStack() as stack:
        host, _, number = server.listen.rpartition(":")
        connection = stack.enter_context(socket.create_connection((host, int(number)), PATIENCE_SECONDS))
        caller = h2.connection.H2Connection()
        caller.initiate_connection()
        connection.sendall(caller.data_to_send())
        received = b""
        while b"max_age" not in received:  # the frame's text; h2 reads nothing that comes after it
            data = connection.recv(1 << 16)
            assert data, received
            received += data


def test_connections_have_an_age_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, int]] = []
    grpc_server = grpc.server

    def recording(*arguments: Any, options: Any, **named: Any) -> grpc.Server:
        given.append(dict(options))
        return grpc_server(*arguments, options=options, **named)

    monkeypatch.setattr(grpc, "server", recording)
    settings = Settings()
    Server(settings)
    (main,) = [options for options in given if "grpc.max_connection_age_ms" in options]
    assert main["grpc.max_connection_age_ms"] == 600_000
    # A stream ends itself at that age, when what it took in is answered: until then gRPC leaves it alone.
    assert main["grpc.max_connection_age_grace_ms"] == 600_000 + 1000 * settings.grace_seconds


def test_connections_are_ended_at_their_age_and_no_call_is_lost() -> None:
    with running_server("--max-connection-age-seconds=1") as server:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            assert server.stub.Segment(SMALL).label_map.count == 5


def test_an_old_stream_ends_when_what_it_took_in_is_answered() -> None:
    slow, count = slow_image()
    flags = ("--workers=1", "--max-connection-age-seconds=1", "--refinement-max-pixels=2000000")
    hold = threading.Event()

    def messages() -> Iterator[pb.SegmentStreamRequest]:
        yield pb.SegmentStreamRequest(request_id="slow", request=request(slow, count))
        yield pb.SegmentStreamRequest(request_id="small", request=SMALL)
        hold.wait(PATIENCE_SECONDS)

    with running_server(*flags) as server:
        stream = server.stub.SegmentStream(messages())
        answers = {next(stream).request_id, next(stream).request_id}
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        hold.set()
        assert answers == {"slow", "small"}
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        assert "another" in refusal.text
        assert server.metric("superpixel_ready") == 1
