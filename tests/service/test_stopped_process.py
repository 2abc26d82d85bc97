"""A server that was stopped for a while (SIGSTOP, a frozen container) works again when it continues."""

import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from superpixel_service.operations import watchdog
from superpixel_service.operations.watchdog import Watchdog
from tests.service import held
from tests.service.harness import PATIENCE_SECONDS, request, running_server
from tests.service.images import raw, scene

SMALL = request(raw(scene()), 5)


class OneLongStep:
    """Workers in the middle of one step; the second sample succeeds."""

    def __init__(self) -> None:
        self.busy = True
        self.proofs = [False, True]

    def dead_workers(self) -> int:
        return 0

    def suspect(self) -> bool:
        return False

    def progress(self) -> Mapping[str, object]:
        return {"worker": 1} if self.busy else {}

    def prove(self, seconds: float) -> bool:  # noqa: ARG002
        return self.proofs.pop(0)


def looks(
    workers: OneLongStep, gaps: list[float], step_limit: float, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """The checks that failed, after looks with these gaps in seconds between them."""
    dead: list[str] = []
    now = [1000.0]
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now[0])
    looking = Watchdog(workers, step_limit, lambda _checks: None, dead.append)
    left = list(gaps)

    def wait(_seconds: float) -> bool:
        if not left:
            return True
        now[0] += left.pop(0)
        return False

    monkeypatch.setattr(looking._stopped, "wait", wait)
    looking._run()
    return dead


def test_time_while_the_process_is_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(OneLongStep(), [1, 1, 600, 1, 1], 60, monkeypatch) == []


def test_time_in_which_it_ran_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(OneLongStep(), [1.0] * 70, 60, monkeypatch) == ["queue"]
    assert looks(OneLongStep(), [2.5] * 30, 60, monkeypatch) == ["queue"]  # a busy machine looks late


def test_a_sample_that_ran_out_of_time_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = OneLongStep()
    idle.busy = False
    assert looks(idle, [11.0], 60, monkeypatch) == []
    assert idle.proofs == []


def test_a_stopped_server_wakes_and_serves(tmp_path: Path) -> None:
    environment = {held.RELEASE: str(tmp_path / "go")}
    flags = ("--workers=1", "--step-limit-seconds=6")
    with running_server(*flags, program=held.PROGRAM, environment=environment) as server:
        with ThreadPoolExecutor(1) as caller:
            slow = caller.submit(server.stub.Segment, request(held.image(), 5), timeout=4 * PATIENCE_SECONDS)
            server.wait_until(
                lambda: (
                    server.metric("superpixel_stages_begun_total", stage="segment", lane="interactive") == 1
                )
            )
            server.process.send_signal(signal.SIGSTOP)
            threading.Event().wait(8)  # longer than the step limit
            server.process.send_signal(signal.SIGCONT)
            (tmp_path / "go").touch()
            assert slow.result().label_map.count == 5
        time.sleep(2)  # a few looks
        assert server.process.poll() is None
        assert server.stub.Segment(SMALL, timeout=PATIENCE_SECONDS).label_map.count == 5
