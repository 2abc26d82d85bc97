"""Which threads answer which method."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from superpixel_service.calls import OpenCalls

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class CallThreads(ThreadPoolExecutor):
    """Threads that handle calls. Each call counts from the moment gRPC hands it over to them."""

    def __init__(self, threads: int, open_calls: OpenCalls) -> None:
        super().__init__(threads, thread_name_prefix="call")
        self._open_calls = open_calls

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As in the base class."""
        handled = super().submit(fn, *args, **kwargs)
        self._open_calls.came(handled)
        return handled


class OnTheSpot(ThreadPoolExecutor):
    """No threads: calls are handled on the thread that gRPC hands them over on, which must not wait.

    For refusals: on a full server they are most of all calls, and waking a thread costs more than refusing.
    """

    def __init__(self, open_calls: OpenCalls) -> None:
        super().__init__(1)  # none is started before the base class submits something
        self._open_calls = open_calls

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Have it done before this returns."""
        handled: Future[Result] = Future()
        self._open_calls.came(handled)
        try:
            handled.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (as a thread of a pool would)
            handled.set_exception(error)
        return handled


def answered_by(pool: ThreadPoolExecutor | None, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, run on `pool` whatever server it is added to; None: on the server's own.

    gRPC looks for the pool in an attribute of the method (its own health service sets it so); as a bound
    method cannot carry one, the method goes wrapped.
    """
    wrapped = functools.partial(behaviour)
    if pool is not None:
        wrapped.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return wrapped


def pool_of(behaviour: Callable[..., Any]) -> ThreadPoolExecutor | None:
    """What `answered_by` was given for the method; None: nothing."""
    return getattr(behaviour, "experimental_thread_pool", None)
