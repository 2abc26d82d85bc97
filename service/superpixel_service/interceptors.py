"""What every call of our service passes through, whatever its method."""

from __future__ import annotations  # gRPC's handler type is generic in its stubs only

import functools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, cast

import grpc
from google.protobuf.message import DecodeError, Message

from superpixel_service import calls, traces
from superpixel_service.auth import SCOPES, Tokens
from superpixel_service.calls import Call, CallEvent, Deadline, OpenCalls
from superpixel_service.errors import (
    CallCancelled,
    DeadlinePassed,
    Draining,
    InvalidRequest,
    Reason,
    ServiceError,
    as_service_error,
    to_status,
)
from superpixel_service.pools import MethodThreads, Refusals, answered_by, pool_of

SERVICE = "superpixel.v1.SuperpixelService"
_SEGMENT = f"/{SERVICE}/Segment"
_HEALTH = "grpc.health.v1.Health"

Behaviour = Callable[[Any, grpc.ServicerContext], Any]
Deserializer = Callable[[bytes], Message]
Around = Callable[[Behaviour, Any, grpc.ServicerContext], Any]


def build(
    open_calls: OpenCalls,
    overloaded: Callable[[], ServiceError | None],
    refusals: Refusals,
    on_start: Callable[[str, str], None],
    on_end: Callable[[CallEvent], None],
    tokens: Tokens | None = None,
) -> list[grpc.ServerInterceptor]:
    """All of them, outermost first.

    Args:
        open_calls: counts the calls of our service.
        overloaded: what a call of `Segment` is to be refused with before its message is read; None: nothing.
        refusals: where calls are refused.
        on_start: told service and method of every call that begins.
        on_end: told of every call that has ended.
        tokens: who may call; None: everybody.
    """
    stack: list[grpc.ServerInterceptor] = [
        # Identity and deadline, made once at the door; tells of the call's end. Sees every error by its final
        # name.
        CallInterceptor(open_calls, on_start, on_end),
        # Reads the message and puts whatever is raised further in on the wire.
        ErrorInterceptor(),
    ]
    # Innermost, so that the others tell of a refusal as of any; and yet the first to act: these look at a
    # call before its message is asked for.
    if tokens is not None:
        stack.append(AuthInterceptor(tokens, refusals))
    stack.append(DoorInterceptor(open_calls, overloaded, refusals))
    return stack


