"""A server's life: build, start, drain."""

import functools
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import grpc
import structlog

from superpixel_service.addresses import join_address, split_address
from superpixel_service.background import BackgroundQueue
from superpixel_service.config import Settings, flag
from superpixel_service.contract import (
    GET_SERVER_INFO,
    SCOPES,
    SEGMENT,
    SEGMENT_STREAM,
    STORES_SCOPE,
    Reason,
)
from superpixel_service.errors import DeviceLost, Overloaded, ServiceError
from superpixel_service.images.pixels import ignore_library_warnings
from superpixel_service.operations import health, logs
from superpixel_service.operations.metrics import Metrics
from superpixel_service.operations.traces import Traces
from superpixel_service.operations.watchdog import Watchdog
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.resources import share_files
from superpixel_service.security.tls import ServerTls
from superpixel_service.security.tokens import Tokens
from superpixel_service.stores.reader import StoreReader
from superpixel_service.transport import convert, interceptors, reflection, store_servicer
from superpixel_service.transport.call import Call, ImageEvent
from superpixel_service.transport.call_threads import CallThreads, grpc_threads
from superpixel_service.transport.gate import Gate, Limit
from superpixel_service.transport.message_limits import MAX_SMALL_MESSAGE_BYTES
from superpixel_service.transport.open_calls import OpenCalls
from superpixel_service.transport.rejections import RejectionQueue
from superpixel_service.transport.self_call import SelfCall
from superpixel_service.transport.servicer import SuperpixelServicer
from superpixel_service.transport.streams import Streams
from superpixel_service.work.admission import AdmissionQueue
from superpixel_service.work.answers import Answers
from superpixel_service.work.job import Job
from superpixel_service.work.memory import IdleMemory
from superpixel_service.work.throughput import Throughput
from superpixel_service.work.warmup import sample_task
from superpixel_service.work.workers import Workers, for_the_engine

# Open calls of `Segment` beyond `max_inflight_calls`: their messages have not arrived, or their answers
# have not been read.
_SPARE_SEGMENT_CALLS = 16

# `GetServerInfo` is answered at once; the limit is for callers that begin a call and send no message.
_INFO_CALLS = 64
_INFO_SECONDS = 10.0

# Concurrent `Watch` calls. On the main port each connection of a load-balancing client opens one.
_WATCHERS = 1024
_HEALTH_PORT_WATCHERS = 128

# Clients ping a server from which they hear nothing for 2 s.
_HEALTH_REPEAT_SECONDS = 1.0

# Calls beyond the gate's that count for gRPC's own limit (see `RejectionQueue`). It rejects further ones.
_REJECTIONS = 256

# A call's metrics and log line wait this long for those of other calls; together they take less time.
_REPORT_BATCH_SECONDS = 0.05

# Threads beyond one per permit: a stream returns its permit a moment before its thread is free.
_SPARE_THREADS = 4

_UNREQUESTED_BYTES = 1 << 20

# A caller that has disappeared occupies its stream for at most the sum of these two.
_KEEPALIVE_SECONDS = 60
_KEEPALIVE_TIMEOUT_SECONDS = 20

# The shortest interval of a caller's keepalive pings, with or without open calls. gRPC's default is five
# minutes; it would close connections of our client, which pings after 2 s of silence.
_PING_SECONDS = 1

# Room in a message besides the image: an image slightly above our limit gets our error, which is clearer than
# gRPC's.
_MESSAGE_SLACK_BYTES = 1 << 20

# Longest wait, at the end, for the last log lines, metrics and health reports to be delivered.
_LAST_WORDS_SECONDS = 1.0

# A draining server ends once no caller has called for this long: a few round trips, in which callers move to
# other servers. Later calls are rejected, for at most `_FAREWELL_SECONDS`.
_QUIET_SECONDS = 0.25
_FAREWELL_SECONDS = 2.0

# Time for callers of a draining server to read their answers; later ones must call another server.
_UNREAD_SECONDS = 5.0

# Further connections are closed at once.
_MAX_CONNECTIONS = "grpc.max_allowed_incoming_connections"

