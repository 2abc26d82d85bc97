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


def answered_by(pool: ThreadPoolExecutor, behaviour: Callable[..., Any]) -> Callable[..., Any]:
    """The same method, run on `pool` whatever server it is added to.

    gRPC looks for the pool in an attribute of the method (its own health service sets it so); as a bound
    method cannot carry one, the method goes wrapped.
    """
    wrapped = functools.partial(behaviour)
    wrapped.experimental_thread_pool = pool  # type: ignore[attr-defined]
    return wrapped
