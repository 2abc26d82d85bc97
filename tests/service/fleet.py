"""Several servers behind one name, and callers that never pause."""

import threading
from contextlib import ExitStack
from typing import Self

from superpixel_service.client import Client
from tests.service.harness import OWN_HOST, PATIENCE_SECONDS, RunningServer, running_server, wait_until
from tests.service.images import encoded, scene

PNG = encoded(scene())
# Callers that never pause would delay bulk work by this time per step.
FLAGS = ("--workers=1", "--threads-per-image=1", "--bulk-patience-seconds=0.001")


def handled(server: RunningServer) -> float:
    return server.metric("grpc_server_handled_total", grpc_method="Segment", grpc_code="OK")


def name_of(*servers: RunningServer) -> str:
    return "ipv4:" + ",".join(server.listen for server in servers)


class Fleet:
    """Three servers for the whole file; tests may end them."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._servers = [self._start() for _ in range(3)]

    def _start(self, *flags: str) -> RunningServer:
        return self._stack.enter_context(running_server(*FLAGS, f"--listen={OWN_HOST}:0", *flags))

    def alive(self) -> list[RunningServer]:
        """All three; new ones in place of those that have ended."""
        self._servers = [
            server if server.process.poll() is None else self._start(f"--listen={server.listen}")
            for server in self._servers
        ]
        return list(self._servers)


class Callers:
    """Threads that call without pause; all answers and errors are counted."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(4)]
        self.answers = 0
        self.errors: list[Exception] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads)

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                assert self._client.segment(PNG, counts=5).count == 5
            except Exception as error:  # noqa: BLE001 (any kind counts)
                self.errors.append(error)
            self.answers += 1

    def make(self, calls: int) -> None:
        """Wait until `calls` more are made."""
        goal = self.answers + calls
        wait_until(lambda: self.answers >= goal)


def call_until_all_have_served(client: Client, servers: list[RunningServer]) -> None:
    """Call until each server has served the client since now."""
    before = [handled(server) for server in servers]

    def call() -> bool:
        client.segment(PNG, counts=5)
        return all(handled(server) > first for server, first in zip(servers, before, strict=True))

    wait_until(call)
