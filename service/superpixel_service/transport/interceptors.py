"""The interceptors that every call of our service passes through."""

from __future__ import annotations  # gRPC's handler type is generic in its stubs only

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError, Message

from superpixel_service.contract import (
    GET_SERVER_INFO,
    GET_STORE,
    GET_WINDOW,
    HEALTH_SERVICE,
    MEASURE_REGIONS,
    SCOPES,
    SEGMENT,
    SEGMENT_STREAM,
    SERVICE,
    STORE_SERVICE,
    STORES_SCOPE,
    Reason,
)
from superpixel_service.errors import (
    FinalStatus,
    InvalidRequest,
    ServiceError,
    as_service_error,
    to_status,
)
from superpixel_service.pb.superpixel.v1 import stores_pb2
from superpixel_service.pb.superpixel.v1 import superpixel_pb2 as pb
from superpixel_service.security.tokens import Tokens
from superpixel_service.transport.call import CURRENT, Call, metadata_of, permit_of_call
from superpixel_service.transport.gate import Gate
from superpixel_service.transport.message_limits import check_size, check_structure
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.rejections import Rejecting, RejectionQueue, StatusOf
from superpixel_service.work.caller import address_of
from superpixel_service.work.deadline import Deadline

Behaviour = Callable[[Any, grpc.ServicerContext], Any]


_REQUESTS: Mapping[str, type[Message]] = {
    SEGMENT: pb.SegmentRequest,
    SEGMENT_STREAM: pb.SegmentStreamRequest,
    GET_SERVER_INFO: pb.GetServerInfoRequest,
    GET_STORE: stores_pb2.GetStoreRequest,
    GET_WINDOW: stores_pb2.GetWindowRequest,
    MEASURE_REGIONS: stores_pb2.MeasureRegionsRequest,
}
_OURS = {SERVICE, STORE_SERVICE}
_WITH_IMAGES = {pb.SegmentRequest, pb.SegmentStreamRequest}


def build(
    gate: Gate,
    rejections: RejectionQueue,
    open_calls: OpenCalls,
    on_start: Callable[[str, str], None],
    on_end: Callable[[Call], None],
    tokens: Tokens | None = None,
) -> list[grpc.ServerInterceptor]:
    """All interceptors, outermost first.

    Args:
        gate: decides which calls may enter.
        rejections: sends rejections.
        open_calls: counts the calls of our service.
        on_start: called with service and method of every call that begins.
        on_end: called with every call that has ended.
        tokens: who may call; None: everybody.
    """
    return [
        # Runs before the message is read. It reports its rejections, which do not pass the inner ones.
        EntryInterceptor(gate, rejections, tokens, Rejection(on_start, on_end)),
        # Sets the deadline and reports the end of the call. It sees the final form of every error.
        CallInterceptor(open_calls, on_start, on_end),
        # Parses the message and turns exceptions of the handler into a status.
        ErrorInterceptor(),
    ]


