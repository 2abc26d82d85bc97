"""The standard health service, on threads that no amount of work can take away from it."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_health.v1.health import OVERALL_HEALTH, HealthServicer  # type: ignore[import-untyped]

from superpixel_service.interceptors import SERVICE
from superpixel_service.pools import answered_by

SERVICE_NAME = "grpc.health.v1.Health"

# A probe takes microseconds; a second thread is for a probe that comes while another one is being answered.
_THREADS = 2

# Each who watches holds a thread, made as it is needed. gRPC's bound on calls is lower.
_WATCHERS = 1024

_POLL_SECONDS = 0.01


class _Context:
    """A call's context that tells of the call's end also where it has ended before anybody asked."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have `callback` called when the call is over."""
        if not self._context.add_callback(callback):
            callback()
        return True


class _Servicer(HealthServicer):  # type: ignore[misc]
    """gRPC's own, on threads that may wait.

    Without (`experimental_non_blocking`, its default) it sends while it holds its lock, and waits for that to
    be done. gRPC's one thread that would tell asks for the lock as a watcher leaves: in that moment the whole
    server would stand still for good.
    """

    def __init__(self) -> None:
        watching = ThreadPoolExecutor(_WATCHERS, thread_name_prefix="watch")
        super().__init__(experimental_non_blocking=False, experimental_thread_pool=watching)
        self._watchers: weakref.WeakSet[Queue[Any]] = weakref.WeakSet()
        self._watchers_lock = threading.Lock()

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Answer with each status in turn."""
        statuses: Queue[Any] = Queue()
        with self._watchers_lock:
            self._watchers.add(statuses)
        super().Watch(request, _Context(context), statuses.put)
        return _each(statuses)

    def all_told(self) -> bool:
        """Whether gRPC has taken over all that is to be sent."""
        with self._watchers_lock:
            return not any(statuses.unfinished_tasks for statuses in self._watchers)


def _each(statuses: "Queue[Any]") -> Iterator[Any]:
    for status in iter(statuses.get, None):
        yield status
        statuses.task_done()
    statuses.task_done()


class Health:
    """What `grpc.health.v1.Health` answers, for the server ("") and for our service by name.

    Attributes:
        pool: the threads that answer, also where the service is added to a server with threads of its own.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="health")
        self._servicer = _Servicer()
        self._servicer.Check = answered_by(self.pool, self._servicer.Check)
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def add_to(self, server: grpc.Server) -> None:
        """Answer on `server` too."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def set(self, checks: Mapping[str, bool]) -> None:
        """Serving if all checks are well. While it drains, the server is not serving whatever they say."""
        well = all(checks.values())
        status = health_pb2.HealthCheckResponse
        self._set(status.SERVING if well else status.NOT_SERVING)

    def drain(self) -> None:
        """The server is about to stop; nothing makes it healthy again."""
        self._servicer.enter_graceful_shutdown()

    def wait_until_told(self, seconds: float) -> None:
        """Wait until all who watch have been sent the newest status; at most so long."""
        end = time.monotonic() + seconds
        while not self._servicer.all_told() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)

    def _set(self, status: int) -> None:
        for name in (OVERALL_HEALTH, SERVICE):
            self._servicer.set(name, status)
