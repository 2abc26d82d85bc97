"""The threads that handle calls."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from superpixel_service.background import BackgroundQueue
from superpixel_service.transport.open_calls import OpenCalls

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class CallThreads(ThreadPoolExecutor):
    """Threads that handle calls, created on demand. A call counts as open once gRPC hands it over."""

    def __init__(self, threads: int, open_calls: OpenCalls) -> None:
        super().__init__(threads, thread_name_prefix="call")
        self._open_calls = open_calls

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As in the base class."""
        handled = super().submit(fn, *args, **kwargs)
        self._open_calls.begin(handled)
        return handled


class RejectionThread(ThreadPoolExecutor):
    """One thread that sends rejections, in batches.

    An overloaded server sends mostly rejections. One by one, each finds the processor's caches full of image
    data and takes twice as long.
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