class CallInterceptor(grpc.ServerInterceptor):
    """Makes the `Call` at the door and tells of its end."""

    def __init__(
        self, open_calls: OpenCalls, on_start: Callable[[str, str], None], on_end: Callable[[CallEvent], None]
    ) -> None:
        self._open_calls = open_calls
        self._on_start = on_start
        self._on_end = on_end
        self._wrapped = _Wrapped()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the methods of our service; count calls of methods that nobody serves."""
        handler = continuation(handler_call_details)
        service, _, method = str(handler_call_details.method).lstrip("/").partition("/")
        if handler is None:
            self._on_start("other", "other")
            self._on_end(CallEvent("other", "other", "", grpc.StatusCode.UNIMPLEMENTED, 0.0))
            return None
        if service != SERVICE:
            return handler  # health and reflection: carry no work, and keep their own threads
        if handler.request_streaming:
            around = functools.partial(self._serve_stream, service, method)
            return self._wrapped.get(handler, lambda: _rewrap(handler, around))
        return self._wrapped.get(handler, lambda: self._taking_its_message(handler, service, method))

    def _taking_its_message(self, handler: Any, service: str, method: str) -> Any:
        # gRPC would wait for the message for as long as the caller likes.
        threads = pool_of(handler.unary_unary)
        assert isinstance(threads, MethodThreads)  # noqa: S101 (the server gives each such method its own)
        serve = functools.partial(self._serve, service, method, handler.unary_unary, threads)
        return grpc.stream_unary_rpc_method_handler(
            answered_by(threads, serve),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _serve(
        self,
        service: str,
        method: str,
        behaviour: Behaviour,
        threads: MethodThreads,
        requests: Iterator[Any],
        context: grpc.ServicerContext,
    ) -> Any:
        request = threads.receive_only(requests, context)
        call = self._begin(service, method, context)
        try:
            return behaviour(request, context)
        finally:
            self._on_end(CallEvent.of(call))
            threads.answering(context)

    def _serve_stream(
        self, service: str, method: str, behaviour: Behaviour, requests: Any, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        call = self._begin(service, method, context)
        try:
            yield from behaviour(requests, context)
        except GeneratorExit:  # gRPC could not send an answer and asks for no more
            call.error = DeadlinePassed() if call.deadline.passed() else CallCancelled()
            raise
        finally:
            self._on_end(CallEvent.of(call))

    def _begin(self, service: str, method: str, context: grpc.ServicerContext) -> Call:
        self._open_calls.add(context)
        self._on_start(service, method)
        call = Call(service, method, calls.request_id(context), Deadline.after(context.time_remaining()))
        call.trace = traces.read(context.invocation_metadata() or ())
        call.caller = calls.CALLER.get()
        calls.CURRENT.set(call)  # gRPC gives each call a context of its own
        return call


class ErrorInterceptor(grpc.ServerInterceptor):
    """Reads the request's message and maps errors to codes and details."""

    def __init__(self) -> None:
        self._wrapped = _Wrapped()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the methods of our service."""
        handler = continuation(handler_call_details)
        if handler is None or not str(handler_call_details.method).startswith(f"/{SERVICE}/"):
            return handler
        return self._wrapped.get(handler, lambda: self._guarded(handler))

    def _guarded(self, handler: grpc.RpcMethodHandler[Any, Any]) -> Any:
        # gRPC itself would answer bytes that are no message with INTERNAL, and log a traceback.
        parse = functools.partial(parse_message, handler.request_deserializer)
        guard, deserializer = (_guard_stream, None) if handler.request_streaming else (_guard, _Received)
        return _rewrap(handler, functools.partial(guard, parse), deserializer)


class AuthInterceptor(grpc.ServerInterceptor):
    """Refuses calls without a token that has the right to their method.

    Health is for everybody: it carries no data, and clients' balancers ask it without a token. Reflection
    wants a token, whatever its scopes.
    """

    def __init__(self, tokens: Tokens, pool: ThreadPoolExecutor) -> None:
        """Refusals are made on `pool`."""
        self._tokens = tokens
        self._pool = pool
        self._refusing = _Wrapped()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method, or in its place one that refuses."""
        handler = continuation(handler_call_details)
        service, _, method = str(handler_call_details.method).lstrip("/").partition("/")
        if handler is None or service == _HEALTH:
            return handler
        ours = service == SERVICE
        metadata = cast("Iterable[tuple[str, str | bytes]]", handler_call_details.invocation_metadata or ())
        try:
            token = self._tokens.admit(metadata, SCOPES[method] if ours else None)
        except ServiceError as error:
            calls.REFUSAL.set(error)
            refuse = _refuse if ours else _refuse_other
            return self._refusing.get(handler, lambda: _refusing(handler, refuse, self._pool))
        calls.CALLER.set(token.name)
        return handler