_SHARED_OPTIONS = (
    # A connection that sends nothing is closed after this time; gRPC's default is two minutes.
    ("grpc.server_handshake_timeout_ms", 20_000),
    # Calls that are open on one connection. gRPC clients wait if there are more; other connections are not
    # affected. Callers that open and reset calls thousands of times per second are slowed down.
    ("grpc.max_concurrent_streams", 100),
    # Images are compressed already. A compressed message of kilobytes can expand to gigabytes.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # A second server on the same port is a mistake to report, not a load balancer.
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000 * _PING_SECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
)

log = structlog.get_logger()


class CannotListen(Exception):
    """An address is in use, not of this machine, or not permitted."""

    def __init__(self, setting: str, address: str) -> None:
        super().__init__(
            f"{flag(setting)}: cannot listen on {address}: it is in use, or this process may not use it"
        )


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses that a server listens on, each HOST:PORT; port 0 has become a free one."""

    listen: str
    health: str
    metrics: str


class Server:
    """One server. Call `start`, and at the end `drain`, once each.

    Health and metrics are plaintext and need no token: they carry no data.

    Raises:
        UnusableFile: the certificate or the tokens that the settings name cannot be used.
        CannotTrace: traces are on but OpenTelemetry is missing.
        LargeFailed: there is a folder of stores, but the library that reads them is missing.
    """

    def __init__(self, settings: Settings, on_dead: Callable[[], None] = lambda: None) -> None:
        """`on_dead` is called once if the engine fails permanently. Then call `abort` and exit."""
        ignore_library_warnings()
        settings = for_the_engine(settings)
        self._settings = settings
        throughput = Throughput()
        self._queue: AdmissionQueue[Job] = AdmissionQueue(settings, throughput)
        self._tokens = (
            None
            if settings.token_file is None
            else Tokens(settings.token_file, allow_shared=settings.allow_shared_files)
        )
        self._answers = Answers(
            settings, self._queue, functools.partial(self._tokens_with_a_cache, SCOPES["Segment"])
        )
        self._workers = Workers(settings, self._queue, self._answers, throughput, convert.serialize_body)
        self._streams = Streams(self._answers, settings, self._queue.look_again)
        self._queue.hold_back_bulk(lambda: not self._streams.unsent.half_full)
        self._stores = (
            StoreReader(settings, functools.partial(self._tokens_with_a_cache, STORES_SCOPE))
            if settings.stores
            else None
        )
        self._traces = Traces.of(settings)
        self._tls = ServerTls.of(settings)
        self._reports = BackgroundQueue[Callable[[], None]](lambda report: report(), _REPORT_BATCH_SECONDS)
        self._metrics = Metrics(
            self._queue.lanes,
            self._streams.state,
            self._workers,
            self._answers,
            functools.partial(self._reports.flush, _LAST_WORDS_SECONDS),
            self._tls,
            self._tokens,
            self._stores,
        )
        self._open_calls = OpenCalls()
        self._health = health.Health()
        self._watchdog = Watchdog(
            self._workers,
            settings.step_limit_seconds,
            on_change=self._health_changed,
            on_dead=self._engine_died,
            on_look=self._end_old_calls,
            is_serving=self._is_serving,
        )
        self._on_dead = on_dead
        self._idle_memory = IdleMemory(self._workers.free_idle_memory)
        self._gate = Gate(self._limits(), self._open_calls, settings.max_unsent_bytes)
        self._health_gate = Gate(health.limits(_HEALTH_PORT_WATCHERS), self._open_calls)
        self._call_threads: list[CallThreads] = []
        self._self_call = SelfCall()
        self._connections = share_files(settings.max_connections)
        self._health_server = self._build_health()
        self._main = self._build_main()

    def _limits(self) -> dict[str, Limit]:
        """The limits of the main port's methods."""
        settings = self._settings
        return {
            SEGMENT: Limit(
                "segment",
                settings.max_inflight_calls + _SPARE_SEGMENT_CALLS,
                is_work=True,
                overloaded=self._answers.expect,
                calls_per_token=settings.token_calls,
                token_limit="max_calls_per_token",  # noqa: S106 (a setting's name)
            ),
            SEGMENT_STREAM: Limit(
                "stream",
                settings.max_streams,
                is_work=True,
                rejection=_too_many_streams,
                calls_per_token=settings.token_streams,
                token_limit="max_streams_per_token",  # noqa: S106 (a setting's name)
            ),
            GET_SERVER_INFO: Limit("info", _INFO_CALLS, patience=lambda: _INFO_SECONDS, small=True),
            **(store_servicer.limits(settings) if settings.stores else {}),
            **reflection.limits(),
            **health.limits(_WATCHERS),
        }

    def _tokens_with_a_cache(self, scope: str) -> Collection[str]:
        """Names of the tokens whose answers are kept; without tokens all callers share one partition."""
        return ("",) if self._tokens is None else self._tokens.names_with(scope)

    def _build_health(self) -> grpc.Server:
        gate = self._health_gate
        rejections = RejectionQueue(self._open_calls)
        threads = CallThreads(gate.calls, self._open_calls, rejections)
        self._call_threads.append(threads)
        server = grpc.server(
            threads,
            interceptors=[interceptors.EntryInterceptor(gate, rejections)],
            options=[
                *_SHARED_OPTIONS,
                (_MAX_CONNECTIONS, self._connections.health),
                # Above our own limit, whose error is clearer; a message of twice that size gets gRPC's.
                ("grpc.max_receive_message_length", 2 * MAX_SMALL_MESSAGE_BYTES),
            ],
            maximum_concurrent_rpcs=gate.calls + _REJECTIONS,
        )
        self._health.add_to(server)
        return server

    def _build_main(self) -> grpc.Server:
        settings = self._settings
        rejections = RejectionQueue(self._open_calls)
        threads = CallThreads(self._gate.calls + _SPARE_THREADS, self._open_calls, rejections)
        self._call_threads.append(threads)
        server = grpc.server(
            threads,
            interceptors=interceptors.build(
                self._gate,
                rejections,
                self._open_calls,
                self._metrics.call_started,
                self._report_call,
                self._tokens,
            ),
            options=[
                *_SHARED_OPTIONS,
                (_MAX_CONNECTIONS, self._connections.main),
                ("grpc.max_receive_message_length", settings.max_image_bytes + _MESSAGE_SLACK_BYTES),
                ("grpc.max_send_message_length", -1),  # our own answers, whose size the pixels bound
                # Bytes that gRPC reads ahead. Its own estimate for the network reached hundreds of
                # megabytes per stream.
                ("grpc.http2.bdp_probe", 0),
                ("grpc.http2.lookahead_bytes", _UNREQUESTED_BYTES),
                ("grpc.max_connection_age_ms", round(1000 * settings.max_connection_age_seconds)),
                # A stream that began just before that age may last as long again, plus the grace time.
                (
                    "grpc.max_connection_age_grace_ms",
                    round(1000 * (settings.max_connection_age_seconds + settings.grace_seconds)),
                ),
                ("grpc.keepalive_time_ms", 1000 * _KEEPALIVE_SECONDS),
                ("grpc.keepalive_timeout_ms", 1000 * _KEEPALIVE_TIMEOUT_SECONDS),
            ],
            maximum_concurrent_rpcs=self._gate.calls + _SPARE_THREADS + _REJECTIONS,
        )
        servicer = SuperpixelServicer(
            settings, self._answers, self._streams, self._workers.backends, self._report_image
        )
        pb_grpc.add_SuperpixelServiceServicer_to_server(servicer, server)
        self._health.add_to(server, _HEALTH_REPEAT_SECONDS)
        services = () if self._stores is None else store_servicer.add_to(server, settings, self._stores)
        reflection.add_to(server, services)
        return server

    def _end_old_calls(self) -> None:
        rejected = sum(threads.reject_waiting() for threads in self._call_threads)
        if rejected:
            log.error("no_thread", calls=rejected)
        self._streams.end_old()
        self._streams.unsent.relieve()
        idle = self._streams.end_idle()
        if idle:
            log.info("idle_streams", calls=idle)
        if self._idle_memory.look(sum(self._workers.begun().values())):
            log.debug("memory_returned")
        for gate in (self._gate, self._health_gate):
            for name, calls in gate.cancel_late():
                log.warning("late_callers", threads=name, calls=calls)

    def _call_ended(self, call: Call) -> None:
        self._metrics.call_ended(call)
        trace_id = call.trace.id if self._traces is None else self._traces.call_ended(call)
        logs.call_ended(call, trace_id)

    def _image_ended(self, call: Call, event: ImageEvent) -> None:
        self._metrics.image_ended(event)
        if self._traces is not None:
            self._traces.image_ended(call, event)
        logs.image_ended(event)

    def _report_call(self, call: Call) -> None:
        self._reports.put(functools.partial(self._call_ended, call))

    def _report_image(self, call: Call, event: ImageEvent) -> None:
        self._reports.put(functools.partial(self._image_ended, call, event))

    def start(self) -> Addresses:
        """Take the ports, warm up, and accept work.

        During the warm-up metrics answer, and health answers NOT_SERVING.

        Raises:
            CannotListen: an address cannot be used.
            Exception: the engine cannot run.
        """
        if self._connections.main < self._settings.max_connections:
            log.warning("few_connections", connections=self._connections.main, reason="limit of open files")
        credentials = None if self._tls is None else self._tls.credentials()
        listen = _bind(self._main, "listen", self._settings.listen, credentials)
        health_listen = _bind(self._health_server, "health_listen", self._settings.health_listen)
        try:
            self._metrics_server = self._metrics.serve(
                self._settings.metrics_listen, self._connections.metrics
            )
        except OSError as error:
            raise CannotListen("metrics_listen", self._settings.metrics_listen) from error
        self._self_call.listen(self._main)
        before = grpc_threads()
        self._health_server.start()
        self._workers.start(functools.partial(sample_task, self._settings))
        self._metrics.engine_started(self._workers.backend)
        self._main.start()
        self._grpc_threads = grpc_threads() - before
        self._self_call.start()
        self._watchdog.start()
        host, port = self._metrics_server.server_address[:2]
        return Addresses(listen, health_listen, join_address(str(host), port))

    def _health_changed(self, checks: Mapping[str, bool]) -> None:
        self._health.set(checks)
        self._metrics.set_health(checks)

    def _is_serving(self) -> bool:
        if not all(thread.is_alive() for thread in self._grpc_threads):
            return False
        if self._self_call.failed:
            return False
        return not any(threads.is_stuck() for threads in self._call_threads)

    def _engine_died(self, check: str) -> None:
        self._queue.close(DeviceLost)
        self._workers.abort()
        log.critical("engine_dead", check=check)
        self._on_dead()

    def abort(self) -> None:
        """Send the errors to the callers after the engine has failed. Then the process must end."""
        self._self_call.stop()
        self._health.wait_until_sent(_LAST_WORDS_SECONDS)
        self._open_calls.wait_until_quiet(_QUIET_SECONDS, _LAST_WORDS_SECONDS)
        self._reports.flush(_LAST_WORDS_SECONDS)

    def drain(self) -> bool:
        """Reject new work and finish the admitted work; returns whether the grace time sufficed.

        Then the process must end, and its connections with it: a call at that moment fails as UNAVAILABLE,
        and clients retry it elsewhere. gRPC's own `stop` would end such calls as CANCELLED, as if their
        callers had given up (grpc/grpc#41785).
        """
        end = time.monotonic() + self._settings.grace_seconds
        self._queue.close()
        self._open_calls.drain()
        self._self_call.stop()
        self._streams.drain()
        self._watchdog.drain()
        self._health.drain()
        finished = self._queue.wait_until_idle(end - time.monotonic())
        if not self._open_calls.wait_until_answered(min(_UNREAD_SECONDS, end - time.monotonic())):
            log.warning("unread_answers", calls=self._open_calls.due)
        # Callers that watch health leave at once. Others are rejected for a while, and then find no server.
        self._health.wait_until_sent(_LAST_WORDS_SECONDS)
        self._open_calls.wait_until_quiet(_QUIET_SECONDS, min(_FAREWELL_SECONDS, end - time.monotonic()))
        self._metrics_server.shutdown()
        self._reports.flush(_LAST_WORDS_SECONDS)
        self._metrics_server.server_close()
        if self._traces is not None:
            self._traces.close()
        if finished:
            self._workers.stop()
        return finished


def _bind(
    server: grpc.Server, setting: str, address: str, credentials: grpc.ServerCredentials | None = None
) -> str:
    """Listen on `address`; returns the resulting HOST:PORT."""
    try:
        port = (
            server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        )
    except RuntimeError as error:
        raise CannotListen(setting, address) from error
    return join_address(split_address(address)[0], port)


def _too_many_streams() -> ServiceError:
    return Overloaded(Reason.TOO_MANY_STREAMS, "too many streams are open; try again later")
