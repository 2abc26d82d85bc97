"""Which threads answer which method."""

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from superpixel_service.calls import OpenCalls
from superpixel_service.telling import Teller

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


class Refusals(ThreadPoolExecutor):
    """One thread, on which calls are refused, many in a row.

    On a full server refusals are most of all calls. One by one, each finds the processor's caches full of
    images and takes twice as long.
    """

    def __init__(self, open_calls: OpenCalls) -> None:
        super().__init__(1)  # never started: the teller has a thread
        self._open_calls = open_calls
        self._teller: Teller[Callable[[], None]] = Teller(lambda refuse: refuse())

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Have it done in a moment, after those before."""
        handled: Future[Result] = Future()
        self._open_calls.came(handled)

        def refuse() -> None:
            try:
                handled.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 (as a thread of a pool would)
                handled.set_exception(error)

        self._teller.put(refuse)
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
