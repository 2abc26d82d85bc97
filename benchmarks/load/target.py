"""The measured server: one that we start with the settings and the cores of a pod, or any running one."""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import yaml  # type: ignore[import-untyped]

from benchmarks.load.generator import Send

POD = Path(__file__).parents[2] / "deploy" / "base" / "kustomization.yaml"
WATCH_SECONDS = 0.25
QUEUE_METRIC = "superpixel_queue_pixels"


@dataclass
class Vitals:
    """Resource use of our server during a run.

    Attributes:
        seconds: length of the observation.
        cpu_seconds: processor time of the server.
        other_seconds: processor time of all other processes on this machine, except this one.
        peak_bytes: largest memory of the server.
        queue_pixels: samples of the waiting pixels.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    other_seconds: float = 0.0
    peak_bytes: int = 0
    queue_pixels: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class OwnServer:
    """A server that we started.

    Attributes:
        process: the server's process.
        address: of the gRPC service.
        metrics: address of the metrics.
        cores: number of cores that it may use.
        settings: environment variables that differ from the defaults.
        ready_seconds: from its start until it was warm and ready; a new pod takes this long once its image is
            on the node.
    """

    process: subprocess.Popen[str]
    address: str
    metrics: str
    cores: int
    settings: Mapping[str, str]
    ready_seconds: float

    @contextmanager
    def watched(self) -> Iterator[Vitals]:
        """Yield the server's vitals; they are complete when the block ends."""
        seen, stop, about = Vitals(), threading.Event(), psutil.Process(self.process.pid)

        def watch() -> None:
            while not stop.wait(WATCH_SECONDS):
                seen.peak_bytes = max(seen.peak_bytes, about.memory_info().rss)
                seen.queue_pixels.append(self._queue_pixels())

        start, before, before_all = time.monotonic(), _cpu_seconds(about), _all_but_idle()
        own_before = time.process_time()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            stop.set()
            watcher.join()
            seen.seconds = time.monotonic() - start
            seen.cpu_seconds = _cpu_seconds(about) - before
            own = time.process_time() - own_before
            seen.other_seconds = max(0.0, _all_but_idle() - before_all - seen.cpu_seconds - own)

    def _queue_pixels(self) -> float:
        with urllib.request.urlopen(f"http://{self.metrics}/metrics", timeout=10) as page:
            lines = page.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(QUEUE_METRIC + "{"))


@dataclass(frozen=True)
class Ready:
    """A server that is ready to be measured.

    Attributes:
        senders: start a call on the server.
        own: the server if we started it, else None.
        cores: number of cores of the server.
    """

    senders: list[Send]
    own: OwnServer | None
    cores: int


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _all_but_idle() -> float:
    """Return the processor seconds of all processes since the machine's start."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def pod_settings(cores: int) -> dict[str, str]:
    """Return the settings of deploy/base, but with workers for the cores and without a cache."""
    generators = yaml.safe_load(POD.read_text())["configMapGenerator"]
    literals = next(found for found in generators if found["name"] == "superpixel-settings")["literals"]
    settings = dict(line.split("=", 1) for line in literals)
    return settings | {
        "SUPERPIXEL_WORKERS": str(cores),
        "SUPERPIXEL_THREADS_PER_IMAGE": str(cores),
        "SUPERPIXEL_CACHE_BYTES": "0",
    }


@contextmanager
def own_server(cores: int) -> Iterator[OwnServer]:
    """Start a server on the first `cores` cores; this process moves to the other cores, if there are any."""
    available = sorted(os.sched_getaffinity(0))
    if not 1 <= cores <= len(available):
        raise SystemExit(f"--server-cores: must be 1 to {len(available)} here, got {cores}")
    settings = pod_settings(cores)
    ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "health-listen", "metrics-listen")]
    os.sched_setaffinity(0, available[:cores])  # the child inherits it
    start = time.monotonic()
    try:
        process = subprocess.Popen(  # noqa: S603 (our own program)
            [sys.executable, "-m", "superpixel_service", "serve", *ports],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )
    finally:
        os.sched_setaffinity(0, available[cores:] or available)
    if process.stderr is None:
        raise AssertionError("stderr must be a pipe")
    # Reads the server's log to the end: a full pipe would stop the server.
    reader = threading.Thread(target=process.stderr.read, daemon=True)
    try:
        ready = _ready(process)
        took = time.monotonic() - start
        reader.start()
        yield OwnServer(process, ready["listen"], ready["metrics"], cores, settings, took)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if reader.is_alive():
            reader.join()
        process.stderr.close()
        os.sched_setaffinity(0, available)


def _ready(process: subprocess.Popen[str]) -> dict[str, str]:
    """Read the log until the server is ready, and return that event."""
    lines = []
    for line in process.stderr or ():
        lines.append(line)
        event: dict[str, str] = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "ready":
            return event
    raise SystemExit(f"the server ended with status {process.wait()}:\n" + "".join(lines[-5:]))