class CallInterceptor(grpc.ServerInterceptor):
    """Begins and ends the `Call` of our service's methods."""

    def __init__(
        self, open_calls: OpenCalls, on_start: Callable[[str, str], None], on_end: Callable[[Call], None]
    ) -> None:
        self._open_calls = open_calls
        self._on_start = on_start
        self._on_end = on_end
        self._wrapped = _HandlerCache()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the methods of our service; count calls of unknown methods."""
        handler: Any = continuation(handler_call_details)
        if handler is None:
            self._on_start("other", "other")
            unknown = Call("other", "other", code=grpc.StatusCode.UNIMPLEMENTED)
            self._on_end(unknown.end())
            return None
        if not _is_ours(handler_call_details):
            return handler
        if handler.request_streaming:
            around = functools.partial(self._serve_stream, handler.stream_stream)
            return self._wrapped.get(handler, lambda: _stream_stream(around, handler))
        around = functools.partial(self._serve, handler.unary_unary)
        return self._wrapped.get(handler, lambda: _stream_unary(around, handler))

    def _serve(self, behaviour: Behaviour, requests: Iterator[Any], context: grpc.ServicerContext) -> Any:
        # Unary methods are registered as client-streaming, so that a stalled upload can be cancelled.
        call, permit = CURRENT.get(), permit_of_call()
        with permit.serving(context):
            request = permit.receive_only(requests, context)
            self._begin(call, context)
            try:
                return behaviour(request, context)
            finally:
                self._on_end(call.end())
                permit.answering()

    def _serve_stream(
        self, behaviour: Behaviour, requests: Any, context: grpc.ServicerContext
    ) -> Iterator[Any]:
        call = CURRENT.get()
        self._begin(call, context)
        try:
            yield from behaviour(requests, context)
        except GeneratorExit:  # gRPC could not send an answer, and asks for no more
            call.fail(call.deadline.why_ended())
            raise
        finally:
            if call.permit is not None:
                call.permit.release()  # all answers are sent; the caller may open another stream at once
            self._on_end(call.end())

    def _begin(self, call: Call, context: grpc.ServicerContext) -> None:
        self._open_calls.add(context)
        self._on_start(call.service, call.method)
        if not call.caller:
            call.address = address_of(context.peer())
        call.start(Deadline.after(context.time_remaining()))


class ErrorInterceptor(grpc.ServerInterceptor):
    """Parses the request's message and maps exceptions to codes and details."""

    def __init__(self) -> None:
        self._wrapped = _HandlerCache()

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Wrap the methods of our service."""
        handler = continuation(handler_call_details)
        if handler is None or not _is_ours(handler_call_details):
            return handler
        method = str(handler_call_details.method)
        return self._wrapped.get(handler, lambda: self._guarded(handler, _REQUESTS[method]))

    def _guarded(self, handler: Any, request: type[Message]) -> Any:
        # gRPC itself would answer malformed bytes with INTERNAL, and log a traceback.
        parse = functools.partial(parse_message, request)
        if handler.request_streaming:
            around = functools.partial(_guard_stream, parse, handler.stream_stream)
            return _stream_stream(around, handler, deserializer=None)
        return grpc.unary_unary_rpc_method_handler(
            functools.partial(_guard, parse, handler.unary_unary),
            request_deserializer=_MessageBytes,
            response_serializer=handler.response_serializer,
        )


class EntryInterceptor(grpc.ServerInterceptor):
    """Rejects a call without the token for its method, or for which the gate has no room.

    Health needs no token: it carries no data, and clients' load balancers ask it without one. Reflection
    needs a token with any scope.
    """

    def __init__(
        self,
        gate: Gate,
        rejections: RejectionQueue,
        tokens: Tokens | None = None,
        status_of: StatusOf | None = None,
    ) -> None:
        """Reject calls.

        Args:
            gate: decides which calls may enter.
            rejections: sends rejections.
            tokens: who may call; None: everybody.
            status_of: reports a rejection of our service and makes its status; None: it is not reported.
        """
        self._gate = gate
        self._tokens = tokens
        self._reject_other: Any = grpc.stream_stream_rpc_method_handler(Rejecting(_status_of, rejections))
        self._reject: Any = grpc.stream_stream_rpc_method_handler(
            Rejecting(status_of or _status_of, rejections)
        )

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """The method's handler with a permit for the call, or a handler that rejects the call."""
        method = str(handler_call_details.method)
        if not self._gate.knows(method):
            if continuation(handler_call_details) is not None:  # a bug: no call may enter without a permit
                raise LookupError(f"the gate has no limit for {method}")
            return None
        call = Call.of(handler_call_details)
        CURRENT.set(call)
        try:
            call.caller = self._caller(call, handler_call_details)
            call.permit = self._gate.check(method, call.caller)
        except ServiceError as error:
            call.rejection = error
            return self._reject if call.service in _OURS else self._reject_other
        return continuation(handler_call_details)

    def _caller(self, call: Call, details: grpc.HandlerCallDetails) -> str:
        if self._tokens is None or call.service == HEALTH_SERVICE:
            return ""
        scope = SCOPES[call.method] if call.service == SERVICE else None
        if call.service == STORE_SERVICE:
            scope = STORES_SCOPE
        return self._tokens.admit(metadata_of(details), scope).name


def _is_ours(details: grpc.HandlerCallDetails) -> bool:
    return str(details.method) in _REQUESTS


def _status_of(call: Call) -> FinalStatus:
    assert call.rejection is not None  # noqa: S101 (the entry interceptor set it)
    return to_status(call.rejection, call.request_id)


