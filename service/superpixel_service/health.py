"""The standard health service, on threads that no amount of work can take away from it."""

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from queue import Queue
from typing import Any

import grpc
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from grpc_health.v1.health import OVERALL_HEALTH, HealthServicer  # type: ignore[import-untyped]

from superpixel_service.errors import ServiceError, TooManyWatch
from superpixel_service.interceptors import SERVICE, end_with, parse_message
from superpixel_service.pools import MethodThreads, answered_by

SERVICE_NAME = "grpc.health.v1.Health"

# A probe takes microseconds; these are for callers who begin one and send no message.
_CHECKS = 64

_MESSAGE_SECONDS = 5.0

_UNKNOWN = "?"
"""What every name is to gRPC's servicer that is not one of ours: it keeps each name for good."""

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
        super().__init__(experimental_non_blocking=False)
        self._watchers: weakref.WeakSet[Queue[Any]] = weakref.WeakSet()
        self._watchers_lock = threading.Lock()

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        """Answer with each status in turn."""
        statuses: Queue[Any] = Queue()
        with self._watchers_lock:
            self._watchers.add(statuses)
        if request.service not in (OVERALL_HEALTH, SERVICE):
            request = health_pb2.HealthCheckRequest(service=_UNKNOWN)
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


class Port:
    """Health as one server answers it, on threads of its own: who comes to one port takes none from another.

    Who watches holds a thread, made as it is needed. Beyond `watchers` a client is told that health cannot be
    watched here, which it takes for healthy.
    """

    def __init__(self, servicer: HealthServicer, watchers: int) -> None:
        self._servicer = servicer
        self._checks = MethodThreads("health", _CHECKS, patience=lambda: _MESSAGE_SECONDS)
        self._watches = MethodThreads(
            "watch", watchers, patience=lambda: _MESSAGE_SECONDS, refusal=TooManyWatch
        )
        self.threads = (self._checks, self._watches)

    def add_to(self, server: grpc.Server) -> None:
        """Answer on `server`."""
        serializer = health_pb2.HealthCheckResponse.SerializeToString
        handlers: dict[str, Any] = {
            "Check": grpc.stream_unary_rpc_method_handler(
                answered_by(self._checks, self._check), response_serializer=serializer
            ),
            "Watch": grpc.stream_stream_rpc_method_handler(
                answered_by(self._watches, self._watch), response_serializer=serializer
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))

    def _check(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        answer = self._servicer.Check(_receive(self._checks, requests, context), context)
        self._checks.answering(context)
        return answer

    def _watch(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        yield from self._servicer.Watch(_receive(self._watches, requests, context), context)


def _receive(threads: MethodThreads, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
    data = threads.receive_only(requests, context)
    try:
        return parse_message(health_pb2.HealthCheckRequest.FromString, data)
    except ServiceError as error:
        end_with(context, error)


class Health:
    """What `grpc.health.v1.Health` answers, for the server ("") and for our service by name."""

    def __init__(self) -> None:
        self._servicer = _Servicer()
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def port(self, watchers: int) -> Port:
        """A view of it for one more server, for so many who watch."""
        return Port(self._servicer, watchers)

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