class DoorInterceptor(grpc.ServerInterceptor):
    """Refuses new work while the server drains or is full, whatever is still to come of its message.

    And calls of a method, ours or not, of which as many are open as it has threads.
    """

    def __init__(
        self,
        open_calls: OpenCalls,
        overloaded: Callable[[], ServiceError | None],
        pool: ThreadPoolExecutor,
    ) -> None:
        """Refusals are made on `pool`."""
        self._open_calls = open_calls
        self._overloaded = overloaded
        self._pool = pool
        self._refusing = _Wrapped()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method, or in its place one that refuses."""
        handler = continuation(handler_call_details)
        method = str(handler_call_details.method)
        if handler is None or (refusal := self._refusal(method, handler)) is None:
            return handler
        calls.REFUSAL.set(refusal)
        refuse = _refuse if method.startswith(f"/{SERVICE}/") else _refuse_other
        return self._refusing.get(handler, lambda: _refusing(handler, refuse, self._pool))

    def _refusal(self, method: str, handler: Any) -> ServiceError | None:
        refusal = None
        if method == _SEGMENT:
            refusal = Draining() if self._open_calls.draining else self._overloaded()
        threads = pool_of(handler.unary_unary or handler.stream_unary or handler.stream_stream)
        if refusal is None and isinstance(threads, MethodThreads):
            refusal = threads.refusal()
        return refusal


def _refusing(
    handler: grpc.RpcMethodHandler[Any, Any],
    refuse: Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]],
    pool: ThreadPoolExecutor,
) -> Any:
    # As a stream, even in place of a method that is none: of a stream no message is read before it is asked
    # for, so nobody can have this server hold megabytes for the sake of a refusal.
    return grpc.stream_stream_rpc_method_handler(
        answered_by(pool, refuse),
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )


def _refuse(_requests: object, _context: grpc.ServicerContext) -> Iterator[Any]:
    raise calls.REFUSAL.get()


def _refuse_other(_requests: object, context: grpc.ServicerContext) -> Iterator[Any]:
    """For services that do not pass through the other interceptors."""
    end_with(context, calls.REFUSAL.get())
    yield from ()


def end_with(context: grpc.ServicerContext, error: ServiceError) -> NoReturn:
    """End a call of such a service."""
    context.abort_with_status(to_status(error, calls.request_id(context)))


class _Received:
    """A message's bytes, for who takes them: gRPC holds on to what it hands over until the call is over."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self) -> bytes:
        data, self._data = self._data, b""
        return data


def _guard(
    parse: Callable[[bytes], Message],
    behaviour: Behaviour,
    received: _Received,
    context: grpc.ServicerContext,
) -> Any:
    """Run the behaviour; end the call with the status of whatever it raises."""
    try:
        return behaviour(parse(received.take()), context)
    except Exception as error:  # noqa: BLE001 (every error gets its status)
        return _end(context, error)


def _guard_stream(
    parse: Callable[[bytes], Message],
    behaviour: Behaviour,
    requests: Iterator[bytes],
    context: grpc.ServicerContext,
) -> Iterator[Any]:
    """Likewise, for as long as there are answers."""
    try:
        yield from behaviour(map(parse, requests), context)
    except Exception as error:  # noqa: BLE001 (every error gets its status)
        _end(context, error)


def _end(context: grpc.ServicerContext, error: Exception) -> Any:
    call = calls.CURRENT.get()
    call.error = as_service_error(error, call.request_id)
    return context.abort_with_status(to_status(call.error, call.request_id))


def parse_message(deserializer: Deserializer | None, data: bytes) -> Message:
    """The message that `data` is.

    Raises:
        InvalidRequest: it is none.
    """
    assert deserializer is not None  # noqa: S101 (generated handlers have one)
    try:
        return deserializer(data)
    except DecodeError as error:
        raise InvalidRequest(
            Reason.MALFORMED_MESSAGE, "the request is not a message of this method's type"
        ) from error


class _Wrapped:
    """Handlers by those they wrap: gRPC has the same few wrapped again for each call.

    None is ever let go of, so what differs from call to call goes into the call's context, not into handlers.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}  # by identity, which holds as long as we hold the handler

    def get(self, handler: Any, make: Callable[[], Any]) -> Any:
        """The wrapper of `handler`, made now or before."""
        found = self._made.get(id(handler))
        if found is None or found[0] is not handler:
            found = self._made[id(handler)] = handler, make()
        return found[1]


_SAME: Any = object()


def _rewrap(handler: grpc.RpcMethodHandler[Any, Any], around: Around, deserializer: Any = _SAME) -> Any:
    """The same handler with `around` in place of its behaviour, which `around` gets as first argument."""
    make: Any
    behaviour: Any
    make, behaviour = (
        (grpc.stream_stream_rpc_method_handler, handler.stream_stream)
        if handler.request_streaming
        else (grpc.unary_unary_rpc_method_handler, handler.unary_unary)
    )
    return make(
        answered_by(pool_of(behaviour), functools.partial(around, behaviour)),
        request_deserializer=handler.request_deserializer if deserializer is _SAME else deserializer,
        response_serializer=handler.response_serializer,
    )
