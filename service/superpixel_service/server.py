"""A server's life: built, started, drained."""

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_reflection.v1alpha import reflection, reflection_pb2  # type: ignore[import-untyped]

from superpixel_service import health, interceptors, logs
from superpixel_service.admission import AdmissionQueue
from superpixel_service.auth import Tokens
from superpixel_service.calls import Call, CallEvent, ImageEvent, OpenCalls
from superpixel_service.config import Settings, flag, split_address
from superpixel_service.decode import ignore_library_warnings
from superpixel_service.engine import Engine, Job
from superpixel_service.errors import DeviceLost, ServiceError
from superpixel_service.metrics import Metrics
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.pools import CallThreads, MethodThreads, Refusals, answered_by
from superpixel_service.servicer import SuperpixelServicer
from superpixel_service.speed import Speed
from superpixel_service.streams import Streams
from superpixel_service.telling import Teller
from superpixel_service.tls import ServerTls
from superpixel_service.traces import Traces
from superpixel_service.vitals import Vitals
from superpixel_service.warmup import sample_task

# Threads of `Segment` beyond one for each call in flight, for messages that are still to come and answers
# that are still to be read.
_SPARE_THREADS = 16

# Threads of `SegmentStream` beyond one for each stream: they refuse what is too much.
_SPARE_STREAM_THREADS = 4

# `GetServerInfo` is answered at once; these are for callers who begin one and send no message.
_INFO_THREADS = 64
_INFO_SECONDS = 10.0

# Who may watch health. On the main port each connection of a client that spreads its calls does.
_WATCHERS = 1024
_HEALTH_PORT_WATCHERS = 128

# Calls that are being refused, and streams that wait to be. A waiting one holds no more than a window of
# HTTP/2. Beyond, gRPC itself refuses.
_CALLS_WITHOUT_A_THREAD = 256

_UNASKED_BYTES = 1 << 20

# Streams of questions, and how long one may be silent: each holds a thread.
_REFLECTION_THREADS = 16
_REFLECTION_SECONDS = 10.0

# A caller that vanished without a word holds its stream no longer than these two together.
_KEEPALIVE_SECONDS = 60
_KEEPALIVE_TIMEOUT_SECONDS = 20

# So often may a caller's keepalive ask whether this server is still there, with calls open or without. gRPC's
# own bound is five minutes: our client's, once a minute, would be hung up on in the middle of a long silence.
_PING_SECONDS = 5

# Room in a message for everything beside the image, so that an image that is a little too large meets our own
# limit, which explains itself, and not gRPC's.
_MESSAGE_SLACK_BYTES = 1 << 20

# What is still to be said when a server ends waits for its listeners no longer.
_LAST_WORDS_SECONDS = 1.0

# A draining server has been left when nobody called for this long: some round trips, as callers learn by one
# that they are to go elsewhere. Those who call on nevertheless are told for so long, once all work is done.
_QUIET_SECONDS = 0.25
_FAREWELL_SECONDS = 2.0

_SHARED_OPTIONS = (
    # A second server on the same port is a mistake to be told of, not a load balancer.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000 * _PING_SECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
)

log = structlog.get_logger()


