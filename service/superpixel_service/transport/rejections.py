"""Rejections: calls that end before their messages are read.

An overloaded server sends mostly rejections, and each takes processor time from the images. Sent one by one,
each would take twice as long, because the processor's caches are full of image data. So they are sent in
batches, and without most of what gRPC does for a call that is handled.
"""

import functools
import inspect
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn, ParamSpec, TypeVar

import grpc
import structlog
from grpc import _server as grpc_server

from superpixel_service.errors import FinalStatus
from superpixel_service.transport.call import CURRENT, Call
from superpixel_service.transport.open_calls import OpenCalls

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

StatusOf = Callable[[Call], FinalStatus]
"""The status that ends a rejected call."""

# Rejections gather this long. The delay also slows down callers that retry at once.
_BATCH_SECONDS = 0.015

# After this time a thread of the queue sends them. On a busy server the next call comes earlier.
_LONGEST_WAIT_SECONDS = 0.02

# A batch is sent at once if it has so many: each keeps the beginning of its message in memory.
_LARGEST_BATCH = 256

log = structlog.get_logger()


def _is_known(server: Any) -> bool:
    """Whether the parts of gRPC's server that `_end` uses, which are not public, are as in 1.80 to 1.85."""
    try:
        respond = list(inspect.signature(server._stream_response_in_pool).parameters)  # noqa: SLF001
        abort = list(inspect.signature(server._abort).parameters)  # noqa: SLF001
        state = vars(server._RPCState())  # noqa: SLF001
    except (AttributeError, TypeError, ValueError):
        return False
    return (
        respond[:3] == ["rpc_event", "state", "behavior"]
        and abort == ["state", "call", "code", "details"]
        and {"context", "condition", "callbacks", "trailing_metadata", "code", "details"} <= state.keys()
    )


_GRPC_IS_KNOWN = _is_known(grpc_server)
_respond: Any = getattr(grpc_server, "_stream_response_in_pool", None)
_abort: Any = getattr(grpc_server, "_abort", None)


class Rejecting:
    """A bidirectional handler that rejects its calls. Then gRPC reads no message, also of unary methods.

    Args:
        status_of: called once per call.
        rejections: sends the statuses.
    """

    def __init__(self, status_of: StatusOf, rejections: "RejectionQueue") -> None:
        self.status_of = status_of
        self.experimental_thread_pool = rejections  # gRPC submits the handler there

    def __call__(self, _requests: object, context: grpc.ServicerContext) -> NoReturn:
        """Reject the call, if gRPC is not of a known version."""
        self.experimental_thread_pool.count(context)
        context.abort_with_status(self.status_of(CURRENT.get()))


class RejectionQueue(ThreadPoolExecutor):
    """Sends the rejections of one gRPC server, in batches.

    gRPC's own thread sends a batch when it brings another call: it has the interpreter's lock at that time.
    If no call comes, a thread of the queue sends the batch.
    """

    def __init__(self, open_calls: OpenCalls) -> None:
        super().__init__(1)  # the pool's own thread is never started
        self._open_calls = open_calls
        self._waiting: deque[Callable[[], None]] = deque()
        self._oldest = 0.0  # when the first of `_waiting` was submitted
        self._not_empty = threading.Event()
        threading.Thread(target=self._run, name="rejections", daemon=True).start()

    def submit(  # type: ignore[override]  # without a future, a call does not count for gRPC's own limit
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result] | None:
        """Call `fn` as `later` does, or end its call directly."""
        given: tuple[Any, ...] = args
        if _GRPC_IS_KNOWN and given and given[0] is _respond and isinstance(given[3], Rejecting):
            _, event, state, handler, *_ = given
            state.callbacks.append(self._open_calls.open())
            self._put(functools.partial(_end, event, state, handler.status_of))
            return None
        return self.later(fn, *args, **kwargs)

    def later(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Call `fn` after the earlier ones, a moment later. `fn` must not wait for the caller's messages."""
        handled: Future[Result] = Future()
        self._open_calls.begin(handled)
        self._put(functools.partial(_handle, handled, fn, args, kwargs))
        return handled

    def count(self, context: grpc.ServicerContext) -> None:
        """Count the call of `context` as open until its status is sent."""
        self._open_calls.add(context)

    def _put(self, reject: Callable[[], None]) -> None:
        if not self._waiting:
            self._oldest = time.monotonic()
        self._waiting.append(reject)
        if not self._not_empty.is_set():
            self._not_empty.set()
        self._send_if_due()

    def _send_if_due(self) -> None:
        if time.monotonic() - self._oldest >= _BATCH_SECONDS or len(self._waiting) >= _LARGEST_BATCH:
            with suppress(IndexError):  # none is left; the other thread may send at the same time
                while True:
                    self._waiting.popleft()()

    def _run(self) -> None:
        while True:
            self._not_empty.wait()
            time.sleep(_LONGEST_WAIT_SECONDS)
            self._not_empty.clear()
            self._send_if_due()
            if self._waiting:
                self._not_empty.set()


def _handle(
    handled: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    try:
        handled.set_result(fn(*args, **kwargs))
    except Exception as error:  # noqa: BLE001 (as a thread pool does)
        handled.set_exception(error)


def _end(event: Any, state: Any, status_of: StatusOf) -> None:
    """End a call as gRPC does if its handler calls `abort_with_status`, with a third of the work.

    Args:
        event: gRPC's event that announced the call.
        state: gRPC's state of the call.
        status_of: makes the status.
    """
    try:
        status = status_of(state.context[CURRENT])
        with state.condition:
            state.trailing_metadata = status.trailing_metadata
            state.code = status.code
            state.details = status.details.encode()
            _abort(state, event.call, None, b"")  # code and details are those of the state
    except Exception:
        log.exception("call_not_rejected")
        event.call.cancel()
