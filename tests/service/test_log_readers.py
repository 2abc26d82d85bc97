"""If the reader of the log stalls or is gone, the server works, serves metrics, and stops on SIGTERM."""

import fcntl
import json
import os
import select
import signal
import threading
from pathlib import Path

import pytest

from superpixel_service.background import BackgroundQueue
from superpixel_service.operations import logs
from tests.service.harness import (
    INTERPRETER,
    PATIENCE_SECONDS,
    RunningServer,
    refused,
    request,
    running_server,
)
from tests.service.images import encoded, scene
from tests.service.mortal import EXIT_ENGINE_DEAD, PROGRAM, Mortal

CALLS = 200  # their lines are many times what the pipe holds
PIPE_BYTES = 4096
SMALL = request(encoded(scene()), 5)


class Stalled(RunningServer):
    """A server whose log is read up to the line `ready`; then the reader stays, but reads nothing more."""

    def _read(self) -> None:
        assert self.process.stderr is not None
        fcntl.fcntl(self.process.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        while not self.lines or self.lines[-1]["event"] != "ready":
            line = self.process.stderr.readline()
            self.raw_lines.append(line)
            self.lines.append(json.loads(line))
        self.stop_reading()
        with self.changed:
            self.changed.notify_all()

    def stop_reading(self) -> None:
        pass


class Gone(Stalled):
    """A server whose log's reader is gone after the line `ready`."""

    def stop_reading(self) -> None:
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.mark.parametrize("reader", [Stalled, Gone])
def test_the_server_outlives_the_readers_of_its_log(reader: type[RunningServer]) -> None:
    with running_server(program=INTERPRETER, reader=reader) as server:
        for _ in range(CALLS):
            assert server.stub.Segment(SMALL, timeout=PATIENCE_SECONDS).label_map.count == 5
        assert server.metric("grpc_server_handled_total", grpc_code="OK") == CALLS
        if reader is Gone:
            server.wait_until(lambda: server.metric("superpixel_log_lines_dropped_total") >= CALLS)
        server.signal(signal.SIGTERM)
        assert server.exit_code() == 0


@pytest.mark.parametrize("reader", [Stalled, pytest.param(Gone, marks=pytest.mark.slow)])
def test_a_dead_engine_ends_the_server_with_or_without_readers_of_its_log(
    reader: type[RunningServer], tmp_path: Path
) -> None:
    orders = tmp_path / "orders"
    given = {"program": ("-m", PROGRAM), "environment": {"MORTAL_ORDERS": str(orders)}}
    with running_server("--workers=1", reader=reader, **given) as server:  # type: ignore[arg-type]
        for _ in range(CALLS):
            assert server.stub.Segment(SMALL, timeout=PATIENCE_SECONDS).label_map.count == 5
        Mortal(server, orders).order("lose_the_device")
        for _ in range(3):
            refused(lambda: server.stub.Segment(SMALL, timeout=PATIENCE_SECONDS))
        assert server.exit_code() == EXIT_ENGINE_DEAD


def test_lines_beyond_those_that_may_wait_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_MOST_LINES_WAITING", 100)
    reader, descriptor = os.pipe()
    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    writer = logs.LineWriter(descriptor)
    lines = [f"{number:99}\n" for number in range(1000)]
    for line in lines:
        writer.write(line)
    assert 1000 - 100 - PIPE_BYTES // 100 - 1 <= writer.dropped <= 1000 - 100
    kept = 1000 - writer.dropped
    done = threading.Thread(target=writer.wait, args=(PATIENCE_SECONDS,))
    done.start()
    with os.fdopen(reader) as read:
        assert [read.readline() for _ in range(kept)] == lines[:kept]
        done.join(PATIENCE_SECONDS)
        assert not done.is_alive()
    writer.write("nobody reads this\n")
    writer.wait(PATIENCE_SECONDS)
    assert writer.dropped == 1000 - kept + 1
    os.close(descriptor)


def test_lines_that_a_full_disk_rejects_are_dropped_and_counted() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = logs.LineWriter(descriptor)
    for _ in range(3):
        writer.write("no space left\n")
    writer.wait(PATIENCE_SECONDS)
    assert writer.dropped == 3
    os.close(descriptor)


def test_lines_that_wait_together_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    may_write = threading.Event()

    def write(_descriptor: int, text: memoryview) -> int:
        may_write.wait(PATIENCE_SECONDS)
        written.append(bytes(text))
        return len(text)

    monkeypatch.setattr(logs.os, "write", write)
    writer = logs.LineWriter(0)
    lines = ["first\n", *(f"{number:99}\n" for number in range(100)), "x" * 5000 + "\n", "last\n"]
    for line in lines:
        writer.write(line)
    may_write.set()
    writer.wait(PATIENCE_SECONDS)
    assert b"".join(written).decode() == "".join(lines)
    assert max(len(text) for text in written if not text.startswith(b"x")) <= select.PIPE_BUF
    assert len(written) <= 3 + 2 + 100 * 100 // (select.PIPE_BUF - 100)


def test_of_lines_written_in_part_the_rest_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    room = [6, 3]  # the first line and half of the second; then the reader is gone

    def write(_descriptor: int, text: memoryview) -> int:
        if not room:
            raise BrokenPipeError
        return min(room.pop(0), len(text))

    monkeypatch.setattr(logs.os, "write", write)
    writer = logs.LineWriter(0)
    for line in ("first\n", "second\n", "third\n"):
        writer.write(line)
    writer.wait(PATIENCE_SECONDS)
    assert writer.dropped == 2


def test_an_item_that_fails_does_not_stop_the_background_queue() -> None:
    told: list[float] = []
    teller: BackgroundQueue[int] = BackgroundQueue(lambda event: told.append(1 / event))
    for event in (1, 0, 2):
        teller.put(event)
    teller.flush(PATIENCE_SECONDS)
    assert told == [1.0, 0.5]
