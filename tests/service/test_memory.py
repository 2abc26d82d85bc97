"""Freed memory: kept while the server works, returned to the system when it is idle."""

import time
from pathlib import Path

import numpy as np
import pytest

from superpixel_service.work.memory import IdleMemory
from tests.service.harness import MEBIBYTE, PATIENCE_SECONDS, program_with, request, running_server
from tests.service.images import raw
from tests.service.mortal import mortal_server

PIXELS = np.random.default_rng(3).integers(0, 255, (108, 192, 3), np.uint8).repeat(10, 0).repeat(10, 1)


def page_faults(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[7])


def test_the_next_image_does_not_pay_page_faults_for_the_last_ones_memory() -> None:
    message = request(raw(PIXELS), 400)
    with running_server("--workers=1") as server:
        for _ in range(6):
            server.stub.Segment(message)
        before = page_faults(server.process.pid)
        for _ in range(10):
            server.stub.Segment(message)
        # With returned memory each image of 6 MB takes 4,000 to 11,000 faults.
        assert (page_faults(server.process.pid) - before) / 10 < 1500


def test_memory_is_returned_once_per_idle_period(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = IdleMemory()
    trims: list[int] = []
    monkeypatch.setattr(memory, "_trim", lambda padding: trims.append(padding) or 1)
    returned = [memory.look(work) for work in [1] * 9 + [2] + [2] * 30 + [3] + [3] * 10]
    assert [look for look, did in enumerate(returned) if did] == [19, 50]
    assert trims == [0, 0]


def test_an_idle_server_frees_the_engines_memory() -> None:
    """Of every worker: the scratch memory of a large image, 48 bytes per pixel."""
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    message = request(raw(noise), 400)
    program = program_with({"work.memory._IDLE_LOOKS": 2})
    with running_server("--workers=1", program=program) as server:
        before = server.resident_bytes()
        assert server.stub.Segment(message, timeout=PATIENCE_SECONDS).label_map.count == 400
        assert server.peak_resident_bytes() - before > 150 * MEBIBYTE
        server.wait_until(lambda: server.resident_bytes() - before < 50 * MEBIBYTE)
        assert server.stub.Segment(message, timeout=PATIENCE_SECONDS).label_map.count == 400


def test_a_working_engines_memory_is_not_freed(tmp_path: Path) -> None:
    program = {"work.memory._IDLE_LOOKS": 1}
    with mortal_server(tmp_path, "--workers=1", order="stall", constants=program) as mortal:
        running = mortal.server.stub.Segment.future(request(raw(PIXELS), 400))
        mortal.server.wait_until_working()
        time.sleep(3)  # looks without progress
        mortal.release()
        assert running.result(PATIENCE_SECONDS).label_map.count == 400


def test_without_glibc_nothing_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = IdleMemory()
    monkeypatch.setattr(memory, "_trim", None)
    assert not any(memory.look(0) for _ in range(30))
