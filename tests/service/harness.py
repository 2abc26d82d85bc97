"""A real server in a process of its own, and a plain client for it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
import psutil
from benchmarks.peak_memory import peak_bytes
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families

from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from tests.service.forked import Forked

MEBIBYTE = 1 << 20
PATIENCE_SECONDS = 120.0
"""Longest wait for an event. No test depends on it: it only ends tests that would wait for ever."""

CHANNEL_OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll a condition that no event announces.

    Raises:
        AssertionError: it does not hold after `PATIENCE_SECONDS`.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition was never met"
        time.sleep(0.005)


@dataclass
class RunningServer:
    process: subprocess.Popen[str] | Forked
    lines: list[dict[str, Any]] = field(default_factory=list)
    raw_lines: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ready = self.wait_for_line("ready")
        self.listen, self.health, self.metrics_address = ready["listen"], ready["health"], ready["metrics"]
        self.channel = self.open_channel()
        self.stub = pb_grpc.SuperpixelServiceStub(self.channel)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with suppress(ValueError):  # the test is over, and has closed the file
            for line in self.process.stderr:
                with self.changed:
                    self.raw_lines.append(line)
                    if line.startswith("{"):
                        self.lines.append(json.loads(line))
                    self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()

    def join_reader(self) -> None:
        """Wait until the last line of an ended server is read."""
        self._reader.join(PATIENCE_SECONDS)

    def wait_for_line(self, event: str, **fields: object) -> dict[str, Any]:
        """Wait for the first log line of `event` with these fields, and return it."""

        def found() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}
            return next((line for line in self.lines if wanted.items() <= line.items()), None)

        with self.changed:
            self.changed.wait_for(lambda: found() or not self._reader.is_alive(), PATIENCE_SECONDS)
            line = found()
        assert line is not None, f"no line {event} {fields} in {self.raw_lines}"
        return line

    def open_channel(self, *options: tuple[str, Any]) -> grpc.Channel:
        return grpc.insecure_channel(self.listen, options=[*CHANNEL_OPTIONS, *options])

    def health_status(
        self, service: str = "", *, address: str | None = None, timeout: float = PATIENCE_SECONDS
    ) -> str:
        with grpc.insecure_channel(address or self.health) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=timeout)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

    def metrics_text(self) -> str:
        address = f"http://{self.metrics_address}/metrics"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_SECONDS) as page:
                return page.read().decode()
        except OSError as error:
            error.add_note(f"the server wrote last: {self.raw_lines[-20:]}")
            raise

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with at least those labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.metrics_text())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """As the function of that name."""
        wait_until(condition)

    def wait_until_working(self, *, waiting: int = 0) -> None:
        """Wait until one call is being worked on and `waiting` others are queued."""
        self.wait_until(
            lambda: (
                self.metric("superpixel_inflight_bytes") > 0
                and self.metric("superpixel_queue_depth") == waiting
            )
        )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, timeout: float = PATIENCE_SECONDS) -> int:
        return self.process.wait(timeout)

    def cpu_seconds(self, *, children: bool = False) -> float:
        """Processor time of the process so far. Other programs on the machine hardly change it.

        Args:
            children: also of its decode processes.
        """
        program = psutil.Process(self.process.pid)
        processes = [program, *(program.children(recursive=True) if children else [])]
        return float(sum(each.user + each.system for each in (one.cpu_times() for one in processes)))

    def stages_begun(self, stage: str, **labels: str) -> float:
        """Number of images for which this stage has begun."""
        return self.metric("superpixel_stages_begun_total", stage=stage, **labels)

    def resident_bytes(self) -> int:
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def peak_resident_bytes(self) -> int:
        """Peak memory of the process, as the kernel reports it."""
        return peak_bytes(self.process.pid)


def program_with(
    constants: Mapping[str, object], module: str = "superpixel_service.__main__"
) -> tuple[str, ...]:
    """The program `module` with other values of some constants of the service.

    Args:
        constants: values by "module.NAME", the module named below `superpixel_service`, as in
            {"transport.gate.PATIENCE_SECONDS": 6.0}.
        module: the program.
    """
    lines = ["import importlib, runpy"]
    for path, value in constants.items():
        name, _, constant = path.rpartition(".")
        lines.append(f"module = importlib.import_module('superpixel_service.{name}')")
        # A name that is not there would leave the constant as it is, and the test without its subject.
        lines.append(f"assert hasattr(module, {constant!r}); module.{constant} = {value!r}")
    return ("-c", "\n".join([*lines, f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"]))


INTERPRETER = ("-m", "superpixel_service")
"""The server in an interpreter of its own, as users start it: for tests of its start, end or environment."""

OWN_HOST = f"127.64.0.{1 + int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])}"
"""An address of this process's tests alone: no other server gets the port of one that ended there."""


@contextmanager
def running_server(
    *flags: str,
    environment: Mapping[str, str] | None = None,
    program: str | Sequence[str] = "superpixel_service.__main__",
    reader: type[RunningServer] = RunningServer,
) -> Iterator[RunningServer]:
    """Start `superpixel serve` on free ports, without a cache. At the end kill it if it still runs.

    Args:
        program: a module, which a fork runs (see `forked`); or the first arguments of an interpreter: see
            `INTERPRETER` and `program_with`.
        reader: reads the server's log.
    """
    ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "health-listen", "metrics-listen")]
    # Most tests need the work done, although they send the same image again and again.
    usual = ["--log-format=json", "--cache-bytes=0"]
    arguments = ["serve", *ports, *usual, *flags]
    variables = {**os.environ, **(environment or {})}
    process: subprocess.Popen[str] | Forked
    if isinstance(program, str):
        process = Forked(program, arguments, variables)
    else:
        process = subprocess.Popen(
            [sys.executable, *program, *arguments], stderr=subprocess.PIPE, text=True, env=variables
        )
    try:
        server = reader(process)
        with server.channel:
            yield server
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@dataclass(frozen=True)
class Refusal:
    """A rejection as a client sees it."""

    code: grpc.StatusCode
    text: str
    reason: str
    domain: str
    metadata: dict[str, str]
    fields: dict[str, str]
    retry_seconds: float | None
    trailers: dict[str, str | bytes]


def refusal_of(error: grpc.RpcError) -> Refusal:
    status = rpc_status.from_call(error)
    assert status is not None, f"no details in {error!r}"
    info, violations, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_seconds = None
    for detail in status.details:
        if detail.Is(ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(BadRequest.DESCRIPTOR):
            detail.Unpack(violations)
        elif detail.Unpack(retry):
            retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
    return Refusal(
        code=error.code(),
        text=error.details(),
        reason=info.reason,
        domain=info.domain,
        metadata=dict(info.metadata),
        fields={violation.field: violation.description for violation in violations.field_violations},
        retry_seconds=retry_seconds,
        trailers=dict(error.trailing_metadata()),
    )


def refused(call: Callable[[], object]) -> Refusal:
    """Make the call, which must fail, and return its rejection."""
    try:
        call()
    except grpc.RpcError as error:
        return refusal_of(error)
    raise AssertionError("the call was not refused")


def request(source: bytes | pb.RawImage, *counts: int, **fields: Any) -> pb.SegmentRequest:
    """A request for an image file or raw pixels."""
    if isinstance(source, pb.RawImage):
        return pb.SegmentRequest(raw_image=source, target_counts=counts, **fields)
    return pb.SegmentRequest(encoded_image=source, target_counts=counts, **fields)
