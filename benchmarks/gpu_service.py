"""Images per second through a server with the backend cuda, and through one with the backend cpu."""

import importlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.data import as_jpeg
from benchmarks.gpu_devices import Size, named, photograph
from benchmarks.report import say, say_table

COUNT = 1000
FILES = 48
"""Photographs, each shifted differently. The servers have no cache."""

OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@dataclass(frozen=True, slots=True)
class Server:
    """A server, and its measurements.

    Attributes:
        backend: "cuda" or "cpu".
        workers: its setting; 0: the server's default.
        images_a_second: with all callers at work.
        server_cores: CPU seconds of the server and its decode processes, per second.
        caller_cores: CPU seconds of all callers, which are threads of one process, per second.
        start_seconds: from its start until it was ready.
    """

    backend: str
    workers: int
    images_a_second: float
    server_cores: float
    caller_cores: float
    start_seconds: float


def measure(
    size: Size, workers: Sequence[int], callers: int, seconds: float, index: int, *, simulate: bool
) -> tuple[list[Server], str | None]:
    """Measure a server per entry of `workers`, then one with the backend cpu.

    Returns:
        The servers, and why not all were measured; None: all were.
    """
    if not workers:
        return [], "not wanted"
    servers: list[Server] = []
    try:
        image, count = photograph(size), min(COUNT, size[0] * size[1])
        files = [
            as_jpeg(np.roll(image, (7 * number, 11 * number), axis=(0, 1)))
            for number in range(max(FILES, callers))
        ]
        for backend, number in [*(("cuda", each) for each in workers), ("cpu", 0)]:
            start = time.perf_counter()
            flags = [f"--backend={backend}", *([f"--workers={number}"] if number else [])]
            if backend == "cuda":
                flags.append(f"--device={index}")
            with running(flags, simulate=simulate and backend == "cuda") as (address, process):
                ready = time.perf_counter() - start
                server_seconds, caller_seconds = cpu_seconds(process), time.process_time()
                begin = time.perf_counter()
                images = rate(address, files, count, callers, seconds)
                took = time.perf_counter() - begin
                server_seconds = cpu_seconds(process) - server_seconds
                caller_seconds = time.process_time() - caller_seconds
                servers.append(
                    Server(backend, number, images, server_seconds / took, caller_seconds / took, ready)
                )
    except Exception as error:  # noqa: BLE001 (whatever is missing on that machine, the other figures count)
        return servers, f"{type(error).__name__}: {error}"
    return servers, None


def say_servers(servers: Sequence[Server], missing: str | None, size: Size, callers: int) -> None:
    """Print the table, and what is missing in it."""
    say_table(
        f"Images per second through a server, {named(size)}, {COUNT} superpixels, {callers} callers",
        ["backend", "workers", "images/s", "server's cores", "callers' cores", "seconds to start"],
        [
            [
                each.backend,
                each.workers or "default",
                each.images_a_second,
                each.server_cores,
                each.caller_cores,
                each.start_seconds,
            ]
            for each in servers
        ],
    )
    if missing is not None:
        say(f"  not all servers were measured: {missing}")


@contextmanager
def running(flags: Sequence[str], *, simulate: bool) -> Iterator[tuple[str, int]]:
    """Start a server on free ports of the loopback interface; yield its address and process; then stop it.

    Raises:
        RuntimeError: the server ended; with the end of its log.
    """
    module = "benchmarks.gpu_simulated_server" if simulate else "superpixel_service"
    ports = [f"--{name}=127.0.0.1:0" for name in ("listen", "health-listen", "metrics-listen")]
    command = [sys.executable, "-m", module, "serve", *ports, "--log-format=json", "--cache-bytes=0", *flags]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as server:  # noqa: S603
        try:
            yield _ready(server), server.pid
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that a process and its descendants have taken."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    own = sum(int(fields[index]) for index in (11, 12)) / os.sysconf("SC_CLK_TCK")  # user and system
    children = Path(f"/proc/{process}/task").glob("*/children")
    return own + sum(cpu_seconds(int(child)) for path in children for child in path.read_text().split())


def _ready(server: "subprocess.Popen[str]") -> str:
    """Return the address once the server is ready; a thread reads the rest of its log."""
    lines = []
    for line in server.stderr or ():
        lines.append(line)
        event: dict[str, str] = json.loads(line) if line.startswith("{") else {}
        if event.get("event") == "ready":
            threading.Thread(target=lambda: list(server.stderr or ()), daemon=True).start()
            return event["listen"]
    raise RuntimeError(f"the server ended with status {server.wait()}: {' '.join(lines[-3:]).strip()}")


def rate(address: str, files: Sequence[bytes], count: int, callers: int, seconds: float) -> float:
    """Return the images per second of `callers` threads, including the images in flight at the end."""
    grpc = importlib.import_module("grpc")
    pb = importlib.import_module("superpixel_service.pb.superpixel.v1.superpixel_pb2")
    pb_grpc = importlib.import_module("superpixel_service.pb.superpixel.v1.superpixel_pb2_grpc")
    with grpc.insecure_channel(address, OPTIONS) as channel, ThreadPoolExecutor(callers) as pool:
        stub = pb_grpc.SuperpixelServiceStub(channel)
        start = time.perf_counter()

        def call(rank: int) -> int:
            done = 0
            while done == 0 or time.perf_counter() - start < seconds:
                # Callers start at different files, so that no two send the same file at the same time.
                file = files[(rank + callers * done) % len(files)]
                request = pb.SegmentRequest(encoded_image=file, target_counts=[count], include_hierarchy=True)
                try:
                    stub.Segment(request, timeout=20)
                except grpc.RpcError as error:
                    # A server with few workers may reject some of the callers; they try again.
                    too_busy = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                    if not too_busy or time.perf_counter() - start > seconds + 20:
                        raise
                    time.sleep(0.01)
                    continue
                done += 1
            return done

        done = sum(pool.map(call, range(callers)))
        return done / (time.perf_counter() - start)
