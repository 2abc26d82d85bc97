"""The Prometheus metrics of a server. Every label value comes from a closed set."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from superpixel_kernels import ALGORITHM_VERSION
from superpixel_service import __version__
from superpixel_service.model import Answer, CacheUse, Lane
from superpixel_service.operations import logs
from superpixel_service.operations.metrics_port import serve_metrics
from superpixel_service.operations.store_metrics import StoreMetrics
from superpixel_service.security.reloading import WatchedFiles
from superpixel_service.security.tls import ServerTls
from superpixel_service.security.tokens import Tokens
from superpixel_service.stores.reader import StoreReader
from superpixel_service.transport.call import Call, ImageEvent
from superpixel_service.transport.streams import StreamsState
from superpixel_service.work.answers import Answers
from superpixel_service.work.load import LaneState
from superpixel_service.work.segmenter import ENGINE_STAGES
from superpixel_service.work.workers import Workers

# Steps of 1, 2, 5: a percentile from a histogram is wrong by one bucket's width at most.
_CALL_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_STAGE_SECONDS = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_ENGINE_STAGE_SECONDS = (
    2e-5,
    5e-5,
    1e-4,
    2e-4,
    5e-4,
    1e-3,
    2e-3,
    5e-3,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
)
_PIXELS = (1e4, 3e4, 1e5, 3e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8)
_BYTES = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8)


class Metrics:
    """All metrics of one server."""

    def __init__(
        self,
        lanes: Callable[[], dict[Lane, LaneState]],
        streams: Callable[[], StreamsState],
        workers: Workers,
        answers: Answers,
        before_reading: Callable[[], None] = lambda: None,
        tls: ServerTls | None = None,
        tokens: Tokens | None = None,
        stores: StoreReader | None = None,
    ) -> None:
        """Register all metrics. They read the arguments when Prometheus asks.

        `before_reading` is called first. It counts calls that have ended and are not counted yet.
        """
        self.registry = registry = _Registry(before_reading)
        method = ("grpc_service", "grpc_method")
        self._started = Counter("grpc_server_started", "Calls begun.", method, registry=registry)
        self._handled = Counter(
            "grpc_server_handled", "Ended calls, by code.", (*method, "grpc_code"), registry=registry
        )
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "From the arrival of the message until the answer is ready; for a stream, its whole time.",
            (*method, "grpc_code"),
            buckets=_CALL_SECONDS,
            registry=registry,
        )
        self._stage = Histogram(
            "superpixel_stage_duration_seconds",
            "Stages of an answered image.",
            ("stage", "backend"),
            buckets=_STAGE_SECONDS,
            registry=registry,
        )
        self._engine_stage = Histogram(
            "superpixel_engine_stage_duration_seconds",
            "The engine's stages for an answered image.",
            ("stage", "backend"),
            buckets=_ENGINE_STAGE_SECONDS,
            registry=registry,
        )
        self._pixels = Histogram(
            "superpixel_image_pixels",
            "Pixels of the accepted images, by their encoding.",
            ("encoding",),
            buckets=_PIXELS,
            registry=registry,
        )
        self._response_bytes = Histogram(
            "superpixel_response_bytes",
            "Bytes of the label maps sent, by their encoding.",
            ("encoding",),
            buckets=_BYTES,
            registry=registry,
        )
        self._rejected = Counter(
            "superpixel_requests_rejected",
            "Rejected calls and images of streams, by the error's reason.",
            ("reason",),
            registry=registry,
        )
        self._build = Gauge(
            "superpixel_build_info",
            "Always 1.",
            ("version", "algorithm_version", "backend"),
            registry=registry,
        )
        self._ready = Gauge(
            "superpixel_ready", "1 while the server is healthy and accepts work.", registry=registry
        )
        self._checks = Gauge(
            "superpixel_health_check", "1 while the health check passes.", ("check",), registry=registry
        )
        self._cache = Counter(
            "superpixel_cache_requests",
            "Answers by their source: from the cache, shared with another caller, or computed now.",
            ("result",),
            registry=registry,
        )
        self._stores = StoreMetrics(registry, stores)
        # `labels` checks its arguments each time, and an overloaded server needs the same few per rejection.
        self._started_of = functools.cache(self._started.labels)
        self._handled_of = functools.cache(self._handled.labels)
        self._handling_of = functools.cache(self._handling.labels)
        self._rejected_of = functools.cache(self._rejected.labels)
        registry.register(_Collector(lanes, streams, workers, answers))
        registry.register(_FilesCollector(tls, tokens))
        ProcessCollector(registry=registry)

    def serve(self, address: str, connections: int) -> WSGIServer:
        """Answer GET /metrics on `address`, on a thread of its own.

        Args:
            address: HOST:PORT.
            connections: how many may be open; further ones are closed at once.

        Raises:
            OSError: cannot listen on the address.
        """
        return serve_metrics(self.registry, address, connections)

    def engine_started(self, backend: str) -> None:
        """The engine runs on `backend`."""
        self._build.labels(__version__, str(ALGORITHM_VERSION), backend).set(1)

    def set_health(self, checks: Mapping[str, bool]) -> None:
        """Set the health checks; the server is ready if all pass."""
        for name, well in checks.items():
            self._checks.labels(name).set(well)
        self._ready.set(all(checks.values()))

    def call_started(self, service: str, method: str) -> None:
        """A call began."""
        self._started_of(service, method).inc()

    def call_ended(self, call: Call) -> None:
        """A call ended."""
        labels = call.service, call.method, call.code.name
        self._handled_of(*labels).inc()
        self._handling_of(*labels).observe(call.seconds)
        if call.store is not None:
            self._stores.call_ended(call.store)
        self.image_ended(call)

    def image_ended(self, event: Call | ImageEvent) -> None:
        """An image, of a single call or of a stream, was answered or rejected."""
        if event.error is not None:
            self._rejected_of(event.error.reason.value).inc()
        if event.task is not None:
            self._pixels.labels(event.task.image.format.value).observe(event.task.pixels)
        if event.answer is not None:
            self._answered(event.answer)

    def _answered(self, answer: Answer) -> None:
        self._response_bytes.labels(answer.label_map.encoding.value).observe(answer.label_map.size)
        if answer.cache is not CacheUse.OFF:
            self._cache.labels(answer.cache.value).inc()
        if not answer.engine_seconds:
            return  # nothing was computed
        for name, seconds in answer.stages.items():
            self._stage.labels(name, answer.backend).observe(seconds)
        for name in ENGINE_STAGES:
            self._engine_stage.labels(name, answer.backend).observe(answer.engine_seconds[name])


class _Registry(CollectorRegistry):
    """Counts the calls that have ended before each read."""

    def __init__(self, before_reading: Callable[[], None]) -> None:
        super().__init__()
        self._before_reading = before_reading

    def collect(self) -> Iterable[Metric]:
        self._before_reading()
        return super().collect()


class _Collector(Collector):
    """Reads queue, streams and workers when Prometheus asks, instead of counting at every change."""

    def __init__(
        self,
        lanes: Callable[[], dict[Lane, LaneState]],
        streams: Callable[[], StreamsState],
        workers: Workers,
        answers: Answers,
    ) -> None:
        self._lanes = lanes
        self._streams = streams
        self._workers = workers
        self._answers = answers

    def collect(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily("superpixel_queue_depth", "Images that wait for a worker.", labels=["lane"])
        pixels = GaugeMetricFamily(
            "superpixel_queue_pixels", "Pixels of the images that wait.", labels=["lane"]
        )
        held = GaugeMetricFamily(
            "superpixel_inflight_bytes",
            "Bytes of the images that wait or are being worked on, as sent.",
            labels=["lane"],
        )
        for name, lane in self._lanes().items():
            depth.add_metric([name.value], lane.depth)
            pixels.add_metric([name.value], lane.queue_pixels)
            held.add_metric([name.value], lane.inflight_bytes)
        state = self._streams()
        streams = GaugeMetricFamily("superpixel_streams", "Streams that are open.", state.open)
        unanswered = GaugeMetricFamily(
            "superpixel_stream_images", "Images of streams, admitted and not yet answered.", state.unanswered
        )
        dropped = CounterMetricFamily(
            "superpixel_log_lines_dropped",
            "Log lines dropped: they could not be written, or too many were waiting.",
            logs.dropped(),
        )
        return depth, pixels, held, streams, unanswered, dropped, *self._of_workers()

    def _of_workers(self) -> Iterator[Metric]:
        stages = CounterMetricFamily(
            "superpixel_stages_begun",
            "Stages begun, also of images that got no answer.",
            labels=["stage", "lane"],
        )
        for (stage, lane), count in self._workers.begun().items():
            stages.add_metric([stage, lane.value], count)
        yield stages
        yield CounterMetricFamily(
            "superpixel_steps_begun",
            "Steps begun in finished images: stages, stages of the kernels, and rounds of the merge.",
            self._workers.steps(),
        )
        yield GaugeMetricFamily(
            "superpixel_bulk_held",
            "Bulk images that have begun and are paused by interactive work.",
            self._workers.held(),
        )
        replaced = CounterMetricFamily(
            "superpixel_decode_processes_replaced",
            "Decode processes replaced: too slow, stopped with their call, or lost.",
            labels=["cause"],
        )
        for cause, count in self._workers.decode_processes_replaced().items():
            replaced.add_metric([cause], count)
        yield replaced
        memory = GaugeMetricFamily(
            "superpixel_gpu_memory_used_bytes",
            "Bytes of a GPU's memory in use, by all processes.",
            labels=["device"],
        )
        for device, used in self._workers.gpu_used_bytes().items():
            memory.add_metric([device], used)
        yield memory
        yield GaugeMetricFamily(
            "superpixel_cache_bytes", "Bytes of the cached answers.", self._answers.cache_byte_count
        )


class _FilesCollector(Collector):
    """Also checks the files, so that a broken new certificate is visible before the next connection."""

    def __init__(self, tls: ServerTls | None, tokens: Tokens | None) -> None:
        self._tls = tls
        self._tokens = tokens

    def collect(self) -> Iterable[Metric]:
        reloads = CounterMetricFamily(
            "superpixel_file_reloads",
            "Reloads of changed files; failed: the old version is still in use.",
            labels=["file", "result"],
        )
        expires = GaugeMetricFamily(
            "superpixel_certificate_expiry_timestamp_seconds",
            "Expiry time of the certificate in use, in seconds since 1970.",
        )
        current = GaugeMetricFamily(
            "superpixel_file_current",
            "1: the file on disk is in use; 0: it cannot be used, and an older version is in use.",
            labels=["file"],
        )
        if self._tls is not None:
            expires.add_metric([], self._tls.files.value().expires)
            self._tell_of(self._tls.files, reloads, current)
        if self._tokens is not None:
            self._tokens.file.value()
            self._tell_of(self._tokens.file, reloads, current)
        return reloads, current, expires

    @staticmethod
    def _tell_of(file: WatchedFiles[Any], reloads: CounterMetricFamily, current: GaugeMetricFamily) -> None:
        for result, count in file.reloads.items():
            reloads.add_metric([file.name, result], count)
        current.add_metric([file.name], file.current)
