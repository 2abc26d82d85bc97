"""The gate: decides whether a call may enter, before its message is read."""

import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import grpc

from superpixel_service.contract import Reason
from superpixel_service.errors import Draining, Overloaded, ServiceError, TokenLimitReached
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.small_messages import SmallMessages
from superpixel_service.transport.unsent import UnsentAnswer, UnsentAnswers

# How long a caller may take to send a message, or to read its answer. gRPC does not report progress, so this
# leaves time for the largest image over a slow line. It is shorter while more than half of a method's
# calls wait.
PATIENCE_SECONDS = 300.0
PATIENCE_WHEN_BUSY_SECONDS = 30.0


def _too_many_calls() -> ServiceError:
    return Overloaded(Reason.QUEUE_FULL, "too many calls are open; try again a little later")


@dataclass(frozen=True, slots=True)
class Limit:
    """The limits of one method.

    Attributes:
        name: the method's name in the log.
        calls: how many calls may be open; each occupies a thread.
        patience: returns how long a call may wait for its caller, in seconds.
        rejection: makes the error of calls beyond `calls`.
        is_work: the method is rejected while the server drains.
        small: the method's messages have no image; only few of them may arrive at the same time.
        overloaded: returns the rejection of a call, or None: it may enter. Its argument is the name of the
            call's token, empty without tokens.
        calls_per_token: how many calls of one token may be open.
        token_limit: the setting that limits the calls of one token.
    """

    name: str
    calls: int
    patience: Callable[[], float] = lambda: PATIENCE_SECONDS
    rejection: Callable[[], ServiceError] = _too_many_calls
    is_work: bool = False
    small: bool = False
    overloaded: Callable[[str], ServiceError | None] = lambda _token: None
    calls_per_token: float = float("inf")
    token_limit: str = ""


class Permit:
    """The right of one call to occupy a thread. It travels with the call.

    It is returned when the call's handler has returned and gRPC has sent the answer; and at the latest when
    it is deleted, because gRPC drops calls beyond its own limit without running their handlers.
    """

    __slots__ = (
        "__weakref__",
        "_answer",
        "_context",
        "_gate",
        "_lock",
        "_method",
        "_open_ends",
        "_token",
        "_waiting_since",
    )

    def __init__(self, gate: "Gate", method: str, token: str = "") -> None:
        self._gate = gate
        self._method = method
        self._token = token
        self._lock = threading.Lock()
        self._open_ends = 2  # the handler and the answer
        self._answer: UnsentAnswer | None = None
        self._context: grpc.ServicerContext | None = None
        self._waiting_since: float | None = None  # when it began to wait for its caller

    def __del__(self) -> None:
        if self._open_ends > 0:
            # No lock here: deletion may interrupt any code.
            self._gate.dropped.append((self._method, self._token, self._answer))

    @contextmanager
    def serving(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Surrounds the handler of the call."""
        self._context = context
        if not context.add_callback(self._end):
            self._end()
        try:
            yield
        finally:
            self._end()

    def receive(self, requests: Iterator[Any]) -> Any:
        """The next message of the call.

        Raises:
            StopIteration: there is no further message.
            grpc.RpcError: the caller is gone, or did not send the message in time.
        """
        self._waiting_since = time.monotonic()
        try:
            with self._gate.arriving(self, self._method):
                return next(requests)
        finally:
            self._waiting_since = None

    def receive_only(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The message of a call that has exactly one.

        Raises:
            Exception: there is none; gRPC knows what to answer.
            grpc.RpcError: the caller is gone, or did not send the message in time.
        """
        try:
            return self.receive(requests)
        except StopIteration:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "this method wants exactly one message")

    def keep_answer(self, byte_count: int) -> None:
        """Count the answer's bytes until it is sent.

        Args:
            byte_count: size of the answer.

        Raises:
            Overloaded: there is no room for the answer.
        """
        context = self._context
        if context is not None:
            self._answer = self._gate.unsent.enter(byte_count, context.cancel)

    def answering(self) -> None:
        """The answer is ready: from now on the call waits for its caller to read it."""
        self._waiting_since = time.monotonic()

    def cancel_if_late(self, patience: float) -> bool:
        """Cancel the call if it has waited longer than `patience` seconds; returns whether it did."""
        since = self._waiting_since
        if since is None or time.monotonic() - since <= patience:
            return False
        self._waiting_since = None
        return self.cancel()

    def cancel(self) -> bool:
        """Cancel the call; False: it is not being handled."""
        context = self._context
        if context is None:
            return False
        context.cancel()
        return True

    @property
    def waiting(self) -> bool:
        """Whether the call waits for its caller."""
        return self._waiting_since is not None

    def release(self) -> None:
        """Return the permit now."""
        with self._lock:
            held, self._open_ends = self._open_ends > 0, 0
        if held:
            self._return()

    def _end(self) -> None:
        with self._lock:
            self._open_ends -= 1
            over = self._open_ends == 0
        if over:
            self._return()

    def _return(self) -> None:
        self._waiting_since = None
        self._context = None  # it leads back to this permit; a cycle would keep the call in memory
        answer, self._answer = self._answer, None
        self._gate.take_back(self._method, self._token, answer)


