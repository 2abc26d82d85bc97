"""A server's life: built, started, drained."""

import functools
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
import structlog
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc  # type: ignore[import-untyped]

from superpixel_service import health, interceptors, logs
from superpixel_service.admission import AdmissionQueue
from superpixel_service.auth import Tokens
from superpixel_service.calls import Call, CallEvent, ImageEvent, OpenCalls
from superpixel_service.config import Settings, flag, split_address
from superpixel_service.decode import ignore_library_warnings
from superpixel_service.engine import Engine, Job
from superpixel_service.errors import DeviceLost
from superpixel_service.metrics import Metrics
from superpixel_service.pb.superpixel.v1 import superpixel_pb2_grpc as pb_grpc
from superpixel_service.pools import CallThreads, answered_by
from superpixel_service.servicer import SuperpixelServicer
from superpixel_service.speed import Speed
from superpixel_service.streams import Streams
from superpixel_service.telling import Teller
from superpixel_service.tls import ServerTls
from superpixel_service.traces import Traces
from superpixel_service.vitals import Vitals
from superpixel_service.warmup import sample_task

# Threads beyond one for each call in flight: they read messages, answer GetServerInfo and refuse what is too
# much.
_SPARE_THREADS = 16

# Calls that wait for a thread, or that need none of these, as those who watch health. A waiting one holds no
# more than a window of HTTP/2. Beyond, gRPC itself refuses.
_CALLS_WITHOUT_A_THREAD = 256

_UNASKED_BYTES = 1 << 20

_REFLECTION_THREADS = 2

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
            on_look=self._streams.end_old,
        )
        self._on_dead = on_dead
        self._health_server = grpc.server(self._health.pool, options=_SHARED_OPTIONS)
        self._health.add_to(self._health_server)
        self._main = self._build_main()

    def _build_main(self) -> grpc.Server:
        settings = self._settings
        threads = settings.max_inflight_calls + settings.max_streams + _SPARE_THREADS
        server = grpc.server(
            CallThreads(threads, self._open_calls),
            interceptors=interceptors.build(
                self._open_calls,
                self._engine.overloaded,
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
            maximum_concurrent_rpcs=threads + _CALLS_WITHOUT_A_THREAD,
        )
        servicer = SuperpixelServicer(settings, self._engine, self._streams, self._tell_of_image)
        pb_grpc.add_SuperpixelServiceServicer_to_server(servicer, server)
        self._health.add_to(server)
        _add_reflection(server)
        return server

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


def _add_reflection(server: grpc.Server) -> None:
    """Let clients ask for the contract, on threads of its own: each stream of questions holds one."""
    pool = ThreadPoolExecutor(_REFLECTION_THREADS, thread_name_prefix="reflection")
    names = (interceptors.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    servicer = reflection.ReflectionServicer(names)
    servicer.ServerReflectionInfo = answered_by(pool, servicer.ServerReflectionInfo)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
