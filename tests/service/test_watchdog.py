"""The watchdog: a server whose engine dies or stalls reports it in its health and ends for a restart."""

import contextlib
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from superpixel_service.operations import watchdog
from superpixel_service.operations.watchdog import CHECKS, Watchdog
from tests.service.harness import (
    PATIENCE_SECONDS,
    RunningServer,
    refusal_of,
    refused,
    request,
    wait_until,
)
from tests.service.images import encoded, raw, scene
from tests.service.mortal import EXIT_ENGINE_DEAD, mortal_server

PNG = encoded(scene())
SMALL = request(PNG, 5)


LOOKS_OFTEN = {"operations.watchdog._LOOK_SECONDS": 0.1}
STATUS_NAME = health_pb2.HealthCheckResponse.ServingStatus.Name


def watched_health(server: RunningServer, watchers: int = 1) -> list[list[str]]:
    """Watch health; returns the list of statuses that each watcher has seen, which grows."""
    seen: list[list[str]] = [[] for _ in range(watchers)]
    channel = grpc.insecure_channel(server.health)

    def watch(statuses: list[str]) -> None:
        answers = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        with contextlib.suppress(grpc.RpcError):
            statuses.extend(STATUS_NAME(answer.status) for answer in answers)

    for statuses in seen:
        threading.Thread(target=watch, args=(statuses,), daemon=True).start()
    server.wait_until(lambda: all(statuses == ["SERVING"] for statuses in seen))
    return seen


def test_a_sound_server_reports_each_check_as_well(server: RunningServer) -> None:
    assert {server.metric("superpixel_health_check", check=check) for check in CHECKS} == {1}
    assert server.metric("superpixel_ready") == 1


@pytest.mark.parametrize(
    "fault", ["end_a_worker", pytest.param("lose_the_device", marks=pytest.mark.slow), "hang"]
)
def test_a_dead_engine_ends_the_server_for_a_restart(fault: str, tmp_path: Path) -> None:
    """Health reports it first; waiting calls are sent elsewhere; the exit status asks for a restart."""
    with mortal_server(tmp_path, "--workers=1", "--step-limit-seconds=2") as mortal:
        server = mortal.server
        (statuses,) = watched_health(server)
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
        assert statuses[:2] == ["SERVING", "NOT_SERVING"]


def test_a_worker_that_hangs_is_found_while_another_works(tmp_path: Path) -> None:
    with mortal_server(
        tmp_path, "--workers=2", "--step-limit-seconds=2", order="hang_on_large", constants=LOOKS_OFTEN
    ) as mortal:
        server = mortal.server
        hung = server.stub.Segment.future(SMALL)
        low, codes = request(raw(scene(4000, 60)), 5), set()

        def keep_busy() -> None:
            while server.process.poll() is None:
                codes.add(server.stub.Segment.future(low).code())

        with ThreadPoolExecutor(4) as pool:
            callers = [pool.submit(keep_busy) for _ in range(4)]
            assert server.exit_code() == EXIT_ENGINE_DEAD
            for caller in callers:
                caller.result()
        assert refusal_of(hung.exception()).reason == "DEVICE_LOST"
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert server.wait_for_line("engine_dead")["check"] == "queue"


def test_all_health_watchers_see_not_serving_before_a_server_with_a_dead_engine_ends(tmp_path: Path) -> None:
    constants = {**LOOKS_OFTEN, "operations.watchdog._IDLE_SECONDS": 1.0}
    with mortal_server(tmp_path, "--workers=1", constants=constants) as mortal:
        seen = watched_health(mortal.server, watchers=30)
        mortal.order("lose_the_device")
        refused(lambda: mortal.server.stub.Segment(SMALL))
        assert mortal.server.exit_code() == EXIT_ENGINE_DEAD
        mortal.server.wait_until(lambda: set(map(tuple, seen)) == {("SERVING", "NOT_SERVING")})


def test_the_watchdog_finds_a_dead_engine_without_any_call(tmp_path: Path) -> None:
    constants = {**LOOKS_OFTEN, "operations.watchdog._IDLE_SECONDS": 1.0}
    with mortal_server(
        tmp_path, "--step-limit-seconds=1", order="lose_the_device", constants=constants
    ) as mortal:
        assert mortal.server.exit_code() == EXIT_ENGINE_DEAD


def test_bugs_with_some_images_do_not_end_the_server(tmp_path: Path) -> None:
    with mortal_server(tmp_path, "--workers=1", order="fail_now_and_then", constants=LOOKS_OFTEN) as mortal:
        server = mortal.server
        for _ in range(5):
            refusal = refused(lambda: server.stub.Segment(SMALL))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
        server.wait_until(
            (tmp_path / "orders.worked").exists
        )  # the watchdog has made the engine prove itself
        assert server.health_status() == "SERVING"
        small = request(raw(scene(60, 50)), 5)
        assert server.stub.Segment(small).label_map.count == 5
        assert not [line for line in server.lines if line["event"] == "engine_dead"]


class SteppingEngine:
    """An engine that works on one image; the test triggers its steps."""

    def __init__(self) -> None:
        self.step = 0
        self.busy = True
        self.looks = 0

    def dead_workers(self) -> int:
        return 0

    def suspect(self) -> bool:
        return False

    def progress(self) -> dict[str, object]:
        self.looks += 1
        return {"worker 0": self.step} if self.busy else {}

    def prove(self, seconds: float) -> bool:  # noqa: ARG002
        return True


def test_long_work_that_moves_from_step_to_step_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is the test's own: ten seconds per look, of which the watchdog counts three."""
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(watchdog, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    engine, dead = SteppingEngine(), threading.Event()

    class MovingEngine(SteppingEngine):
        def progress(self) -> dict[str, object]:
            self.step += self.busy  # one step per look
            return super().progress()

    engine = MovingEngine()
    watched = Watchdog(engine, 60.0, lambda _checks: None, lambda _check: dead.set())
    watched.start()
    wait_until(lambda: engine.looks > 50)
    engine.busy = False
    seen = engine.looks
    wait_until(lambda: engine.looks > seen + 50)
    assert not dead.is_set()
    stuck = SteppingEngine()
    engine.progress = stuck.progress  # type: ignore[method-assign]
    assert dead.wait(PATIENCE_SECONDS)
    assert 20 <= stuck.looks <= 22  # 60 seconds without a step