class Gate:
    """Lets calls enter, per method, up to the method's limit. All methods may be called from any thread.

    Args:
        limits: by the method's path, "/package.Service/Method".
        open_calls: knows whether the server drains.
        max_unsent_bytes: most memory of answers that wait to be read.

    Attributes:
        unsent: the answers that wait to be read.
        dropped: method, token and answer of permits that were deleted before they were returned.
    """

    def __init__(
        self, limits: Mapping[str, Limit], open_calls: OpenCalls, max_unsent_bytes: int = 1 << 30
    ) -> None:
        self._limits = limits
        self._open_calls = open_calls
        self._lock = threading.Lock()
        self._open = dict.fromkeys(limits, 0)
        self.unsent = UnsentAnswers(max_unsent_bytes)
        self._small_messages = SmallMessages()
        self._open_per_token: Counter[tuple[str, str]] = Counter()  # by method and token
        self.dropped: deque[tuple[str, str, UnsentAnswer | None]] = deque()
        self._permits: dict[str, weakref.WeakSet[Permit]] = {method: weakref.WeakSet() for method in limits}

    @property
    def calls(self) -> int:
        """Most calls that can be open at the same time."""
        return sum(limit.calls for limit in self._limits.values())

    def knows(self, method: str) -> bool:
        """Whether the method, given by its path, has a limit."""
        return method in self._limits

    def check(self, method: str, token: str = "") -> Permit:
        """Let a call enter.

        Args:
            method: the method's path.
            token: name of the caller's token; empty: none, and no limit per token.

        Raises:
            ServiceError: the call is rejected.
        """
        limit = self._limits[method]
        if limit.is_work and self._open_calls.draining:
            raise Draining
        overloaded = limit.overloaded(token)
        if overloaded is not None:
            raise overloaded
        with self._lock:
            self._collect()
            full = self._open[method] >= limit.calls
            token_is_full = token and self._open_per_token[method, token] >= limit.calls_per_token
            if not (full or token_is_full):
                self._open[method] += 1
                if token:
                    self._open_per_token[method, token] += 1
                permit = Permit(self, method, token)
                self._permits[method].add(permit)
                return permit
        raise TokenLimitReached(limit.token_limit) if token_is_full else limit.rejection()

    def arriving(self, permit: Permit, method: str) -> AbstractContextManager[None]:
        """Surrounds the wait for a message of `method`."""
        return self._small_messages.arriving(permit) if self._limits[method].small else nullcontext()

    def take_back(self, method: str, token: str, answer: UnsentAnswer | None) -> None:
        """A permit was returned."""
        with self._lock:
            self._count_end(method, token)
        self.unsent.leave(answer)

    def _collect(self) -> None:
        """Return the permits that were deleted."""
        while self.dropped:
            method, token, answer = self.dropped.popleft()
            self._count_end(method, token)
            self.unsent.leave(answer)

    def _count_end(self, method: str, token: str) -> None:
        self._open[method] -= 1
        if token:
            self._open_per_token[method, token] -= 1
            if self._open_per_token[method, token] == 0:
                del self._open_per_token[method, token]

    def cancel_late(self) -> Iterator[tuple[str, int]]:
        """Cancel the calls that have waited too long for their callers.

        Yields:
            The limit's name, and how many calls there were.
        """
        for method, limit in self._limits.items():
            with self._lock:
                permits = [permit for permit in self._permits[method] if permit.waiting]
            patience = limit.patience()
            if 2 * len(permits) > limit.calls:
                patience = min(patience, PATIENCE_WHEN_BUSY_SECONDS)
            late = sum(permit.cancel_if_late(patience) for permit in permits)
            if late:
                yield limit.name, late
