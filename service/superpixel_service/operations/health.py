"""The standard health service (grpc.health.v1). No other method can use up its threads."""

import functools
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, Queue
from typing import Any

import grpc
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]
from grpc_health.v1.health import OVERALL_HEALTH, HealthServicer  # type: ignore[import-untyped]

from superpixel_service.contract import HEALTH_SERVICE, SERVICE
from superpixel_service.errors import ServiceError, TooManyWatches
from superpixel_service.transport.call import permit_of_call
from superpixel_service.transport.gate import Limit, Permit
from superpixel_service.transport.interceptors import end_with, parse_message

# A probe takes microseconds; the limit is for callers that begin one and send no message.
_CHECKS = 64

_MESSAGE_SECONDS = 5.0

_UNKNOWN = "?"
"""Replaces every unknown name, because gRPC's servicer keeps each name that it is asked for forever."""

_POLL_SECONDS = 0.01


class _Context:
    """A call's context that reports the end of the call even if it ended earlier."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Call `callback` when the call is over."""
        if not self._context.add_callback(callback):
            callback()
        return True


class _Servicer(HealthServicer):  # type: ignore[misc]
    """gRPC's own servicer, on threads that may block.

    Its default (`experimental_non_blocking`) holds its lock while it waits for the end of a send. gRPC
    reports that end on its only thread, which needs the same lock when a watcher leaves: a deadlock.
    """

    def __init__(self) -> None:
        super().__init__(experimental_non_blocking=False)
        self._watchers: weakref.WeakSet[Queue[Any]] = weakref.WeakSet()
        self._watchers_lock = threading.Lock()

    def Watch(  # noqa: N802
        self, request: Any, context: grpc.ServicerContext, repeat_seconds: float | None = None
    ) -> Iterator[Any]:
        """Send each status as it changes, and repeat it after each `repeat_seconds`."""
        statuses: Queue[Any] = Queue()
        with self._watchers_lock:
            self._watchers.add(statuses)
        if request.service not in (OVERALL_HEALTH, SERVICE):
            request = health_pb2.HealthCheckRequest(service=_UNKNOWN)
        super().Watch(request, _Context(context), statuses.put)
        return _each(statuses, repeat_seconds)

    def all_sent(self) -> bool:
        """Whether gRPC has accepted every pending status."""
        with self._watchers_lock:
            return not any(statuses.unfinished_tasks for statuses in self._watchers)


def _each(statuses: "Queue[Any]", repeat_seconds: float | None) -> Iterator[Any]:
    latest: Any = None
    while True:
        try:
            status = statuses.get(timeout=None if latest is None else repeat_seconds)
        except Empty:
            yield latest
            continue
        if status is None:
            statuses.task_done()
            return
        yield status
        statuses.task_done()
        latest = status


def limits(watches: int) -> dict[str, Limit]:
    """The gate's limits of the health methods on one port.

    Each Watch call occupies one thread, created on demand. Beyond `watches` a client gets UNIMPLEMENTED, and
    by the health protocol assumes a healthy server.
    """
    return {
        f"/{HEALTH_SERVICE}/Check": Limit("health", _CHECKS, patience=lambda: _MESSAGE_SECONDS, small=True),
        f"/{HEALTH_SERVICE}/Watch": Limit(
            "watch", watches, patience=lambda: _MESSAGE_SECONDS, rejection=TooManyWatches, small=True
        ),
    }


class Health:
    """The health that `grpc.health.v1.Health` reports, for the server ("") and for our service by name."""

    def __init__(self) -> None:
        self._servicer = _Servicer()
        self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    def add_to(self, server: grpc.Server, repeat_seconds: float | None = None) -> None:
        """Serve health on `server`, whose gate has the `limits` of health.

        Args:
            server: has not started.
            repeat_seconds: `Watch` repeats the status after this time. A client that hears nothing for longer
                knows that the server hangs, even while it sends an image over a slow line, where an answer
                to a ping takes long.
        """
        watch = functools.partial(self._watch, repeat_seconds)
        serializer = health_pb2.HealthCheckResponse.SerializeToString
        handlers: dict[str, Any] = {
            "Check": grpc.stream_unary_rpc_method_handler(self._check, response_serializer=serializer),
            "Watch": grpc.stream_stream_rpc_method_handler(watch, response_serializer=serializer),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH_SERVICE, handlers),))

    def _check(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
        permit = permit_of_call()
        with permit.serving(context):
            answer = self._servicer.Check(_receive(permit, requests, context), context)
            permit.answering()
            return answer

    def _watch(
        self, repeat_seconds: float | None, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        permit = permit_of_call()
        with permit.serving(context):
            request = _receive(permit, requests, context)
            yield from self._servicer.Watch(request, context, repeat_seconds)

    def set(self, checks: Mapping[str, bool]) -> None:
        """Report SERVING if all checks pass. A draining server reports NOT_SERVING in any case."""
        well = all(checks.values())
        status = health_pb2.HealthCheckResponse
        self._set(status.SERVING if well else status.NOT_SERVING)

    def drain(self) -> None:
        """The server is stopping: report NOT_SERVING from now on."""
        self._servicer.enter_graceful_shutdown()

    def wait_until_sent(self, seconds: float) -> None:
        """Wait until the latest status is sent to every watcher, at most `seconds`."""
        end = time.monotonic() + seconds
        while not self._servicer.all_sent() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)

    def _set(self, status: int) -> None:
        for name in (OVERALL_HEALTH, SERVICE):
            self._servicer.set(name, status)


def _receive(permit: Permit, requests: Iterator[bytes], context: grpc.ServicerContext) -> Any:
    data = permit.receive_only(requests, context)
    try:
        return parse_message(health_pb2.HealthCheckRequest, data)
    except ServiceError as error:
        end_with(context, error)
