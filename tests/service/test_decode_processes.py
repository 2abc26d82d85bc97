"""Decodes that cannot be finished: each is ended, gets its own answer, and nobody else notices."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
import pytest
from benchmarks.peak_memory import peak_bytes

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.work.decode_processes import REPLACED
from tests.service.harness import (
    INTERPRETER,
    MEBIBYTE,
    PATIENCE_SECONDS,
    RunningServer,
    refused,
    request,
    running_server,
    wait_until,
)
from tests.service.images import encoded, scene
from tests.service.webp_bombs import code_table_bomb

SPIN, SLEEP, SLEEP_ONCE, CRASH, TAKE_MEMORY = 301, 302, 303, 304, 305
"""Widths of images that cause a fault, as in `decode_faults/sitecustomize.py`."""

VICTIM = request(encoded(scene(), "JPEG"), 5)
TWO_WORKERS = ("--workers=2", "--threads-per-image=1")


def faulty(width: int) -> pb.SegmentRequest:
    return request(encoded(scene(width, 200), "WEBP"), 5)


@dataclass
class Faulty:
    """A server whose decode processes have faults on command.

    Attributes:
        folder: where they write their numbers.
        before: number of replaced processes at the beginning of the test, by cause.
    """

    server: RunningServer
    folder: Path
    before: dict[str, float] = field(default_factory=dict)

    def begun(self, fault: int) -> list[int]:
        """The numbers of the processes that began this fault."""
        with contextlib.suppress(FileNotFoundError):
            return [int(line) for line in (self.folder / str(fault)).read_text().splitlines()]
        return []

    def wait_until_begun(self, fault: int, times: int = 1) -> int:
        """Wait until a fault has begun so often; returns the number of the last process."""
        wait_until(lambda: len(self.begun(fault)) >= times)
        return self.begun(fault)[times - 1]

    def replaced(self, cause: str) -> float:
        """The number of processes replaced in this test."""
        count = self.server.metric("superpixel_decode_processes_replaced_total", cause=cause)
        return count - self.before.get(cause, 0)

    def check_serves(self) -> None:
        assert self.server.stub.Segment(VICTIM, timeout=PATIENCE_SECONDS).label_map.count == 5
        assert self.server.process.poll() is None


@contextlib.contextmanager
def faulty_server(folder: Path, *flags: str) -> Iterator[Faulty]:
    faults = Path(__file__).parent / "decode_faults"
    environment = {"PYTHONPATH": str(faults), "DECODE_FAULTS": str(folder)}
    with running_server(*flags, program=INTERPRETER, environment=environment) as server:
        yield Faulty(server, folder)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with faulty_server(tmp_path_factory.mktemp("faults"), *TWO_WORKERS) as faults:
        yield faults


@pytest.fixture
def faults(running: Faulty) -> Faulty:
    """A server that has served the tests before; it has forgotten their faults."""
    for file in running.folder.iterdir():
        file.unlink()
    running.before = {}
    running.before = {cause: running.replaced(cause) for cause in REPLACED}
    return running


def processes_of(server: RunningServer) -> list[psutil.Process]:
    """The fork server and the decode processes."""
    return psutil.Process(server.process.pid).children(recursive=True)


def check_rejected(faults: Faulty, message: pb.SegmentRequest, text: str) -> None:
    refusal = refused(lambda: faults.server.stub.Segment(message, timeout=PATIENCE_SECONDS))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "IMAGE_UNDECODABLE")
    assert re.search(text, refusal.text), refusal.text
    assert refusal.retry_seconds is None
    assert set(refusal.fields) == {"encoded_image"}


# ---- bounds


def test_a_decode_that_takes_too_long_is_ended_and_rejected(faults: Faulty) -> None:
    with ThreadPoolExecutor(1) as caller:
        rejected = caller.submit(check_rejected, faults, faulty(SPIN), "WEBP file takes more than 0.5 s")
        number = faults.wait_until_begun(SPIN)
        faults.check_serves()
        rejected.result()
    assert not psutil.pid_exists(number)
    assert faults.begun(SPIN) == [number]  # no second try
    assert faults.replaced("too_slow") == 1
    faults.check_serves()


def test_a_decode_that_takes_too_much_memory_is_rejected(faults: Faulty) -> None:
    check_rejected(faults, faulty(TAKE_MEMORY), "WEBP file takes far more")
    faults.check_serves()
    assert [faults.replaced(cause) for cause in REPLACED] == [0, 0, 0]


def test_a_webp_full_of_code_tables_is_rejected_without_its_memory(faults: Faulty) -> None:
    """295 kB and 1 megapixel: decoded, it takes 360 MiB and 50 times a photograph's time."""
    for process in processes_of(faults.server):
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # begin to measure the peak
    check_rejected(faults, request(code_table_bomb(1024, 1024), 5), "WEBP file takes far more")
    assert [faults.replaced(cause) for cause in REPLACED] == [0, 0, 0]
    assert max(peak_bytes(each.pid) for each in processes_of(faults.server)) < 200 * MEBIBYTE
    faults.check_serves()
    small = faults.server.stub.Segment(request(code_table_bomb(64, 64), 5))  # a sound file, within the bounds
    assert small.label_map.count == 5