class Rejection:
    """Rejects a call of our service, and reports it.

    This is one function and not a chain of interceptors, because an overloaded server spends much of its time
    here.
    """

    def __init__(self, on_start: Callable[[str, str], None], on_end: Callable[[Call], None]) -> None:
        self._on_start = on_start
        self._on_end = on_end

    def __call__(self, call: Call) -> FinalStatus:
        """The status that ends the call."""
        assert call.rejection is not None  # noqa: S101 (the entry interceptor set it)
        self._on_start(call.service, call.method)
        call.start(call.deadline)
        error = as_service_error(call.rejection, call.request_id)
        call.fail(error)
        self._on_end(call.end())
        return to_status(error, call.request_id)


def end_with(context: grpc.ServicerContext, error: ServiceError) -> NoReturn:
    """End a call of a service that does not pass through the outer interceptors."""
    context.abort_with_status(to_status(error, CURRENT.get().request_id))


class _MessageBytes:
    """The bytes of a message. gRPC keeps this object until the call is over, so `take` empties it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self) -> bytes:
        data, self._data = self._data, b""
        return data


def _guard(
    parse: Callable[[bytes], Message],
    behaviour: Behaviour,
    message: _MessageBytes,
    context: grpc.ServicerContext,
) -> Any:
    """Run the behaviour; end the call with the status of any exception."""
    try:
        return behaviour(parse(message.take()), context)
    except Exception as error:  # noqa: BLE001 (every error gets its status)
        return _end(context, error)


def _guard_stream(
    parse: Callable[[bytes], Message],
    behaviour: Behaviour,
    requests: Iterator[bytes],
    context: grpc.ServicerContext,
) -> Iterator[Any]:
    """As `_guard`, for a stream of answers."""
    try:
        yield from behaviour(map(parse, requests), context)
    except Exception as error:  # noqa: BLE001 (every error gets its status)
        _end(context, error)


def _end(context: grpc.ServicerContext, error: Exception) -> Any:
    call = CURRENT.get()
    sent = as_service_error(error, call.request_id)
    call.fail(sent)
    return context.abort_with_status(to_status(sent, call.request_id))


def parse_message(message: type[Message], data: bytes) -> Message:
    """Parse a message, whose size and structure are checked first.

    Raises:
        InvalidRequest: `data` is not a message of this type, or has too many bytes, fields or list entries.
    """
    if message not in _WITH_IMAGES:
        check_size(data)
    check_structure(data, message.DESCRIPTOR)
    try:
        return message.FromString(data)
    except DecodeError as error:
        raise InvalidRequest(
            Reason.MALFORMED_MESSAGE, "the request is not a message of this method's type"
        ) from error


class _HandlerCache:
    """Caches the wrappers of handlers: for each call gRPC asks again to wrap one of a few handlers.

    Entries stay, so wrappers must not keep data of a single call.
    """

    def __init__(self) -> None:
        self._made: dict[int, tuple[Any, Any]] = {}  # by identity, unique while the entry keeps the handler

    def get(self, handler: Any, make: Callable[[], Any]) -> Any:
        """The wrapper of `handler`; made by `make` the first time."""
        found = self._made.get(id(handler))
        if found is None or found[0] is not handler:
            found = self._made[id(handler)] = handler, make()
        return found[1]


_SAME: Any = object()


def _stream_stream(behaviour: Any, handler: Any, deserializer: Any = _SAME) -> Any:
    """A bidirectional handler around `handler`, which runs on the same thread pool."""
    if hasattr(handler.stream_stream, "experimental_thread_pool"):
        behaviour.experimental_thread_pool = handler.stream_stream.experimental_thread_pool
    return grpc.stream_stream_rpc_method_handler(
        behaviour,
        request_deserializer=handler.request_deserializer if deserializer is _SAME else deserializer,
        response_serializer=functools.partial(_serialize, handler.response_serializer),
    )


def _stream_unary(behaviour: Any, handler: Any) -> Any:
    """A client-streaming handler around a unary one."""
    return grpc.stream_unary_rpc_method_handler(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=functools.partial(_serialize, handler.response_serializer),
    )


def _serialize(serializer: Callable[[Any], bytes], response: Message | bytes) -> bytes:
    return response if isinstance(response, bytes) else serializer(response)
