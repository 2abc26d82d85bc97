"""Watches the attacked servers: memory, processor time, and how late their health is."""

import threading
import time
from contextlib import suppress
from typing import Self

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.attack.pod import Place

MEMORY_SECONDS = 0.05
PROBE_SECONDS = 0.25
PROBE_TIMEOUT_SECONDS = 5.0
"""As the manifests' liveness probe."""


class Watch:
    """Looks from the beginning of the block to its end.

    Attributes:
        before_bytes: memory of the first server when the block began.
        peak_bytes: most memory of any one server, its own processes included.
        slowest_probe: seconds of the slowest health check.
        not_serving: health checks that did not say SERVING.
        failed_probes: health checks that got no answer.
    """

    def __init__(self, place: Place, *, probes: bool = True) -> None:
        self._place = place
        self._stop = threading.Event()
        self._trees = [psutil.Process(pid) for pid in place.processes]
        self.before_bytes = self._memory(self._trees[0])
        self.peak_bytes = self.before_bytes
        self.slowest_probe = 0.0
        self.not_serving = 0
        self.failed_probes = 0
        looks = [self._watch_memory, *([self._watch_health] if probes else [])]
        self._threads = [threading.Thread(target=look, daemon=True) for look in looks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * PROBE_TIMEOUT_SECONDS)
        for server in self._place.servers:
            with suppress(OSError, TypeError):  # it has ended
                self.peak_bytes = max(self.peak_bytes, server.peak_resident_bytes())

    def cpu_seconds(self) -> float:
        """Processor time of all servers so far."""
        total = 0.0
        for tree in self._trees:
            with suppress(psutil.Error):
                for process in (tree, *tree.children(recursive=True)):
                    times = process.cpu_times()
                    total += times.user + times.system
        return total

    @staticmethod
    def _memory(server: psutil.Process) -> int:
        """Memory of a server; of its child processes only what they do not share with it."""
        total = 0
        with suppress(psutil.Error):
            total = server.memory_info().rss
            for child in server.children(recursive=True):
                memory = child.memory_info()
                total += max(0, memory.rss - memory.shared)
        return int(total)

    def _watch_memory(self) -> None:
        while not self._stop.wait(MEMORY_SECONDS):
            self.peak_bytes = max(self.peak_bytes, *(self._memory(tree) for tree in self._trees))

    def _watch_health(self) -> None:
        server = self._place.servers[0]
        with grpc.insecure_channel(server.health) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not self._stop.wait(PROBE_SECONDS):
                start = time.monotonic()
                try:
                    answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=PROBE_TIMEOUT_SECONDS)
                    self.not_serving += answer.status != health_pb2.HealthCheckResponse.SERVING
                except grpc.RpcError:
                    self.failed_probes += 1
                self.slowest_probe = max(self.slowest_probe, time.monotonic() - start)