# ---- the caller is gone


def test_a_cancelled_call_ends_its_decode(faults: Faulty) -> None:
    call = faults.server.stub.Segment.future(faulty(SLEEP))
    number = faults.wait_until_begun(SLEEP)
    faults.check_serves()
    call.cancel()
    wait_until(lambda: not psutil.pid_exists(number))
    wait_until(lambda: faults.replaced("stopped") == 1)
    assert faults.begun(SLEEP) == [number]
    faults.check_serves()


def test_a_decode_ends_at_its_deadline(faults: Faulty) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        faults.server.stub.Segment(faulty(SLEEP), timeout=2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: faults.replaced("stopped") == 1)
    assert not any(map(psutil.pid_exists, faults.begun(SLEEP)))
    faults.check_serves()


# ---- a process ends


def test_after_the_end_of_its_process_a_file_is_decoded_by_another_one(faults: Faulty) -> None:
    message = faulty(SLEEP_ONCE)
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(faults.server.stub.Segment, message, timeout=PATIENCE_SECONDS)
        os.kill(faults.wait_until_begun(SLEEP_ONCE), signal.SIGKILL)
        found = answer.result()
    assert len(set(faults.begun(SLEEP_ONCE))) == 2
    assert found.label_map == faults.server.stub.Segment(message).label_map
    assert faults.replaced("lost") == 1
    line = faults.server.wait_for_line("decode_process_lost")
    assert (line["why"], line["format"]) == ("it ended by signal 9", "webp")


def test_a_file_whose_decode_ends_two_processes_is_an_internal_error(faults: Faulty) -> None:
    refusal = refused(lambda: faults.server.stub.Segment(faulty(CRASH), timeout=PATIENCE_SECONDS))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    assert refusal.retry_seconds is None
    assert len(set(faults.begun(CRASH))) == 2
    assert faults.replaced("lost") == 2
    faults.check_serves()


def test_idle_processes_may_be_killed(faults: Faulty) -> None:
    fork_server, *others = processes_of(faults.server)
    for process in others:
        process.kill()
    faults.check_serves()
    fork_server.kill()  # and the kernel ends its children
    faults.check_serves()
    wait_until(lambda: not fork_server.is_running())
    faults.check_serves()  # the call before this may have been served before the kernel ended the children
    assert processes_of(faults.server)[0] != fork_server


def test_a_process_that_never_answers_does_not_end_the_server(tmp_path: Path) -> None:
    with faulty_server(tmp_path, *TWO_WORKERS, "--step-limit-seconds=3") as faults:
        refusal = refused(lambda: faults.server.stub.Segment(faulty(SLEEP), timeout=PATIENCE_SECONDS))
        assert refusal.code is grpc.StatusCode.INTERNAL
        assert len(faults.begun(SLEEP)) == 2
        faults.check_serves()
        assert faults.server.health_status() == "SERVING"


# ---- the server ends


@pytest.mark.parametrize("end", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_no_process_outlives_the_server(tmp_path: Path, end: signal.Signals) -> None:
    with faulty_server(tmp_path, *TWO_WORKERS, "--grace-seconds=0") as faults:
        calls = [faults.server.stub.Segment.future(faulty(fault)) for fault in (SPIN, SLEEP)]
        for fault in (SPIN, SLEEP):
            faults.wait_until_begun(fault)
        processes = processes_of(faults.server)
        assert len(processes) == 5
        faults.server.signal(end)
        faults.server.exit_code()
        wait_until(lambda: not any(process.is_running() for process in processes))
        for call in calls:
            call.cancel()


def test_signals_to_all_processes_of_a_server_leave_the_decoding_to_it(faults: Faulty) -> None:
    before = processes_of(faults.server)
    for process in before:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
    faults.check_serves()
    assert processes_of(faults.server) == before
    assert all(process.is_running() for process in before)


def test_decode_processes_are_small_and_load_neither_grpc_nor_cuda(faults: Faulty) -> None:
    faults.check_serves()
    fork_server, *others = processes_of(faults.server)
    assert others
    for process in (fork_server, *others):
        assert process.num_threads() == 1
        names = {Path(file.path).name for file in process.memory_maps()}
        assert not [name for name in names if re.match("cygrpc|libcuda|libcudart|cupy|_engine", name)]
    for process in others:
        assert process.memory_full_info().uss < 32 * MEBIBYTE
