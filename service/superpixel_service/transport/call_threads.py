"""The threads that handle calls."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from superpixel_service.background import BackgroundQueue
from superpixel_service.transport.open_calls import OpenCalls

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


# The gate admits no more calls than there may be threads, so a call waits for a thread for microseconds.
_LONGEST_WAIT_SECONDS = 10.0

_GRPC_THREAD = "(_serve)"
"""The end of the names of gRPC's own threads: Python names a thread after its function."""


class CallThreads(ThreadPoolExecutor):
    """Threads that handle calls, created on demand. A call counts as open once gRPC hands it over."""

    def __init__(self, threads: int, open_calls: OpenCalls) -> None:
        super().__init__(threads, thread_name_prefix="call")
        self._open_calls = open_calls
        self._waiting_since: float | None = None
        super().submit(lambda: None)  # one thread exists in any case

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As in the base class."""
        handled = super().submit(fn, *args, **kwargs)
        self._open_calls.begin(handled)
        return handled

    def _adjust_thread_count(self) -> None:
        # If this raised, gRPC's only thread would end. So the call waits for an existing thread.
        with contextlib.suppress(RuntimeError):
            super()._adjust_thread_count()

    def is_stuck(self) -> bool:
        """Whether a call has waited for a thread much too long. Call it about once per second."""
        now = time.monotonic()
        if self._work_queue.empty():
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now
        return self._waiting_since is not None and now - self._waiting_since > _LONGEST_WAIT_SECONDS


def grpc_threads() -> set[threading.Thread]:
    """The threads of gRPC itself: one per started server. Without it a server receives no calls."""
    return {thread for thread in threading.enumerate() if thread.name.endswith(_GRPC_THREAD)}


class RejectionThread(ThreadPoolExecutor):
    """One thread that sends rejections, in batches.

    An overloaded server sends mostly rejections. Sent one by one, each takes twice as long, because
    the processor's caches are full of image data.
    """

    def __init__(self, open_calls: OpenCalls) -> None:
        super().__init__(1)  # its own thread is never started: the queue below has one
        self._open_calls = open_calls
        self._queue: BackgroundQueue[Callable[[], None]] = BackgroundQueue(lambda reject: reject())

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Call `fn` after the earlier ones, a moment later."""
        handled: Future[Result] = Future()
        self._open_calls.begin(handled)

        def reject() -> None:
            try:
                handled.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 (as a thread pool does)
                handled.set_exception(error)

        self._queue.put(reject)
        return handled