class CannotListen(Exception):
    """An address is taken, not this machine's, or not ours to listen on."""

    def __init__(self, setting: str, address: str) -> None:
        super().__init__(
            f"{flag(setting)}: cannot listen on {address}: it is in use, or not ours to listen on"
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a server really listens, each HOST:PORT: asked for port 0, it took a free one."""

    listen: str
    health: str
    metrics: str


class Server:
    """One server. `start`, then at the end `drain`; both once.

    Health and metrics are plaintext and for everybody: they carry no data.

    Raises:
        UnusableFile: the certificate or the tokens that the settings name cannot be used.
        CannotTrace: traces are asked for and cannot be made.
    """

    def __init__(self, settings: Settings, on_dead: Callable[[], None] = lambda: None) -> None:
        """`on_dead` is told, once, when the engine does not work any more: `abort`, and end the process."""
        ignore_library_warnings()
        self._settings = settings
        speed = Speed()
        self._queue: AdmissionQueue[Job] = AdmissionQueue(settings, speed)
        self._engine = Engine(settings, self._queue, speed)
        self._streams = Streams(self._engine, settings)
        self._traces = Traces.of(settings)
        self._tls = ServerTls.of(settings)
        self._tokens = None if settings.token_file is None else Tokens(settings.token_file)
        self._teller: Teller[Callable[[], None]] = Teller(lambda tell: tell())
        self._metrics = Metrics(
            self._queue.lanes,
            self._streams.state,
            self._engine,
            functools.partial(self._teller.flush, _LAST_WORDS_SECONDS),
            self._tls,
            self._tokens,
        )
        self._open_calls = OpenCalls()
        self._health = health.Health()
        self._vitals = Vitals(
            self._engine,
            settings.step_limit_seconds,
            on_change=self._health_changed,
            on_dead=self._engine_died,
            on_look=self._end_what_lasts,
        )
        self._on_dead = on_dead
        self._refusals = Refusals(self._open_calls)
        self._threads: list[MethodThreads] = []
        self._health_server = self._build_health()
        self._main = self._build_main()

    def _build_health(self) -> grpc.Server:
        port = self._health.port(_HEALTH_PORT_WATCHERS)
        server = grpc.server(
            self._refusals,  # every method has threads of its own
            interceptors=[
                interceptors.DoorInterceptor(self._open_calls, overloaded=lambda: None, pool=self._refusals)
            ],
            options=_SHARED_OPTIONS,
            maximum_concurrent_rpcs=sum(threads.bound for threads in port.threads) + _CALLS_WITHOUT_A_THREAD,
        )
        port.add_to(server)
        self._threads += port.threads
        return server

    def _build_main(self) -> grpc.Server:
        settings = self._settings
        segment = MethodThreads("segment", settings.max_inflight_calls + _SPARE_THREADS, self._open_calls)
        info = MethodThreads("info", _INFO_THREADS, self._open_calls, patience=lambda: _INFO_SECONDS)
        reflect = MethodThreads("reflection", _REFLECTION_THREADS, patience=lambda: _REFLECTION_SECONDS)
        health_port = self._health.port(_WATCHERS)
        streams = settings.max_streams + _SPARE_STREAM_THREADS
        threads = (segment, info, reflect, *health_port.threads)
        server = grpc.server(
            CallThreads(streams, self._open_calls),
            interceptors=interceptors.build(
                self._open_calls,
                self._engine.overloaded,
                self._refusals,
                self._metrics.call_started,
                self._tell_of_call,
                self._tokens,
            ),
            options=[
                *_SHARED_OPTIONS,
                ("grpc.max_receive_message_length", settings.max_image_bytes + _MESSAGE_SLACK_BYTES),
                ("grpc.max_send_message_length", -1),  # our own answers: their size is bounded by the pixels
                # What may be under way of messages nobody has asked for yet: gRPC's guess at what the network
                # needs came to hundreds of megabytes a stream.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", _UNASKED_BYTES),
                ("grpc.max_connection_age_ms", round(1000 * settings.max_connection_age_seconds)),
                # A stream that began just before ends itself as it comes of that age, all being answered.
                (
                    "grpc.max_connection_age_grace_ms",
                    round(1000 * (settings.max_connection_age_seconds + settings.grace_seconds)),
                ),
                ("grpc.keepalive_time_ms", 1000 * _KEEPALIVE_SECONDS),
                ("grpc.keepalive_timeout_ms", 1000 * _KEEPALIVE_TIMEOUT_SECONDS),
            ],
            maximum_concurrent_rpcs=streams + sum(each.bound for each in threads) + _CALLS_WITHOUT_A_THREAD,
        )
        servicer: Any = SuperpixelServicer(settings, self._engine, self._streams, self._tell_of_image)
        servicer.Segment = answered_by(segment, servicer.Segment)
        servicer.GetServerInfo = answered_by(info, servicer.GetServerInfo)
        pb_grpc.add_SuperpixelServiceServicer_to_server(servicer, server)
        health_port.add_to(server)
        _add_reflection(server, reflect)
        self._threads += threads
        return server

    def _end_what_lasts(self) -> None:
        self._streams.end_old()
        for threads in self._threads:
            late = threads.end_late()
            if late:
                log.warning("late_callers", threads=threads.name, calls=late)

    def _call_ended(self, event: CallEvent) -> None:
        self._metrics.call_ended(event)
        trace_id = event.trace.id if self._traces is None else self._traces.call_ended(event)
        logs.call_ended(event, trace_id)

    def _image_ended(self, call: Call, event: ImageEvent) -> None:
        self._metrics.image_ended(event)
        if self._traces is not None:
            self._traces.image_ended(call, event)
        logs.image_ended(event)

    def _tell_of_call(self, event: CallEvent) -> None:
        self._teller.put(functools.partial(self._call_ended, event))

    def _tell_of_image(self, call: Call, event: ImageEvent) -> None:
        self._teller.put(functools.partial(self._image_ended, call, event))

    def start(self) -> Addresses:
        """Take the ports, warm up, and take on work.

        Health answers NOT_SERVING and metrics answer while the engine warms up.

        Raises:
            CannotListen: an address cannot be had.
            Exception: the engine cannot run; the server cannot serve.
        """
        credentials = None if self._tls is None else self._tls.credentials()
        listen = _bind(self._main, "listen", self._settings.listen, credentials)
        health_listen = _bind(self._health_server, "health_listen", self._settings.health_listen)
        try:
            self._metrics_server = self._metrics.serve(self._settings.metrics_listen)
        except OSError as error:
            raise CannotListen("metrics_listen", self._settings.metrics_listen) from error
        self._health_server.start()
        self._engine.start(sample_task(self._settings))
        self._metrics.engine_started(self._engine.backend)
        self._main.start()
        self._vitals.start()
        host, port = self._metrics_server.server_address[:2]
        return Addresses(listen, health_listen, _join(str(host), port))

    def _health_changed(self, checks: Mapping[str, bool]) -> None:
        self._health.set(checks)
        self._metrics.set_health(checks)

    def _engine_died(self, check: str) -> None:
        self._queue.close(DeviceLost)
        self._engine.abort()
        log.critical("engine_dead", check=check)
        self._on_dead()

    def abort(self) -> None:
        """After the engine's death: let the refusals reach their callers. The process must end then."""
        self._health.wait_until_told(_LAST_WORDS_SECONDS)
        self._open_calls.wait_until_quiet(_QUIET_SECONDS, _LAST_WORDS_SECONDS)
        self._teller.flush(_LAST_WORDS_SECONDS)

    def drain(self) -> bool:
        """Refuse new work and finish what was admitted; whether that was done within the grace time.

        The process must end then, and with it the connections: whoever calls at that moment sees the server
        gone (UNAVAILABLE) and goes elsewhere. gRPC's own way to stop would end such calls as CANCELLED, as if
        their callers had given up (grpc/grpc#41785).
        """
        end = time.monotonic() + self._settings.grace_seconds
        self._queue.close()
        self._open_calls.drain()
        self._streams.drain()
        self._vitals.drain()
        self._health.drain()
        finished = self._queue.wait_until_idle(end - time.monotonic())
        finished &= self._open_calls.wait_until_answered(end - time.monotonic())
        # Those who watch health are gone in a moment. Others are told to go elsewhere for a while, and then
        # find no server.
        self._health.wait_until_told(_LAST_WORDS_SECONDS)
        self._open_calls.wait_until_quiet(_QUIET_SECONDS, min(_FAREWELL_SECONDS, end - time.monotonic()))
        self._metrics_server.shutdown()
        self._teller.flush(_LAST_WORDS_SECONDS)
        self._metrics_server.server_close()
        if self._traces is not None:
            self._traces.close()
        if finished:
            self._engine.stop()
        return finished


def _bind(
    server: grpc.Server, setting: str, address: str, credentials: grpc.ServerCredentials | None = None
) -> str:
    """Have the server listen on `address`; HOST:PORT as it came out."""
    try:
        port = (
            server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise CannotListen(setting, address) from error
    return _join(split_address(address)[0], port)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _add_reflection(server: grpc.Server, threads: MethodThreads) -> None:
    """Let clients ask for the contract."""
    names = (interceptors.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.ReflectionServicer(names)
    parse = functools.partial(interceptors.parse_message, reflection_pb2.ServerReflectionRequest.FromString)

    def questions(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        while True:
            try:
                message = threads.receive(messages, context)
            except StopIteration:
                return
            threads.answering(context)
            yield parse(message)

    def answer(messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[Any]:
        try:
            yield from servicer.ServerReflectionInfo(questions(messages, context), context)
        except ServiceError as error:
            interceptors.end_with(context, error)

    handler: Any = grpc.stream_stream_rpc_method_handler(
        answered_by(threads, answer),
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, methods),))
