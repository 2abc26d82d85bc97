"""The threads that handle calls."""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn, ParamSpec, TypeVar

import grpc
import structlog

from superpixel_service.errors import NoThread, to_status
from superpixel_service.transport.call import CURRENT
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.rejections import RejectionQueue

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


# The gate admits no more calls than there may be threads, so a call waits for a thread for microseconds.
_LONGEST_WAIT_SECONDS = 10.0

# If the system starts no thread, a call waits this long for an existing one; then it is rejected.
_PATIENCE_SECONDS = 1.0

# gRPC submits a function, the event, the call's state, and as the fourth argument the handler.
_HANDLER_ARGUMENT = 3

_GRPC_THREAD = "(_serve)"
"""The end of the names of gRPC's own threads: Python names a thread after its function."""


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A call for which no thread could be started."""

    since: float
    handled: Future[Any]
    handle: Callable[..., Any]
    arguments: tuple[Any, ...]


class CallThreads(ThreadPoolExecutor):
    """Threads that handle calls, created on demand. A call counts as open once gRPC hands it over.

    If the system starts no thread, the call waits a moment for an existing one, and is then rejected.
    """

    def __init__(self, threads: int, open_calls: OpenCalls, rejections: RejectionQueue) -> None:
        super().__init__(threads, thread_name_prefix="call")
        self._open_calls = open_calls
        self._rejections = rejections
        self._waiting: deque[_Waiting] = deque()
        self._no_thread = False
        self._waiting_since: float | None = None
        super().submit(lambda: None)  # one thread exists in any case

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As in the base class. It raises nothing, because gRPC's only thread would end."""
        try:
            handled = super().submit(fn, *args, **kwargs)
        except Exception:
            log.exception("call_not_handled")
            return self._reject(fn, args)
        self._open_calls.begin(handled)
        if self._no_thread:
            self._no_thread = False
            self._waiting.append(_Waiting(time.monotonic(), handled, fn, args))
        return handled

    def _adjust_thread_count(self) -> None:
        try:
            super()._adjust_thread_count()
        except (RuntimeError, MemoryError):
            self._no_thread = True

    def reject_waiting(self) -> int:
        """Reject the calls that have waited too long for a thread; returns how many. Call it every second."""
        rejected, now = 0, time.monotonic()
        while self._waiting and now - self._waiting[0].since > _PATIENCE_SECONDS:
            call = self._waiting.popleft()
            if call.handled.cancel():  # else a thread has taken it
                self._reject(call.handle, call.arguments)
                rejected += 1
        return rejected

    def _reject(self, handle: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any]:
        head, rest = arguments[:_HANDLER_ARGUMENT], arguments[_HANDLER_ARGUMENT + 1 :]
        return self._rejections.later(handle, *head, _reject_without_thread, *rest)

    def is_stuck(self) -> bool:
        """Whether a call has waited for a thread much too long. Call it about once per second."""
        now = time.monotonic()
        if self._work_queue.empty():
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        return self._waiting_since is not None and now - self._waiting_since > _LONGEST_WAIT_SECONDS


def _reject_without_thread(_request: object, context: grpc.ServicerContext) -> NoReturn:
    context.abort_with_status(to_status(NoThread(), CURRENT.get().request_id))


def grpc_threads() -> set[threading.Thread]:
    """The threads of gRPC itself: one per started server. Without it a server receives no calls."""
    return {thread for thread in threading.enumerate() if thread.name.endswith(_GRPC_THREAD)}
