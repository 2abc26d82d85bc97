"""Which threads answer which method."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import grpc

from superpixel_service.calls import OpenCalls
from superpixel_service.errors import Overloaded, Reason, ServiceError
from superpixel_service.telling import Teller

# So long a caller may take to send a message or to take its answer. gRPC does not say whether it moves on, so
# this leaves time for the largest image over a bad line. It is shorter where half of a method's threads wait.
PATIENCE_SECONDS = 300.0
PATIENCE_WHEN_BUSY_SECONDS = 30.0

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


def _too_many_calls() -> ServiceError:
    return Overloaded(Reason.QUEUE_FULL, "too many calls are open; try again a little later")


class MethodThreads(ThreadPoolExecutor):
    """Threads of one method's own, as many as calls of it may be open: none can take away another's.

    A call is open from when gRPC hands it over, its message still to come, until its answer is sent. Handlers
    take the message as a stream, also of a method that has one only: of such a call one can be rid.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        open_calls: OpenCalls | None = None,
        patience: Callable[[], float] = lambda: PATIENCE_SECONDS,
        refusal: Callable[[], ServiceError] = _too_many_calls,
    ) -> None:
        """Calls are counted by `open_calls`, and refused with `refusal` beyond `threads`.

        `patience`: seconds that a call may wait for its caller.
        """
        super().__init__(threads, thread_name_prefix=name)
        self.name = name
        self.bound = threads
        self._open_calls = open_calls
        self._patience = patience
        self._refusal = refusal
        self._lock = threading.Lock()
        self._queued = 0  # handed over; no thread has begun
        self._open: dict[grpc.ServicerContext, float | None] = {}  # since when it waits for its caller, if so

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """As in the base class."""

        def begin() -> Result:
            with self._lock:
                self._queued -= 1
            return fn(*args, **kwargs)

        with self._lock:
            self._queued += 1
        handled = super().submit(begin)
        if self._open_calls is not None:
            self._open_calls.came(handled)
        return handled

    def refusal(self) -> ServiceError | None:
        """What one more call is refused with; None: there is room for it."""
        with self._lock:
            full = self._queued + len(self._open) >= self.bound
        return self._refusal() if full else None

    def receive(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The next message of a call, on a thread of these.

        Raises:
            StopIteration: there is none.
            grpc.RpcError: the caller is gone, or did not send it in time.
        """
        with self._lock:
            known = context in self._open
            self._open[context] = time.monotonic()
        if not known and not context.add_callback(functools.partial(self._over, context)):
            self._over(context)
        try:
            return next(requests)
        finally:
            self._wait(context, None)

    def receive_only(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The message of a call that has one.

        Raises:
            Exception: there is none; gRPC has been told what to answer.
            grpc.RpcError: as `receive` does.
        """
        try:
            return self.receive(requests, context)
        except StopIteration:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method wants exactly one message")

    def answering(self, context: grpc.ServicerContext) -> None:
        """The call's answer is ready: from now on it waits for its caller to take it."""
        self._wait(context, time.monotonic())

    def end_late(self) -> int:
        """End the calls that have waited too long for their callers; how many there were."""
        now = time.monotonic()
        with self._lock:
            waiting = {context: since for context, since in self._open.items() if since is not None}
            patience = self._patience()
            if 2 * len(waiting) > self.bound:
                patience = min(patience, PATIENCE_WHEN_BUSY_SECONDS)
            late = [context for context, since in waiting.items() if now - since > patience]
            for context in late:
                self._open[context] = None
        for context in late:
            context.cancel()
        return len(late)

    def _wait(self, context: grpc.ServicerContext, since: float | None) -> None:
        with self._lock:
            if context in self._open:
                self._open[context] = since

    def _over(self, context: grpc.ServicerContext) -> None:
        with self._lock:
            self._open.pop(context, None)


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
